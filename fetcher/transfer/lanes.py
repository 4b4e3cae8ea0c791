"""Threads that receive side by side, for bodies that come faster than one thread takes them.

A turn of the engine's loop is short, and all lanes begin and end it together: between two turns
nothing moves, and the loop has everything to itself. Within a turn each lane receives from its own
connections, and writes and hashes at once what came, while it is still in that core's cache.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

import pycurl

# Lanes end a turn some milliseconds apart, and wait for each other: the longer, the less so …
_TURN_SECONDS = 0.02
# … but what is not received in lanes waits for the loop.
_SHORT_TURN_SECONDS = 0.003
_MOST_LANES = 4


class Receiving(Protocol):
    """What lanes know of a connection."""

    @property
    def chunks(self) -> Sequence[bytes]:
        """What came and was not dealt with."""

    def absorb(self) -> bool:
        """Write and hash what came, in the calling thread; False if the loop has to look at it."""


class Lane:
    """Some connections and the thread that receives from the `direct` ones among them."""

    def __init__(self) -> None:
        self.multi = pycurl.CurlMulti()
        # A bound for each connection, and TCP's slow start, hold for all that share one.
        self.multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, 1)
        self.direct: dict[Receiving, None] = {}
        self._turns: SimpleQueue[float | threading.Event | None] = SimpleQueue()
        self._ends: SimpleQueue[Exception | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin_turn(self, until: float) -> None:
        """Receive in the lane's own thread, up to a time.monotonic() value."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
            self._thread.start()
        self._turns.put(until)

    def end_turn(self) -> None:
        """Wait for the end of the turn. Raises what broke it."""
        broke = self._ends.get()
        if broke is not None:
            raise broke

    def quiet(self) -> None:
        """Wait until the thread does nothing, however a turn was left."""
        if self._thread is not None:
            nothing = threading.Event()
            self._turns.put(nothing)
            nothing.wait()
            with suppress(Empty):
                while True:
                    self._ends.get_nowait()

    def turn(self, until: float) -> None:
        """Receive in the calling thread until then, or until there is no use in it."""
        while self._receive() and (left := until - time.monotonic()) > 0:
            self.multi.select(left)  # returns at once where there is something

    def _receive(self) -> bool:
        running: int = self.multi.perform()[1]
        sound = [one.absorb() for one in self.direct if one.chunks]
        return running > 0 and all(sound)

    def _run(self) -> None:
        while (order := self._turns.get()) is not None:
            if isinstance(order, threading.Event):
                order.set()
                continue
            broke: Exception | None = None
            try:
                self.turn(order)
            except Exception as error:
                broke = error
            self._ends.put(broke)

    def end_thread(self) -> None:
        """Wait until the thread has ended."""
        self._turns.put(None)
        if self._thread is not None:
            self._thread.join()


class Lanes:
    """All lanes of one run; the first is the loop's own, and has no other thread."""

    def __init__(self) -> None:
        self.own = Lane()
        self._others = [Lane() for _ in range(_cores() - 1)]
        self.all = [self.own, *self._others]

    def choose(self) -> Lane:
        """The one with the fewest connections to receive from."""
        return min(self.all, key=lambda lane: len(lane.direct))

    @property
    def used(self) -> int:
        """How many connections are received from in lanes."""
        return sum(len(lane.direct) for lane in self.all)

    def turn(self, busy: int) -> None:
        """Receive in all of them, from `busy` connections in all."""
        used = self.used
        if not used:
            self.own.multi.perform()
            return
        seconds = _TURN_SECONDS if used == busy else _SHORT_TURN_SECONDS
        until = time.monotonic() + seconds
        others = [lane for lane in self._others if lane.direct]
        try:
            for lane in others:
                lane.begin_turn(until)
            self.own.turn(until)
            for lane in others:
                lane.end_turn()
        except BaseException:  # Ctrl-C: whoever cleans up has everything to himself, too
            for lane in others:
                lane.quiet()
            raise

    def end_threads(self) -> None:
        """Wait until all threads have ended; connections may be closed then."""
        for lane in self.all:
            lane.end_thread()

    def close(self) -> None:
        """Let go of what libcurl holds; no connection is in any of them."""
        for lane in self.all:
            lane.multi.close()


def _cores() -> int:
    """How many processors this process may use, within reason."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(there or 1, _MOST_LANES))
