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
_MOST_BELOW = 0.99  # shown of what is not all there
# What a file costs beside its bytes, in bytes: where they are many, that is most of the run.
_FILE_COSTS = 64 << 10
_MANY = 100

ASKING = "asking"
WAITING = "waiting"
DOWNLOADING = "downloading"
CHECKING = "checking"
UNPACKING = "unpacking"
PLACING = "placing"
_MOVING = (ASKING, WAITING, DOWNLOADING)
_AT_WORK = (DOWNLOADING, CHECKING, UNPACKING, PLACING)


class InFlight(NamedTuple):
    """One file on its way.

    `bytes` of it are there, of `size` (None: unknown); `received` came in this run, more than
    `bytes` if some had to come twice. `host` is asked, or waited for until the time.monotonic()
    value `until`. `expected`: what `begin` was told of its size, None where that is `size`, -1
    where it was told nothing. `stage`: how much of what is being done to it is done, from 0 to 1,
    None if nobody knows. `counted`: its bytes are of the whole; else they were, or are not.
    """

    name: str
    state: str
    bytes: int = 0
    size: int | None = None
    received: int = 0
    host: str = ""
    until: float = 0.0
    expected: int | None = None
    stage: float | None = None
    counted: bool = True

    @property
    def told(self) -> int | None:
        """What `begin` was told of its size; None: nothing."""
        if self.expected is None:
            return self.size
        return None if self.expected < 0 else self.expected


class FileProgress(NamedTuple):
    """A file to show.

    `rate` in bytes a second, `seconds_left` and `share` (below 1: it is not in its place) are None
    while unknown.
    """

    file: InFlight
    rate: float | None
    seconds_left: float | None = None
    share: float | None = None


