"""Terminals of legacy encodings: what cannot be shown is escaped, and no run ends of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_project

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "all",
    "plan",
    "status",
    "check --strict",
    "show one",
    "list",
    "tree",
    "verify",
    "config",
]
LOCALES = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp949"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "C", "PYTHONIOENCODING": "utf-8:strict"},
]
# What every command writes is encoded at one place: where the least can be shown, by streams'
# encoding and by the locale's, all are tried; elsewhere those that print in a way of their own.
_LEAST = (LOCALES[0], LOCALES[4])
_SOME = ["all", "check --strict", "show one", "tree"]
NAME = "한국어 é …"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / f"files/{NAME}.bin").write_bytes(b"x")
    manifest = f"artifacts:\n  one:\n    name: {NAME}\n    source: local:files\n"
    write_project(tmp_path, "p", manifest, f"tree:\n  m/{NAME}/: one\n")
    return tmp_path


def _run(project: Path, locale: dict[str, str], *arguments: str) -> tuple[int, bytes, bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    environment |= {"PYTHONPATH": str(ROOT), **locale}
    command = [sys.executable, "-P", "-m", "fetcher", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: "-".join(locale.values()))
def test_every_command_ends_as_it_should(project: Path, locale: dict[str, str]) -> None:
    for command in COMMANDS if locale in _LEAST else _SOME:
        code, out, err = _run(project, locale, *command.split())
        assert code == 0 and b"internal error" not in err, (command, out, err)
        assert out.strip()
        code, out, err = _run(project, locale, *command.split(), "--json")
        assert code == 0, (command, out, err)
        assert json.loads(out.decode("utf-8"))["ok"], command
    placed = project / f"m/{NAME}/{NAME}.bin"
    assert placed.read_bytes() == b"x", "names on disk are UTF-8 in every locale"


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_that_is_no_text(project: Path) -> None:
    assert _run(project, {}, "all")[0] == 0
    Path(os.fsdecode(os.fsencode(project / "m") + b"/bad\xff")).write_bytes(b"x")
    for more in ((), ("--sarif", "r.sarif", "--junit", "r.xml")):
        code, out, err = _run(project, {}, "check", "--strict", *more)
        assert code in {0, 4} and b"internal error" not in err, err
    code, out, err = _run(project, {}, "check", "--strict", "--json")
    assert code in {0, 4}
    json.loads(out.decode("utf-8"))
