"""A large body on its way into its partial file, in one stream or in ranges side by side.

The file is divided into segments. A body in one stream has a single segment, and its record is the
file's own size. One that comes in ranges has many, and a small file beside it records how far
each has come: bytes first, record after, so that whatever ends the process, what is recorded is
there.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fetcher.errors import Failure, from_os_error
from fetcher.fs.atomic import BLOCK, write_atomically
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.safe_paths import native
from fetcher.i18n import t
from fetcher.sources.base import FileEntry
from fetcher.store import part_map, part_notes
from fetcher.store.part_map import GOT, HEADER, MAGIC
from fetcher.store.store import Part
from fetcher.transfer.body_hasher import Buffers, Tail
from fetcher.transfer.body_writer import BodyWriter, Note, Piece

SEGMENT = 16 << 20
# Smaller bodies come in one stream: a request for each range would cost more than it gives.
RANGES_FROM = 4 * SEGMENT
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
_NOTE_EVERY = 4 << 20  # bytes


@dataclass(eq=False)
class Segment:
    """The bytes from `start` to `stop` (None: to the end, wherever that is); `got` are there."""

    start: int
    stop: int | None
    got: int = 0
    busy: bool = False

    @property
    def at(self) -> int:
        """Where its next byte belongs."""
        return self.start + self.got

    @property
    def whole(self) -> bool:
        """Whether nothing is missing; never true where the end is unknown."""
        return self.stop is not None and self.at >= self.stop


class Follower(Protocol):
    """Who reads a body while it comes. Called in the engine's thread; raises nothing."""

    def grown(self, path: str, size: int) -> None:
        """The first `size` bytes are in the file at `path`."""

    def restarted(self) -> None:
        """Nothing of what was there counts."""

    def ended(self, path: str, size: int) -> None:
        """All is there, `size` bytes; what it is worth is not proven yet."""


class Wanted(Protocol):
    """What a partial file reads, and corrects, of the download that it belongs to."""

    file: FileEntry
    validator: str
    anew: bool
    restarts: int
    decode: str
    no_ranges: bool
    follower: Follower | None


