"""Streams: files joined end to end, and what gz, bz2, xz and zst hold, in bounded memory."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol

from fetcher.archives.members import DamageError, Readable
from fetcher.errors import Failure
from fetcher.fs.positioned import PositionedFile
from fetcher.i18n import t

_FEED = 256 << 10
# A block, of four bytes maybe, stands for at most 128 KiB.
_ZSTD_BLOCK = 128 << 10
_ZSTD_BLOCKS = 8
# xz -9 needs 65 MiB and zstd --long=27 128 MiB; what asks for more than this is refused.
_MEMORY = 1 << 29
_MAGIC = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"\x5d\x00\x00": "lzma",
}
MAGIC_BYTES = 6


def compression_of(head: bytes) -> str:
    """gz, bz2, xz, zst or lzma by a file's first bytes; "" for anything else."""
    if is_skipped(head):
        return "zst"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


class JoinedFile(PositionedFile):
    """Files read as one, one after another; `starts` are where each begins."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._files: list[BinaryIO] = []
        self.starts: list[int] = []
        self.size = 0
        try:
            for path in paths:
                stream = open(path, "rb")  # noqa: PTH123, SIM115
                self._files.append(stream)
                self.starts.append(self.size)
                self.size += stream.seek(0, io.SEEK_END)
        except BaseException:
            self.close()
            raise

    def readinto(self, buffer: Any) -> int:
        """Read up to the end of the file that the position is in."""
        if self._position >= self.size:
            return 0
        index = next(i for i in reversed(range(len(self.starts))) if self._holds(i))
        stream = self._files[index]
        stream.seek(self._position - self.starts[index])
        count: int = stream.readinto(buffer)  # type: ignore[attr-defined]
        self._position += count
        self.taken += count
        return count

    def expect(self, start: int, stop: int) -> None:
        """Nothing is asked for ahead: the files are here."""

    def _holds(self, index: int) -> bool:
        return self.starts[index] <= self._position

    def close(self) -> None:
        """Close them all."""
        for stream in self._files:
            stream.close()
        super().close()


class _Codec(Protocol):
    """One stream of a compressed file: what is decompressed of it comes in bounded pieces."""

    @property
    def eof(self) -> bool:
        """Whether the stream's end was seen."""

    @property
    def unused_data(self) -> bytes:
        """What was fed beyond the end."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes before more is fed."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most `max_length` bytes more."""


class _Gzip:
    """zlib's object with the face that bz2's and lzma's have."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Zstandard:
    """One frame, likewise: zstandard's object gives all that it was fed for, so it gets few blocks
    at a time. A frame that is to be skipped, as pzstd writes them, holds nothing.
    """

    def __init__(self) -> None:
        try:
            import zstandard
        except ImportError as error:
            from fetcher.installation.commands import install

            raise Failure(
                "archive",
                t("zstandard is needed to read .zst, and is not installed"),
                t("install it: {command}", command=install("zstandard")),
            ) from error
        self._error = zstandard.ZstdError
        made = zstandard.ZstdDecompressor(max_window_size=_MEMORY)
        self._object = made.decompressobj()
        self._held = b""
        self._skip = -1  # bytes left of a frame that is to be skipped
        self._in_blocks = self._summed = self._last = False
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._skip == 0 or bool(self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data) + self._held

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        held = self._held + data if self._held else data
        if self._skip < 0 and not self._in_blocks and is_skipped(held):
            if len(held) < 8:
                self._held = held
                return b""
            self._skip, held = int.from_bytes(held[4:8], "little"), held[8:]
        if self._skip >= 0:
            gone = min(self._skip, len(held))
            self._skip, self._held = self._skip - gone, held[gone:]
            return b""
        stop = self._stop(held)
        self.needs_input = not stop
        self._held = held[stop:]
        try:
            return bytes(self._object.decompress(held[:stop])) if stop else b""
        except self._error as error:
            raise DamageError(str(error)) from error

    def _stop(self, held: bytes) -> int:
        """Up to where `held` is a header and whole blocks, but not too many of them."""
        at = 0
        if not self._in_blocks:
            at = _zstd_header(held)
            if not at:
                return 0
            self._in_blocks, self._summed = True, bool(held[4] & 4)
        for _ in range(_ZSTD_BLOCKS):
            if self._last or len(held) < at + 3:
                break
            header = int.from_bytes(held[at : at + 3], "little")
            kind, size = header >> 1 & 3, header >> 3
            if size > _ZSTD_BLOCK:
                raise DamageError(t("a block of {size:,} bytes", size=size))
            end = at + 3 + (1 if kind == 1 else size)  # 1: one byte, so many times
            if header & 1 and self._summed:
                end += 4
            if len(held) < end:
                break
            at, self._last = end, bool(header & 1)
        return at


def _zstd_header(head: bytes) -> int:
    """The length of a zstd frame's header; 0 while not all of it is there."""
    if len(head) < 5:
        return 0
    facts = head[4]
    alone = facts >> 5 & 1
    size = 5 + (1 - alone) + (0, 1, 2, 4)[facts & 3] + (alone, 2, 4, 8)[facts >> 6]
    return size if len(head) >= size else 0


