"""Protocol buffers, read field by field without their descriptions or a library.

Syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    Data = mmap.mmap | bytes

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10  # bytes
_LARGEST_TAG = 0xFFFFFFFF


class UnreadableProtobufError(ValueError):
    """Bytes that are no protocol buffer."""


class Field(NamedTuple):
    """A field of a message: its bytes are `start` to `end`; `number` is its value if it is one."""

    field: int
    start: int
    end: int
    number: int | None


def fields(data: Data, at: int, stop: int) -> Iterator[Field]:
    """Yield the fields of the message from byte `at` to `stop`. Raises UnreadableProtobufError."""
    while at < stop:
        tag, at = varint(data, at, stop)
        if tag > _LARGEST_TAG:
            raise UnreadableProtobufError("a field of no number")
        wire, start = tag & 7, at
        if wire == _VARINT:
            number, at = varint(data, at, stop)
            yield Field(tag >> 3, start, at, number)
        elif wire == _BYTES:
            length, at = varint(data, at, stop)
            if length > stop - at:
                raise UnreadableProtobufError("a field that ends behind its message")
            yield Field(tag >> 3, at, at + length, None)
            at += length
        elif wire in _WIDTHS:
            at += _WIDTHS[wire]
            if at > stop:
                raise UnreadableProtobufError("a field that ends behind its message")
            code = "<Q" if wire == _FIXED64 else "<I"
            yield Field(tag >> 3, start, at, struct.unpack_from(code, data, start)[0])
        else:
            raise UnreadableProtobufError(f"a field of the kind {wire}")


def varint(data: Data, at: int, stop: int) -> tuple[int, int]:
    """Return the number at byte `at`, and where it ends. Raises UnreadableProtobufError."""
    found = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        if at >= stop:
            raise UnreadableProtobufError("it is cut off")
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, at
    raise UnreadableProtobufError("a number that is too long")
