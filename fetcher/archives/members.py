"""A member of an archive, and the bounds within which members are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from fetcher.archives.errors import broken, refused
from fetcher.i18n import t

CHUNK = 1 << 20
# An archive may unpack to so many times its own size, and so much on top of that: text and empty
# masks are packed 100:1 and better, bombs 1000:1.
MAX_RATIO = 200
FREE_BYTES = 256 << 20
MAX_MEMBERS = 5_000_000


class Readable(Protocol):
    """What a member is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end."""


class Member(NamedTuple):
    """One regular file of an archive, by its safe path; read it before the next is asked for.

    `size` is what the archive says, None if it does not; more or less than that is an error, as
    are bytes with another checksum. `open` gives the stream; it may be called once.
    """

    path: str
    size: int | None
    executable: bool
    open: Callable[[], Readable]


@dataclass
class Budget:
    """How much an archive of `packed` bytes may still unpack to; counted as it is read.

    `here` tells how many bytes are there now of one that is still coming.
    """

    archive: str
    packed: int
    used: int = 0
    members: int = 0
    here: Callable[[], int] | None = None

    @property
    def bound(self) -> int:
        """The most bytes that may come out."""
        return self.packed * MAX_RATIO + FREE_BYTES

    def count(self) -> None:
        """Count a member, wanted or not. Raises Failure."""
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise refused(self.archive, t("has more than {most:,} members", most=MAX_MEMBERS))

    def expect(self, size: int) -> None:
        """Whether so many bytes more may come. Raises Failure."""
        if self.used + size > self.bound and self.used + size > self._bound_now():
            raise self._too_much()

    def take(self, count: int) -> None:
        """Count bytes that came out. Raises Failure."""
        self.used += count
        if self.used > self.bound and self.used > self._bound_now():
            raise self._too_much()

    def _bound_now(self) -> int:
        if self.here is not None:
            self.packed = self.here()
        return self.bound

    def _too_much(self) -> Exception:
        return refused(
            self.archive,
            t(
                "unpacks to more than {ratio} times its {packed:,} bytes: a decompression bomb",
                ratio=MAX_RATIO,
                packed=self.packed,
            ),
        )


def chunks(archive: str, member: Member, budget: Budget) -> Iterator[bytes]:
    """A member's bytes, held to its size and the budget. Raises Failure, OSError."""
    stream = member.open()
    count = 0
    while chunk := read_chunk(archive, stream):
        count += len(chunk)
        budget.take(len(chunk))
        if member.size is not None and count > member.size:
            break
        yield chunk
    if member.size is not None and count != member.size:
        raise broken(
            archive,
            t(
                "{path} has {count:,} bytes and not {size:,}",
                path=member.path,
                count=count,
                size=member.size,
            ),
        )


def read_chunk(archive: str, stream: Readable, size: int = 0) -> bytes:
    """The next bytes of a stream that may be damaged. Raises Failure; OSError of the disk."""
    try:
        return stream.read(size or CHUNK)
    except damage() as error:
        raise broken(archive, error) from error
    except OSError as error:
        if error.errno is None:  # bz2 has no error of its own
            raise broken(archive, error) from error
        raise


def damage() -> tuple[type[Exception], ...]:
    """What Python's readers raise for archives that are damaged."""
    import lzma
    import struct
    import tarfile
    import zipfile
    import zlib

    return (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        DamageError,
        NotImplementedError,
        RecursionError,
        UnicodeError,
        ValueError,
        OverflowError,
        LookupError,
        AttributeError,
        TypeError,
        struct.error,
    )


class DamageError(Exception):
    """A reader of ours has found the archive damaged."""


def open_stream(stream: BinaryIO | Readable) -> Callable[[], Readable]:
    """How a stream that is there already is opened."""
    return lambda: stream
