"""A long line before a server: a TCP relay that adds a round trip and bounds each connection.

    python -m benchmarks.far_line TARGET_PORT --round-trip 200 --rate 5

prints the port it listens on, and relays until its standard input ends. `--round-trip` is in
milliseconds, `--rate` in MB/s for each connection (0: no bound). A connection behaves as over a
real line: a round trip to connect, half of one in each direction, and TCP's slow start: ten
segments in flight at first, twice as many with each round trip, until the rate is reached.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import selectors
import socket
import sys
import time
from collections import deque

_BLOCK = 256 << 10
_FIRST_WINDOW = 10 * 1460  # what TCP sends before it has heard anything
_MOST_HELD = 64 << 20  # of one direction
_TICK = 0.002


class _Way:
    """One direction of a connection. Bytes are read when they may be sent, and arrive later."""

    def __init__(self, source: socket.socket, sink: socket.socket, line: Line, opens: float):
        self.source, self.sink, self.line = source, sink, line
        self.opens = opens  # before that nothing can have been sent
        self.coming: deque[tuple[float, memoryview]] = deque()
        self.acknowledged: deque[tuple[float, int]] = deque()
        self.window = float(_FIRST_WINDOW)
        self.in_flight = self.held = 0
        self.tokens, self.counted = 0.0, opens
        self.ended = self.shut = False
        self.wakes = float("inf")  # when its timer rings

    def allowance(self, now: float) -> int:
        """How many bytes may be sent now."""
        while self.acknowledged and self.acknowledged[0][0] <= now:
            size = self.acknowledged.popleft()[1]
            self.in_flight -= size
            self.window += size
        room = _MOST_HELD - self.held
        if self.line.round_trip:
            room = min(room, int(self.window) - self.in_flight)
        if self.line.rate:
            burst = max(self.line.rate * 0.01, 2.0 * 1460)
            earned = self.tokens + (now - self.counted) * self.line.rate
            self.tokens, self.counted = min(burst, earned), now
            room = min(room, int(self.tokens))
        return min(room, _BLOCK)

    def read(self, now: float) -> bool:
        """Take what may be sent; False if it may not be yet."""
        if now < self.opens:
            return False
        room = self.allowance(now)
        if room < 1:
            return False
        try:
            data = self.source.recv(room)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.ended = True
        size = len(data)
        if self.line.rate:
            self.tokens -= size
        if self.line.round_trip:
            self.in_flight += size
            self.acknowledged.append((now + self.line.round_trip, size))
        self.held += size
        self.coming.append((now + self.line.round_trip / 2, memoryview(data)))
        return True

    def deliver(self, now: float) -> bool:
        """Hand over what has arrived; False if the other side takes no more just now."""
        while self.coming and self.coming[0][0] <= now:
            due, data = self.coming[0]
            if not data:
                self.coming.popleft()
                self.shut = True
                _shut(self.sink)
                continue
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                return False
            except OSError:  # it has gone: so does what was on its way
                self.coming.clear()
                self.ended = self.shut = True
                _shut(self.source)
                return True
            self.held -= sent
            if sent == len(data):
                self.coming.popleft()
            else:
                self.coming[0] = due, data[sent:]
        return True


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Line:
    """The relay. `round_trip` in seconds, `rate` in bytes a second for each connection."""

    def __init__(self, target: int, round_trip: float, rate: float) -> None:
        self.target, self.round_trip, self.rate = target, round_trip, rate
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        self.ways: dict[socket.socket, _Way] = {}  # by what they read from
        self.masks: dict[socket.socket, int] = {}
        self.timers: list[tuple[float, int, _Way]] = []
        self.numbers = itertools.count()

    def run(self) -> None:
        """Relay until standard input ends."""
        while True:
            now = time.monotonic()
            wait = max(0.0, self.timers[0][0] - now) if self.timers else 1.0
            for key, mask in self.selector.select(wait):
                if key.fileobj is sys.stdin:
                    return
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._moved(key.data, mask)
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                moment, _, way = heapq.heappop(self.timers)
                if moment == way.wakes:
                    way.wakes = float("inf")
                    self._go_on(way)

    def _accept(self) -> None:
        client = self.listener.accept()[0]
        server = socket.create_connection(("127.0.0.1", self.target))
        # The client's first bytes leave when the connection's answer would have come.
        opens = time.monotonic() + self.round_trip
        for source, sink in ((client, server), (server, client)):
            source.setblocking(False)
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            way = self.ways[source] = _Way(source, sink, self, opens)
            self.masks[source] = 0
            self._wake(way, opens)

    def _wake(self, way: _Way, moment: float) -> None:
        if moment < way.wakes:
            way.wakes = moment
            heapq.heappush(self.timers, (moment, next(self.numbers), way))

    def _moved(self, source: socket.socket, mask: int) -> None:
        if mask & selectors.EVENT_READ and source in self.ways:
            self._go_on(self.ways[source])
        if mask & selectors.EVENT_WRITE and source in self.ways:
            self._go_on(self.ways[self.ways[source].sink])

    def _go_on(self, way: _Way) -> None:
        """Read and deliver what can be, and say what to wait for."""
        if way.source not in self.ways:
            return
        now = time.monotonic()
        delivered = way.deliver(now)
        may_read = not way.ended and way.read(now)
        if way.shut and self.ways[way.sink].shut:
            self._close(way)
            return
        self._watch(way.source, selectors.EVENT_READ, may_read and not way.ended)
        self._watch(way.sink, selectors.EVENT_WRITE, not delivered)
        moments = []
        if way.coming and delivered:
            moments.append(way.coming[0][0])
        if not may_read and not way.ended:
            acknowledged = way.acknowledged[0][0] if way.acknowledged else now
            moments.append(max(now + _TICK, way.opens, min(acknowledged, now + 5 * _TICK)))
        if moments:
            self._wake(way, min(moments))

    def _watch(self, one: socket.socket, event: int, on: bool) -> None:
        before = self.masks[one]
        after = before | event if on else before & ~event
        if before == after:
            return
        self.masks[one] = after
        if not before:
            self.selector.register(one, after, one)
        elif after:
            self.selector.modify(one, after, one)
        else:
            self.selector.unregister(one)

    def _close(self, way: _Way) -> None:
        for one in (way.source, way.sink):
            self._watch(one, selectors.EVENT_READ | selectors.EVENT_WRITE, False)
            del self.ways[one], self.masks[one]
            one.close()


def main() -> None:
    """Listen, say where, relay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("target", type=int)
    parser.add_argument("--round-trip", type=float, default=0.0, metavar="MS")
    parser.add_argument("--rate", type=float, default=0.0, metavar="MB/S")
    chosen = parser.parse_args()
    line = Line(chosen.target, chosen.round_trip / 1000, chosen.rate * 1e6)
    print(line.listener.getsockname()[1], flush=True)
    line.run()


if __name__ == "__main__":
    main()
