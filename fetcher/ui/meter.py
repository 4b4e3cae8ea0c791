"""How far a run is, and how fast: numbers that never run backwards, whatever the order of events.

Bytes are counted twice. What is *there* moves the bar: bodies that are complete, and the part of
those on their way, which an earlier run may have brought. What was *received* in this run is the
speed, and the time left follows from it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

_WINDOW_SECONDS = 5.0
_SAMPLE_SECONDS = 0.1
# Below this, a rate says more of the first packets than of the way.
_SETTLED_SECONDS = 0.5
# Who is told of days would do better to look at the rate.
_LONGEST_LEFT = 100 * 3600
# Smaller bodies are gone before anybody has read their names, unless they take so long.
_LARGE = 1 << 20
_LONG_SECONDS = 1.0

ASKING = "asking"
WAITING = "waiting"
DOWNLOADING = "downloading"
CHECKING = "checking"
PLACING = "placing"


class InFlight(NamedTuple):
    """One file on its way.

    `bytes` of it are there, of `size` (None: unknown); `received` came in this run, more than
    `bytes` if some had to come twice. `host` is asked, or waited for until the time.monotonic()
    value `until`.
    """

    name: str
    state: str
    bytes: int = 0
    size: int | None = None
    received: int = 0
    host: str = ""
    until: float = 0.0


class FileProgress(NamedTuple):
    """A file to show; `rate` in bytes a second, None while unknown."""

    file: InFlight
    rate: float | None


class Figures(NamedTuple):
    """How things stand. `share` is 1 only when every file is there; None: nothing to measure by.

    `rate` in bytes a second and `seconds_left` are None while unknown.
    """

    bytes: int
    total_bytes: int
    files: int
    total_files: int
    failed: int
    share: float
    rate: float | None
    seconds_left: float | None
    rows: tuple[FileProgress, ...] = ()
    waiting: tuple[str, ...] = ()


class _Speed:
    """The rate of a growing count over the last few seconds."""

    def __init__(self, now: float, count: int = 0) -> None:
        self._samples = deque([(now, count)])

    def rate(self, now: float, count: int) -> float | None:
        """Units a second, None while it is too early to tell; a count that shrank stood still."""
        samples = self._samples
        count = max(count, samples[-1][1])
        if now - samples[-1][0] >= _SAMPLE_SECONDS:
            samples.append((now, count))
        while len(samples) > 1 and now - samples[1][0] >= _WINDOW_SECONDS:
            samples.popleft()
        since, before = samples[0]
        return (count - before) / (now - since) if now - since >= _SETTLED_SECONDS else None


class Meter:
    """Counts what a run does. Not safe for threads by itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin(0, 0)

    def begin(self, files: int, total: int) -> None:
        """So many files are to come, and so many bytes as far as their sizes are known."""
        self.total_files, self._total = files, total
        self.files = self.failed = 0
        self._bytes = self._received = 0
        self._most_bytes = self._most_total = self._most_received = 0
        self._most_share = 0.0
        self._speed = _Speed(self._clock())
        self._rows: dict[str, _Speed] = {}
        self._since: dict[str, float] = {}

    def file_done(self, size: int | None, received: int) -> None:
        """One file is there; a size that was not known before adds to the whole."""
        self.files += 1
        if size is None:
            self._total += received
        self._bytes += received if size is None else size
        self._received += received

    def advance(self, received: int, files: int) -> None:
        """So many bytes and files more are there."""
        self._bytes += received
        self._received += received
        self.files += files

    def look(self, in_flight: Sequence[InFlight] = (), most_rows: int = 0) -> Figures:
        """How things stand with these files on their way, the largest few in `rows`."""
        now = self._clock()
        unknown = sum(file.bytes for file in in_flight if file.size is None)
        there = sum(file.bytes for file in in_flight)
        received = self._received + sum(file.received for file in in_flight)
        # Between its last byte and its place a file may be seen by nobody; a place that lied takes
        # bytes away. Neither is a way back.
        self._most_total = max(self._most_total, self._total + unknown)
        self._most_bytes = max(self._most_bytes, min(self._bytes + there, self._most_total))
        self._most_received = max(self._most_received, received)
        rate = self._speed.rate(now, self._most_received)
        return Figures(
            self._most_bytes,
            self._most_total,
            self.files,
            self.total_files,
            self.failed,
            self._share(),
            rate,
            self._left(rate),
            self._largest(in_flight, now, most_rows),
        )

    def _share(self) -> float:
        whole = self.total_files > 0 and self.files >= self.total_files and not self.failed
        if self._most_total:
            share = self._most_bytes / self._most_total
        else:
            share = self.files / self.total_files if self.total_files else 0.0
        self._most_share = 1.0 if whole else max(self._most_share, min(share, 0.99))
        return self._most_share

    def _left(self, rate: float | None) -> float | None:
        missing = self._most_total - self._most_bytes
        if not rate or missing <= 0 or missing > rate * _LONGEST_LEFT:
            return None
        return missing / rate

    def _largest(
        self, in_flight: Sequence[InFlight], now: float, most: int
    ) -> tuple[FileProgress, ...]:
        """The largest files on their way; one that is shown keeps its row as long as it lasts."""
        there = {file.name: file for file in in_flight}
        self._since = {name: self._since.get(name, now) for name in there}
        self._rows = {name: speed for name, speed in self._rows.items() if name in there}
        worthy = [
            file
            for name, file in there.items()
            if name not in self._rows
            and (
                file.size is None or file.size >= _LARGE or now - self._since[name] >= _LONG_SECONDS
            )
        ]
        worthy.sort(key=lambda file: -(file.size or 0))
        for file in worthy[: max(0, most - len(self._rows))]:
            self._rows[file.name] = _Speed(now, file.received)
        return tuple(
            FileProgress(there[name], speed.rate(now, there[name].received))
            for name, speed in list(self._rows.items())[:most]
        )
