"""What the loop has still to begin: downloads that are ready, or that wait for their time."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Iterable

from fetcher.transfer.download import Download


class DownloadQueue:
    """Downloads in the order in which the loop begins them."""

    def __init__(self) -> None:
        self.ready: deque[Download] = deque()
        self._delayed: list[tuple[float, int, Download]] = []
        self._order = itertools.count()

    def __bool__(self) -> bool:
        return bool(self.ready or self._delayed)

    def __len__(self) -> int:
        return len(self.ready) + len(self._delayed)

    @property
    def delayed(self) -> bool:
        """Whether some download waits for its time."""
        return bool(self._delayed)

    def add(self, downloads: Iterable[Download]) -> None:
        """These downloads can begin."""
        self.ready.extend(downloads)

    def first(self, download: Download) -> None:
        """This download goes before all others: a connection is there for it."""
        self.ready.appendleft(download)

    def later(self, download: Download, seconds: float) -> None:
        """This download can begin in so many seconds."""
        heapq.heappush(self._delayed, (time.monotonic() + seconds, next(self._order), download))

    def wake(self) -> None:
        """Make those ready whose time has come."""
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self.ready.append(heapq.heappop(self._delayed)[2])
