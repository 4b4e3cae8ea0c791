"""An archive of any format, opened by its first bytes: what its name says is not believed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol, cast

from fetcher.archives.errors import refused
from fetcher.archives.members import Budget, Member, Readable, open_stream, read_chunk
from fetcher.archives.rules import Rules, Selector, name_inside
from fetcher.archives.streams import Decompressed, compression_of
from fetcher.archives.tars import BLOCK, is_tar
from fetcher.archives.tars import members as tar_members
from fetcher.archives.zips import Directory, is_zip
from fetcher.archives.zips import members as zip_members
from fetcher.i18n import t

_SEVEN = b"7z\xbc\xaf\x27\x1c"


class ArchiveFile(Protocol):
    """Where an archive lies: a raw file that can be read from any place.

    `starts` are where its parts begin. `expect` is told what is read next, and nothing beyond.
    """

    size: int
    starts: list[int]

    def expect(self, start: int, stop: int) -> None:
        """What follows lies from `start` to `stop`."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Read some of the next bytes."""


def comes_in_order(head: bytes) -> bool:
    """Whether an archive with these first bytes is read from its beginning to its end."""
    return not is_zip(head) and (is_tar(head) or bool(compression_of(head)))


def members(archive: str, file: ArchiveFile, rules: Rules) -> Iterator[tuple[Member, Budget]]:
    """The wanted members of an archive.

    Each is to be read, within the budget, before the next is asked for. Raises Failure for what
    is hostile, broken or lacks a member that the rules name; OSError of the disk.
    """
    budget = Budget(archive, file.size, here=lambda: file.size)
    select = Selector(archive, rules)
    for member in _members(archive, file, select, budget, rules):
        yield member, budget
    select.check_all_found()


def _members(
    archive: str, joined: ArchiveFile, select: Selector, budget: Budget, rules: Rules
) -> Iterator[Member]:
    stream = cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", joined), 1 << 18))
    stream.seek(0)
    head = _full(archive, stream, BLOCK)
    if is_zip(head):
        directory = Directory(
            archive, stream, joined.size, rules.encoding, joined.starts, joined.expect
        )
        yield from zip_members(directory, select, budget)
    elif head.startswith(_SEVEN):
        from fetcher.archives.sevens import members as seven_members

        stream.seek(0)
        yield from seven_members(archive, stream, select, budget)
    elif is_tar(head):
        yield from tar_members(archive, stream, select, budget, rules.encoding, head)
    elif kind := compression_of(head):
        stream.seek(0)
        packed = Decompressed(stream, kind)
        first = _full(archive, packed, BLOCK)
        if is_tar(first):
            yield from tar_members(archive, packed, select, budget, rules.encoding, first)
        else:
            yield from _single(archive, _Rest(first, packed), select)
    else:
        raise refused(
            archive,
            t("is no archive that can be unpacked: neither zip, tar, 7z, gz, bz2, xz nor zst"),
            hint=t("look at what was downloaded; name the archives below `unpack`"),
        )


def _full(archive: str, stream: Readable, size: int) -> bytes:
    """`size` bytes, fewer only at the end. Raises Failure."""
    data = b""
    while len(data) < size and (more := read_chunk(archive, stream, size - len(data))):
        data += more
    return data


def _single(archive: str, stream: Readable, select: Selector) -> Iterator[Member]:
    path = select.path_of(name_inside(archive))
    if path is not None:
        yield Member(path, None, False, open_stream(stream))


class _Rest:
    """A stream with the first bytes, which were looked at, in front again."""

    def __init__(self, first: bytes, stream: Readable) -> None:
        self._first = first
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        if self._first:
            found, self._first = self._first[:size], self._first[size:]
            return found
        return self._stream.read(size)
