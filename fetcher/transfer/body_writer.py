"""Large bodies on their way to disk: received, written and hashed by a thread each.

The download's own thread only receives; another one writes what came, a third feeds the digest
from the same buffers. One thread for two of these would be what the others wait for.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from fetcher.transfer.body_hasher import BodyHasher, Buffers, Tail, Written

_WRITE_AT_ONCE = 512  # buffers in one system call
# So much may wait in memory to be written and hashed; whoever brings more waits.
_MOST_WAITING = 16 << 20
_SEEKING = threading.Lock()  # where a place cannot be told with the bytes


class Note(NamedTuple):
    """What is to be recorded once a piece is written: `data` at `place` of the open file `fd`."""

    fd: int
    data: bytes
    place: int


class Piece(NamedTuple):
    """Bytes that were received, and where they belong.

    `frontier`: up to here nothing is missing once they are written.
    """

    tail: Tail
    at: int
    buffers: Buffers
    size: int
    frontier: int
    note: Note | None


class BodyWriter:
    """One thread that writes every growing body in turn, and has it hashed."""

    def __init__(self, durable: bool = True) -> None:
        self._hasher = BodyHasher(durable)
        self._pieces: deque[Piece] = deque()
        self._waiting = 0  # bytes of all pieces, until they are hashed
        self._idle = False
        lock = threading.Lock()
        self._wake = threading.Condition(lock)  # there is work
        self._done = threading.Condition(lock)  # a piece was written, or hashed
        self._stop = False
        self._thread: threading.Thread | None = None

    def follow(self, path: str, git_size: int | None, stepwise: bool = False, fd: int = -1) -> Tail:
        """Start to follow a body from its beginning; `fd` is its file, open for writing."""
        tail = Tail(path, git_size, stepwise, fd)
        self._hasher.follow(tail)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="body writer", daemon=True)
            self._thread.start()
        return tail

    def put(self, piece: Piece) -> None:
        """Have a piece written; waits while very much does. Raises the OSError of an earlier one.

        The pieces of one body are written in the order in which they come.
        """
        if piece.tail.failure is not None:
            raise piece.tail.failure
        with self._wake:
            while self._waiting > _MOST_WAITING:
                self._done.wait()
            piece.tail.waiting += 1
            self._pieces.append(piece)
            self._waiting += piece.size
            if self._idle:
                self._wake.notify()

    def write_now(self, piece: Piece) -> None:
        """Write and hash a piece in the caller's thread. Raises OSError.

        How far the body is whole has to be said by `grown` afterwards.
        """
        self.drain(piece.tail)
        _write_piece(piece)
        self._hasher.hash_now(piece.tail, piece.at, piece.buffers)

    def drain(self, tail: Tail) -> None:
        """Wait until all that came of a body is written. Raises OSError if it could not be."""
        if tail.waiting:
            with self._wake:
                while tail.waiting:
                    self._done.wait()
        if tail.failure is not None:
            raise tail.failure

    def grown(self, tail: Tail, written: int) -> None:
        """Say how far the file has grown otherwise."""
        tail.written = max(tail.written, written)
        self._hasher.grown(tail)

    def finish(self, tail: Tail, written: int, then: Callable[[], None]) -> None:
        """The file has its full length; `then` is called in a thread when all is hashed."""
        self._hasher.finish(tail, written, then)

    def drop(self, tail: Tail) -> None:
        """Forget a body that starts anew or failed."""
        self._hasher.drop(tail)

    def close(self) -> None:
        """End the threads; what has come is written first."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self._hasher.close()

    # In the thread

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stop and not self._pieces:
                    self._idle = True
                    self._wake.wait()
                self._idle = False
                if not self._pieces:
                    return
                piece = self._pieces.popleft()
            written = self._write(piece)
            with self._wake:
                piece.tail.waiting -= 1
                self._done.notify_all()
            if written:
                let_go = partial(self._let_go, piece.size)
                self._hasher.put(Written(piece.tail, piece.at, piece.buffers, let_go))
            else:
                self._let_go(piece.size)
            del piece

    def _write(self, piece: Piece) -> bool:
        """Write a piece and its note; whether that went well."""
        tail = piece.tail
        if tail.failure is not None:
            return False  # a hole would look like bytes
        try:
            _write_piece(piece)
        except OSError as error:
            tail.failure = error
            return False
        tail.written = max(tail.written, piece.frontier)
        return True

    def _let_go(self, size: int) -> None:
        with self._wake:
            self._waiting -= size
            self._done.notify_all()


def _write_piece(piece: Piece) -> None:
    """The bytes, then their note. Raises OSError."""
    at, buffers = piece.at, piece.buffers
    for start in range(0, len(buffers), _WRITE_AT_ONCE):
        some = buffers[start : start + _WRITE_AT_ONCE]
        size = sum(map(len, some))
        written = os.pwritev(piece.tail.fd, some, at) if hasattr(os, "pwritev") else 0
        if written < size:  # a signal, a full disk, or a system without it
            _write(piece.tail.fd, memoryview(b"".join(some))[written:], at + written)
        at += size
    if piece.note is not None:
        _write(piece.note.fd, memoryview(piece.note.data), piece.note.place)


def _write(fd: int, data: memoryview, at: int) -> None:
    """All of it, at this place of a file that other threads write as well. Raises OSError."""
    if hasattr(os, "pwrite"):
        while data:
            written = os.pwrite(fd, data, at)
            data, at = data[written:], at + written
        return
    with _SEEKING:
        os.lseek(fd, at, os.SEEK_SET)
        while data:
            data = data[os.write(fd, data) :]