class Figures(NamedTuple):
    """How things stand. `share` is 1 only when every file is in its place.

    `total_bytes` counts what is known; the sizes of `unknown_files` are not. `rate` in bytes a
    second and `seconds_left` are None while unknown.
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
    unknown_files: int = 0


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


class _Row:
    """A file that is shown: its speed, and the furthest that it ever was."""

    def __init__(self, now: float, file: InFlight) -> None:
        self._speed = _Speed(now, file.received)
        self._bytes = self._size = 0
        self._share = 0.0

    def look(self, now: float, file: InFlight) -> FileProgress:
        rate = self._speed.rate(now, file.received)
        self._bytes = there = max(self._bytes, file.bytes)
        # Between two hands nobody may know its size.
        known = file.size is not None or self._size > 0
        self._size = size = max(file.size or self._size, there) if known else 0
        if size:  # one that grows is no way back
            self._share = max(self._share, min(there / size, _MOST_BELOW))
        moves = file.state == DOWNLOADING
        return FileProgress(
            file._replace(bytes=there, size=size if known else None),
            rate if moves else None,
            time_left(size - there, rate) if moves else None,
            self._share if size else None,
        )


class Meter:
    """Counts what a run does. Not safe for threads by itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.begin(0, 0)

    def begin(self, files: int, total: int, unknown: int = 0, last: bool = True) -> None:
        """So many files are to come, and so many bytes as far as their sizes are known.

        The sizes of `unknown` files are not. `last`: else more may follow, until `complete`.
        """
        self.total_files, self._total, self._unknown = files, total, unknown
        self.files = self.failed = 0
        self._last = last
        self._bytes = self._received = 0
        self._elsewhere_files = self._elsewhere_bytes = self._failed_bytes = 0
        self._most_bytes = self._most_total = self._most_received = 0
        self._most_share = 0.0
        self._speed = _Speed(self._clock())
        self._pace = _Speed(self._clock())  # of bytes and files together
        self._placed = 0
        self._rows: dict[str, _Row] = {}
        self._since: dict[str, float] = {}

    def more(self, files: int, total: int, unknown: int = 0) -> None:
        """So many files and bytes are to come as well, in place of what `elsewhere` was said of."""
        self.total_files += files - self._elsewhere_files
        self._total += total - self._elsewhere_bytes
        self._unknown += unknown
        self._elsewhere_files = self._elsewhere_bytes = 0
        # What was placed before says nothing of how fast others come.
        self._pace = _Speed(self._clock(), self._work_done())

    def complete(self) -> None:
        """Nothing more follows, and what has come is in its place."""
        self.more(0, 0)
        self._last = True

    def file_done(self, size: int | None, received: int, actual: int | None = None) -> None:
        """One file is there.

        `size` is what `begin` was told; where it has `actual` bytes instead, the whole follows.
        """
        if actual is None:
            actual = received if size is None else size
        self.files += 1
        self._total += actual - (size or 0)
        self._unknown -= size is None
        self._bytes += actual
        self._received += received

    def elsewhere(self, size: int | None) -> None:
        """One file does not come by itself, but with what `more` will tell of."""
        self._elsewhere_files += 1
        self._elsewhere_bytes += size or 0
        self._unknown -= size is None

    def file_failed(self, size: int | None) -> None:
        """One file will not come; what is known of its size."""
        self.failed += 1
        self._failed_bytes += size or 0
        self._unknown -= size is None

    def again(self) -> None:
        """What has failed so far comes with what `more` will tell of."""
        self._elsewhere_files += self.failed
        self._elsewhere_bytes += self._failed_bytes
        self.failed = self._failed_bytes = 0

    def advance(self, received: int, files: int, arrived: bool = True) -> None:
        """So many bytes and files more are there; `arrived`: just now, else they were here."""
        self._bytes += received
        self._received += received if arrived else 0
        self._placed += 0 if arrived else received
        self.files += files

    def _forget_speeds(self, now: float) -> None:
        """Begin anew: a time in which nothing could come says nothing of what follows."""
        self._speed = _Speed(now, self._most_received)
        self._pace = _Speed(now, self._work_done())

    def _work_done(self) -> int:
        return self._most_received + self._placed + self._cost_of(self.files)

    def _cost_of(self, files: int) -> int:
        return _FILE_COSTS * files if self.total_files >= _MANY else 0

    def look(
        self,
        in_flight: Sequence[InFlight] = (),
        most_rows: int = 0,
        waiting: Sequence[str] = (),
    ) -> Figures:
        """How things stand with these files on their way, the largest few in `rows`.

        `waiting`: whom the run waits for.
        """
        now = self._clock()
        if held := bool(waiting) and not any(file.state in _AT_WORK for file in in_flight):
            self._forget_speeds(now)
        there = grown = unseen = 0
        received = self._received
        for file in in_flight:
            received += file.received
            if not file.counted:
                continue
            told = file.told
            there += file.bytes
            grown += max(0, max(file.size or 0, file.bytes) - (told or 0))
            unseen += told is None and file.size is not None
        unknown = max(0, self._unknown - unseen)
        # Between its last byte and its place a file may be seen by nobody; a place that lied takes
        # bytes away. Neither is a way back.
        self._most_total = max(self._most_total, self._total + grown)
        self._most_bytes = max(self._most_bytes, min(self._bytes + there, self._most_total))
        self._most_received = max(self._most_received, received)
        rate = self._speed.rate(now, self._most_received)
        pace = self._pace.rate(now, self._work_done())
        share = self._share(unknown)
        missing = self._most_total - self._most_bytes
        queued = max(0, self.total_files - self.files - self.failed - len(in_flight))
        if share == 1:
            self._most_bytes = self._most_total = max(self._most_bytes, self._bytes)
            missing = 0
        elif held or not ((missing and rate) or any(f.state in _MOVING for f in in_flight)):
            rate = None  # nothing is to come just now
        return Figures(
            self._most_bytes,
            self._most_total,
            self.files,
            self.total_files,
            self.failed,
            share,
            rate,
            None if unknown else time_left(missing + self._cost_of(queued), pace),
            self._largest(in_flight, now, most_rows),
            tuple(waiting),
            unknown,
        )

    def _share(self, unknown: int) -> float:
        whole = self._last and self.total_files > 0 and self.files >= self.total_files
        sized = self.total_files - unknown
        if self._most_total and sized > 0:
            # What nobody knows the size of weighs as much as another file does.
            work = self._most_total * (1 + unknown / sized) + self._cost_of(self.total_files)
            share = (self._most_bytes + self._cost_of(self.files)) / work
        else:
            share = self.files / self.total_files if self.total_files else 0.0
        done = whole and not self.failed
        self._most_share = 1.0 if done else max(self._most_share, min(share, _MOST_BELOW))
        return self._most_share

    def _largest(
        self, in_flight: Sequence[InFlight], now: float, most: int
    ) -> tuple[FileProgress, ...]:
        """The largest files on their way; one that is shown keeps its row as long as it lasts."""
        there = {file.name: file for file in in_flight}
        self._since = {name: self._since.get(name, now) for name in there}
        self._rows = {name: row for name, row in self._rows.items() if name in there}
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
            self._rows[file.name] = _Row(now, file)
        return tuple(row.look(now, there[name]) for name, row in list(self._rows.items())[:most])


def time_left(missing: int, rate: float | None) -> float | None:
    """Seconds until so many bytes have come; None where nothing tells."""
    if not rate or missing <= 0 or missing > rate * _LONGEST_LEFT:
        return None
    return missing / rate
