"""Pointers to large files, as every tool writes them, and texts that only speak of them."""

from __future__ import annotations

import pytest

from fetcher.fs.pointers import POINTER_BYTES, is_pointer

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 5\n" % (b"1" * 64)
XET = b"# xet version 0\nfilesize = 5\nhash = '1'\n"
ANNEX = b"/annex/objects/SHA256E-s5--%s.bin\n" % (b"1" * 64)
POINTERS = {
    "lfs": LFS,
    "lfs with extensions": LFS.replace(b"oid", b"ext-0-foo sha256:1\next-1-b sha256:2\noid"),
    "hawser": LFS.replace(b"git-lfs.github.com", b"hawser.github.com"),
    "git-media": b"version http://git-media.io/v2\noid 1\n",
    "xet": XET,
    "annex": ANNEX,
    "annex by a link": b"../../.git/annex/objects/a/b/KEY/KEY",
}


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_pointers_whatever_ends_their_lines(kind: str, ends: bytes) -> None:
    body = POINTERS[kind].replace(b"\n", ends)
    assert is_pointer(body)
    assert is_pointer(b"\xef\xbb\xbf" + body)
    assert is_pointer(body + ends)


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_pointers_as_a_shell_on_windows_writes_them(kind: str, encoding: str) -> None:
    mark = "\ufeff".encode(encoding)
    assert is_pointer(mark + POINTERS[kind].decode().encode(encoding))
    assert not is_pointer(mark + "only text".encode(encoding))
    assert not is_pointer(mark) and not is_pointer(mark + b"\0" * 8)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"weights",
        b"see " + LFS,
        LFS.partition(b"oid")[0],
        LFS.replace(b"git-lfs.github.com", b"example.com"),
        b"\xef\xbb\xbfXX" + LFS,
        XET.partition(b"filesize")[0],
        b"notes on " + XET,
        ANNEX + b"and more",
        b"annex/objects/x",
        b"/annex/objects/\n",
        b"\0" + LFS,
    ],
)
def test_what_only_speaks_of_them_is_none(body: bytes) -> None:
    assert not is_pointer(body)


def test_only_so_much_is_looked_at() -> None:
    """A pointer may be followed by anything; none begins so late that it is not one."""
    padding = b"\n" * (POINTER_BYTES - len(LFS))
    assert is_pointer(padding + LFS)
    within = LFS.index(b"oid ") + 4
    assert is_pointer(b"\n" * (POINTER_BYTES - within) + LFS)
    assert not is_pointer(b"\n" * (POINTER_BYTES - within + 1) + LFS)
    wide = ("\ufeff" + "\n" * (POINTER_BYTES - 1 - within) + LFS.decode()).encode("utf-16-le")
    assert is_pointer(wide)
    assert is_pointer(LFS + bytes(100_000))


def test_a_link_of_git_annex_is_all_that_there_is() -> None:
    assert is_pointer(b"/annex/objects/" + b"k" * 400)
    assert not is_pointer(b"/annex/objects/" + b"k" * 401)
