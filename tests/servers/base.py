"""A threaded HTTP/1.1 server on loopback with a request log, hooks and faults.

Written on sockets because the standard library's handler is too slow for 15,000 small files.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from .faults import Fault, Faults, Match, Outgoing, instead, matcher
from .wire import Refused, Request, Response, reason, size_of, wanted_range

S = TypeVar("S", bound="Server")

HEAD_LIMIT = 1 << 18
JOINED = 1 << 16  # bodies up to this size leave in one write with their head
# Bytes that wait in the kernel. Without a bound it takes megabytes that nobody reads, and what was
# sent says nothing of what a client took.
SEND_BUFFER = 1 << 17
BODYLESS = frozenset({204, 304})


class Closed(Exception):
    """The connection cannot carry another exchange."""


class Server:
    """Subclasses say what to answer in `respond`; `with` starts and stops it."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.errors: list[str] = []  # tracebacks of handlers that failed: should stay empty
        self.faults = Faults()
        self.connections = 0  # how many were opened so far
        self._hooks: list[tuple[Callable[[Request], bool], Callable[[], object], int]] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port: int = self._listener.getsockname()[1]

    def respond(self, request: Request) -> Response:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self: S) -> S:
        threading.Thread(target=self._accept, name=type(self).__name__, daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._open), list(self._threads)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)

    def __enter__(self: S) -> S:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def matching(self, match: Match) -> list[Request]:
        """The logged requests that a pattern or a callable picks."""
        wanted = matcher(match)
        return [request for request in list(self.requests) if wanted(request)]

    def hook(self, match: Match, callback: Callable[[], object], times: int = 1) -> None:
        """Call back after the answer to a matching request is made and before it is sent."""
        with self._lock:
            self._hooks.append((matcher(match), callback, times))

    def pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Closed

    def answer(self, request: Request) -> tuple[Response, list[Fault]]:
        """The answer to one request, and the faults that its body will meet."""
        made: Response | None = None
        for fault in self.faults.take(request, early=True):
            if fault.kind == "delay":
                self.pause(fault.params["s"])
            elif fault.kind == "drop":
                raise Closed
            else:
                made = made or instead(fault)
        if made is not None:
            return made, []
        try:
            made = self.respond(request)
        except Refused as refusal:
            made = refusal.response
        except Exception:
            self.errors.append(traceback.format_exc())
            made = Response.text(self.errors[-1], 500)
        self._run_hooks(request)
        has_body = made.status == 200 and request.method != "HEAD" and size_of(made.body) > 0
        return made, self.faults.take(request, early=False) if has_body else []

    def _run_hooks(self, request: Request) -> None:
        if not self._hooks:
            return
        due = []
        with self._lock:
            for i, (wanted, callback, times) in enumerate(self._hooks):
                if times > 0 and wanted(request):
                    self._hooks[i] = (wanted, callback, times - 1)
                    due.append(callback)
        for callback in due:
            callback()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, client = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
                thread = threading.Thread(target=self._serve, args=(sock, client), daemon=True)
                self._threads.add(thread)
            thread.start()

    def _serve(self, sock: socket.socket, client: tuple[str, int]) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            for request in Connection(sock, client).requests():
                self._exchange(sock, request)
        except (OSError, Closed):
            pass  # the client went away, a fault cut the line, or the server stops
        finally:
            with self._lock:
                self._open.discard(sock)
                self._threads.discard(threading.current_thread())
            sock.close()

    def _exchange(self, sock: socket.socket, request: Request) -> None:
        self.requests.append(request)
        response, faults = self.answer(request)
        out = outgoing(request, response, faults)
        request.status = out.status
        if request.headers.get("connection", "").lower() == "close":
            out.close = True
        transmit(sock, request, out, self.pause)
        if out.reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if out.close:
            raise Closed


class Connection:
    """Reads the requests of one kept-alive connection."""

    def __init__(self, sock: socket.socket, client: tuple[str, int]) -> None:
        self.sock = sock
        self.client = client
        self.buffer = b""

    def requests(self) -> Iterator[Request]:
        while True:
            head = self._head()
            if head is None:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            method, _, rest = first.partition(" ")
            target, _, version = rest.rpartition(" ")
            headers: dict[str, str] = {}
            for line in lines:
                name, _, value = line.partition(":")
                name, value = name.strip().lower(), value.strip()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            if version != "HTTP/1.1":
                headers.setdefault("connection", "close")
            now = time.time()
            yield Request(method, target, headers, self._body(headers), now, self.client)

    def _head(self) -> bytes | None:
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > HEAD_LIMIT or not self._more():
                return None
        head, self.buffer = self.buffer[:end], self.buffer[end + 4 :]
        return head

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunked()
        return self._take(int(headers.get("content-length", "0") or 0))

    def _chunked(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self.buffer and self._more():
                pass
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            body += self._take(size + 2)[:size]
            if size == 0:
                return body

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            if not self._more():
                raise Closed
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _more(self) -> bool:
        block = self.sock.recv(1 << 16)
        self.buffer += block
        return bool(block)


def outgoing(request: Request, response: Response, faults: list[Fault]) -> Outgoing:
    """Apply conditions, ranges and the body's faults."""
    headers = {"Content-Type": response.content_type, **response.headers}
    size = size_of(response.body)
    out = Outgoing(response.status, headers, response.body, 0, size, size)
    if response.etag is not None:
        headers["ETag"] = response.etag
    if response.ranges:
        headers["Accept-Ranges"] = "bytes"
    if out.status == 200 and request.method in ("GET", "HEAD"):
        if response.etag and request.headers.get("if-none-match") in (response.etag, "*"):
            out.status, out.stop, out.declared = 304, 0, None
        elif response.ranges and not any(fault.kind == "ignore_range" for fault in faults):
            _cut_to_range(out, request, response.etag, size)
    for fault in faults:
        out.spoil(fault)
    return out


def _cut_to_range(out: Outgoing, request: Request, etag: str | None, size: int) -> None:
    if "range" not in request.headers:
        return
    try:
        wanted = wanted_range(request, etag, size)
    except ValueError:
        out.status, out.stop, out.declared = 416, 0, 0
        out.headers["Content-Range"] = f"bytes */{size}"
        return
    if wanted is not None:
        out.status = 206
        out.start, out.stop = wanted
        out.declared = out.stop - out.start
        out.headers["Content-Range"] = f"bytes {out.start}-{out.stop - 1}/{size}"


def transmit(
    sock: socket.socket, request: Request, out: Outgoing, pause: Callable[[float], None]
) -> None:
    if out.declared is not None:
        out.headers["Content-Length"] = str(out.declared)
    if out.close and out.cut is None:
        out.headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {out.status} {reason(out.status)}"]
    lines += [f"{name}: {value}" for name, value in out.headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    if request.method == "HEAD" or out.status in BODYLESS:
        sock.sendall(head)
        return
    if out.paced or out.stop - out.start > JOINED:
        sock.sendall(head)
        head = b""
    for block in out.steps(pause):
        # counted first: a test may look as soon as the client has the last byte
        request.bytes_sent += len(block)
        try:
            sock.sendall(head + block if head else block)
        except OSError:
            request.bytes_sent -= len(block)
            raise
        head = b""
    if head:
        sock.sendall(head)
