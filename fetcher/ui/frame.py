"""One frame of the bar: what stands in which column, for any width.

3/12 files        ━━━━━━━━━╸────────   43%    1.24/2.80 GB   45.1 MB/s  36 s left
  unet/model.bin  ━━━━━━━━━━━╸──────   61%    0.61/1.00 GB   22.3 MB/s  17 s left
  vae/model.bin   ━━━━━━━━━━━━━━━━━━   99%    0.33/0.33 GB  checking
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from fetcher.fs.safe_paths import printable
from fetcher.i18n import join, local, t
from fetcher.ui.meter import (
    ASKING,
    CHECKING,
    DOWNLOADING,
    PLACING,
    UNPACKING,
    WAITING,
    Figures,
    FileProgress,
    InFlight,
)
from fetcher.ui.terminal import pad, shorten, width_of
from fetcher.ui.units import human_bytes, human_seconds, human_share

_GAP = "  "
_PERCENT, _BYTES, _RATE, _LEFT = 4, 14, 10, 11
_FIGURES = _PERCENT + _BYTES + _RATE + _LEFT + 3 * len(_GAP)
_STATE = _RATE + len(_GAP) + _LEFT
_SHORTEST_LABEL, _LONGEST_LABEL = 16, 48
_SHORTEST_BAR, _LONGEST_BAR = 6, 40
_INDENT = "  "
_DOING = {
    ASKING: t("asking"),
    CHECKING: t("checking"),
    UNPACKING: t("unpacking"),
    PLACING: t("placing"),
}

# What a line is about, for its colours.
WHOLE, FILE, HELD, FAILED = "whole", "file", "held", "failed"


class Line(NamedTuple):
    """One line: a text, a bar of `bar` columns that is `share` full, a text. No bar: 0 columns.

    `accent` is a part of one of the texts that stands out, as what `tone` says.
    """

    before: str
    share: float = 0.0
    bar: int = 0
    after: str = ""
    kind: str = FILE
    accent: str = ""
    tone: str = ""


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
        text = shorten(_INDENT + waiting, width, mark=mark)
        found.append(Line(text, accent=text.strip(), tone=HELD))
    return found


def waiting_for(figures: Figures) -> str:
    """Which hosts everybody waits for; "" if there are none."""
    if not figures.waiting:
        return ""
    return printable(local(t("waiting for {hosts}", hosts=join(figures.waiting))))


def percent(share: float) -> str:
    """A share in whole percent, rounded down: 100% is when nothing is missing."""
    return f"{int(share * 100 + 1e-6)}%"


def _cell(text: str, width: int) -> str:
    """A figure in its column; one that is too long for it would shift all others."""
    return pad(shorten(text, width), width, right=True)


def _failed(figures: Figures) -> str:
    return str(local(t("{files:,} failed", files=figures.failed))) if figures.failed else ""


def _files(figures: Figures, width: int) -> str:
    """How many files are there; what failed is the last to go where there is no room."""
    failed = _failed(figures)
    text = local(t("{done:,}/{total:,} files", done=figures.files, total=figures.total_files))
    short = f"{figures.files:,}/{figures.total_files:,}"
    ranked = [f"{text}, {failed}", f"{short}, {failed}", failed] if failed else [text, short]
    fitting = (one for one in ranked if width_of(one) <= width)
    return next(fitting, shorten(ranked[-1], width))


def _bytes(figures: Figures) -> str:
    """The bytes there, of those that are known to come; + where more will."""
    more = figures.unknown_files > 0
    if more and figures.bytes >= figures.total_bytes:
        return human_bytes(figures.bytes)
    share = human_share(figures.bytes, figures.total_bytes)
    return share.replace(" ", "+ ") if more else share


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{human_bytes(rate)}/s"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else local(t("{time} left", time=human_seconds(max(1.0, seconds))))


def _total(figures: Figures, label: int, bar: int) -> Line:
    cells = (
        _cell(percent(figures.share), _PERCENT),
        _cell(_bytes(figures), _BYTES),
        _cell(_rate(figures.rate), _RATE),
        shorten(_left(figures.seconds_left), _LEFT),
    )
    text = pad(_files(figures, label), label) + _GAP
    after = (_GAP if bar else "") + _GAP.join(cells).rstrip()
    return Line(text, figures.share, bar, after, WHOLE, _failed(figures), FAILED)


def share_of(row: FileProgress) -> float | None:
    """How much of a file is there; all of it is not in its place yet."""
    if row.share is not None or not row.file.size:
        return row.share
    return min(row.file.bytes / row.file.size, 0.99)


def _row(row: FileProgress, label: int, bar: int, mark: str, now: float) -> Line:
    file, share = row.file, share_of(row)
    name = _INDENT + _shortened(file.name, label - len(_INDENT), mark)
    doing = shorten(_doing(file, now), _STATE, mark=mark)
    cells = (
        _cell("" if share is None else percent(share), _PERCENT),
        _cell(human_share(file.bytes, file.size) if file.size else human_bytes(file.bytes), _BYTES),
        doing or _cell(_rate(row.rate), _RATE),
        "" if doing else shorten(_left(row.seconds_left), _LEFT),
    )
    after = (_GAP if bar else "") + _GAP.join(cells).rstrip()
    return Line(
        pad(name, label) + _GAP, share or 0.0, bar, after, FILE, doing, _tone_of(file.state)
    )


def _shortened(name: str, width: int, mark: str) -> str:
    return shorten(printable(name), width, "middle", mark)


def _tone_of(state: str) -> str:
    return HELD if state == WAITING else FILE


def _doing(file: InFlight, now: float) -> str:
    """What becomes of a file that no bytes arrive of."""
    if file.state == DOWNLOADING:
        return ""
    host = printable(file.host)
    if file.state == WAITING:
        left = file.until - now
        until = f" {human_seconds(left)}" if left >= 1 else ""
        said = t("waiting{until}", until=until)
        if host:
            said = t("waiting{until} for {host}", until=until, host=host)
        return local(said)
    done = "" if file.stage is None else percent(min(file.stage, 0.99))
    return " ".join(filter(None, (local(_DOING.get(file.state, file.state)), host, done)))


def _short_total(figures: Figures, width: int) -> Line:
    """The columns that there is room for, the most important first; the rest is the bar's."""
    failed = _failed(figures)
    ranked = (  # place in the line, columns, text
        (0, _PERCENT, _cell(percent(figures.share), _PERCENT)),
        (3, _LEFT, shorten(_left(figures.seconds_left), _LEFT)),
        (1, _BYTES, _cell(_bytes(figures), _BYTES)),
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
    line = Line("", figures.share, bar, _GAP + after) if bar >= _SHORTEST_BAR else Line(after)
    return line._replace(kind=WHOLE, accent=failed, tone=FAILED)


def _short_row(row: FileProgress, width: int, mark: str, now: float) -> Line:
    file, share = row.file, share_of(row)
    doing = shorten(_doing(file, now), width // 2, mark=mark)
    tail = doing
    if not doing:
        tail = human_bytes(file.bytes) if share is None else _cell(percent(share), _PERCENT)
    room = width - len(_INDENT) - width_of(tail) - len(_GAP)
    if room < 4:
        return Line(shorten(_INDENT + printable(file.name), width, mark=mark))
    name = pad(_shortened(file.name, room, mark), room)
    return Line(f"{_INDENT}{name}{_GAP}{tail}", accent=doing, tone=_tone_of(file.state))


def plain(figures: Figures) -> str:
    """All of it as one line of a log."""
    parts = [
        t(
            "{done} of {total}",
            done=human_bytes(figures.bytes),
            total=human_bytes(figures.total_bytes) + ("+" if figures.unknown_files else ""),
        ),
        t("{done}/{total} files", done=figures.files, total=figures.total_files),
        _rate(figures.rate),
        _left(figures.seconds_left),
        _failed(figures),
        waiting_for(figures) or _handled(figures),
    ]
    return _GAP.join(local(part) for part in parts if part)


def plain_row(row: FileProgress) -> str:
    """One file as a line without columns."""
    file = row.file
    there = human_share(file.bytes, file.size) if file.size else human_bytes(file.bytes)
    doing = _doing(file, time.monotonic())
    parts = (there, doing or _rate(row.rate), "" if doing else _left(row.seconds_left))
    return _GAP.join(filter(None, (printable(file.name), *parts)))


def _handled(figures: Figures) -> str:
    """What is being done where no bytes arrive."""
    busy = [row.file for row in figures.rows]
    if not busy or any(file.state == DOWNLOADING for file in busy):
        return ""
    return f"{_doing(busy[0], time.monotonic())} {printable(busy[0].name)}".strip()


def chosen(rows: Sequence[FileProgress], lines_of_terminal: int) -> Sequence[FileProgress]:
    """No more rows than a low terminal can hold beside the whole."""
    return rows[: max(0, lines_of_terminal - 3)]
