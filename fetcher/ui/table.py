"""Tables that fit the terminal: cells are shortened, then whole columns go, by their rank.

What goes into a pipe or a file is whole: nobody looks at it who could scroll.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from fetcher.fs.safe_paths import printable
from fetcher.i18n import harmless, local
from fetcher.ui import terminal
from fetcher.ui.terminal import End, pad, shorten, width_of

_GAP = "  "
_INDENT = 2  # of a text's further lines
_ENOUGH = 28  # columns that a cell gets before others lack any
_LEAST_TEXT = 24  # in fewer columns a text stands below its row


@dataclass(frozen=True)
class Column:
    """One column. Where there is no room, higher ranks are shortened and dropped first.

    `least`: it may be shortened to so many columns, 0: not at all; `at`: where cells are cut.
    `wrap`: a text, in the last column, that goes on in further lines instead; where that would be
    too narrow, it stands below its row.
    """

    title: str = ""
    rank: int = 0  # 0: never dropped
    least: int = 0
    at: End = "end"
    right: bool = False
    wrap: bool = False


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    stream: TextIO | None = None,
    heading: bool = True,
) -> None:
    """Print a heading and rows, on a terminal no wider than it is."""
    out = stream or sys.stdout
    width, mark = _room(out)
    for line in lines(columns, rows, width, mark)[0 if heading else 1 :]:
        print(line, file=out)


def print_text(text: str, stream: TextIO | None = None) -> None:
    """Print lines; on a terminal they are broken between words, what follows is indented."""
    out = stream or sys.stdout
    width, mark = _room(out)
    for line in harmless(local(text)).split("\n"):
        for part in [line] if width is None else wrapped(line, width, mark):
            print(part, file=out)


def print_cut(text: str, stream: TextIO | None = None) -> None:
    """Print one line; on a terminal it is shortened in its middle, where names are long."""
    out = stream or sys.stdout
    width, mark = _room(out)
    text = harmless(local(text))
    print(text if width is None else shorten(text, width, "middle", mark), file=out)


def _room(out: TextIO) -> tuple[int | None, str]:
    """How wide a line may be, None for as wide as it likes, and what stands for what is cut."""
    width = terminal.size(out).columns if terminal.is_terminal(out) else None
    return width, "…" if terminal.can_show(out, "…") else "..."


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
        *([_cell(c) for c in row] for row in rows),
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
    return [line for row in every for line in _lines_of(row, columns, shown, width, mark)]


def _cell(text: str) -> str:
    """A cell's text in one line, which does to a terminal nothing but show letters."""
    text = harmless(local(text))
    return text if text.isprintable() else printable(" ".join(text.split()))


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
        min(wide, column.least or (_LEAST_TEXT if column.wrap else wide))
        for column, wide in zip(columns, natural, strict=True)
    ]

    def needed() -> int:
        return sum(least[n] for n in kept) + len(_GAP) * (len(kept) - 1)

    if needed() > width and columns[-1].wrap and len(kept) > 1:
        kept.pop()
    while needed() > width and any(columns[n].rank for n in kept):
        # Of one rank, the last one goes.
        kept.remove(max(kept, key=lambda n: (columns[n].rank, n)))
    spare = max(0, width - needed())
    shown = {n: least[n] for n in kept}
    # One long name must not take from all others what they need.
    for most in (_ENOUGH, width):
        for n in sorted(kept, key=lambda n: (columns[n].rank, n)):
            more = max(0, min(spare, min(natural[n], most) - shown[n]))
            shown[n] += more
            spare -= more
    if (lacking := needed() - width) > 0:  # what may not be dropped is shortened all the same
        widest = max(kept, key=lambda n: shown[n])
        shown[widest] = max(1, shown[widest] - lacking)
    return shown


def _lines_of(
    row: Sequence[str],
    columns: Sequence[Column],
    shown: dict[int, int],
    width: int | None,
    mark: str,
) -> list[str]:
    cells: list[str] = []
    further: list[str] = []
    for n, wide in shown.items():
        if n >= len(row):
            break
        if _reaches_over(row, n, columns):
            cells.append(row[n])
            break
        if columns[n].wrap and width is not None:
            if any("://" in word and width_of(word) > wide for word in row[n].split()):
                break
            first, *further = wrapped(row[n], wide, mark, hanging=0)
            cells.append(first)
            break
        cells.append(pad(shorten(row[n], wide, columns[n].at, mark), wide, columns[n].right))
    line = _GAP.join(cells).rstrip()
    if width is None:
        return [line]
    last = len(columns) - 1
    if columns[last].wrap and len(cells) == last < len(row) and row[last]:
        return [
            shorten(line, width, mark=mark),
            *wrapped(" " * _INDENT + row[last], width, mark, 0),
        ]
    start = " " * width_of(_GAP.join([*cells[:-1], ""]))
    return [shorten(line, width, mark=mark), *(start + text for text in further)]


def wrapped(text: str, width: int, mark: str = "…", hanging: int = _INDENT) -> list[str]:
    """The text in lines of so many columns, none broken within a word.

    A word that is longer is shortened in its middle. An address is not: it has a line of its own,
    as it is to be opened. Further lines are indented as the first, and by `hanging`.
    """
    if width_of(text) <= width:
        return [text]
    before = text[: len(text) - len(text.lstrip(" "))][: width // 2]
    after = (before + " " * hanging)[: width // 2]
    found: list[str] = []
    line = before
    empty = True
    for word in text.split():
        gap = "" if empty else " "
        if width_of(line) + len(gap) + width_of(word) <= width:
            line, empty = line + gap + word, False
            continue
        if not empty:
            found.append(line)
        if "://" in word:
            line = after + word if width_of(after + word) <= width else word
        else:
            line = after + shorten(word, width - width_of(after), "middle", mark)
        empty = False
    return [*found, line]


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
