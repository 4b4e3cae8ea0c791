"""One frame of the bar: what stands in which column, for any width.

3/12 files        ━━━━━━━━━╸────────   43%    1.24/2.80 GB   45.1 MB/s  36 s left
  unet/model.bin  ━━━━━━━━━━━╸──────   61%    0.61/1.00 GB   22.3 MB/s
  vae/model.bin   ━━━━━━━━━━━━━━━━━━   99%    0.33/0.33 GB  checking
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from fetcher.i18n import join, local, t
from fetcher.ui.meter import DOWNLOADING, WAITING, Figures, FileProgress, InFlight
from fetcher.ui.terminal import pad, shorten, width_of
from fetcher.ui.units import human_bytes, human_seconds, human_share

_GAP = "  "
_PERCENT, _BYTES, _RATE, _LEFT = 4, 14, 10, 11
_FIGURES = _PERCENT + _BYTES + _RATE + _LEFT + 3 * len(_GAP)
_SHORTEST_LABEL, _LONGEST_LABEL = 16, 48
_SHORTEST_BAR, _LONGEST_BAR = 6, 40
_INDENT = "  "


class Line(NamedTuple):
    """One line: a text, a bar of `bar` columns that is `share` full, a text. No bar: 0 columns."""

    before: str
    share: float = 0.0
    bar: int = 0
    after: str = ""


def lines(figures: Figures, width: int, mark: str = "…") -> list[Line]:
    """The whole and a line for each of its `rows`, none wider than `width`."""
    now = time.monotonic()
    room = width - _FIGURES - 2 * len(_GAP)
    if room < _SHORTEST_LABEL:
        found = [
            _short_total(figures, width),
            *(_short_row(r, width, mark, now) for r in figures.rows),
        ]
    else:
        label = max(_SHORTEST_LABEL, min(_LONGEST_LABEL, room * 2 // 3))
        bar = min(_LONGEST_BAR, room - label)
        bar = bar if bar >= _SHORTEST_BAR else 0
        label = label if bar else min(_LONGEST_LABEL, room + len(_GAP))
        found = [
            _total(figures, label, bar),
            *(_row(r, label, bar, mark, now) for r in figures.rows),
        ]
    if waiting := waiting_for(figures):
        found.append(Line(shorten(_INDENT + waiting, width, mark=mark)))
    return found


def waiting_for(figures: Figures) -> str:
    """Which hosts everybody waits for; "" if there are none."""
    if not figures.waiting:
        return ""
    return local(t("waiting for {hosts}", hosts=join(figures.waiting)))


def percent(share: float) -> str:
    """A share in whole percent, rounded down: 100% is when nothing is missing."""
    return f"{int(share * 100 + 1e-6)}%"


def _cell(text: str, width: int) -> str:
    """A figure in its column; one that is too long for it would shift all others."""
    return pad(shorten(text, width), width, right=True)


def _files(figures: Figures) -> str:
    text = t("{done:,}/{total:,} files", done=figures.files, total=figures.total_files)
    if figures.failed:
        text = t("{files}, {failed:,} failed", files=text, failed=figures.failed)
    return local(text)


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{human_bytes(rate)}/s"


def _left(figures: Figures) -> str:
    left = figures.seconds_left
    return "" if left is None else local(t("{time} left", time=human_seconds(left)))


def _total(figures: Figures, label: int, bar: int) -> Line:
    cells = (
        _cell(percent(figures.share), _PERCENT),
        _cell(human_share(figures.bytes, figures.total_bytes), _BYTES),
        _cell(_rate(figures.rate), _RATE),
        shorten(_left(figures), _LEFT),
    )
    text = pad(shorten(_files(figures), label), label)
    return Line(text + _GAP, figures.share, bar, (_GAP if bar else "") + _GAP.join(cells).rstrip())


def _row(row: FileProgress, label: int, bar: int, mark: str, now: float) -> Line:
    file = row.file
    name = _INDENT + shorten(file.name, label - len(_INDENT), "middle", mark)
    there = human_bytes(file.bytes)
    share = 0.0
    known = ""
    if file.size:
        share = min(file.bytes / file.size, 1.0)
        known, there = percent(min(share, 0.99)), human_share(file.bytes, file.size)
    doing = _doing(file, now)
    state = shorten(doing, _RATE + len(_GAP) + _LEFT, mark=mark)
    if not doing:
        state = _cell(_rate(row.rate), _RATE)
    cells = (_cell(known, _PERCENT), _cell(there, _BYTES), state)
    after = (_GAP if bar else "") + _GAP.join(cells).rstrip()
    return Line(pad(name, label) + _GAP, share, bar, after)


def _doing(file: InFlight, now: float) -> str:
    """What becomes of a file that no bytes arrive of."""
    if file.state == DOWNLOADING:
        return ""
    left = file.until - now
    until = f" {human_seconds(left)}" if file.state == WAITING and left >= 1 else ""
    if file.state == WAITING:
        said = t("waiting{until}", until=until)
        if file.host:
            said = t("waiting{until} for {host}", until=until, host=file.host)
        return local(said)
    return f"{file.state} {file.host}".rstrip()


def _short_total(figures: Figures, width: int) -> Line:
    """The columns that there is room for, the most important first; the rest is the bar's."""
    failed = local(t("{files:,} failed", files=figures.failed)) if figures.failed else ""
    ranked = (  # place in the line, columns, text
        (0, _PERCENT, _cell(percent(figures.share), _PERCENT)),
        (3, _LEFT, shorten(_left(figures), _LEFT)),
        (1, _BYTES, _cell(human_share(figures.bytes, figures.total_bytes), _BYTES)),
        (4, width_of(failed), failed),
        (2, _RATE, _cell(_rate(figures.rate), _RATE)),
    )
    shown: list[tuple[int, int, str]] = []
    room = width + len(_GAP)
    for column in ranked:
        if column[1] and column[1] + len(_GAP) <= room:
            room -= column[1] + len(_GAP)
            shown.append(column)
    after = _GAP.join(pad(text, wide) for _, wide, text in sorted(shown)).rstrip()
    bar = min(_LONGEST_BAR, room - len(_GAP))
    return Line("", figures.share, bar, _GAP + after) if bar >= _SHORTEST_BAR else Line(after)


def _short_row(row: FileProgress, width: int, mark: str, now: float) -> Line:
    file = row.file
    tail = _doing(file, now)
    if not tail and file.size:
        tail = _cell(percent(min(file.bytes / file.size, 0.99)), _PERCENT)
    elif not tail:
        tail = human_bytes(file.bytes)
    tail = shorten(tail, width // 2, mark=mark)
    room = width - len(_INDENT) - len(tail) - len(_GAP)
    if room < 4:
        return Line(shorten(_INDENT + file.name, width, mark=mark))
    name = pad(shorten(file.name, room, "middle", mark), room)
    return Line(f"{_INDENT}{name}{_GAP}{tail}")


def plain(figures: Figures) -> str:
    """All of it as one line of a log."""
    parts = [
        t(
            "{done} of {total}",
            done=human_bytes(figures.bytes),
            total=human_bytes(figures.total_bytes),
        ),
        t("{done}/{total} files", done=figures.files, total=figures.total_files),
        _rate(figures.rate),
        _left(figures),
        t("{files:,} failed", files=figures.failed) if figures.failed else "",
        waiting_for(figures),
    ]
    return _GAP.join(local(part) for part in parts if part)


def chosen(rows: Sequence[FileProgress], lines_of_terminal: int) -> Sequence[FileProgress]:
    """No more rows than a low terminal can hold beside the whole."""
    return rows[: max(0, lines_of_terminal - 3)]
