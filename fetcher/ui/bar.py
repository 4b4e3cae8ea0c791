"""The bar, drawn by tqdm: one for the whole, and one below it for each file that is shown.

What stands beside the bars, and how wide all is, comes from `frame`; tqdm draws the bars, moves
between the lines and speaks with notebooks. A frame goes to the terminal in one piece.
"""

from __future__ import annotations

import io
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


class Bar:
    """A bar on a terminal. Drawn and erased with `screen.lock` held."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._frame = io.StringIO()
        self._bars: list[tqdm[Any]] = []
        rich = terminal.can_show(stream, _HEAVY + "…")
        self._charset, self._mark = (_HEAVY, "…") if rich else (_PLAIN, "...")
        self._colours = terminal.has_colour(stream)
        self._class = _quiet_class()
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
            place = len(self._bars)
            self._bars.append(
                self._class(
                    total=_STEPS,
                    file=cast("TextIO", self._frame),
                    position=place,
                    leave=False,
                    ascii=self._charset,
                    colour=("cyan" if place else "green") if self._colours else None,
                    bar_format=" ",
                    # How often is drawn, and whether it is a terminal, is decided here.
                    disable=False,
                    mininterval=0,
                    nrows=1000,
                )
            )

    @staticmethod
    def _set(bar: tqdm[Any], line: Line, width: int) -> None:
        middle = f"{{bar:{line.bar}}}" if line.bar else ""
        bar.bar_format = _escaped(line.before) + middle + _escaped(line.after)
        bar.n = round(line.share * _STEPS)
        bar.ncols = width
        bar.refresh(nolock=True)

    def _send(self) -> None:
        text = self._frame.getvalue()
        self._frame.seek(0)
        self._frame.truncate()
        self.stream.write(text)
        self.stream.flush()


class NotebookBar:
    """A widget in a notebook; what files are on their way stands beside it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._bar = _quiet_class()(
            total=_STEPS, file=stream, leave=False, bar_format="{bar}", disable=False, mininterval=0
        )

    def draw(self, figures: Figures) -> None:
        """Redraw everything as it stands now."""
        self._bar.bar_format = (
            f"{_escaped(frame.percent(figures.share))}{{bar}}{_escaped(frame.plain(figures))}"
        )
        self._bar.n = round(figures.share * _STEPS)
        self._bar.refresh(nolock=True)

    def above(self, text: str) -> None:
        """A cell's text stands by itself."""
        self.stream.write(text)

    def erase(self) -> None:
        """Take the widget away."""
        self._bar.n = _STEPS  # else it stays, red: what went wrong is said in words
        self._bar.close()


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# A bar that nobody took away says nothing more when the process ends.
_QUIET = {"monitor_interval": 0, "__del__": lambda self: None}


def _quiet_class() -> type[tqdm[Any]]:
    """tqdm's class for this place, without its thread and its lock between processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets: bars of letters will do
        from tqdm.auto import tqdm as best

    quiet = cast("type[tqdm[Any]]", type("Quiet", (best,), _QUIET))
    quiet.set_lock(threading.RLock())
    return quiet


def make(stream: TextIO) -> Bar | NotebookBar:
    """What suits the stream: a widget in a notebook, else bars on a terminal."""
    return NotebookBar(stream) if terminal.in_notebook() else Bar(stream)
