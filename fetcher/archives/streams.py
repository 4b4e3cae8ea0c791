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
# A block of four bytes may stand for 128 KiB, and the library gives all that it was fed for.
_ZSTD_FEED = 2 << 10
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
    """zstandard's object, likewise."""

    needs_input = True

    def __init__(self) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise Failure(
                "archive",
                t("zstandard is needed to read .zst, and is not installed"),
                t("install it: pip install zstandard"),
            ) from error
        self._error = zstandard.ZstdError
        made = zstandard.ZstdDecompressor(max_window_size=_MEMORY)
        self._object = made.decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return bytes(self._object.decompress(data))
        except self._error as error:
            raise DamageError(str(error)) from error


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
        self._feed = _ZSTD_FEED if kind == "zst" else _FEED
        self._codec: _Codec | None = self._make()
        self._held = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" where all came out."""
        while not self._held and self._codec is not None:
            self._held = self._more(size)
        found, self._held = self._held[:size], self._held[size:]
        return found

    def _more(self, size: int) -> bytes:
        codec = self._codec
        assert codec is not None
        if codec.eof:
            return self._next(codec.unused_data)
        data = b""
        if codec.needs_input:
            data = self._stream.read(self._feed)
            if not data:
                raise EOFError(t("it ends within compressed data"))
        try:
            return codec.decompress(data, size)
        except OSError as error:  # bz2 has no error of its own
            raise DamageError(str(error)) from error

    def _next(self, rest: bytes) -> bytes:
        """Go on with the stream that follows, if there is one; returns its first bytes."""
        while not rest.strip(b"\0"):
            rest = self._stream.read(self._feed)
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
