"""Tars of bundles: what is accepted, tarfile reads as the same files at the same places."""

from __future__ import annotations

import io
import tarfile

from fetcher.errors import Failure
from fetcher.fs.safe_paths import check_relative
from fetcher.mirror import tar
from fetcher.mirror.tar import BLOCK, END, header, padding
from fetcher.mirror.volumes import VolumeReader
from tests.fuzz.kit import Target, file_with


def check(data: bytes) -> None:
    data = _framed(data)
    with file_with(data, "b.tar") as path:
        reader = VolumeReader([str(path)])
        try:
            found = tar.scan(reader, "b.tar")
        except Failure as failure:
            assert failure.problem.code == "bundle" and failure.hint
            return
        finally:
            reader.close()
    for name, (offset, size) in found.items():
        assert check_relative(name) == name
        assert offset >= 0 and offset + size <= len(data)
    with tarfile.open(
        fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="strict"
    ) as other:
        theirs = {
            member.name.removeprefix("./"): (member.offset_data, member.size)
            for member in other
            if member.isfile()
        }
    assert {name: tuple(place) for name, place in found.items()} == theirs


def _framed(data: bytes) -> bytes:
    """Checksums made right (a mutator never would), blocks whole, an end where one is missing."""
    framed = bytearray(data + bytes(-len(data) % BLOCK))
    for start in range(0, len(framed), BLOCK):
        block = framed[start : start + BLOCK]
        if block[257:262] == b"ustar":
            total = sum(block[:148]) + 256 + sum(block[156:])
            framed[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(framed) + END if not framed.endswith(bytes(2 * BLOCK)) else bytes(framed)


def _member(name: str, content: bytes) -> bytes:
    return header(name, len(content)) + content + bytes(padding(len(content)))


def _of_tarfile(style: int, name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as made:
        info = tarfile.TarInfo(name)
        info.size, info.type, info.linkname = (3 if kind == tarfile.REGTYPE else 0), kind, "x"
        info.pax_headers = {"comment": "c"} if style == tarfile.PAX_FORMAT else {}
        made.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()[: 6 * BLOCK]


TARGET = Target(
    check,
    [
        _member("a", b"1") + _member("b/c", b"22") + END,
        _of_tarfile(tarfile.PAX_FORMAT, "x" * 120),
        _of_tarfile(tarfile.GNU_FORMAT, "d/" + "y" * 120),
        _of_tarfile(tarfile.USTAR_FORMAT, "p" * 90 + "/" + "q" * 60),
        _of_tarfile(tarfile.GNU_FORMAT, "l", tarfile.SYMTYPE),
        _of_tarfile(tarfile.GNU_FORMAT, "d", tarfile.DIRTYPE),
    ],
    [b"ustar\x0000", b"ustar  \0", b"L", b"x", b"g", b"0", b"5", b"2", b"././@LongLink",
     b"12 path=a\n", b"20 size=99\n", b"GNU.sparse.", b"00000000003\0", b"\x80\0\0\0\0\0\0\1", b"../",
     b"30 path=../../x\n", b"\xff" * 8, bytes(512)],
    longest=6 * 512,
)  # fmt: skip
