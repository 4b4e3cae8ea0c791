"""Paths from outside: what is refused, and what can never happen with what is not."""

from __future__ import annotations

import os
import string
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs.safe_paths import (
    BadPath,
    PathClaims,
    check_relative,
    collision_key,
    is_below,
    native,
    printable,
)

PIECES = st.sampled_from(
    [
        "..",
        ".",
        "",
        "a",
        "b",
        "A",
        "é",
        "e\u0301",
        "가",
        "\u1100\u1161",
        ".git",
        "con",
        "nul.txt",
        "C:",
        *[
            "a\\b",
            "\x00",
            "\n",
            " ",
            "x ",
            "x.",
            "ß",
            "SS",
            "\u212a",
            "k",
            "\ud800",
            "~",
            "a" * 300,
        ],
    ]
)
HOSTILE = st.one_of(st.text(), st.lists(PIECES).map("/".join), st.text(alphabet="./\\ab: ~\x00"))
SEGMENTS = st.text(alphabet=string.ascii_letters + "éÉßſKİı가", min_size=1, max_size=3)
TREE_PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)


def accepted(path: str) -> bool:
    try:
        return check_relative(path) == path
    except BadPath:
        return False


@pytest.mark.parametrize(
    "path",
    [
        "onet.pt",
        "1_Pooling/config.json",
        ".gitattributes",
        ".github/workflow.yml",
        "모델/가중치 최종.bin",
        "a b/c+d=e,f@g#h!.bin",
        "model-00001-of-00003.safetensors",
        "console/auxiliary/common/nullable.txt",
        "com10",
        "…",
        "a" * 255,
        "/".join(["a" * 200] * 20),
    ],
)
def test_ordinary_names_are_accepted(path: str) -> None:
    assert check_relative(path) == path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("./a", "'.'"),
        ("a/./b", "'.'"),
        ("../a", "leads out"),
        ("a/../../b", "leads out"),
        ("a\\b", "backslash"),
        ("C:/x", "drive"),
        ("c:x", "drive"),
        ("a/Z:b", "drive"),
        ("CON", "device"),
        ("a/nul.tar.gz", "device"),
        ("Aux ", "device"),
        ("lpt¹", "device"),
        ("com9/x", "device"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x7f", "control"),
        ("a\ud800", "control"),
        ("gpj\u202e.exe", "control"),
        ("a\u2066b", "control"),
        (".git/config", "git"),
        ("x/.GIT", "git"),
        ("git~1/hooks", "git"),
        (".g\u200cit/hooks", "git"),
        ("a.", "Windows drops"),
        ("a /b", "Windows drops"),
        ("é" * 128, "too long"),
        ("\u212a" * 128, "too long"),
        ("/".join(["a" * 250] * 20), "too long"),
    ],
)
def test_dangerous_names_are_refused(path: str, why: str) -> None:
    with pytest.raises(BadPath, match=why):
        check_relative(path)


@given(HOSTILE)
def test_what_is_accepted_stays_below_the_root(path: str) -> None:
    if not accepted(path) or ":" in path:  # Windows itself takes no ':'
        return
    root = "/srv/tree"
    joined = os.path.normpath(os.path.join(root, path))
    assert joined == f"{root}/{path}"
    windows = PureWindowsPath("D:/tree")
    assert (windows / path).parts[: len(windows.parts)] == windows.parts
    assert len((windows / path).parts) == 3 + path.count("/")
    path.encode("utf-8")


@given(HOSTILE)
def test_the_short_way_and_the_long_way_agree(path: str) -> None:
    """A folder whose name only the long way can judge changes no verdict."""
    assert accepted(path) == accepted(f"é/{path}") or len(path) > 4000


@given(st.lists(TREE_PATHS, max_size=8))
def test_claims_find_every_collision(paths: list[str]) -> None:
    claims = PathClaims()
    taken: list[str] = []
    for path in paths:
        key = collision_key(path)
        clash = [
            other
            for other in map(collision_key, taken)
            if other == key or other.startswith(key + "/") or key.startswith(other + "/")
        ]
        found = claims.claim(path)
        assert (found is not None) == bool(clash)
        assert found is None or found in taken
        if found is None:
            taken.append(path)


