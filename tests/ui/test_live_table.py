from __future__ import annotations

import io
import os
import re

import pytest

from fetcher.ui import live_table
from fetcher.ui.live_table import LiveTable
from fetcher.ui.screen import write_line
from fetcher.ui.table import Column

HEADING = (Column("NAME"), Column("PROBE", rank=1), Column("RESULT"), Column("LOAD", rank=2))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(written: str) -> list[str]:
    """What a terminal shows after the output: only `go up` and `clear below` are known."""
    lines = [""]
    for part in re.split(r"(\x1b\[\d*[FJ]|\n)", written):
        if part == "\n":
            lines.append("")
        elif part.endswith("F") and part.startswith("\x1b"):
            del lines[len(lines) - int(part[2:-1]) :]
            lines[-1] = ""
        elif not part.startswith("\x1b"):
            lines[-1] += part
    return lines[:-1]


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = os.terminal_size((80, 24))
    monkeypatch.setattr("fetcher.ui.terminal.size", lambda _: wide)
    monkeypatch.setattr(live_table, "_REDRAW_SECONDS", 0.0)


def test_a_terminal_sees_the_table_change_and_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    table = LiveTable(HEADING, ["one", "two"], stream)
    table.tick({"one": "importing torch"})
    shown = screen(stream.getvalue())
    assert shown[0].split() == ["NAME", "PROBE", "RESULT", "LOAD"]
    assert shown[1] == "one   0 s    importing torch"
    assert shown[2].split() == ["two", "waiting"]
    table.finish("one", ("one", "state-dict", "passed", "1.00 s"))
    table.tick({"two": "running"})
    shown = screen(stream.getvalue())
    assert len(shown) == 3 and shown[1].split()[-2:] == ["1.00", "s"] and "running" in shown[2]
    write_line("a line from elsewhere", stream)
    assert screen(stream.getvalue()) == ["a line from elsewhere", *shown]
    table.end()
    assert screen(stream.getvalue()) == ["a line from elsewhere"]


def test_a_low_screen_is_not_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    table = LiveTable(HEADING, [str(n) for n in range(100)], stream)
    table.tick({})
    table.tick({})
    shown = screen(stream.getvalue())
    assert len(shown) < 24 and shown[-1] == "…"


def test_a_log_gets_a_line_as_each_ends() -> None:
    stream = io.StringIO()
    table = LiveTable(HEADING, ["one", "two"], stream)
    table.tick({"one": "x"})
    table.finish("one", ("one", "state-dict", "failed", "-"))
    table.end()
    assert stream.getvalue() == "one  state-dict  failed\n"
    quiet = io.StringIO()
    LiveTable(HEADING, ["one"], quiet, quiet=True).finish("one", ("one",))
    assert quiet.getvalue() == ""
