"""Tables that fit the terminal: cells are shortened, then whole columns go, by their rank.

What goes into a pipe or a file is whole: nobody looks at it who could scroll.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from fetcher.i18n import local
from fetcher.ui import terminal
from fetcher.ui.terminal import End, pad, shorten, width_of

_GAP = "  "


@dataclass(frozen=True)
class Column:
    """One column. Where there is no room, higher ranks are shortened and dropped first.

    `least`: it may be shortened to so many columns, 0: not at all; `at`: where cells are cut.
    """

    title: str
    rank: int = 0  # 0: never dropped
    least: int = 0
    at: End = "end"
    right: bool = False


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: TextIO | None = None
) -> None:
    """Print a heading and rows, on a terminal no wider than it is."""
    out = stream or sys.stdout
    width = terminal.size(out).columns if terminal.is_terminal(out) else None
    mark = "…" if terminal.can_show(out, "…") else "..."
    for line in lines(columns, rows, width, mark):
        print(line, file=out)


def lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None = None,
    mark: str = "…",
) -> list[str]:
    """The table's lines, heading first; `width` None: as wide as it likes.

    A row may be short: its last cell then reaches over the columns that it does not have.
    """
    every = [
        [local(column.title) for column in columns],
        *([local(c) for c in row] for row in rows),
    ]
    natural = [
        max(
            (
                width_of(row[n])
                for row in every
                if len(row) > n and not _reaches_over(row, n, columns)
            ),
            default=0,
        )
        for n in range(len(columns))
    ]
    shown = _fitting(columns, natural, width)
    return [_line(row, columns, shown, width, mark) for row in every]


def _reaches_over(row: Sequence[str], n: int, columns: Sequence[Column]) -> bool:
    return n == len(row) - 1 < len(columns) - 1


def _fitting(
    columns: Sequence[Column], natural: Sequence[int], width: int | None
) -> dict[int, int]:
    """Which columns are shown, and how wide: those of low rank get what they need first."""
    kept = list(range(len(columns)))
    if width is None:
        return {n: natural[n] for n in kept}
    least = [
        min(wide, column.least) if column.least else wide
        for column, wide in zip(columns, natural, strict=True)
    ]

    def needed() -> int:
        return sum(least[n] for n in kept) + len(_GAP) * (len(kept) - 1)

    while needed() > width and any(columns[n].rank for n in kept):
        # Of one rank, the last one goes.
        kept.remove(max(kept, key=lambda n: (columns[n].rank, n)))
    spare = max(0, width - needed())
    shown = {n: least[n] for n in kept}
    for n in sorted(kept, key=lambda n: (columns[n].rank, n)):
        more = min(spare, natural[n] - least[n])
        shown[n] += more
        spare -= more
    return shown


def _line(
    row: Sequence[str],
    columns: Sequence[Column],
    shown: dict[int, int],
    width: int | None,
    mark: str,
) -> str:
    cells = []
    for n, wide in shown.items():
        if n >= len(row):
            break
        if _reaches_over(row, n, columns):
            cells.append(row[n])
            break
        cells.append(pad(shorten(row[n], wide, columns[n].at, mark), wide, columns[n].right))
    line = _GAP.join(cells).rstrip()
    return line if width is None else shorten(line, width, mark=mark)


def without_empty(
    columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> tuple[list[Column], list[list[str]]]:
    """The table without columns of which every cell is empty or `-`; rank 0 stays."""
    kept = [
        n
        for n, column in enumerate(columns)
        if not column.rank or any(row[n] not in {"", "-"} for row in rows)
    ]
    return [columns[n] for n in kept], [[row[n] for n in kept] for row in rows]
