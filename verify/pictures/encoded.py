"""The part of a picture's file that its pixels are made of, which no decoder's rounding changes.

Syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCAN, _END = 0xDA, b"\xff\xd9"  # JPEG's markers
_NOTES = frozenset([*range(0xE0, 0xF0), 0xFE]) - {0xEE}  # without Adobe's, which tells the colours
_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])
_CHUNKS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")  # of WebP


def checksum(data: bytes, form: str) -> str:
    """Return what tells the pixels of a file of Pillow's format `form`: a size and a checksum.

    What is noted beside the pixels of a JPEG or WebP does not count: EXIF, a resolution, comments.
    Of other formats the whole file counts, and so it does of one that is built in another way.
    """
    readers = {"JPEG": _jpeg, "WEBP": _webp}
    spans = list(readers[form](data)) if form in readers else []
    view, value, size = memoryview(data), 0, 0
    for begin, end in spans or [(0, len(data))]:
        value = zlib.crc32(view[begin:end], value)
        size += end - begin
    return f"{size}:{value:08x}"


def _jpeg(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the places of tables, sizes and scans, up to the end of the picture."""
    at = 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filled up
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == _SCAN:
            last = data.find(_END, end)
            yield at, len(data) if last < 0 else last
            return
        if marker not in _NOTES:
            yield at, end
        at = end


def _webp(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the places of the chunks that hold pixels, without their padding."""
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind == b"VP8X":  # its first byte tells which notes there are
            yield at + 12, at + 8 + size
        elif kind in _CHUNKS:
            yield at, at + 8 + size
        at += 8 + size + size % 2
