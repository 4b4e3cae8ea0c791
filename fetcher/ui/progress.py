"""Progress on stderr: one line that is redrawn on a terminal, plain lines now and then in logs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from fetcher.errors import Problem
from fetcher.ui.events import Events

if TYPE_CHECKING:
    from fetcher.sources.base import FileEntry

_REDRAW_SECONDS = 0.1
_LOG_SECONDS = 5.0
_RATE_SECONDS = 5.0
_EVENT_SECONDS = 0.5
_SHOWN_FAILURES = 10


def human_bytes(count: float) -> str:
    """A byte count with a decimal unit, as `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.95:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """A duration as `12 s`, `3 min` or `2 h 05`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f}"


class Progress:
    """What has arrived, and how to say it. `quiet` shows only messages of trouble."""

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, events: Events | None = None
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.events = events or Events()
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.total_bytes = self.total_files = 0
        self.bytes = self.files = self.failed = 0
        self.live: Callable[[], int] = lambda: 0
        self._last = self._last_event = 0.0
        self._drawn = False
        self._samples: deque[tuple[float, int]] = deque()
        self._waiting: list[str] = []

    def begin(self, files: int, total: int) -> None:
        """So many files and bytes are to come."""
        self.total_files, self.total_bytes = files, total
        self._last = time.monotonic()
        self._samples.append((self._last, 0))
        self.events.send("begin", files=files, bytes=total)

    def file_done(self, artifact: str, file: FileEntry, received: int, origin: str) -> None:
        """One file is proven and in the store."""
        self.files += 1
        self.bytes += file.size if file.size is not None else received
        if self.events.wanted:
            self.events.send(
                "file",
                artifact=artifact,
                path=file.path,
                state="done",
                bytes=received,
                source=origin,
            )

    def advance(self, received: int, files: int = 0) -> None:
        """So many bytes and files more are done."""
        self.bytes += received
        self.files += files
        self.tick()

    def file_failed(self, artifact: str, file: FileEntry, problem: Problem) -> None:
        """One file will not come."""
        self.failed += 1
        self.events.send(
            "file",
            artifact=artifact,
            path=file.path,
            state="failed",
            code=problem.code,
            message=problem.message,
        )
        if self._drawn and self.failed <= _SHOWN_FAILURES:
            self._print(f"failed: {artifact}/{file.path}: {problem.message}")

    def say(self, message: str) -> None:
        """A line above the bar."""
        self.events.send("message", text=message)
        self._print(message)

    def _print(self, message: str) -> None:
        self._clear()
        print(message, file=self.stream, flush=True)

    def tick(self, waiting: Callable[[], list[str]] = list) -> None:
        """Redraw if it is time."""
        now = time.monotonic()
        if self.events.wanted and now - self._last_event >= _EVENT_SECONDS:
            self._last_event = now
            self._send(now, waiting())
        if self.quiet or now - self._last < (_REDRAW_SECONDS if self.terminal else _LOG_SECONDS):
            return
        self._last = now
        self._waiting = waiting()
        line = self._line(now)
        if self.terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r\x1b[K{line[: width - 1]}", end="", file=self.stream, flush=True)
            self._drawn = True
        else:
            print(line, file=self.stream, flush=True)

    def end(self) -> None:
        """Take the bar away."""
        self._clear()

    def _clear(self) -> None:
        if self._drawn:
            print("\r\x1b[K", end="", file=self.stream, flush=True)
            self._drawn = False

    def _measure(self, now: float) -> tuple[int, float]:
        """Bytes that have arrived, and how many come in a second just now."""
        done = min(self.bytes + self.live(), self.total_bytes or sys.maxsize)
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        first = self._samples[0]
        return done, (done - first[1]) / (now - first[0]) if now > first[0] else 0.0

    def _left(self, done: int, rate: float) -> float | None:
        """Seconds still to go, if that can be told."""
        return (self.total_bytes - done) / rate if rate > 0 and self.total_bytes > done else None

    def _send(self, now: float, waiting: list[str]) -> None:
        done, rate = self._measure(now)
        left = self._left(done, rate)
        self.events.send(
            "progress",
            bytes=done,
            total_bytes=self.total_bytes,
            files=self.files,
            total_files=self.total_files,
            failed=self.failed,
            rate=round(rate),
            seconds_left=None if left is None else round(left, 1),
            waiting=waiting,
        )

    def _line(self, now: float) -> str:
        done, rate = self._measure(now)
        parts = [f"{human_bytes(done)} of {human_bytes(self.total_bytes)}"]
        if self.terminal and self.total_bytes:
            share = done / self.total_bytes
            parts.insert(0, f"[{'#' * int(share * 24):<24}] {share:4.0%}")
        parts.append(f"{self.files}/{self.total_files} files")
        parts.append(f"{human_bytes(rate)}/s")
        if (left := self._left(done, rate)) is not None:
            parts.append(f"{human_seconds(left)} left")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self._waiting:
            parts.append("waiting for " + ", ".join(self._waiting))
        return "  ".join(parts)
