"""What a stream can show: whether it is a terminal, how wide it is, how wide a text is on it."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import Literal, TextIO

_FALLBACK = os.terminal_size((80, 24))

_NO_WIDTH = {"Mn", "Me", "Cf"}

End = Literal["start", "middle", "end"]


def is_terminal(stream: TextIO) -> bool:
    """Whether lines of it can be redrawn."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows widgets."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "ipykernel.zmqshell" in sys.modules


def has_colour(stream: TextIO) -> bool:
    """Whether colours are shown, and welcome (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def can_show(stream: TextIO, text: str) -> bool:
    """Whether the stream's encoding has these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def size(stream: TextIO) -> os.terminal_size:
    """Columns and lines of this stream's terminal; stdout may be another thing altogether."""
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):
        found = _FALLBACK
    columns, lines = (_number(os.environ.get(name)) for name in ("COLUMNS", "LINES"))
    return os.terminal_size(
        (columns or found.columns or _FALLBACK.columns, lines or found.lines or _FALLBACK.lines)
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 6 else 0


def width_of(text: str) -> int:
    """How many columns a text takes: Korean and Chinese letters take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(char: str) -> int:
    # Accents, joiners and other marks; the vowels and finals of Korean syllables in pieces.
    if unicodedata.category(char) in _NO_WIDTH or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def pad(text: str, width: int, right: bool = False) -> str:
    """The text in so many columns."""
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def shorten(text: str, width: int, at: End = "end", mark: str = "…") -> str:
    """The text in at most so many columns; what is left out `at` one end, or between them."""
    if width_of(text) <= width:
        return text
    room = width - width_of(mark)
    if room <= 0:
        return _first(text, width)
    if at == "end":
        return _first(text, room).rstrip() + mark
    head = _first(text, room * 3 // 5) if at == "middle" else ""
    return head + mark + _first(text[::-1], room - width_of(head))[::-1]


def _first(text: str, width: int) -> str:
    """As much of a text as fits into so many columns."""
    if text.isascii():
        return text[: max(0, width)]
    for count, char in enumerate(text):
        width -= _width(char)
        if width < 0:
            return text[:count]
    return text
