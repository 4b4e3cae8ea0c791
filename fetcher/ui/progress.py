"""How a run goes on, told on stderr: a bar on a terminal or in a notebook, now and then a line
in logs, and events for programs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.ui import screen, terminal
from fetcher.ui.events import Events
from fetcher.ui.meter import Figures, InFlight, Meter

if TYPE_CHECKING:
    from fetcher.sources.base import FileEntry
    from fetcher.ui.bar import Bar, NotebookBar

_REDRAW_SECONDS = 0.1
# A run that is over before needs no bar, and tqdm need not be loaded.
_PATIENCE_SECONDS = 0.3
_LOG_SECONDS = 5.0
_EVENT_SECONDS = 0.5
_SHOWN_FAILURES = 10
_MOST_ROWS = 4


class Progress:
    """What has arrived, and how to say it. `quiet` shows only messages of trouble."""

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, events: Events | None = None
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.events = events or Events()
        self.redraws = terminal.is_terminal(self.stream) or terminal.in_notebook()
        self.meter = Meter()
        self._in_flight: Callable[[], Sequence[InFlight]] = list
        self._pause = _REDRAW_SECONDS if self.redraws else _LOG_SECONDS
        self._last = self._last_event = 0.0
        self._bar: Bar | NotebookBar | None = None
        # Loaded before, if anybody wants a log at all.
        self._log = sys.modules.get("fetcher.ui.log")

    def begin(self, files: int, total: int) -> None:
        """So many files and bytes are to come."""
        self.meter.begin(files, total)
        self._last = time.monotonic()
        if self.redraws:
            self._last += _PATIENCE_SECONDS - _REDRAW_SECONDS
        self.events.send("begin", files=files, bytes=total)

    def watch(self, in_flight: Callable[[], Sequence[InFlight]]) -> None:
        """What tells, whenever it is asked, which files are on their way."""
        self._in_flight = in_flight

    def file_done(self, artifact: str, file: FileEntry, received: int, origin: str) -> None:
        """One file is in the store, and placed."""
        self.meter.file_done(file.size, received)
        if self._log is not None:
            name = f"{artifact}/{file.path}"
            self._log.file_event("%s is there, %d bytes came from %s", name, received, origin)
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
        self.meter.advance(received, files)
        self.tick()

    def file_failed(self, artifact: str, file: FileEntry, problem: Problem) -> None:
        """One file will not come."""
        self.meter.failed += 1
        self.events.send(
            "file",
            artifact=artifact,
            path=file.path,
            state="failed",
            code=problem.code,
            message=problem.message,
        )
        if self._log is not None:
            name = f"{artifact}/{file.path}"
            self._log.file_event("%s failed: %s: %s", name, problem.code, problem.message)
        if self._bar is not None and self.meter.failed <= _SHOWN_FAILURES:
            screen.write_line(
                t(
                    "failed: {artifact}/{path}: {message}",
                    artifact=artifact,
                    path=file.path,
                    message=problem.message,
                ),
                self.stream,
            )

    def say(self, message: str) -> None:
        """A line above the bar."""
        self.events.send("message", text=message)
        if self._log is not None:
            self._log.told(message)
        screen.write_line(message, self.stream)

    def tick(self, waiting: Callable[[], list[str]] = list) -> None:
        """Redraw if it is time; `waiting` tells which hosts everybody waits for."""
        now = time.monotonic()
        draw = not self.quiet and now - self._last >= self._pause
        tell = self.events.wanted and now - self._last_event >= _EVENT_SECONDS
        if not (draw or tell):
            return
        figures = self.meter.look(self._in_flight(), _MOST_ROWS)
        figures = figures._replace(waiting=tuple(waiting()))
        if tell:
            self._last_event = now
            self._send(figures)
        if draw:
            self._last = now
            self._draw(figures)

    def _draw(self, figures: Figures) -> None:
        if not self.redraws:
            from fetcher.ui import frame

            screen.write_line(frame.plain(figures), self.stream)
            return
        with screen.lock:
            if self._bar is None:
                from fetcher.ui import bar

                self._bar = bar.make(self.stream)
            self._bar.draw(figures)

    def end(self) -> None:
        """Take the bar away."""
        self._in_flight = list
        with screen.lock:
            if self._bar is not None:
                self._bar.erase()
                self._bar = None

    def _send(self, figures: Figures) -> None:
        left, rate = figures.seconds_left, figures.rate
        self.events.send(
            "progress",
            bytes=figures.bytes,
            total_bytes=figures.total_bytes,
            files=figures.files,
            total_files=figures.total_files,
            failed=figures.failed,
            share=round(figures.share, 4),
            rate=None if rate is None else round(rate),
            seconds_left=None if left is None else round(left, 1),
            waiting=list(figures.waiting),
            in_flight=[
                {
                    "file": row.file.name,
                    "state": row.file.state,
                    "bytes": row.file.bytes,
                    "size": row.file.size,
                    "rate": None if row.rate is None else round(row.rate),
                    "host": row.file.host,
                }
                for row in figures.rows
            ],
        )
