"""Digests of what goes by, in a thread beside the one that reads and writes."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

# Below this, handing a piece to another thread costs more than hashing it.
_INLINE = 1 << 18
_AHEAD = 2


class SideHasher:
    """The sha256 of one content after the other."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._waiting: list[Future[None]] = []
        self._digest: Any = None
        self._inline = True

    def begin(self, size: int) -> None:
        """Begin a content of `size` bytes."""
        self._digest = hashlib.sha256()
        self._inline = size <= _INLINE

    def add(self, piece: bytes | memoryview) -> None:
        """The next piece, which must not change any more."""
        if self._inline:
            self._digest.update(piece)
            return
        self._waiting.append(self._worker.submit(self._digest.update, piece))
        if len(self._waiting) > _AHEAD:
            self._waiting.pop(0).result()

    def end(self) -> str:
        """The digest in hex."""
        for waiting in self._waiting:
            waiting.result()
        self._waiting.clear()
        found: str = self._digest.hexdigest()
        return found

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown(wait=True, cancel_futures=True)
