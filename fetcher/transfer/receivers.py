"""Threads that receive large bodies side by side, from servers that are near.

Where a round trip takes next to no time, all waits for what is done with the bytes here. libcurl
gives 16 KiB at a time, in one thread, each time with the interpreter's lock and in fresh memory. A
receiver reads half a megabyte into the same buffer again and again, hashes and writes it.

It takes exactly the bytes that were asked for, and as they are. Whatever else a server answers is
left to libcurl, which asks for it again and knows what to make of it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from queue import Empty, SimpleQueue
from typing import NamedTuple
from urllib.parse import urlsplit

from fetcher.network.outgoing import USER_AGENT, Outgoing
from fetcher.network.retry import STALL_SECONDS
from fetcher.network.sockets import end_waiting
from fetcher.network.urls import Origin, ascii_url, origin_of
from fetcher.transfer.openings import span_of

# What waits in the system for longer has left the processor's caches when it is read, and is lost
# if this process is killed. Linux makes twice as much of it.
NEAR_BUFFER = 512 << 10
_BUFFER = 512 << 10
# A buffer is handed over when it is full, or after so many seconds of filling or of silence.
_FILLING_SECONDS = 0.05


class Span(NamedTuple):
    """The bytes of one request: from `start` up to `stop` of `size`, by a range or all of them."""

    start: int
    stop: int
    size: int
    ranged: bool


class Channel(NamedTuple):
    """A connection to one server, which may serve one request after another."""

    origin: Origin
    http: HTTPConnection


class _CutError(Exception):
    """The request is not wanted any more, or what it brings cannot be written."""


class Reception:
    """One request. `run` is a thread's; all else may be asked at any time.

    `take` is given what comes, in the thread, and returns whether it wants more; the memory is used
    again afterwards. `channel`: a connection that is there, and afterwards one that still is.
    `whole`: all that was asked for came. `otherwise`: the server serves it, in another form.
    """

    def __init__(
        self,
        request: Outgoing,
        span: Span,
        take: Callable[[memoryview], bool],
        channel: Channel | None,
        connect_seconds: float,
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        self.request = request
        self.span = span
        self.channel = channel
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = False
        self.otherwise = False
        self._take = take
        self._connect_seconds = connect_seconds
        self._tls = tls
        self._guard = threading.Lock()
        self._is_cut = False
        self._socket: socket.socket | None = None

    def cut(self) -> None:
        """End it: nothing is given to `take` any more."""
        self._is_cut = True
        with self._guard:  # what is being taken may be taken to its end
            pass
        end_waiting(self._socket)

    # In the thread

    def run(self, buffer: memoryview) -> None:
        """Ask, and receive into `buffer`, again and again. Raises nothing.

        `buffer` has room for what is read ahead with a head: io.DEFAULT_BUFFER_SIZE.
        """
        try:
            answer = self._answer()
            with contextlib.closing(answer):
                if self._is_as_asked(answer):
                    self._receive(answer, buffer)
                    self.whole = True
                else:
                    self.otherwise = answer.status in {200, 206}
            if not self.whole or answer.will_close:
                self._close()
        except Exception:  # whatever it is: libcurl asks again, and tells
            self._close()

    def _answer(self) -> HTTPResponse:
        """The head of the answer."""
        if self.channel is not None:
            try:
                return self._ask(self.channel)
            except (OSError, HTTPException):  # the server has closed it meanwhile
                self._close()
        return self._ask(self._connected())

    def _connected(self) -> Channel:
        if self._is_cut:
            raise _CutError
        origin = scheme, host, port = origin_of(self.request.url)
        http: HTTPConnection
        if scheme == "https":
            http = HTTPSConnection(host, port, timeout=self._connect_seconds, context=self._tls())
        else:
            http = HTTPConnection(host, port, timeout=self._connect_seconds)
        self.channel = Channel(origin, http)
        http.connect()
        http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NEAR_BUFFER)
        return self.channel

    def _ask(self, channel: Channel) -> HTTPResponse:
        http, (start, stop, _, ranged) = channel.http, self.span
        self._socket = http.sock  # which a server that closes afterwards takes out of `http`
        self._socket.settimeout(STALL_SECONDS)
        if self._is_cut:  # when there was no socket to be ended yet
            raise _CutError
        parts = urlsplit(ascii_url(self.request.url).decode("ascii"))
        target = parts.path or "/"
        target = f"{target}?{parts.query}" if parts.query else target
        http.putrequest("GET", target, skip_accept_encoding=True)
        headers = [("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
        if ranged:
            headers.append(("Range", f"bytes={start}-{stop - 1}"))
        for name, value in [*headers, *self.request.headers]:
            http.putheader(name, value)
        http.endheaders()
        return http.getresponse()

    def _is_as_asked(self, answer: HTTPResponse) -> bool:
        """Whether what follows is what was asked for, and nothing but that."""
        start, stop, size, ranged = self.span
        self.status = answer.status
        headers = {name.lower(): value for name, value in answer.getheaders()}
        self.headers = headers
        if headers.get("content-encoding", "identity") != "identity":
            return False
        if "transfer-encoding" in headers or answer.length != stop - start:
            return False
        if ranged:
            told = span_of(headers)
            return answer.status == 206 and told in {(start, stop, size), (start, stop, None)}
        return answer.status == 200 and "content-range" not in headers

    def _receive(self, answer: HTTPResponse, buffer: memoryview) -> None:
        """Hand all of the body over. Raises OSError if it ends early."""
        assert self._socket is not None
        left = self.span.stop - self.span.start
        filled = answer.fp.readinto1(buffer[:left])  # what has come with the head
        self._socket.settimeout(_FILLING_SECONDS)
        heard = time.monotonic()
        while True:
            filled, fault = self._fill(self._socket, buffer[:left], filled)
            if filled:
                self._hand_over(buffer[:filled])
                left, filled, heard = left - filled, 0, time.monotonic()
            if not left:
                return
            waiting = isinstance(fault, TimeoutError) and time.monotonic() - heard < STALL_SECONDS
            if fault is not None and not waiting:
                raise fault

    @staticmethod
    def _fill(sock: socket.socket, room: memoryview, filled: int) -> tuple[int, OSError | None]:
        """Receive for a while, until `room` is full: how much is there, and what ended it."""
        until = time.monotonic() + _FILLING_SECONDS
        try:
            while filled < len(room) and time.monotonic() < until:
                got = sock.recv_into(room[filled:])
                if not got:
                    return filled, ConnectionError()
                filled += got
        except OSError as error:
            return filled, error
        return filled, None

    def _hand_over(self, data: memoryview) -> None:
        with self._guard:
            if self._is_cut or not self._take(data):
                raise _CutError

    def _close(self) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.http.close()


class Receivers:
    """At most `most` threads, each with one reception at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: ThreadPoolExecutor | None = None
        self._buffers = threading.local()
        self._under_way: set[Reception] = set()
        self._ended: SimpleQueue[Reception] = SimpleQueue()
        self._found: list[Reception] = []

    def __len__(self) -> int:
        """How many receptions are under way."""
        return len(self._under_way)

    def begin(self, reception: Reception) -> None:
        """Have it received; `ended` tells of its end, unless `cut` is told of it before."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="receiver")
        self._under_way.add(reception)
        self._threads.submit(self._run, reception)

    def cut(self, reception: Reception) -> None:
        """End one, unless `ended` has told of it."""
        if reception in self._under_way:
            self._under_way.remove(reception)
            reception.cut()

    def wait(self, seconds: float) -> None:
        """Wait until one has ended, or so long."""
        if not self._found:
            with contextlib.suppress(Empty):
                self._found.append(self._ended.get(timeout=seconds))

    def ended(self) -> Sequence[Reception]:
        """Those that have ended since, and were not cut."""
        found, self._found = self._found, []
        with contextlib.suppress(Empty):
            while True:
                found.append(self._ended.get_nowait())
        ended = [one for one in found if one in self._under_way]
        self._under_way.difference_update(ended)
        return ended

    def close(self) -> None:
        """End all of them, and the threads."""
        for reception in self._under_way:
            reception.cut()
        if self._threads is not None:
            self._threads.shutdown(wait=True)

    def _run(self, reception: Reception) -> None:
        buffer: memoryview | None = getattr(self._buffers, "own", None)
        if buffer is None:
            buffer = self._buffers.own = memoryview(bytearray(_BUFFER))
        try:
            reception.run(buffer)
        finally:
            self._ended.put(reception)
