"""What is drawn on the terminal just now, so that lines written meanwhile stand above it."""

from __future__ import annotations

import threading
from typing import Protocol, TextIO

from fetcher.i18n import local


class Drawing(Protocol):
    """Something that is redrawn in place: a bar, a table."""

    stream: TextIO

    def above(self, text: str) -> None:
        """Write whole lines above it; called with `lock` held."""


# Held whenever something is drawn or written: lines come from any thread.
lock = threading.RLock()
_shown: list[Drawing] = []


def show(drawing: Drawing) -> None:
    """This is on the screen from now on."""
    with lock:
        if drawing not in _shown:
            _shown.append(drawing)


def hide(drawing: Drawing) -> None:
    """This is on the screen no more."""
    with lock:
        if drawing in _shown:
            _shown.remove(drawing)


def write_line(text: str, stream: TextIO) -> None:
    """One line (or several) on a stream, in its reader's language, above what is drawn there."""
    text = local(text)
    with lock:
        for drawing in _shown:
            if drawing.stream is stream:
                drawing.above(text + "\n")
                return
        print(text, file=stream, flush=True)
