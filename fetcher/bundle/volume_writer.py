"""One long file, written in one piece or in volumes, that goes on where it was interrupted.

What an interrupted run left is compared with what is to be written, block by block: as long as
it is the same, nothing is written, and from the first difference on all is written anew.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from fetcher.errors import UsageError
from fetcher.fs.atomic import write_atomically
from fetcher.fs.extents import Extent
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.safe_paths import native
from fetcher.i18n import t
from fetcher.mirror.copying import copy_into, pump, write_all
from fetcher.mirror.volumes import sums_path, volume_name

PARTIAL = ".partial"
_GATHER = 1 << 20
_AHEAD = 32
MIN_VOLUME = 1_000_000
MAX_VOLUMES = 99_999


def take_back_names(base: str) -> None:
    """Make volumes partial again whose naming was interrupted. Raises Failure, OSError."""
    listed = sums_path(base) + PARTIAL
    if not os.path.isfile(listed) or os.path.islink(listed):
        return
    count = len(Path(native(listed)).read_bytes().splitlines())
    for number in range(1, min(count, MAX_VOLUMES) + 1):
        final = volume_name(base, number)
        if os.path.isfile(final) and not os.path.lexists(final + PARTIAL):
            os.replace(native(final), native(final + PARTIAL))
    remove_quietly(listed)


class VolumeWriter:
    """Writes `base`, or `base`.001 and so on with `base`.sha256, under names of their own first."""

    def __init__(
        self, base: str, volume_size: int = 0, sync: bool = False, mode: int = 0o666
    ) -> None:
        if volume_size and volume_size < MIN_VOLUME:
            raise UsageError(
                t("--volume-size {volume_size:,}: at least 1M", volume_size=volume_size),
                t("such as 4G for FAT32"),
            )
        self.base = base
        self.volume_size = volume_size
        self.mode = mode
        self.sync = sync  # bring each file to disk before it is done
        self.paths: list[str] = []
        self._handle = -1
        self._filled = self._kept = 0
        self._same = True
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._digests: list[str] = []
        self._hash = hashlib.sha256()
        self._worker = ThreadPoolExecutor(1) if volume_size else None
        self._waiting: deque[Future[None]] = deque()

    def _partial(self, number: int) -> str:
        name = volume_name(self.base, number) if self.volume_size else self.base
        return name + PARTIAL

    def there(self) -> int:
        """Bytes that an earlier run left."""
        total, number = 0, 1
        while os.path.isfile(self._partial(number)):
            total += os.path.getsize(self._partial(number))
            if not self.volume_size:
                break
            number += 1
        return total

    def __enter__(self) -> VolumeWriter:
        self._next()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._worker is not None:
            self._worker.shutdown(wait=True)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OSError."""
        if not data:
            return
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _GATHER:
            self._flush()

    def copy(self, extent: Extent, tick: Callable[[int], None]) -> None:
        """Append a piece of another file. Raises OSError, EOFError."""
        self._flush()
        comparing = self._filled < self._kept
        if self.volume_size or comparing:  # the bytes must be seen
            pump([extent], self._put, tick)
            return
        copy_into(self._handle, [extent], tick)
        self._filled += extent.length

    def _flush(self) -> None:
        pieces, self._pending, self._pending_bytes = self._pending, [], 0
        self._put(memoryview(b"".join(pieces)))

    def _put(self, view: memoryview) -> None:
        while view:
            if self.volume_size and self._filled == self.volume_size:
                self._next()
            room = self.volume_size - self._filled if self.volume_size else len(view)
            self._place(view[:room])
            view = view[room:]

    def _place(self, view: memoryview) -> None:
        if self._worker is not None:
            if len(self._waiting) > _AHEAD:
                self._waiting.popleft().result()
            self._waiting.append(self._worker.submit(self._hash.update, bytes(view)))
        if self._filled < self._kept:
            old = os.read(self._handle, min(len(view), self._kept - self._filled))
            if old == view[: len(old)]:
                self._filled += len(old)
                view = view[len(old) :]
            else:
                self._differs()
        write_all(self._handle, view)
        self._filled += len(view)

    def _differs(self) -> None:
        """From here on nothing of the earlier run can be used."""
        self._same, self._kept = False, 0
        os.lseek(self._handle, self._filled, os.SEEK_SET)
        os.ftruncate(self._handle, self._filled)

    def _next(self) -> None:
        """Begin the next volume."""
        if self._handle >= 0:
            self._close_volume()
        if len(self.paths) == MAX_VOLUMES:
            raise UsageError(
                t("more than {most:,} volumes", most=MAX_VOLUMES),
                t("choose a larger --volume-size"),
            )
        path = self._partial(len(self.paths) + 1)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        flags |= getattr(os, "O_NOFOLLOW", 0)
        self._handle = os.open(native(path), flags, self.mode)
        self.paths.append(path)
        self._filled = 0
        self._kept = os.fstat(self._handle).st_size if self._same else 0
        if not self._same:
            os.ftruncate(self._handle, 0)

    def _close_volume(self) -> None:
        if self._kept > self._filled:
            os.ftruncate(self._handle, self._filled)
        if self.sync:
            os.fsync(self._handle)
        if self._worker is not None:
            while self._waiting:
                self._waiting.popleft().result()
            self._digests.append(self._hash.hexdigest())
            self._hash = hashlib.sha256()
        os.close(self._handle)
        self._handle = -1

    def finish(self) -> None:
        """All is written: give the files their names. Raises OSError."""
        self._flush()
        self._close_volume()
        # A list, signature or volumes of what had this name before are none of this bundle.
        remove_quietly(sums_path(self.base))
        remove_quietly(self.base + ".sig")
        if not self.volume_size:
            os.replace(native(self.paths[0]), native(self.base))
            self._remove_beyond(0)
            return
        remove_quietly(self.base)
        finals = [path.removesuffix(PARTIAL) for path in self.paths]
        lines = [
            f"{digest}  {Path(final).name}\n"
            for final, digest in zip(finals, self._digests, strict=True)
        ]
        # First under another name, which tells an interrupted run's volumes from other files.
        listed = sums_path(self.base)
        write_atomically(Path(listed + PARTIAL), "".join(lines).encode("utf-8"))
        for path, final in zip(self.paths, finals, strict=True):
            os.replace(native(path), native(final))
        self._remove_beyond(len(self.paths))
        # Last: the set counts only with its list.
        os.replace(native(listed + PARTIAL), native(listed))

    def _remove_beyond(self, count: int) -> None:
        """Volumes of an older, longer set of the same name."""
        number = count + 1
        while os.path.lexists(path := volume_name(self.base, number)):
            remove_quietly(path)
            remove_quietly(path + PARTIAL)
            number += 1
