"""An archive that is unpacked while it arrives, where its format is read from the beginning.

What comes of it are blobs by their own digests. Who began it believes it only once the archive
itself is proven, and reads the whole archive if anything at all went wrong here: so only time is
won, and no failure is told from half an archive.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from fetcher.archives.opening import comes_in_order
from fetcher.errors import Failure
from fetcher.fs.growing_file import Abandoned, GrowingFile

_log = logging.getLogger(__name__)
# Of a smaller one the end is there before a thread is.
_LEAST = 256 << 10
_TRIES = 2


class ArchiveStream:
    """One download's bytes, given to `read` in a thread of their own.

    `grown`, `restarted` and `ended` are the engine's. `slots` bound how many are read at once.
    `read` may raise Failure, OSError.
    """

    def __init__(
        self, name: str, slots: threading.Semaphore, read: Callable[[GrowingFile], None]
    ) -> None:
        self._name = name
        self._slots = slots
        self._read = read
        self._file: GrowingFile | None = None
        self._thread: threading.Thread | None = None
        self._sound = False
        # An open file cannot get its blob's name there.
        self._tries = 0 if os.name == "nt" else _TRIES

    @property
    def size(self) -> int:
        """How much of it has come so far."""
        return 0 if self._file is None else self._file.size

    @property
    def taken(self) -> int:
        """How much of that is read."""
        return 0 if self._file is None else self._file.taken

    def grown(self, path: str, size: int) -> None:
        """The first `size` bytes are in the file at `path`."""
        file = self._file
        if file is not None and file.path == path:
            file.grown(size)
            return
        if file is not None:
            self.restarted()
        if self._tries and size >= _LEAST and not self._busy():
            self._begin(path, size)

    def restarted(self) -> None:
        """Nothing of what was there counts."""
        if self._file is not None:
            self._file.abandon()
            self._file = None

    def ended(self, path: str, size: int) -> None:
        """All is there, `size` bytes."""
        if self._file is not None and self._file.path == path:
            self._file.grown(size)
            self._file.end()

    def abandon(self) -> None:
        """It will not come: end the thread, and wait for that."""
        self.restarted()
        self._tries = 0
        if self._thread is not None:
            self._thread.join()

    def has_read(self, blob: str) -> bool:
        """Whether all of the archive was read, and is what the file `blob` is; waits for the end.

        To be asked once the download is proven.
        """
        file, thread = self._file, self._thread
        if file is None or thread is None:
            return False
        if not file.is_file(blob):
            file.abandon()
        thread.join()
        return self._sound and not file.abandoned

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.release()

    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _begin(self, path: str, size: int) -> None:
        if not self._slots.acquire(blocking=False):
            return
        try:
            file = GrowingFile(path)
            file.grown(size)
            head = bytearray(512)
            file.readinto(head)
            file.seek(0)
        except OSError as error:
            _log.debug("%s is not read while it comes: %s", self._name, error)
            self._tries = 0
            self._slots.release()
            return
        if not comes_in_order(bytes(head)):
            file.release()
            self._tries = 0
            self._slots.release()
            return
        self._tries -= 1
        self._file, self._sound = file, False
        self._thread = threading.Thread(target=self._run, args=(file,), name="stream", daemon=True)
        self._thread.start()

    def _run(self, file: GrowingFile) -> None:
        _log.info("%s is unpacked while it comes", self._name)
        try:
            self._read(file)
            self._sound = True
        except (Failure, OSError, Abandoned, KeyboardInterrupt) as error:
            _log.info("%s will be read whole: %s", self._name, error)
        finally:
            self._slots.release()
            if file.abandoned:
                file.release()
