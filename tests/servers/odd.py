"""A server that sends what it is told to, byte for byte: heads no library would write."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .base import Closed, Server
from .wire import Request, reason

CLOSE = b"(close)"  # as the last piece of an answer: the connection ends here


@dataclass
class Asked:
    """One request for `data`; `number` counts those of its kind (plain or ranged) from 1."""

    request: Request
    data: bytes
    number: int
    url: str

    @property
    def span(self) -> tuple[int, int] | None:
        """The bytes [start, stop) that a range names, None without one."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request.headers.get("range", ""))
        if found is None:
            return None
        return int(found[1]), int(found[2] or len(self.data) - 1) + 1

    @property
    def range(self) -> tuple[int, int]:
        """The same, where there must be one."""
        assert self.span is not None
        return self.span

    def plain(self, *lines: str, status: int = 200, body: bytes | None = None) -> list[bytes]:
        """The whole of it, whatever was asked for."""
        return answer(status, *lines, body=self.data if body is None else body)

    def part(
        self, *lines: str, status: int = 206, shift: int = 0, more: int = 0, said: str = ""
    ) -> list[bytes]:
        """The range that was asked for: moved, or longer; `said` is another Content-Range."""
        start, stop = self.range
        start, stop = start + shift, min(stop + shift + more, len(self.data))
        told = said or f"bytes {start}-{stop - 1}/{len(self.data)}"
        lines = (*lines, f"Content-Range: {told}") if told != "-" else lines
        return answer(status, *lines, body=self.data[start:stop])

    def first(self, most: int) -> list[bytes]:
        """No more than the first `most` bytes of the range, and said so."""
        start, stop = self.range
        return self.part(more=min(0, most - (stop - start)))

    def right(self, *lines: str) -> list[bytes]:
        """What a sound server answers."""
        return self.plain(*lines) if self.span is None else self.part(*lines)


def answer(
    status: int, *lines: str, body: bytes = b"", length: bool = True, version: str = "1.1"
) -> list[bytes]:
    """A head with these lines, and a body."""
    head = [f"HTTP/{version} {status} {reason(status)}", *lines]
    if length and not any(line.lower().startswith("content-length") for line in lines):
        head.append(f"Content-Length: {len(body)}")
    return ["\r\n".join([*head, "", ""]).encode("latin-1"), body]


def until_closed(status: int, *lines: str, body: bytes, version: str = "1.1") -> list[bytes]:
    """A body that ends with its connection."""
    return [*answer(status, *lines, body=body, length=False, version=version), CLOSE]


def chunked(status: int, *lines: str, body: bytes, step: int = 5000) -> list[bytes]:
    """A body in chunks."""
    head = answer(status, *lines, "Transfer-Encoding: chunked", length=False)[0]
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


Reply = Callable[[Asked], Iterable[bytes]]


class OddServer(Server):
    """Answers every request for `data` with what `reply` makes of it.

    `bears`: so many connections at a time, others are refused; 0 for any number.
    """

    def __init__(self, data: bytes, reply: Reply, bears: int = 0) -> None:
        super().__init__()
        self.bears = bears
        self.data = data
        self.reply = reply

    def _accept(self) -> None:
        if not self.bears:
            super()._accept()
        while not self._stopping.is_set():
            with self._lock:
                crowded = len(self._threads) >= self.bears
            try:
                if crowded:
                    self._listener.close()
                    self._stopping.wait(0.005)
                    continue
                if self._listener.fileno() < 0:
                    self._listener = socket.create_server(("127.0.0.1", self.port))
                sock, client = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock, client), daemon=True)
            with self._lock:
                self._open.add(sock)
                self._threads.add(thread)
            thread.start()

    def _exchange(self, sock: socket.socket, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            ranged = "range" in request.headers
            number = sum(("range" in one.headers) == ranged for one in self.requests)
        try:
            pieces = list(self.reply(Asked(request, self.data, number, self.url)))
        except Closed:
            raise
        except Exception as error:
            self.errors.append(repr(error))
            raise Closed from error
        for piece in pieces:
            if piece is CLOSE:
                raise Closed
            request.bytes_sent += len(piece)
            sock.sendall(piece)
        if request.headers.get("connection", "").lower() == "close":
            raise Closed
