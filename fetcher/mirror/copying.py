"""Bytes on the move: copied in the kernel where it can, hashed in other threads.

Buffers are small enough to stay in a core's cache; large ones cost more time than they save.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from fetcher.fs.atomic import NO_COPY_RANGE
from fetcher.fs.extents import Extent
from fetcher.fs.safe_paths import native
from fetcher.i18n import t

BUFFER = 1 << 18
# Up to here a content is read at once; handing it to another thread costs more than hashing it.
SMALL = 1 << 18
_CHUNK = 1 << 26
_AHEAD = 4

Tick = Callable[[int], None]
Key = TypeVar("Key")


def open_to_read(path: str) -> int:
    """A handle for reading. Raises OSError."""
    return os.open(native(path), os.O_RDONLY | getattr(os, "O_BINARY", 0))


def digest_of(extents: Sequence[Extent], tick: Tick = lambda _: None) -> str:
    """The sha256 of a content that lies in these pieces. Raises OSError, EOFError."""
    digest = hashlib.sha256()
    pump(extents, digest.update, tick)
    return digest.hexdigest()


def pump(
    extents: Sequence[Extent],
    take: Callable[[memoryview], object],
    tick: Tick = lambda _: None,
) -> None:
    """Show every byte to `take`, which must be done with it when it returns.

    Raises OSError, EOFError.
    """
    buffer = memoryview(bytearray(min(BUFFER, max((e.length for e in extents), default=0))))
    for path, offset, length in extents:
        with open(native(path), "rb", buffering=0) as stream:  # noqa: PTH123
            stream.seek(offset)
            left = length
            while left:
                count = stream.readinto(buffer[: min(left, len(buffer))])
                if not count:
                    raise EOFError(t("{path} ends early", path=path))
                take(buffer[:count])
                tick(count)
                left -= count


def copy_into(handle: int, extents: Sequence[Extent], tick: Tick = lambda _: None) -> None:
    """Append a content to an open file. Raises OSError, EOFError."""
    for extent in extents:
        done = _copy_in_kernel(handle, extent, tick)
        rest = Extent(extent.path, extent.offset + done, extent.length - done)
        if rest.length:
            pump([rest], lambda piece: write_all(handle, piece), tick)


def _copy_in_kernel(handle: int, extent: Extent, tick: Tick) -> int:
    """Bytes that the kernel copied by itself; some file systems take none, or give up early."""
    if not hasattr(os, "copy_file_range") or extent.length < SMALL:
        return 0
    done, source = 0, open_to_read(extent.path)
    try:
        while done < extent.length:
            wanted = min(_CHUNK, extent.length - done)
            count = os.copy_file_range(source, handle, wanted, offset_src=extent.offset + done)
            if not count:
                break
            done += count
            tick(count)
    except OSError as error:
        if error.errno not in NO_COPY_RANGE:
            raise
    finally:
        os.close(source)
    return done


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write bytes to the last one. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


class HashPool(Generic[Key]):
    """Work in other threads, a few pieces ahead; what comes out is handed on in this thread."""

    def __init__(self, then: Callable[[Key, str], None], threads: int = 2) -> None:
        self._then = then
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prove")
        self._running: dict[Future[str], Key] = {}

    def submit(self, key: Key, work: Callable[[], str]) -> None:
        """Begin; waits while too much is under way. Raises what the work raised."""
        self._collect(_AHEAD - 1)
        self._running[self._pool.submit(work)] = key

    def finish(self, tick: Callable[[], None] = lambda: None) -> None:
        """Wait for all. Raises what the work raised."""
        self._collect(0, tick)

    def _collect(self, leave: int, tick: Callable[[], None] = lambda: None) -> None:
        while len(self._running) > leave:
            done, _ = wait(self._running, timeout=0.2, return_when=FIRST_COMPLETED)
            tick()
            for future in done:
                self._then(self._running.pop(future), future.result())

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
