"""What is drawn on the terminal just now, so that lines written meanwhile stand above it."""

from __future__ import annotations

import sys
import threading
from typing import Any, Protocol, TextIO, cast

from fetcher.i18n import local


class Drawing(Protocol):
    """Something that is redrawn in place: a bar, a table."""

    stream: TextIO

    def above(self, text: str) -> None:
        """Write whole lines above it; called with `lock` held."""


# Held whenever something is drawn or written: lines come from any thread.
lock = threading.RLock()
_shown: list[Drawing] = []
_guarded: dict[str, _Above] = {}  # of sys, what stands there meanwhile


def show(drawing: Drawing) -> None:
    """This is on the screen from now on."""
    with lock:
        if drawing in _shown:
            return
        _shown.append(drawing)
        if drawing.stream in {sys.stdout, sys.stderr} and not _guarded:
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and stream.isatty():
                    _guarded[name] = _Above(stream, drawing)
                    setattr(sys, name, _guarded[name])


def hide(drawing: Drawing) -> None:
    """This is on the screen no more."""
    with lock:
        if drawing in _shown:
            _shown.remove(drawing)
        for name, guard in list(_guarded.items()):
            if guard.drawing is drawing:
                del _guarded[name]
                guard.end()
                if getattr(sys, name) is guard:
                    setattr(sys, name, guard.stream)


def write_line(text: str, stream: TextIO) -> None:
    """One line (or several) on a stream, in its reader's language, above what is drawn there."""
    text = local(text)
    with lock:
        for drawing in _shown:
            if drawing.stream is stream:
                drawing.above(text + "\n")
                return
        print(text, file=stream, flush=True)


class _Above:
    """Stands for a terminal's stream while something is drawn there: lines go above it.

    Who writes them, such as Python's warnings, knows of no drawing.
    """

    def __init__(self, stream: TextIO, drawing: Drawing) -> None:
        self.stream = stream
        self.drawing = drawing
        self._begun = ""

    def write(self, text: str) -> int:
        with lock:
            lines, newline, self._begun = (self._begun + text).rpartition("\n")
            if newline and self.drawing in _shown:
                self.drawing.above(lines + newline)
            elif newline:
                self.stream.write(lines + newline)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def end(self) -> None:
        """Write what has no end yet."""
        if self._begun:
            cast("Any", self.stream).write(self._begun)
            self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
