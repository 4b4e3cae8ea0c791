"""The bar, drawn by tqdm: one for the whole, and one below it for each file that is shown.

It never hides the cursor: whatever ends the process, the terminal is as it was.

What stands beside the bars, and how wide all is, comes from `frame`; tqdm draws the bars, moves
between the lines and speaks with notebooks. A frame goes to the terminal in one piece.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from typing import TYPE_CHECKING, Any, TextIO, cast

from fetcher.ui import frame, screen, terminal
from fetcher.ui.frame import Line
from fetcher.ui.meter import Figures

if TYPE_CHECKING:
    from tqdm.std import tqdm

_HEAVY, _PLAIN = "─╸━", "-#"
_STEPS = 10_000  # of a bar: shares are drawn, not bytes
_COLOUR = {frame.WHOLE: "green", frame.FILE: "cyan", frame.HELD: "yellow"}
_ACCENT = {frame.FILE: "\x1b[36m", frame.HELD: "\x1b[33m", frame.FAILED: "\x1b[31m"}
_MISSING = re.compile(r"(?<!─)─+(?=\x1b\[0m)")
_DIM, _PLAINLY = "\x1b[2m", "\x1b[0m"


class Bar:
    """A bar on a terminal. Drawn and erased with `screen.lock` held."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._frame = io.StringIO()
        self._bars: list[tqdm[Any]] = []
        rich = terminal.can_show(stream, _HEAVY + "…")
        self._charset, self._mark = (_HEAVY, "…") if rich else (_PLAIN, "...")
        self._colours = terminal.has_colour(stream)
        from tqdm.std import tqdm

        self._class = _quiet(tqdm)
        self._columns = 0

    def draw(self, figures: Figures) -> None:
        """Redraw everything as it stands now."""
        size = terminal.size(self.stream)
        figures = figures._replace(rows=tuple(frame.chosen(figures.rows, size.lines)))
        # The last column stays free: some terminals wrap when it is written.
        found = frame.lines(figures, size.columns - 1, self._mark)[: max(1, size.lines - 1)]
        self._refit(size.columns)
        self._resize(len(found))
        for bar, line in zip(self._bars, found, strict=True):
            self._set(bar, line, size.columns - 1)
        self._send()
        screen.show(self)

    def above(self, text: str) -> None:
        """Write lines, then what was drawn below them."""
        for bar in reversed(self._bars):
            bar.clear(nolock=True)
        self._frame.write(text)
        for bar in self._bars:
            bar.refresh(nolock=True)
        self._send()

    def erase(self) -> None:
        """Take everything away."""
        self._resize(0)
        self._send()
        screen.hide(self)

    def _refit(self, columns: int) -> None:
        """Begin anew in a terminal of another width: old lines may have wrapped."""
        if self._columns and columns != self._columns:
            self._frame.write("\r\x1b[J")
            for bar in self._bars:
                bar.sp = bar.status_printer(bar.fp)
        self._columns = columns

    def _resize(self, count: int) -> None:
        while len(self._bars) > count:
            self._bars.pop().close()
        while len(self._bars) < count:
            self._bars.append(
                self._class(
                    total=_STEPS,
                    file=cast("TextIO", self._frame),
                    position=len(self._bars),
                    leave=False,
                    ascii=self._charset,
                    bar_format=" ",
                    # How often is drawn, and whether it is a terminal, is decided here.
                    disable=False,
                    mininterval=0,
                    nrows=1000,
                )
            )

    def _set(self, bar: tqdm[Any], line: Line, width: int) -> None:
        middle = f"{{bar:{line.bar}}}" if line.bar else ""
        before, after = (self._accented(text, line) for text in (line.before, line.after))
        bar.bar_format = before + middle + after
        bar.colour = _COLOUR.get(line.kind) if self._colours else None
        bar.n = round(line.share * _STEPS)
        bar.ncols = width
        bar.refresh(nolock=True)

    def _accented(self, text: str, line: Line) -> str:
        """The text for tqdm, with what stands out in its colour."""
        colour = _ACCENT.get(line.tone) if self._colours and line.accent else None
        found = text.rfind(line.accent) if colour else -1
        if found < 0:
            return _escaped(text)
        end = found + len(line.accent)
        middle = _escaped(text[found:end])
        return f"{_escaped(text[:found])}{colour}{middle}{_PLAINLY}{_escaped(text[end:])}"

    def _send(self) -> None:
        text = self._frame.getvalue()
        if self._colours:  # what is still missing stands back
            text = _MISSING.sub(rf"{_PLAINLY}{_DIM}\g<0>", text)
        if self._bars:
            # In a terminal that becomes narrow, lines wrap: the cursor stays at their beginning.
            text += "\r"
        self._frame.seek(0)
        self._frame.truncate()
        self.stream.write(text)
        self.stream.flush()


class NotebookBar:
    """Widgets in a notebook: one for the whole, and one for each file that is shown.

    Without ipywidgets tqdm draws letters in the cell: then one line, for the whole.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no ipywidgets: bars of letters will do
            from tqdm.auto import tqdm as best

        self._class = _quiet(cast("type[tqdm[Any]]", best))
        self._whole = self._make()
        self._rows: list[tqdm[Any]] = []

    def _make(self) -> tqdm[Any]:
        return self._class(
            total=_STEPS,
            file=self.stream,
            leave=False,
            bar_format="{bar}",
            disable=False,
            mininterval=0,
        )

    def draw(self, figures: Figures) -> None:
        """Redraw everything as it stands now."""
        self._set(self._whole, figures.share, frame.plain(figures))
        if not hasattr(self._whole, "container"):
            return
        while len(self._rows) < len(figures.rows):
            self._rows.append(self._make())
        for bar, row in zip(self._rows, figures.rows, strict=False):
            self._set(bar, frame.share_of(row) or 0.0, frame.plain_row(row))
        for n, bar in enumerate(self._rows):
            # One that was closed cannot come back: it is hidden as long as nothing needs it.
            wanted = "inline-flex" if n < len(figures.rows) else "none"
            if cast("Any", bar).container.layout.display != wanted:
                cast("Any", bar).container.layout.display = wanted

    @staticmethod
    def _set(bar: tqdm[Any], share: float, text: str) -> None:
        bar.bar_format = f"{_escaped(frame.percent(share))}{{bar}}{_escaped(text)}"
        bar.n = round(share * _STEPS)
        bar.refresh(nolock=True)

    def above(self, text: str) -> None:
        """A cell's text stands by itself."""
        self.stream.write(text)

    def erase(self) -> None:
        """Take the widgets away."""
        for bar in (self._whole, *self._rows):
            bar.n = _STEPS  # else it stays, red: what went wrong is said in words
            bar.close()


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# A bar that nobody took away says nothing more when the process ends.
_QUIET = {"monitor_interval": 0, "__del__": lambda self: None}


def _quiet(kind: type[tqdm[Any]]) -> type[tqdm[Any]]:
    """tqdm's class without its thread and its lock between processes."""
    quiet = cast("type[tqdm[Any]]", type("Quiet", (kind,), _QUIET))
    quiet.set_lock(threading.RLock())
    return quiet


def make(stream: TextIO) -> Bar | NotebookBar:
    """What suits the stream: widgets in a notebook, else bars on a terminal."""
    return NotebookBar(stream) if terminal.in_notebook() else Bar(stream)
