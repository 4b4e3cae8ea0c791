"""Places that gave wrong bytes for a digest, remembered for some minutes.

In the store, for all who share it: what a place has just shown not to have is not downloaded again
and again, by retries, runs and servers. A record names a digest and a place and says nothing else;
whoever may write into the store can make one, and delay a download, but not change what arrives.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from fetcher.fs.private_files import remove_quietly

_MOST = 10_000


class WrongBytes:
    """The records of one store; each holds for `seconds`, none are kept or read if that is 0."""

    def __init__(self, root: Path, seconds: float) -> None:
        self._folder = root / "wrong"
        self._seconds = seconds
        self._any = seconds > 0 and self._has_new()

    def __bool__(self) -> bool:
        """Whether there may be any."""
        return self._any

    def keep(self, place: str, key: str) -> None:
        """A place gave other bytes for the content `key`. What cannot be written is not kept."""
        if self._seconds <= 0:
            return
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._forget_old()
            record = str(self._path(place, key))
            remove_quietly(record)
            os.close(os.open(record, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            self._any = True

    def ago(self, place: str, key: str) -> float | None:
        """For how many seconds that is known; None if it is not, or not any more."""
        if not self._any:
            return None
        try:
            ago = time.time() - self._path(place, key).lstat().st_mtime
        except OSError:
            return None
        # A clock that was set back must not keep a place away for ever.
        return ago if -1 < ago < self._seconds else None

    def _has_new(self) -> bool:
        oldest = time.time() - self._seconds
        with suppress(OSError):
            return any(entry.stat().st_mtime > oldest for entry in os.scandir(self._folder))
        return False

    def _path(self, place: str, key: str) -> Path:
        return self._folder / hashlib.sha256(f"{place}\n{key}".encode()).hexdigest()[:40]

    def _forget_old(self) -> None:
        known = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(self._folder))
        kept = known[-_MOST + 1 :]
        too_many = known[: len(known) - len(kept)]
        oldest = time.time() - self._seconds
        for _, path in [*too_many, *(one for one in kept if one[0] < oldest)]:
            remove_quietly(path)
