"""A file that is read while somebody else still writes it, from its beginning on."""

from __future__ import annotations

import os
import threading
from typing import Any

from fetcher.fs.positioned import PositionedFile
from fetcher.fs.safe_paths import native


class Abandoned(Exception):
    """What was written does not count any more, or no more will come."""


class GrowingFile(PositionedFile):
    """The file at `path`, of which `size` bytes are there so far.

    `readinto` waits for what has not come. `grown`, `end` and `abandon` are the writer's, in
    another thread. It is read by its inode: a new name, as a blob's, changes nothing.
    """

    def __init__(self, path: str) -> None:
        """Open it. Raises OSError."""
        self._file = open(native(path), "rb", buffering=0)  # noqa: PTH123, SIM115
        self._held = os.dup(self._file.fileno())  # its reader closes it, we still want to know it
        self.path = path
        self.size = 0
        self.starts = [0]
        self.abandoned = False
        self.ended = False
        self._changed = threading.Condition()
        self._waiting = False

    def grown(self, size: int) -> None:
        """So much is there now; less than before means that it begins anew."""
        if size < self.size:
            self.abandon()
        self.size = max(size, self.size)
        if self._waiting:
            self._tell()

    def end(self) -> None:
        """No more will come: it is whole."""
        self.ended = True
        self._tell()

    def abandon(self) -> None:
        """Who reads it gets Abandoned."""
        self.abandoned = True
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def expect(self, start: int, stop: int) -> None:
        """Nothing is asked for ahead: it comes as it comes."""

    def readinto(self, buffer: Any) -> int:
        """Read what is there of the next bytes, 0 at the end. Raises Abandoned, OSError."""
        with self._changed:
            self._waiting = True
            while not (self.abandoned or self.ended or self._position < self.size):
                self._changed.wait()
            self._waiting = False
        if self.abandoned:
            raise Abandoned
        self._file.seek(self._position)
        count = self._file.readinto(memoryview(buffer)[: self.size - self._position])
        self._position += count
        self.taken += count
        return count

    def is_file(self, path: str) -> bool:
        """Whether what was read is the file that `path` names now."""
        try:
            return not self.abandoned and os.path.samestat(os.fstat(self._held), os.stat(path))
        except OSError:
            return False

    def close(self) -> None:
        """Nothing more is read; `release` is to follow."""
        self._file.close()
        super().close()

    def release(self) -> None:
        """Let go of the file: another may get its inode."""
        self.close()
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
