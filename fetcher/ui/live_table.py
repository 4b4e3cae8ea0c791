"""A table of what is under way, redrawn on a terminal; in logs a line as each part ends."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

Row = tuple[str, ...]
_REDRAW_SECONDS = 0.2


class LiveTable:
    """Rows by name, in the order of `names`. What is drawn goes away with `end`."""

    def __init__(
        self,
        heading: Row,
        names: Sequence[str],
        stream: TextIO | None = None,
        quiet: bool = False,
    ) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self.terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._heading = heading
        self._done: dict[str, Row] = {}
        self._names = list(names)
        self._begun: dict[str, float] = {}
        self._drawn = 0
        self._last = 0.0

    def finish(self, name: str, row: Row) -> None:
        """One part has ended; `row` begins with its name."""
        self._done[name] = row
        if not self._quiet and not self.terminal:
            print("  ".join(cell for cell in row if cell != "-"), file=self._stream, flush=True)

    def tick(self, doing: Mapping[str, str]) -> None:
        """Redraw if it is time; `doing` says what each running part is at."""
        now = time.monotonic()
        for name in doing:
            self._begun.setdefault(name, now)
        if self._quiet or not self.terminal or now - self._last < _REDRAW_SECONDS:
            return
        self._last = now
        rows = [self._heading, *(self._row(name, doing, now) for name in self._names)]
        self._draw(columns(rows))

    def end(self) -> None:
        """Take the table away."""
        self._draw([])

    def _row(self, name: str, doing: Mapping[str, str], now: float) -> Row:
        if name in self._done:
            return self._done[name]
        if name in doing:
            return (name, f"{now - self._begun[name]:.0f} s", doing[name])
        return (name, "", "waiting")

    def _draw(self, lines: Sequence[str]) -> None:
        if self._drawn:
            print(f"\x1b[{self._drawn}F\x1b[J", end="", file=self._stream)
        size = shutil.get_terminal_size()
        shown = [line[: size.columns - 1] for line in lines]
        if len(shown) >= size.lines:  # what has scrolled away cannot be redrawn
            shown = [*shown[: size.lines - 2], "…"]
        for line in shown:
            print(line, file=self._stream)
        self._stream.flush()
        self._drawn = len(shown)


def columns(rows: Sequence[Row]) -> list[str]:
    """Lines with the cells of each column below each other; rows may be of different lengths."""
    count = max(len(row) for row in rows)
    # A row's last cell does not make its column wider, unless all rows have it.
    widths = [
        max((len(row[n]) for row in rows if len(row) > n and (n < len(row) - 1)), default=0)
        for n in range(count)
    ]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
