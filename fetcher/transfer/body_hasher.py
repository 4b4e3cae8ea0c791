"""The digests of large bodies, from the buffers that were just written.

What came out of order is read back from the page cache once the gap before it is closed.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fetcher.fs.atomic import BLOCK, git_blob_hasher, start_writing_out
from fetcher.fs.safe_paths import native
from fetcher.i18n import t

# Read at a time, into one buffer: fresh memory for each piece would cost more than the digest.
_PIECE = 512 << 10
# Buffers that are joined for one call: few calls, and still in the core's cache when it is made.
_AT_ONCE = 16
_SENT_AT_ONCE = 8 << 20
_SHORT = 32 << 20  # so much is read back at once for the sake of going on from memory

Buffers = Sequence[bytes | memoryview]


@dataclass(eq=False)
class Tail:
    """A body that grows; `written` is how far it is whole, `done` whether that is its end.

    `fd` is the open file that is written, -1 where others write it. `stepwise`: the digest of its
    beginning is wanted too, in `state`. `waiting`: pieces that are not written yet.
    """

    path: str
    git_size: int | None = None
    stepwise: bool = False
    fd: int = -1
    written: int = 0
    waiting: int = 0
    done: bool = False
    hashed: int = 0
    state: tuple[int, Any] = (0, None)  # how far, and the sha256 up to there, as one value
    sent: int = 0  # so far the system was told to bring it to disk
    dropped: bool = False
    finished: bool = False
    sha256: Any = field(default_factory=hashlib.sha256)
    git: Any = None
    error: Exception | None = None
    failure: OSError | None = None  # what broke the writing; nothing is written after it
    lock: threading.Lock = field(default_factory=threading.Lock)  # of whoever hashes
    then: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if self.git_size is not None:
            self.git = git_blob_hasher(self.git_size)

    def digests(self) -> tuple[str, str]:
        """(sha256, git blob id or ""), once finished. Raises what broke the reading."""
        if self.error:
            raise self.error
        return self.sha256.hexdigest(), self.git.hexdigest() if self.git else ""

    def update(self, block: bytes | memoryview) -> None:
        """Feed the digests with the bytes that follow."""
        self.sha256.update(block)
        if self.git:
            self.git.update(block)
        self.hashed += len(block)

    def note_state(self) -> None:
        """Keep the digest of what was hashed so far, if it is wanted."""
        if self.stepwise:
            self.state = self.hashed, self.sha256.copy()


class Written(NamedTuple):
    """Bytes at `at` of a body that are in its file now; `then` is called when they may go."""

    tail: Tail
    at: int
    buffers: Buffers
    then: Callable[[], None]


class BodyHasher:
    """One thread that hashes every growing body in turn."""

    def __init__(self, durable: bool = True) -> None:
        self._durable = durable
        self._tails: list[Tail] = []
        self._blocks: deque[Written] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._buffers = threading.local()
        self._stop = False
        self._thread: threading.Thread | None = None

    def follow(self, tail: Tail) -> None:
        """Start to follow a body from its beginning."""
        with self._wake:
            self._tails.append(tail)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="body hasher", daemon=True)
            self._thread.start()

    def put(self, block: Written) -> None:
        """Have bytes hashed from memory, if nothing before them is missing."""
        with self._wake:
            self._blocks.append(block)
            self._wake.notify()

    def hash_now(self, tail: Tail, at: int, buffers: Buffers) -> None:
        """Hash bytes that are in the file in the caller's thread, if they are the next.

        Else the hasher's own thread reads them back, once nothing before them is missing.
        """
        if tail.dropped or tail.error or not tail.lock.acquire(blocking=False):
            return
        try:
            if at <= tail.written and at - tail.hashed <= _SHORT:
                self._read_back(tail, at)
            if tail.hashed == at:
                self._update(tail, buffers)
        except Exception as error:  # told where the body ends
            tail.error = error
        finally:
            tail.lock.release()

    def grown(self, tail: Tail) -> None:
        """The file has grown; wakes the thread for a block's worth."""
        if tail.written - tail.hashed >= BLOCK:
            with self._wake:
                self._wake.notify()

    def finish(self, tail: Tail, written: int, then: Callable[[], None]) -> None:
        """The file has its full length; `then` is called in the thread when all is hashed."""
        with self._wake:
            tail.written, tail.then, tail.done = written, then, True
            self._wake.notify()

    def drop(self, tail: Tail) -> None:
        """Forget a body that starts anew or failed."""
        with self._wake:
            tail.dropped = True
            self._wake.notify()

    def close(self) -> None:
        """End the thread."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    # In the thread

    def _run(self) -> None:
        while True:
            block, ready = None, []
            with self._wake:
                while not self._stop and not self._blocks and not (ready := self._ready()):
                    self._wake.wait()
                if self._blocks:
                    block = self._blocks.popleft()
                elif self._stop:
                    return
            if block is not None:
                self._take(block)
                block.then()
            else:
                for tail in ready:
                    self._advance(tail)

    def _ready(self) -> list[Tail]:
        self._tails = [t for t in self._tails if not t.dropped and not t.finished]
        # One that broke stays as it is until it is finished or dropped.
        return [t for t in self._tails if t.done or (not t.error and t.written - t.hashed >= BLOCK)]

    def _take(self, block: Written) -> None:
        """Hash bytes from memory, if nothing before them is missing."""
        tail = block.tail
        if self._stop or tail.dropped or tail.error or tail.finished:
            return
        if not tail.hashed <= block.at <= tail.written:
            return
        try:
            with tail.lock:
                self._read_back(tail, block.at)
                if tail.hashed == block.at:
                    self._update(tail, block.buffers)
        except Exception as error:  # the thread must live on for the other files
            tail.error = error

    def _update(self, tail: Tail, buffers: Buffers) -> None:
        """Hash the bytes that follow."""
        for start in range(0, len(buffers), _AT_ONCE):
            some = buffers[start : start + _AT_ONCE]
            tail.update(some[0] if len(some) == 1 else b"".join(some))
        tail.note_state()
        self._send_out(tail, tail.fd)

    def _advance(self, tail: Tail) -> None:
        """Hash what is whole, and tell whoever waits for the end."""
        try:
            if not tail.error:
                with tail.lock:
                    self._read_back(tail, tail.written)
        except Exception as error:  # the thread must live on for the other files
            tail.error = error
        if not tail.dropped and tail.done and (tail.error or tail.hashed >= tail.written):
            tail.finished = True
            tail.then()

    def _read_back(self, tail: Tail, stop: int) -> None:
        """Hash what is on file and was not hashed yet. Raises OSError."""
        if tail.hashed >= stop:
            return
        buffer = self._buffer()
        with open(native(tail.path), "rb", buffering=0) as stream:  # noqa: PTH123
            stream.seek(tail.hashed)
            while not (tail.dropped or self._stop) and tail.hashed < stop:
                size = stream.readinto(buffer[: min(stop - tail.hashed, _PIECE)])
                if not size:
                    raise OSError(errno.EIO, t("the file ends early"), tail.path)
                tail.update(buffer[:size])
                tail.note_state()
                self._send_out(tail, stream.fileno())

    def _buffer(self) -> memoryview:
        """This thread's own."""
        found: memoryview | None = getattr(self._buffers, "own", None)
        if found is None:
            found = self._buffers.own = memoryview(bytearray(_PIECE))
        return found

    def _send_out(self, tail: Tail, fd: int) -> None:
        """What is on its way to disk early need not be waited for at the end."""
        if self._durable and tail.hashed - tail.sent >= _SENT_AT_ONCE:
            start_writing_out(fd, tail.sent, tail.hashed - tail.sent)
            tail.sent = tail.hashed
