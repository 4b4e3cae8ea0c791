"""What a worker process has been given to get, and what it reports of it."""

from __future__ import annotations

import hashlib
import marshal
import os
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from fetcher.fs.atomic import git_blob_hasher, write_new
from fetcher.fs.pointers import POINTER_BYTES, is_pointer
from fetcher.fs.private_files import unique_name
from fetcher.store.store import private_prefix

# url, headers, size, sha256, git blob: what a worker needs to know of a download.
Task = tuple[str, tuple[tuple[str, str], ...], int, str | None, str | None]
# host, seconds (None: it does not say), status: how a server asked for patience.
Asked = tuple[str, float | None, int]

LONGEST = 64 << 10  # bytes of a packet: the first task's number, and tasks
LENGTH = struct.Struct("<I")  # of a report
_REPORT = 40  # results in one message: what a worker that dies has not told is brought again
_LOOK_SECONDS = 0.5
_SLOW_SECONDS = 3.0  # of a request, before it is compared with others …
_FAR = 8.0  # … and given back if it is so many times slower …
_LONG_SECONDS = 5.0  # … and would take so long
_NEWEST = 0.1  # weight of the newest rate in the usual one
_MOST_SLOW = 8  # given back by one worker: if there are more, all are slow


class Tasks:
    """The tasks of one worker, by number. `folder` is where proven bodies are written.

    `halted`: nothing more is to be taken.
    """

    def __init__(self, packets: socket.socket, writer: int, folder: str) -> None:
        self.halted = False
        self._packets = packets
        self._writer = writer
        self._folder = folder
        self._mine: list[tuple[int, Task]] = []  # the next one last
        self._done: list[tuple[Any, ...]] = []
        self._back: list[int] = []

    def has_next(self, wait: bool = True) -> bool:
        """Whether there is one to begin; `wait` for it, unless there will be none."""
        if not self._mine and not self.halted:
            self._receive(0 if wait else socket.MSG_DONTWAIT)
        return bool(self._mine)

    def _receive(self, flags: int) -> None:
        try:
            packet = self._packets.recv(LONGEST, flags)
        except BlockingIOError:
            return
        if not packet:
            self.halted = True
            return
        start, tasks = marshal.loads(packet)
        self._mine = list(enumerate(tasks, start))
        self._mine.reverse()

    def first(self) -> Task:
        """The next one, which stays."""
        return self._mine[-1][1]

    def next(self) -> tuple[int, Task]:
        """The next one."""
        return self._mine.pop()

    def take(self, index: int, task: Task, body: bytes) -> None:
        """Prove a body, and write it to a private file; what is wrong goes back."""
        _, _, size, known, known_git_blob = task
        sha256, git_blob = hashlib.sha256(body).hexdigest(), ""
        if known_git_blob is not None:
            hasher = git_blob_hasher(len(body))
            hasher.update(body)
            git_blob = hasher.hexdigest()
        right = sha256 == (known or sha256) and git_blob == (known_git_blob or "")
        if not right or len(body) != size or (size <= POINTER_BYTES and is_pointer(body)):
            self.give_back(index)
            return
        path = f"{self._folder}{os.sep}{private_prefix(sha256)}{unique_name()}"
        try:
            stat = write_new(path, body)
        except OSError:
            self.give_back(index, halt=True)
            return
        self._done.append((index, path, sha256, git_blob, *stat))
        self._report_many()

    def give_back(self, index: int, halt: bool = False, asked: Asked | None = None) -> None:
        """Leave one to the engine; `halt`: all that has not begun as well."""
        self._back.append(index)
        if halt and not self.halted:
            self.halted = True
            self._back += [index for index, _ in self._mine]
            self._mine.clear()
            self.report(halt=True, asked=asked)
        self._report_many()

    def _report_many(self) -> None:
        if len(self._done) + len(self._back) >= _REPORT:
            self.report()

    def report(self, halt: bool = False, asked: Asked | None = None) -> None:
        """Tell what is done, and what goes back."""
        message = marshal.dumps((self._done, self._back, halt, asked))
        self._done.clear()
        self._back.clear()
        data = memoryview(LENGTH.pack(len(message)) + message)
        while data:
            data = data[os.write(self._writer, data) :]

    def make_folder(self) -> None:
        """Make the folder for bodies."""
        with suppress(OSError):  # the first file will tell
            os.mkdir(self._folder)


class Laggards:
    """Finds requests that bring their bodies far more slowly than the others did."""

    def __init__(self) -> None:
        self._usual = 0.0  # bytes a second of one request
        self._found = 0
        self._look_at = 0.0

    def measured(self, size: int, began: float) -> None:
        """A body of so many bytes, which was asked for at time.monotonic() `began`, has come."""
        rate = size / max(time.monotonic() - began, 1e-6)
        self._usual += (rate - self._usual) * (_NEWEST if self._usual else 1.0)

    def may_look(self, now: float) -> bool:
        """Whether it is time to compare those that are under way."""
        if now < self._look_at or self._found >= _MOST_SLOW:
            return False
        self._look_at = now + _LOOK_SECONDS
        return True

    def is_one(self, size: int, came: int, seconds: float) -> bool:
        """Whether a request that has brought so many bytes so far is given up for that."""
        if seconds < _SLOW_SECONDS:
            return False
        rate = came / seconds
        slow = rate * _FAR < self._usual and size - came > rate * _LONG_SECONDS
        self._found += slow
        return slow
