"""Pieces of files on disk that together are one content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fetcher.fs.atomic import BLOCK
from fetcher.fs.safe_paths import native
from fetcher.i18n import t


class Extent(NamedTuple):
    """A piece of a file on disk: `length` bytes from `offset` on."""

    path: str
    offset: int
    length: int


def part_of(extents: Sequence[Extent], start: int, stop: int) -> tuple[Extent, ...]:
    """The bytes from `start` up to `stop` of a content, as pieces (for ranges of HTTP)."""
    found, position = [], 0
    for path, offset, length in extents:
        low, high = max(start - position, 0), min(stop - position, length)
        if low < high:
            found.append(Extent(path, offset + low, high - low))
        position += length
    return tuple(found)


def read(extents: Sequence[Extent]) -> Iterator[bytes]:
    """The bytes of a content in blocks of up to 4 MiB. Raises OSError, EOFError."""
    for extent in extents:
        with open(native(extent.path), "rb", buffering=0) as stream:  # noqa: PTH123
            stream.seek(extent.offset, os.SEEK_SET)
            left = extent.length
            while left:
                block = stream.read(min(left, BLOCK))
                if not block:
                    raise EOFError(t("{path} ends early", path=extent.path))
                left -= len(block)
                yield block