@pytest.mark.parametrize("file", ["a/b/c/d.bin", "A/é/c/d.bin"])
def test_a_file_takes_every_folder_above_it(file: str) -> None:
    for depth in range(1, 4):
        claims = PathClaims()
        assert claims.claim(file) is None
        folder = "/".join(file.split("/")[:depth])
        assert claims.has(folder) and claims.has(folder.swapcase())
        assert claims.claim(folder) == file
        assert claims.claim(f"{folder}/more") is None
        assert claims.has(f"{folder}/more") and not claims.has(f"{folder}/none")
    assert not PathClaims().has(file)


@given(TREE_PATHS)
def test_one_file_on_some_file_system_is_one_key(path: str) -> None:
    key = collision_key(path)
    assert collision_key(key) == key
    for form in ("NFC", "NFD"):
        assert collision_key(unicodedata.normalize(form, path)) == key
    assert collision_key(path.upper().lower()) == collision_key(path.upper())


def test_folders_are_shared_and_files_are_not() -> None:
    claims = PathClaims()
    assert claims.claim_folder("models/llm") is None
    assert claims.claim_folder("Models/LLM") is None
    assert claims.claim("models/llm/a.bin") is None
    assert claims.claim("MODELS") is not None
    assert claims.claim_folder("models/llm/A.bin/x") == "models/llm/a.bin"
    assert claims.claim_folder("") is None


@pytest.mark.parametrize(
    ("path", "folder", "below"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a/b/c", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/a/b", False),
        ("/b", "/a", False),
        ("/a", "/", True),
        ("/", "/", True),
        ("/", "/a", False),
    ],
)
def test_what_lies_in_a_folder(path: str, folder: str, below: bool) -> None:
    assert is_below(path, folder) is below


@pytest.mark.parametrize("path", [".", "é/.", "./é", "é/./a", "a b/."])
def test_a_segment_that_is_a_dot_is_told_as_one(path: str) -> None:
    with pytest.raises(BadPath, match=r"'\.' segment"):
        check_relative(path)


@pytest.mark.parametrize("shown", ["X", "XX", "X.X"])
def test_what_can_be_seen_is_no_invisible_name(shown: str) -> None:
    assert accepted(f"\u200c{shown}") and not accepted("\u200c. \u200c")


def test_most_keys_are_the_path_itself() -> None:
    """A million paths are kept once."""
    path = "".join(["models/", "weights.bin"])
    assert collision_key(path) is path


@given(st.sampled_from(string.ascii_letters + string.digits + "~-_é가"), SEGMENTS)
def test_no_letter_at_an_end_is_refused(last: str, start: str) -> None:
    """The long way, which a blank leads to, judges ends as the short one does."""
    assert accepted(f"x{start} {last}") and not accepted(f"x{start} {last}.")


@pytest.mark.parametrize("char", '<>"|?*')
def test_windows_refuses_what_only_it_cannot_hold(
    char: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert accepted(f"a{char}b/c") and accepted(f"a {char}")
    monkeypatch.setattr("sys.platform", "win32")
    assert not accepted(f"a{char}b/c") and not accepted(f"a {char}")
    assert accepted("a b/가")


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    assert all(char.isprintable() or char == "\ufffd" for char in printable(text))
    printable(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 모델 é~", "plain 모델 é~"),
        ("a\x1b[2J", "a\\x1b[2J"),
        ("\x00\x7f\x9f", "\\x00\\x7f\\x9f"),
        ("\xad\xa0", "\\xad\\xa0"),
        ("\u202e\ud800\ue000", "\ufffd\ufffd\ufffd"),
        ("Ā", "Ā"),
        ("\u0378\u0100", "\ufffd\u0100"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
    ],
)
def test_what_is_shown_of_text_from_outside(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("length", "prefixed"), [(240, False), (241, True), (300, True), (3, False)]
)
def test_long_paths_on_windows(
    length: int, prefixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/" + "a" * (length - 1)
    assert native(path) == native(Path(path)) == path
    monkeypatch.setattr("sys.platform", "win32")
    found = native(path)
    assert found == ("\\\\?\\" + path if prefixed else path)
    assert native(found) == found
