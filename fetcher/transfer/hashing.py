"""Digests of large bodies while they arrive, read back from the page cache in large blocks.

Hashing each 16 kB piece in the download's own thread would cost the loop its time, and hashing
small pieces in another thread would cost it the interpreter lock; large blocks do neither.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fetcher.fs.atomic import BLOCK, git_blob_hasher, start_writing_out
from fetcher.fs.safe_paths import native
from fetcher.i18n import t

# Read at a time, into one buffer: fresh memory for each piece would cost more than the digest.
_PIECE = 512 << 10
_SENT_AT_ONCE = 8 << 20


@dataclass(eq=False)
class Tail:
    """A file that grows; `written` is how far, `done` whether that is its end.

    `stepwise`: the digest of its beginning is wanted too, in `state`.
    """

    path: str
    git_size: int | None = None
    stepwise: bool = False
    written: int = 0
    done: bool = False
    hashed: int = 0
    state: tuple[int, Any] = (0, None)  # how far, and the sha256 up to there, as one value
    sent: int = 0  # so far the system was told to bring it to disk
    dropped: bool = False
    finished: bool = False
    sha256: Any = field(default_factory=hashlib.sha256)
    git: Any = None
    error: Exception | None = None
    then: Callable[[], None] = lambda: None

    def digests(self) -> tuple[str, str]:
        """(sha256, git blob id or ""), once finished. Raises what broke the reading."""
        if self.error:
            raise self.error
        return self.sha256.hexdigest(), self.git.hexdigest() if self.git else ""


class TailHasher:
    """One thread that hashes every growing file in turn."""

    def __init__(self, durable: bool = True) -> None:
        self._durable = durable
        self._tails: list[Tail] = []
        self._wake = threading.Condition()
        self._buffer = memoryview(bytearray(_PIECE))
        self._stop = False
        self._thread: threading.Thread | None = None

    def follow(self, path: str, git_size: int | None, stepwise: bool = False) -> Tail:
        """Start to follow a file from its beginning."""
        tail = Tail(path, git_size, stepwise)
        if git_size is not None:
            tail.git = git_blob_hasher(git_size)
        with self._wake:
            self._tails.append(tail)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hasher", daemon=True)
            self._thread.start()
        return tail

    def grown(self, tail: Tail, written: int) -> None:
        """Say how far the file has grown; wakes the thread for a block's worth."""
        tail.written = written
        if written - tail.hashed >= BLOCK:
            with self._wake:
                self._wake.notify()

    def finish(self, tail: Tail, written: int, then: Callable[[], None]) -> None:
        """The file has its full length; `then` is called in the thread when all is hashed."""
        with self._wake:
            tail.written, tail.then, tail.done = written, then, True
            self._wake.notify()

    def drop(self, tail: Tail) -> None:
        """Forget a file that starts anew or failed."""
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

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stop and not (ready := self._ready()):
                    self._wake.wait()
                if self._stop:
                    return
            for tail in ready:
                self._advance(tail)

    def _ready(self) -> list[Tail]:
        self._tails = [t for t in self._tails if not t.dropped and not t.finished]
        # One that broke stays as it is until it is finished or dropped.
        return [t for t in self._tails if t.done or (not t.error and t.written - t.hashed >= BLOCK)]

    def _advance(self, tail: Tail) -> None:
        try:
            self._hash(tail)
        except Exception as error:  # the thread must live on for the other files
            tail.error = error
        if not tail.dropped and tail.done and (tail.error or tail.hashed >= tail.written):
            tail.finished = True
            tail.then()

    def _hash(self, tail: Tail) -> None:
        with open(native(tail.path), "rb", buffering=0) as stream:  # noqa: PTH123
            stream.seek(tail.hashed)
            while not (tail.dropped or self._stop) and tail.hashed < tail.written:
                left = tail.written - tail.hashed
                if left < _PIECE and not tail.done:
                    return
                size = stream.readinto(self._buffer[: min(left, _PIECE)])
                if not size:
                    raise OSError(errno.EIO, t("the file ends early"), tail.path)
                block = self._buffer[:size]
                tail.sha256.update(block)
                if tail.git:
                    tail.git.update(block)
                tail.hashed += size
                if tail.stepwise:
                    tail.state = tail.hashed, tail.sha256.copy()
                if self._durable and tail.hashed - tail.sent >= _SENT_AT_ONCE:
                    # What is on its way to disk early need not be waited for at the end.
                    start_writing_out(stream.fileno(), tail.sent, tail.hashed - tail.sent)
                    tail.sent = tail.hashed
