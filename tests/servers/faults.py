"""Faults to inject: which request they meet, how often, and what they do to the answer."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .wire import Content, Request, Response, blocks, read, size_of

Match = str | Callable[[Request], bool]

REQUIRED = object()

# kind -> its parameters and their defaults
KINDS: dict[str, dict[str, Any]] = {
    # instead of the handler's answer
    "delay": {"s": 1.0},
    "drop": {},
    "status": {"code": 503, "headers": None, "body": "", "retry_after": None, "ratelimit": None},
    "html": {"code": 200, "title": "Sign in", "text": "Please sign in to continue."},
    "redirect": {"to": REQUIRED, "code": 302},
    # to the handler's answer
    "cut": {"n": 0, "reset": False},
    "stall": {"n": 0, "s": 3600.0, "until": None},
    "slow": {"rate": 1024, "n": 0},  # from byte `n` of the body on
    "flip": {"at": None},
    "truncate": {"n": None, "length": "right"},
    "overlong": {"extra": b"\0" * 16, "length": "right"},
    "ignore_range": {},
    "gzip": {},
}
EARLY = frozenset({"delay", "drop", "status", "html", "redirect"})


@dataclass
class Fault:
    """One fault; `hits` counts the requests it has met."""

    match: Callable[[Request], bool]
    kind: str
    times: int | None
    after: int
    params: dict[str, Any]
    seen: int = 0
    hits: int = 0

    def meets(self, request: Request) -> bool:
        if (self.times is not None and self.hits >= self.times) or not self.match(request):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.hits += 1
        return True


def matcher(match: Match) -> Callable[[Request], bool]:
    if not isinstance(match, str):
        return match
    pattern = re.compile(match)
    return lambda request: pattern.search(request.line) is not None


@dataclass
class Faults:
    """The faults of one server. A pattern is searched in "METHOD /path?query" as it was sent."""

    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self, match: Match, kind: str, times: int | None = None, after: int = 0, **params: Any
    ) -> Fault:
        """Meet matching requests `times` times (None: always), leaving out the first `after`."""
        known = KINDS[kind]
        if wrong := params.keys() - known.keys():
            raise TypeError(f"{kind} takes {sorted(known)}, not {sorted(wrong)}")
        params = {**known, **params}
        if missing := [name for name, value in params.items() if value is REQUIRED]:
            raise TypeError(f"{kind} needs {missing}")
        fault = Fault(matcher(match), kind, times, after, params)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, request: Request, early: bool) -> list[Fault]:
        """The faults that this request meets now; they count as used."""
        if not self._faults:
            return []
        with self._lock:
            return [f for f in self._faults if (f.kind in EARLY) == early and f.meets(request)]


def instead(fault: Fault) -> Response:
    """The answer that a `status`, `html` or `redirect` fault gives."""
    params = fault.params
    if fault.kind == "redirect":
        return Response.redirect(params["to"], params["code"])
    if fault.kind == "html":
        return Response.page(params["title"], params["text"], params["code"])
    answer = Response.text(params["body"], params["code"])
    answer.headers.update(params["headers"] or {})
    if params["retry_after"] is not None:
        answer.headers["Retry-After"] = str(params["retry_after"])
    if params["ratelimit"] is not None:
        answer.headers["RateLimit"] = str(params["ratelimit"])
    return answer


@dataclass
class Outgoing:
    """An answer as it will go over the wire: bytes [start, stop) of `body`, then `tail`."""

    status: int
    headers: dict[str, str]
    body: Content
    start: int
    stop: int
    declared: int | None  # Content-Length; None leaves it out
    tail: bytes = b""
    close: bool = False
    reset: bool = False
    flip_at: int | None = None
    cut: int | None = None
    stall: tuple[int, float, threading.Event | None] | None = None
    rate: int | None = None
    slow_from: int = 0

    @property
    def paced(self) -> bool:
        return self.stall is not None or self.rate is not None

    def spoil(self, fault: Fault) -> None:
        """Apply a fault of a kind that changes the handler's answer."""
        params = fault.params
        if fault.kind == "cut":
            self.cut, self.close, self.reset = params["n"], True, params["reset"]
        elif fault.kind == "stall":
            self.stall = (params["n"], params["s"], params["until"])
        elif fault.kind == "slow":
            self.rate, self.slow_from = params["rate"], params["n"]
        elif fault.kind == "flip":
            at = params["at"]
            self.flip_at = (self.start + self.stop) // 2 if at is None else at
        elif fault.kind == "truncate":
            half = (self.stop - self.start) // 2
            n = half if params["n"] is None else params["n"]
            self.stop = min(self.stop, self.start + n)
            self._declare(params["length"])
        elif fault.kind == "overlong":
            self.tail = params["extra"]
            self._declare(params["length"])
        elif fault.kind == "gzip":
            self.body = gzip.compress(read(self.body)[self.start : self.stop])
            self.start, self.stop = 0, size_of(self.body)
            self.declared = self.stop
            self.headers["Content-Encoding"] = "gzip"

    def _declare(self, length: str) -> None:
        if length == "right":
            self.declared = self.stop - self.start + len(self.tail)
        elif length == "none":
            self.declared, self.close = None, True
        elif length == "wrong":
            self.close = True
        else:
            raise ValueError(f"length is right, wrong or none, not {length}")

    def blocks(self) -> Iterator[bytes]:
        at = self.start
        for block in blocks(self.body, self.start, self.stop):
            if self.flip_at is not None and at <= self.flip_at < at + len(block):
                spoilt = bytearray(block)
                spoilt[self.flip_at - at] ^= 0xFF
                yield bytes(spoilt)
            else:
                yield block
            at += len(block)
        if self.tail:
            yield self.tail

    def steps(self, pause: Callable[[float], None]) -> Iterator[bytes]:
        """The blocks as cut, stall and slow let them go; `pause` waits for so many seconds."""
        sent = 0
        for block in self.blocks():
            start = 0
            while start < len(block):
                room = len(block) - start
                if self.cut is not None:
                    room = min(room, self.cut - sent)
                if self.stall is not None:
                    if sent == self.stall[0]:
                        if self.stall[2] is not None:
                            self.stall[2].wait(self.stall[1])
                        else:
                            pause(self.stall[1])
                    elif sent < self.stall[0]:
                        room = min(room, self.stall[0] - sent)
                if self.rate is not None and sent < self.slow_from:
                    room = min(room, self.slow_from - sent)
                elif self.rate is not None:
                    room = min(room, max(1, self.rate // 20))
                    pause(room / self.rate)
                if room <= 0:
                    return
                yield block[start : start + room]
                start += room
                sent += room
