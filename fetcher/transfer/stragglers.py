"""Requests that are far slower than they need be, and so are asked again on another connection.

Figures alone are judged here. A request is compared with its siblings at the same host now, and
with what one connection to that host has brought before. Where all are slow the line may be: then
one at a time is tried, and each try in vain doubles the patience with that host, so that requests
stay few however long it lasts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_OBSERVED_SECONDS = 3.0
_LEAST_SECONDS = 1.0  # a rate over less says nothing of a slow one …
_BLINK_SECONDS = 0.2  # … nor this of a fast one
_FAR = 8.0  # so many times slower than expected
# What is left takes so long, and so many times longer than with another connection.
_LONG_SECONDS = 5.0
_GAIN = 4.0
_BETTER = 2.0  # a try was worth it if it is so many times faster
# Nothing to compare with, but next to nothing comes.
_TRICKLE = 16 << 10  # bytes a second
_TRICKLE_SECONDS = 15.0
_SILENT = 3.0  # times more patience with an answer that has not begun
_MOST_DOUBLINGS = 8
_AT_ONCE = 4  # tries at one host
_ASLEEP_SECONDS = 5.0  # between two looks: the machine was, and rates say nothing
_NEWEST = 0.2  # weight of the newest rate in what is usual
_TELLING = 64 << 10  # bytes: less is over too soon to tell a rate


class Flow(NamedTuple):
    """A request whose answer is awaited or coming.

    `key`: what it brings; the same for another request for that. `began`: a time.monotonic() value.
    `left`: bytes that are missing, None if unknown. `again`: bytes that would have to come if it
    were asked again, None if it cannot be. `limit`: what we let it bring in a second, 0 for all.
    """

    key: Hashable
    host: str
    began: float
    received: int
    left: int | None
    again: int | None
    limit: int = 0


class Straggler(NamedTuple):
    """A flow to ask again: its rate, and the one that is usual (0: unknown), in bytes a second."""

    key: Hashable
    rate: float
    usual: float


@dataclass(eq=False, repr=False)
class _Track:
    """What was seen of one request. `before`: the rate of the one that it replaces."""

    flow: Flow
    before: float | None = None
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def see(self, flow: Flow, now: float) -> None:
        self.flow = flow
        if not self.samples:
            self.samples.append((flow.began, 0))
        self.samples.append((now, flow.received))
        while len(self.samples) > 2 and now - self.samples[1][0] >= _OBSERVED_SECONDS:
            self.samples.popleft()

    @property
    def newest(self) -> float:
        """Bytes a second between the last two looks, 0 where that tells nothing."""
        (since, first), (until, last) = self.samples[-2], self.samples[-1]
        telling = last - first >= _TELLING and until - since >= _BLINK_SECONDS
        return (last - first) / (until - since) if telling else 0.0

    @property
    def rate(self) -> float | None:
        """Bytes a second of late, None while it is too early to tell."""
        (since, first), (until, last) = self.samples[0], self.samples[-1]
        return (last - first) / (until - since) if until - since >= _LEAST_SECONDS else None


@dataclass(eq=False, repr=False)
class _Usual:
    """What one connection to a host brings in a second, and how many tries were in vain."""

    rate: float = 0.0
    in_vain: int = 0
    tried: float = float("-inf")  # when last without a sibling that was faster

    def judge(self, rate: float, before: float) -> None:
        """A try has brought `rate` where it was `before`."""
        self.in_vain = 0 if rate > max(before * _BETTER, 1) else self.in_vain + 1

    def learn(self, rate: float) -> None:
        if rate * _FAR >= self.rate:  # else it is a straggler, or the line's bad hour
            self.rate += (rate - self.rate) * (_NEWEST if self.rate else 1.0)

    @property
    def patience(self) -> float:
        """How many times longer than at first a request is watched."""
        return float(2 ** min(self.in_vain, _MOST_DOUBLINGS))


class _Line(NamedTuple):
    """What all requests bring now, and those of each host."""

    total: float
    flows: int
    by_host: Mapping[str, list[tuple[Hashable, float]]]


class Stragglers:
    """Watches the requests of one run. `clock` as time.monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked = clock()
        self._tracks: dict[Hashable, _Track] = {}
        self._usual: dict[str, _Usual] = {}
        self._replaced: dict[Hashable, tuple[float, float]] = {}  # when it began, and its rate

    def ended(self, flow: Flow) -> None:
        """Learn from a request that has brought all that was asked for."""
        rate = flow.received / max(self._clock() - flow.began, 1e-6)
        usual = self._usual.setdefault(flow.host, _Usual())
        if flow.received >= _TELLING:
            usual.learn(rate)
        track, replaced = self._tracks.pop(flow.key, None), self._replaced.pop(flow.key, None)
        before = replaced[1] if replaced else track.before if track else None
        if before is not None:
            usual.judge(rate, before)

    def find(self, flows: Iterable[Flow]) -> list[Straggler]:
        """Those to ask again now; to be called every half second or so."""
        now = self._clock()
        slept = now - self._looked > _ASLEEP_SECONDS
        self._looked = now
        self._see(flows, now, slept)
        self._judge_tries(now)
        line = self._line()
        found: list[Straggler] = []
        tries: dict[str, int] = {}
        for track in self._tracks.values():
            if track.before is not None:
                tries[track.flow.host] = tries.get(track.flow.host, 0) + 1
        for track in self._tracks.values():
            host = track.flow.host
            slow, most = self._slow(track, line, now)
            if slow is not None and tries.get(host, 0) < most:
                if most == 1:
                    self._usual[host].tried = now
                tries[host] = tries.get(host, 0) + 1
                self._replaced[track.flow.key] = track.flow.began, slow.rate
                found.append(slow)
        return found

    def _see(self, flows: Iterable[Flow], now: float, slept: bool) -> None:
        tracks: dict[Hashable, _Track] = {}
        for flow in flows:
            track = self._tracks.get(flow.key)
            if track is None or track.flow.began != flow.began:
                began, rate = self._replaced.pop(flow.key, (flow.began, 0.0))
                track = _Track(flow, rate if began != flow.began else None)
            if slept:
                track.samples = deque([(now, flow.received)])
            track.see(flow, now)
            tracks[flow.key] = track
            if newest := track.newest or (track.rate if flow.received else 0):
                self._usual.setdefault(flow.host, _Usual()).learn(newest)
        self._tracks = tracks
        self._replaced = {key: one for key, one in self._replaced.items() if key in tracks}

    def _judge_tries(self, now: float) -> None:
        for track in self._tracks.values():
            rate = track.rate
            if track.before is None or rate is None or now - track.flow.began < _OBSERVED_SECONDS:
                continue
            self._usual.setdefault(track.flow.host, _Usual()).judge(rate, track.before)
            track.before = None

    def _line(self) -> _Line:
        by_host: dict[str, list[tuple[Hashable, float]]] = {}
        total = 0.0
        for track in self._tracks.values():
            rate = track.rate
            if rate is not None and track.flow.received:
                by_host.setdefault(track.flow.host, []).append((track.flow.key, rate))
                total += rate
        return _Line(total, len(self._tracks), by_host)

    def _slow(self, track: _Track, line: _Line, now: float) -> tuple[Straggler | None, int]:
        """The straggler that a request is, if it is one; how many tries its host may have now."""
        flow, rate = track.flow, track.rate
        if rate is None or track.before is not None or flow.again is None:
            return None, 0
        usual = self._usual.setdefault(flow.host, _Usual())
        age = (now - flow.began) / usual.patience / (1.0 if flow.received else _SILENT)
        if age < _OBSERVED_SECONDS:
            return None, 0
        siblings = [other for key, other in line.by_host.get(flow.host, ()) if key != flow.key]
        beside = sorted(siblings)[len(siblings) // 2] if siblings else 0.0
        # Where the line carries about what one connection did before, it is shared, not slow.
        free = line.total < usual.rate / 2
        expected = max(beside, usual.rate if free else min(usual.rate, line.total / line.flows))
        if flow.limit:
            expected = min(expected, flow.limit)
        beaten = rate * _FAR < beside
        if not beaten and now - usual.tried < _OBSERVED_SECONDS * usual.patience:
            return None, 0
        if rate * _FAR < expected and _is_worth_it(flow, rate, expected):
            return Straggler(flow.key, rate, expected), _AT_ONCE if beaten else 1
        meant = 0 < flow.limit < _TRICKLE * _FAR
        if rate < _TRICKLE and age >= _TRICKLE_SECONDS and not meant and flow.again == flow.left:
            long = flow.left is None or flow.left > rate * _TRICKLE_SECONDS * _BETTER
            return (Straggler(flow.key, rate, 0.0) if long else None), 1
        return None, 0


def _is_worth_it(flow: Flow, rate: float, expected: float) -> bool:
    if flow.left is None or flow.again is None:
        return True
    return flow.left > rate * (_LONG_SECONDS + _GAIN * flow.again / expected)