def is_skipped(head: bytes) -> bool:
    """Whether a zstd frame that begins so holds nothing of the file."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50


def _lzma(kind: int) -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(kind, memlimit=_MEMORY)


_CODECS: dict[str, Callable[[], _Codec]] = {
    "gz": _Gzip,
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: _lzma(lzma.FORMAT_XZ),
    "lzma": lambda: _lzma(lzma.FORMAT_ALONE),
    "zst": _Zstandard,
}


class Decompressed:
    """What a compressed file holds, read once from its beginning to its end.

    Streams that follow one another in the file are one, as for gzip and its like; anything else
    after the end is damage, zeroes apart. Raises DamageError, EOFError, OSError, Failure.
    """

    def __init__(self, stream: Readable, kind: str) -> None:
        self._stream = stream
        self._make = _CODECS[kind]
        self._codec: _Codec | None = self._make()
        self._held = b""
        self._given = 0  # of what is held

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" where all came out."""
        while self._given == len(self._held) and self._codec is not None:
            self._held, self._given = self._more(size), 0
        found = self._held[self._given : self._given + size]
        self._given += len(found)
        return found

    def _more(self, size: int) -> bytes:
        codec = self._codec
        assert codec is not None
        if codec.eof:
            return self._next(codec.unused_data)
        data = b""
        if codec.needs_input:
            data = self._stream.read(_FEED)
            if not data:
                raise EOFError(t("it ends within compressed data"))
        try:
            return codec.decompress(data, size)
        except OSError as error:  # bz2 has no error of its own
            raise DamageError(str(error)) from error

    def _next(self, rest: bytes) -> bytes:
        """Go on with the stream that follows, if there is one; returns its first bytes."""
        while not rest.strip(b"\0"):
            rest = self._stream.read(_FEED)
            if not rest:
                self._codec = None
                return b""
        rest = rest.lstrip(b"\0")
        while len(rest) < MAGIC_BYTES and (more := self._stream.read(MAGIC_BYTES)):
            rest += more
        if not compression_of(rest):
            raise DamageError(t("something else follows its end"))
        self._codec = self._make()
        try:
            return self._codec.decompress(rest, 1 << 16)
        except OSError as error:
            raise DamageError(str(error)) from error


class Forward:
    """A stream as a file that only goes forward: what tarfile needs to read a plain tar.

    `last` is the last block that was read whole; a single read is bounded, so that no header makes
    us hold gigabytes. Raises what the stream raises, and DamageError.
    """

    MOST = 32 << 20

    def __init__(self, stream: Readable, head: bytes = b"") -> None:
        self._stream = stream
        self._head = head
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go forward to `offset`."""
        left = offset - self._position
        if whence != io.SEEK_SET or left < 0:
            raise DamageError(t("a header points backwards"))
        while left > 0:
            found = self._take(min(left, 1 << 20))
            if not found:
                break
            left -= len(found)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """`size` bytes, fewer only at the end."""
        if not 0 <= size <= self.MOST:
            raise DamageError(t("a header of {size:,} bytes", size=size))
        parts = []
        while size > 0 and (found := self._take(size)):
            parts.append(found)
            size -= len(found)
        data = b"".join(parts)
        if len(data) >= 512:
            self.last = data[-512:]
        return data

    def _take(self, size: int) -> bytes:
        if self._head:
            found, self._head = self._head[:size], self._head[size:]
        else:
            found = self._stream.read(size)
        self._position += len(found)
        return found
