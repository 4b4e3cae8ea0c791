"""Relative paths: what is accepted is below the root on every system, and is one file there."""

from __future__ import annotations

import os
import unicodedata
from pathlib import PureWindowsPath

from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative, collision_key, printable
from tests.fuzz.kit import Target, seed, text_of


def check(data: bytes) -> None:
    claims, taken = PathClaims(), dict[str, str]()
    for path in text_of(data).split("\n")[:8]:
        assert printable(path).encode("utf-8") is not None
        try:
            assert check_relative(path) == path
        except BadPath as error:
            assert str(error)
            continue
        _is_inside(path)
        key = collision_key(path)
        assert collision_key(key) == key == collision_key(unicodedata.normalize("NFD", path))
        clash = [
            other for other in taken if other == key or f"{other}/".startswith(f"{key}/")
            or f"{key}/".startswith(f"{other}/")
        ]  # fmt: skip
        assert (claims.claim(path) is not None) == bool(clash)
        if not clash:
            taken[key] = path


def _is_inside(path: str) -> None:
    root = "/srv/tree"
    assert os.path.normpath(os.path.join(root, path)) == f"{root}/{path}"
    assert not set(path) & {"\0", "\\", "\n", "\r"}
    assert len(path.encode("utf-8")) <= 4096
    for segment in path.split("/"):
        bare = "".join(c for c in segment if unicodedata.category(c) != "Cf").rstrip(" .")
        assert bare.lower() not in {"", "..", ".git", "git~1"}
        assert segment.partition(".")[0].rstrip(" ").lower() not in {"con", "nul", "aux", "prn"}
    if ":" not in path:  # Windows itself takes none
        windows = PureWindowsPath("D:/tree") / path
        assert windows.parts == ("D:\\", "tree", *path.split("/"))


TARGET = Target(
    check,
    [
        seed("onet.pt\n1_Pooling/config.json\n.gitattributes"),
        seed("../a\n/etc/passwd\nC:x\na\\b\nCON\n.git/config\na\nA\na/b"),
        seed("e\u0301\n\u00e9\n\u212a\nk\n.g\u200cit\nlpt\u00b9\nx \n" + "a" * 256),
    ],
    ["..", "/", "\n", ".git", "git~1", "con", "nul", "aux", "com1", "lpt¹", "C:", "\\", "\u200c",
     "e\u0301", "ß", "\u212a", "İ", "\u202e", " ", ".", "conin$"],
    longest=600,
)  # fmt: skip
