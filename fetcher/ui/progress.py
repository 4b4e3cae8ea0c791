"""How a run goes on, told on stderr: a bar on a terminal or in a notebook, now and then a line
in logs, and events for programs.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.ui import screen, terminal
from fetcher.ui.events import Events
from fetcher.ui.meter import Figures, FileProgress, InFlight, Meter

if TYPE_CHECKING:
    from fetcher.sources.base import FileEntry
    from fetcher.ui.bar import Bar, NotebookBar

_REDRAW_SECONDS = 0.1
# A run that is over before needs no bar, and tqdm need not be loaded.
_PATIENCE_SECONDS = 0.3
_LOG_SECONDS = 5.0
_EVENT_SECONDS = 0.5
# Who moves bytes tells so often which files are on their way.
_LOOK_SECONDS = 0.05
_SHOWN_FAILURES = 10
_MOST_ROWS = 4

Watched = Callable[[], Sequence[InFlight]]


class Progress:
    """What has arrived, and how to say it. `quiet` shows only messages of trouble.

    A run begins with `begin` and ends with `end`. Whoever moves bytes calls `tick` again and
    again; between `start` and `pause` a thread draws, so that what takes long does not stop it.
    """

    def __init__(
        self, stream: TextIO | None = None, quiet: bool = False, events: Events | None = None
    ) -> None:
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.events = events or Events()
        self.redraws = terminal.is_terminal(self.stream) or terminal.in_notebook()
        self.meter = Meter()
        self._in_flight: Watched = list
        self._handled: list[Watched] = []
        # What the loop that moves bytes last told; other threads must not look into its tables.
        self._seen: tuple[Sequence[InFlight], tuple[str, ...]] = ((), ())
        self._seen_at = 0.0
        self._pause = _REDRAW_SECONDS if self.redraws else _LOG_SECONDS
        self._last = self._last_event = 0.0
        self._open = False  # between `begin` and `end`
        self._painter: threading.Thread | None = None
        self._paused = threading.Event()
        self._counting = threading.RLock()
        self._bar: Bar | NotebookBar | None = None
        # Loaded before, if anybody wants a log at all.
        self._log = sys.modules.get("fetcher.ui.log")

    def begin(self, files: int, total: int, unknown: int = 0, last: bool = True) -> None:
        """So many files and bytes are to come, those of `unknown` files not counted.

        `last`: else more may follow, until `end`. Where a run goes on, they add to it. From
        here on no thread draws until `start`: processes may be forked.
        """
        self.pause()
        with self._counting:
            if self._open:
                self.meter.more(files, total, unknown)
            else:
                self.meter.begin(files, total, unknown, last)
                self._last = time.monotonic()
                if self.redraws:
                    self._last += _PATIENCE_SECONDS - _REDRAW_SECONDS
            self._open = True
        self.events.send("begin", files=files, bytes=total)

    def start(self) -> None:
        """Draw from now on, whatever this thread does meanwhile."""
        if self._painter is not None or (self.quiet and not self.events.wanted):
            return
        from contextvars import copy_context  # a notebook knows by it which cell this is

        self._paused.clear()
        self._painter = threading.Thread(
            target=copy_context().run, args=(self._paint,), name="bar", daemon=True
        )
        self._painter.start()

    def pause(self) -> None:
        """Draw no more by a thread of its own."""
        if self._painter is not None:
            self._paused.set()
            self._painter.join()
            self._painter = None

    def _paint(self) -> None:
        try:
            due = time.monotonic()
            step = min(self._pause, _EVENT_SECONDS) if self.events.wanted else self._pause
            step = min(step, _EVENT_SECONDS)
            while not self._paused.wait(max(0.0, due - time.monotonic())):
                self._show(step / 2)
                due = max(due + step, time.monotonic())
        except (OSError, ValueError):
            pass  # the terminal is gone: the run goes on

    def watch(self, in_flight: Watched) -> None:
        """What tells, whenever it is asked by `tick`, which files are on their way."""
        self._in_flight = in_flight
        self._seen = ((), ())

    def watch_handled(self, handled: Watched) -> None:
        """What tells, in any thread, which files something is done to that have come."""
        self._handled.append(handled)

    def file_done(
        self,
        artifact: str,
        file: FileEntry,
        received: int,
        origin: str,
        expected: int | None = None,
        size: int | None = None,
        copied: int = 0,
    ) -> None:
        """One file of `size` bytes, as `begin` had `expected`, is in the store, and placed.

        Of its bytes, so many were `received` in this run, and `copied` on this machine.
        """
        with self._counting:
            self.meter.file_done(file.size if size is None else expected, received + copied, size)
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
        with self._counting:
            self.meter.advance(received, files)
        self.tick()

    def placed(self, size: int, files: int = 1) -> None:
        """So many bytes and files that were on this machine are in their places; any thread."""
        with self._counting:
            self.meter.advance(size, files, arrived=False)

    def elsewhere(self, size: int | None) -> None:
        """One file of `size` bytes comes with another that is yet to begin, or not at all."""
        with self._counting:
            self.meter.elsewhere(size)

    def again(self) -> None:
        """What has failed so far is tried once more: it begins anew."""
        with self._counting:
            self.meter.again()

    def file_failed(self, artifact: str, file: FileEntry, problem: Problem) -> None:
        """One file will not come."""
        with self._counting:
            self.meter.file_failed(file.size)
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
        """Take a look at what is on its way; `waiting` tells which hosts everybody waits for.

        Redraws if it is time, where no thread does.
        """
        now = time.monotonic()
        alone = self._painter is None
        if now - self._seen_at < _LOOK_SECONDS and not (alone and self._is_due(now)):
            return
        self._seen_at = now
        self._seen = (self._in_flight(), tuple(waiting()))
        if alone:
            self._show()

    def _is_due(self, now: float, early: float = 0.0) -> tuple[bool, bool] | None:
        """Whether to draw, and to send an event; None if neither."""
        draw = not self.quiet and now - self._last >= self._pause - early
        tell = self.events.wanted and now - self._last_event >= _EVENT_SECONDS - early
        return (draw, tell) if draw or tell else None

    def _show(self, early: float = 0.0) -> None:
        now = time.monotonic()
        due = self._is_due(now, early)
        if due is None:
            return
        draw, tell = due
        figures = self._figures()
        if tell:
            self._last_event = now
            self._send(figures)
        if draw:
            self._last = now
            self._draw(figures)

    def _figures(self) -> Figures:
        in_flight, waiting = self._seen
        handled = [file for look in self._handled for file in look()]
        with self._counting:
            return self.meter.look([*in_flight, *handled], _MOST_ROWS, waiting)

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

    def end(self, whole: bool = False) -> None:
        """The run is over: take the bar away; `whole`: all has come, and is in its place."""
        self.pause()
        self.watch(list)
        self._handled.clear()
        if whole:
            self.meter.complete()
        if self._open and self.events.wanted:
            self._send(self._figures())
        self._open = False
        with screen.lock:
            if self._bar is not None:
                self._bar.erase()
                self._bar = None

    def _send(self, figures: Figures) -> None:
        self.events.send(
            "progress",
            bytes=figures.bytes,
            total_bytes=figures.total_bytes,
            files=figures.files,
            total_files=figures.total_files,
            unknown_files=figures.unknown_files,
            failed=figures.failed,
            share=round(figures.share, 4),
            rate=_rounded(figures.rate),
            seconds_left=_rounded(figures.seconds_left, 1),
            waiting=list(figures.waiting),
            in_flight=[_event_of(row) for row in figures.rows],
        )


def _event_of(row: FileProgress) -> dict[str, object]:
    """A file on its way, for programs."""
    file = row.file
    return {
        "file": file.name,
        "state": file.state,
        "bytes": file.bytes,
        "size": file.size,
        "rate": _rounded(row.rate),
        "seconds_left": _rounded(row.seconds_left, 1),
        "stage": _rounded(file.stage, 4),
        "host": file.host,
    }


def _rounded(number: float | None, digits: int | None = None) -> float | None:
    return None if number is None else round(number, digits)
