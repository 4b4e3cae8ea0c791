"""A table of what is under way, redrawn on a terminal; in logs a line as each part ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from fetcher.ui import screen, table, terminal
from fetcher.ui.table import Column

Cells = tuple[str, ...]
_REDRAW_SECONDS = 0.2


class LiveTable:
    """Rows by name, in the order of `names`. What is drawn goes away with `end`."""

    def __init__(
        self,
        columns: Sequence[Column],
        names: Sequence[str],
        stream: TextIO | None = None,
        quiet: bool = False,
    ) -> None:
        self.stream = stream or sys.stderr
        self._quiet = quiet
        self.terminal = terminal.is_terminal(self.stream)
        self._columns = columns
        self._done: dict[str, Cells] = {}
        self._names = list(names)
        self._begun: dict[str, float] = {}
        self._rows: list[Cells] = []
        self._drawn = 0
        self._last = 0.0

    def finish(self, name: str, row: Cells) -> None:
        """One part has ended; `row` begins with its name."""
        self._done[name] = row
        if not self._quiet and not self.terminal:
            screen.write_line("  ".join(cell for cell in row if cell != "-"), self.stream)

    def tick(self, doing: Mapping[str, str]) -> None:
        """Redraw if it is time; `doing` says what each running part is at."""
        now = time.monotonic()
        for name in doing:
            self._begun.setdefault(name, now)
        if self._quiet or not self.terminal or now - self._last < _REDRAW_SECONDS:
            return
        self._last = now
        self._rows = [self._row(name, doing, now) for name in self._names]
        with screen.lock:
            self._draw(self._rows)
            screen.show(self)

    def above(self, text: str) -> None:
        """Write lines, then what was drawn below them."""
        self._clear()
        self.stream.write(text)
        self._draw(self._rows)

    def end(self) -> None:
        """Take the table away."""
        with screen.lock:
            self._clear()
            self.stream.flush()
            screen.hide(self)

    def _row(self, name: str, doing: Mapping[str, str], now: float) -> Cells:
        if name in self._done:
            return self._done[name]
        if name in doing:
            return (name, f"{now - self._begun[name]:.0f} s", doing[name])
        return (name, "", "waiting")

    def _draw(self, rows: Sequence[Cells]) -> None:
        self._clear()
        size = terminal.size(self.stream)
        shown = table.lines(self._columns, rows, size.columns - 1)
        if len(shown) >= size.lines:  # what has scrolled away cannot be redrawn
            shown = [*shown[: size.lines - 2], "…"]
        self.stream.write("".join(f"{line}\n" for line in shown))
        self.stream.flush()
        self._drawn = len(shown)

    def _clear(self) -> None:
        if self._drawn:
            self.stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0
