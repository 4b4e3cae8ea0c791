"""A class is imported in a child process, never in this one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fetcher.register.importcheck import check

MODULE = """\
import os, sys
print("noise on stdout")
open("imported", "w").write(os.environ.get("HF_TOKEN", "no token"))
class Codec:
    def compress(self): ...
    def decompress(self): ...
    class Inner: ...
value = 5
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text("")
    (tmp_path / "pkg/codec.py").write_text(MODULE)
    (tmp_path / "pkg/broken.py").write_text("import nothing_like_that\n")
    (tmp_path / "pkg/deadly.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "pkg/exits.py").write_text("raise SystemExit(0)\n")
    return tmp_path


def test_a_class_is_found_with_what_it_offers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    before = set(sys.modules)
    found = check("pkg.codec.Codec", root, sys.executable)
    assert (found.error, found.interface) == ("", ("compress", "decompress"))
    assert (root / "imported").read_text() == "no token"
    assert not {name for name in set(sys.modules) - before if name.startswith("pkg")}
    for path in ("pkg.codec:Codec", "pkg.codec.Codec.Inner"):
        assert check(path, root, sys.executable).error == ""


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("pkg.codec.Codex", "module pkg.codec has no Codex"),
        ("pkg.codec.value", "is a int, not a class"),
        ("pkg.codex.Codec", "No module named 'pkg.codex'|module pkg has no codex"),
        ("pkg.broken.Codec", "No module named 'nothing_like_that'"),
        ("pkg.deadly.Codec", "the import ended the process"),
        ("pkg.exits.Codec", "SystemExit"),
        ("Codec", "a module and a class are needed"),
    ],
)
def test_what_cannot_be_imported_says_why(root: Path, path: str, error: str) -> None:
    import re

    assert re.search(error, check(path, root, sys.executable).error)


def test_an_interpreter_that_is_not_there(root: Path) -> None:
    assert "cannot be started" in check("pkg.codec.Codec", root, "/nowhere/python").error