class PartialFile:
    """A download's partial file, open for writing. Raises Failure where it cannot be used."""

    def __init__(self, download: Wanted, part: Part, writer: BodyWriter) -> None:
        self.download = download
        self.part = part
        self._writer = writer
        self.size = download.file.size
        self.said: int | None = None  # how long the server says that it is
        self.segments: list[Segment] = []
        self._first = 0  # all segments before this one are whole
        self._map = -1
        self._git_size = download.file.size if download.file.git_blob else None
        try:
            self._file = os.open(native(part.path), _OPEN)
            self._load()
        except OSError as error:
            raise from_os_error(error, t("opening {path}", path=part.path)) from error
        self._said_by = ""
        self._noted = 0  # up to here our note of a content without a digest goes
        self.tail: Tail | None = self._follow()
        self._writer.grown(self.tail, self.frontier)
        self.tell_follower()

    def _follow(self) -> Tail:
        stepwise = not self.download.file.key
        return self._writer.follow(self.part.path, self._git_size, stepwise, self._file)

    # What is there

    @property
    def frontier(self) -> int:
        """Up to here no byte is missing."""
        while self._first < len(self.segments) - 1 and self.segments[self._first].whole:
            self._first += 1
        return self.segments[self._first].at

    @property
    def readable(self) -> int:
        """Up to here all is in the file; another thread may ask."""
        tail = self.tail
        return self.frontier if tail is None else tail.written

    @property
    def got(self) -> int:
        """How many bytes have come; the last of them may be on their way to the file."""
        return sum(segment.got for segment in self.segments)

    @property
    def complete(self) -> bool:
        """Whether every byte of the known size is there."""
        return self.size is not None and all(segment.whole for segment in self.segments)

    @property
    def in_ranges(self) -> bool:
        """Whether the body comes in ranges."""
        return self._map >= 0

    def next_segment(self) -> Segment | None:
        """The first segment that is not whole and that nobody fetches, now taken."""
        for segment in self.segments[self._first :]:
            if not segment.whole and not segment.busy:
                segment.busy = True
                return segment
        return None

    def has_next(self) -> bool:
        """Whether there is a segment to take."""
        return any(
            not segment.whole and not segment.busy for segment in self.segments[self._first :]
        )

    # How it was left

    def _load(self) -> None:
        there = os.fstat(self._file).st_size
        recorded = self._read_map()
        if recorded is not None and self._usable(there):
            self._make_segments(recorded)
            if (
                max(segment.at for segment in self.segments if segment.got or not segment.start)
                <= there
            ):
                self._map = os.open(native(self._map_path), _OPEN)
                return
        remove_quietly(self._map_path)
        if recorded is not None or not self._usable(there):
            there = 0
            os.ftruncate(self._file, 0)
        self.segments, self._first = [Segment(0, self.size, there)], 0

    def _usable(self, there: int) -> bool:
        """Whether what is there can be kept."""
        download = self.download
        too_long = self.size is not None and there > self.size
        # Without a digest or a validator nothing could tell that both halves are of one file.
        provable = bool(download.file.key or download.validator)
        return provable and not (download.anew or download.decode or too_long)

    @property
    def _map_path(self) -> str:
        return self.part.path + part_map.SUFFIX

    def _read_map(self) -> list[int] | None:
        """How far each segment has come, None without a sound record."""
        try:
            data = Path(native(self._map_path)).read_bytes()
            magic, size, step = HEADER.unpack_from(data)
        except (OSError, struct.error):
            return None
        count = -(-size // SEGMENT)
        sound = magic == MAGIC and size == self.size and step == SEGMENT
        if not sound or len(data) != HEADER.size + count * GOT.size:
            return None
        recorded = part_map.counts(data)
        return [min(found, SEGMENT, size - n * SEGMENT) for n, found in enumerate(recorded)]

    @property
    def busy(self) -> bool:
        """Whether somebody fetches a part of it."""
        return any(segment.busy for segment in self.segments)

    def prepare(self) -> None:
        """Make it ready for a new request, of which nothing is known yet. Raises Failure."""
        try:
            if not self._usable(self.frontier):
                self.restart()
                self.download.anew = False
            if self.may_split():
                self.split()
            else:
                self.join()
        except OSError as error:
            raise self.failure(error) from error

    def _make_segments(self, recorded: Sequence[int]) -> None:
        assert self.size is not None
        self.segments = [
            Segment(start, min(start + SEGMENT, self.size), got)
            for start, got in zip(range(0, self.size, SEGMENT), recorded, strict=True)
        ]
        self._first = 0

    # Changing how it comes

    def may_split(self) -> bool:
        """Whether ranges are worth trying."""
        download = self.download
        return (
            self.size is not None
            and self.size >= RANGES_FROM
            and bool(download.file.key)
            and not (download.no_ranges or download.decode)
        )

    def split(self) -> None:
        """From now on it comes in ranges; what is there stays. Raises OSError."""
        if self.in_ranges or self.size is None:
            return
        self.settle()
        there = self.segments[0].got
        recorded = [max(0, min(SEGMENT, there - start)) for start in range(0, self.size, SEGMENT)]
        text = HEADER.pack(MAGIC, self.size, SEGMENT) + b"".join(map(GOT.pack, recorded))
        # Before anything is written beyond the beginning: the file's size then says nothing.
        write_atomically(Path(self._map_path), text)
        self._map = os.open(native(self._map_path), _OPEN)
        self._make_segments(recorded)

    def join(self) -> None:
        """From now on it comes in one stream; only the beginning stays."""
        if not self.in_ranges:
            return
        self.settle()
        there = self.frontier
        os.ftruncate(self._file, there)
        self._close_map()
        remove_quietly(self._map_path)
        self.segments, self._first = [Segment(0, self.size, there)], 0

    def restart(self) -> None:
        """Nothing of what is there counts any more. Raises OSError."""
        self.download.restarts += 1
        self.settle()
        self.drop_tail()
        if self.download.follower is not None:
            self.download.follower.restarted()
        self.join()
        os.ftruncate(self._file, 0)
        self.segments, self._first = [Segment(0, self.size)], 0
        self._noted = 0
        self.tail = self._follow()

    # Writing

    def write(self, segment: Segment, buffers: list[bytes]) -> int:
        """Have what came for a segment written and recorded; returns how many bytes.

        Raises the OSError of what was to be written before it.
        """
        piece = self._piece(segment, buffers)
        segment.got += piece.size
        self._writer.put(piece._replace(frontier=self.frontier))
        self.tell_follower()
        self._note_progress()
        return piece.size

    def write_now(self, segment: Segment, buffers: Buffers) -> int:
        """The same in the caller's thread, which need not be the engine's. Raises OSError.

        `caught_up` is to be called afterwards, in the engine's.
        """
        piece = self._piece(segment, buffers)
        self._writer.write_now(piece)
        segment.got += piece.size
        return piece.size

    def caught_up(self) -> None:
        """Tell of what `write_now` has written."""
        if self.tail is not None and not self.tail.waiting:  # else what waits tells it
            self._writer.grown(self.tail, self.frontier)
        self.tell_follower()

    def _piece(self, segment: Segment, buffers: Buffers) -> Piece:
        assert self.tail is not None
        size, note = sum(map(len, buffers)), None
        if self._map >= 0:
            place = HEADER.size + segment.start // SEGMENT * GOT.size
            note = Note(self._map, GOT.pack(segment.got + size), place)
        return Piece(self.tail, segment.at, list(buffers), size, 0, note)

    def settle(self) -> None:
        """Wait until all that came is in the file. Raises OSError if it could not be written."""
        if self.tail is not None:
            self._writer.drain(self.tail)

    def tell_follower(self) -> None:
        """Tell who reads the body how far it can; to be called now and then while it comes."""
        if self.tail is not None and self.download.follower is not None:
            self.download.follower.grown(self.part.path, self.tail.written)

    # Validators, for content whose digest nobody knows

    def remember_validator(self, tag: str, said_by: str) -> None:
        """Keep what tells one version of the file from another, for the next run too."""
        self._said_by = said_by
        download = self.download
        download.validator = tag if re.fullmatch(r'"[!\x23-\x7e]{1,200}"', tag) else ""
        self._noted = 0
        part_notes.forget(self.part.path)

    def _note_progress(self) -> None:
        """Keep what proves the beginning to the next run, as far as its digest is known."""
        if self.tail is None or not self.tail.stepwise or not self.download.validator:
            return
        size, digest = self.tail.state
        if size - self._noted >= _NOTE_EVERY:
            self._note(size, digest.hexdigest())

    def _note_all(self) -> None:
        """The same of all that is there. Raises OSError."""
        if self.tail is None or not self.tail.stepwise or not self.download.validator:
            return
        size, digest = self.tail.state
        digest = hashlib.sha256() if digest is None else digest.copy()
        os.lseek(self._file, size, os.SEEK_SET)
        while size < self.frontier and (
            block := os.read(self._file, min(self.frontier - size, BLOCK))
        ):
            digest.update(block)
            size += len(block)
        if size > self._noted:
            self._note(size, digest.hexdigest())

    def _note(self, size: int, sha256: str) -> None:
        note = part_notes.PartNote(size, sha256, self.download.validator, self._said_by)
        part_notes.write(self.part.path, note)
        self._noted = size

    # Ending

    def failure(self, error: OSError) -> Failure:
        """What it means that this file cannot be written."""
        path = self.part.path
        return from_os_error(error, t("writing {path}", path=path), path, self.size)

    def finish(self) -> Tail:
        """The body is whole: close the file and hand its digest over. Raises Failure."""
        assert self.tail is not None
        try:
            self.settle()
        except OSError as error:
            raise self.failure(error) from error
        tail, self.tail = self.tail, None
        if tail.stepwise:
            part_notes.forget(self.part.path)
        if self.download.follower is not None:
            self.download.follower.ended(self.part.path, self.frontier)
        self.close()
        return tail

    def drop_tail(self) -> None:
        """Nobody wants the digest any more."""
        if self.tail is not None:
            self._writer.drop(self.tail)
            self.tail = None

    def _close_map(self) -> None:
        if self._map >= 0:
            os.close(self._map)
            self._map = -1

    def close(self) -> None:
        """Close the file; what is there stays for the next try."""
        with suppress(OSError):
            self.settle()
            self._note_all()
        self.drop_tail()
        self._close_map()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
