"""What commands print in rows, at any width of a terminal: nothing wraps, and no word is broken."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fetcher.commands import run
from fetcher.ui.terminal import width_of
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.ui.screens import Terminal

LONG = "stable-diffusion-xl-base-finetuned-on-korean-art-with-a-very-long-name-2026"
MANIFEST = f"""artifacts:
  {LONG}:
    source: hf:o/m
    exclude: .gitattributes
    task: text-to-image
    license: apache-2.0
    remarks: 여러 낱말로 쓴 설명입니다. 길고, with 漢字漢字漢字漢字漢字漢字漢字 in it
    tags: [한국어, diffusion]
  gated:
    source: hf:o/gated-{LONG}
    license: llama3
"""
LAYOUT = f"""tree:
  모델/확산-모델-가중치/아주-긴-폴더-이름-아주-긴-폴더-이름-아주-긴-폴더-이름/: {LONG}
  models/gated/: gated
"""
COMMANDS = [
    ["list"],
    ["status"],
    ["plan"],
    ["tree"],
    ["show", LONG],
    ["config"],
    ["config", "allow"],
    ["access"],
    ["outdated"],
    ["update", "--dry-run"],
    ["diff", "before.lock", "fetch.lock"],
    ["doctor"],
    ["recommend", "--vram", "24"],
    ["prune", "--dry-run"],
]


@pytest.fixture
def project(tmp_path: Path, hub: HubServer, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    hub.add_repo(f"o/gated-{LONG}", {"config.json": b"{}"}, gated="manual")
    write_project(tmp_path, "p", MANIFEST, LAYOUT)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    assert cli("all", LONG).code == 0
    shutil.copy("fetch.lock", "before.lock")
    hub.add_commit("o/m", {"config.json": b"{}", f"{LONG}/한국어-이름.txt": b"new"})
    assert cli("lock", "--update", LONG).code == 0
    hub.add_commit("o/m", {"config.json": b"{ }"})
    cli("config", "allow", "links", str(tmp_path / LONG / "한국어 폴더" / LONG))
    return tmp_path


def printed(
    monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], columns: int | None
) -> list[str]:
    """The lines of a command on a terminal of so many columns, or in a pipe."""
    out = io.StringIO() if columns is None else Terminal(columns, 500)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setenv("COLUMNS", str(columns or 80))
        run(arguments)
    text = "".join(out.raw) if isinstance(out, Terminal) else out.getvalue()
    return text.splitlines()


def test_every_command_fits(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider, and every word is one of the whole text, or says that it is cut."""
    told = 0
    for arguments in COMMANDS:
        whole = printed(monkeypatch, arguments, None)
        assert any(line.strip() for line in whole), arguments
        assert not any("\t" in line or "\x1b" in line for line in whole), arguments
        words = set(" ".join(whole).split())
        for columns in (40, 60, 80, 200):
            lines = printed(monkeypatch, arguments, columns)
            told += len(lines)
            assert lines or not whole, (arguments, columns)
            for line in lines:
                fits = width_of(line) <= columns or line.split()[-1].startswith("http")
                assert fits, (arguments, columns, line)
                left = {
                    word
                    for word in line.split()
                    if word not in words and "…" not in word and not _is_figure(word)
                }
                assert not left, (arguments, columns, line, left)
    assert told > 300


def _is_figure(word: str) -> bool:
    """What differs from run to run: seconds, free bytes."""
    return re.fullmatch(r"[\d.,:%(+-]+(\)|s|B)?,?", word) is not None


def test_names_are_whole_where_nobody_looks(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("list", "status", "plan", "tree"):
        assert LONG in " ".join(printed(monkeypatch, [command], None))
        assert LONG in cli(command, "--json").out
    narrow = " ".join(printed(monkeypatch, ["status"], 40))
    assert LONG not in narrow and re.search(r"stable-\S*…\S*2026", narrow)
