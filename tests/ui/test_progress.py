"""The bar as a terminal shows it: recorded frames at 40, 80 and 200 columns."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Problem
from fetcher.sources.base import FileEntry
from fetcher.ui import frame, screen, terminal
from fetcher.ui.bar import NotebookBar
from fetcher.ui.events import Events
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
from fetcher.ui.progress import Progress
from fetcher.ui.terminal import width_of

from .screens import Terminal

STATES = st.sampled_from([ASKING, WAITING, DOWNLOADING, CHECKING, UNPACKING, PLACING])
NAMES = st.text(st.sampled_from("abc/한글._-{}é"), min_size=1, max_size=80)
ROWS = st.lists(
    st.builds(
        lambda name, state, there, size, rate: FileProgress(
            InFlight(
                name, state, there, size, there, "host.example", time.monotonic() + there % 90
            ),
            rate,
        ),
        NAMES,
        STATES,
        st.integers(0, 10**13),
        st.none() | st.integers(0, 10**13),
        st.none() | st.floats(0, 1e12),
    ),
    max_size=5,
)
FIGURES = st.builds(
    Figures,
    st.integers(0, 10**14),
    st.integers(0, 10**14),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**4),
    st.floats(0, 1),
    st.none() | st.floats(0, 1e11),
    st.none() | st.floats(0, 360_000),
    ROWS.map(tuple),
    st.lists(NAMES, max_size=3).map(tuple),
)


@given(FIGURES, st.integers(1, 220))
def test_no_line_is_ever_wider_than_the_terminal(figures: Figures, width: int) -> None:
    for line in frame.lines(figures, width):
        assert width_of(line.before) + line.bar + width_of(line.after) <= max(width, 4)
        assert "\n" not in line.before + line.after


def test_no_line_is_wider_in_korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_LANG", "ko")
    monkeypatch.setattr("fetcher.i18n.catalogs._current", None, raising=False)
    name = "아주긴이름" * 12
    rows = [
        FileProgress(InFlight(name, state, 7 << 20, size, 7 << 20, name, time.monotonic() + 9), 1e6)
        for state in (ASKING, WAITING, DOWNLOADING, CHECKING, UNPACKING, PLACING)
        for size in (None, 9 << 20)
    ]
    figures = Figures(7 << 20, 9 << 20, 1, 12_345, 2, 0.5, 1e6, 4000.0, tuple(rows), (name,), 1)
    for width in range(1, 220):
        for line in frame.lines(figures, width):
            assert width_of(line.before) + line.bar + width_of(line.after) <= max(width, 4)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setattr("fetcher.ui.progress._PATIENCE_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch


def sized(monkeypatch: pytest.MonkeyPatch, stream: Terminal, columns: int, lines: int = 24) -> None:
    stream.screen.resize(lines, columns)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))


class Show:
    """A run of three files, told to a Progress that redraws at every tick."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int, lines: int = 24) -> None:
        self.stream = Terminal(columns, lines)
        sized(monkeypatch, self.stream, columns, lines)
        self.progress = Progress(self.stream)
        self.progress._pause = 0.0
        self.now = 100.0
        self.progress.meter._clock = lambda: self.now
        self.flying: list[InFlight] = []
        self.progress.begin(3, 2_800_000_000)
        self.progress.watch(lambda: self.flying)

    def tick(
        self, *flying: InFlight, seconds: float = 1.0, waiting: list[str] | None = None
    ) -> None:
        self.now += seconds
        self.flying = list(flying)
        self.progress.tick(lambda: waiting or [])


UNET = InFlight("sd15/unet/model.safetensors", DOWNLOADING, 500_000_000, 2_000_000_000, 500_000_000)
VAE = InFlight("sd15/vae/model.safetensors", WAITING, 0, 800_000_000, 0, "cdn.example")


def test_eighty_columns(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 80)
    show.tick(seconds=0.1)
    show.tick(UNET, VAE._replace(until=time.monotonic() + 12.3), seconds=4.9)
    assert show.stream.shown == [
        "0/3 files             ━╸────────   17%    0.50/2.80 GB  100.0 MB/s  23 s left",
        "  sd15/unet/…tensors  ━━╸───────   25%    0.50/2.00 GB",
        "  sd15/vae/m…tensors  ──────────    0%    0.0/800.0 MB  waiting 12 s for cdn.e…",
    ]


def test_forty_columns_keep_share_bytes_and_time_left(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 40)
    show.tick(UNET._replace(bytes=1000, received=0))
    show.tick(UNET, VAE)
    first = show.stream.shown[0]
    assert re.match(r" 17%    0\.50/2\.80 GB  \d s left$", first), first
    assert all(width_of(line) < 40 for line in show.stream.shown)
    assert show.stream.shown[1].startswith("  sd15/unet/") and show.stream.shown[1].endswith("25%")


def test_two_hundred_columns_show_all(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 200)
    show.tick(seconds=0.1)
    show.tick(UNET, VAE, seconds=4.9, waiting=["hub.example (30 s, HTTP 429)"])
    whole, unet, vae, waiting = show.stream.shown
    assert "━" * 6 in whole and "23 s left" in whole and "100.0 MB/s" in whole
    assert unet.startswith("  sd15/unet/model.safetensors  ") and "25%" in unet
    assert vae.endswith("waiting for cdn.example")
    assert waiting == "  waiting for hub.example (30 s, HTTP 429)"
    # Bars and figures stand below each other.
    assert whole.index("%") == unet.index("%") == vae.index("%")
    assert re.search("[━─╸]", whole).start() == re.search("[━─╸]", unet).start()  # type: ignore[union-attr]


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_frames_are_whole_and_nothing_stays_behind(clean: pytest.MonkeyPatch, columns: int) -> None:
    show = Show(clean, columns)
    size = 2_000_000_000
    for step in range(20):
        flying = [UNET._replace(bytes=size * step // 20, received=size * step // 20)]
        if step % 3:  # a second file comes and goes
            flying.append(VAE)
        show.tick(*flying)
        if step == 10:
            show.progress.say("a message that stays")
    assert all(len(frame) <= 4 for frame in show.stream.frames)
    shares = [
        int(found[1])
        for frame in show.stream.frames
        for line in [line for line in frame if "message" not in line][:1]
        if (found := re.search(r"(\d+)%", line))
    ]
    assert len(shares) >= 20 and shares == sorted(shares) and shares[-1] < 100
    late = show.stream.frames[-1]
    assert late[0] == "a message that stays"[:columns]
    show.progress.end()
    assert "".join(show.stream.shown).startswith("a message that stays")
    assert len(show.stream.shown) == 1


def test_a_frame_is_one_write(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 80)
    show.tick(UNET, VAE)
    before = len(show.stream.raw)
    show.tick(UNET, VAE)
    assert len(show.stream.raw) == before + 1
    assert "\x1b[J" not in show.stream.raw[-1] and "\x1b[2K" not in show.stream.raw[-1]


def test_a_terminal_that_becomes_narrow_is_begun_anew(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 200)
    show.tick(UNET, VAE)
    sized(clean, show.stream, 60)
    show.stream.screen.reset()
    show.tick(UNET, VAE)
    show.tick(UNET, VAE)
    assert len(show.stream.shown) == 3 and all(width_of(line) < 60 for line in show.stream.shown)


def test_a_low_terminal_shows_the_whole(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 80, lines=3)
    for _ in range(3):
        show.tick(UNET, VAE, waiting=["x (1 s)"])
    assert "files" in show.stream.shown[0] and len(show.stream.shown) <= 2


def test_lines_of_other_threads_stand_above(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 80, lines=60)
    show.tick(UNET, VAE)

    def talk(name: str) -> None:
        for n in range(5):
            screen.write_line(f"{name} says {n}", show.stream)

    threads = [threading.Thread(target=talk, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for _ in range(20):
        show.tick(UNET, VAE, seconds=0.1)
    for thread in threads:
        thread.join()
    shown = show.stream.shown
    assert sorted(shown[:15]) == sorted(f"{c} says {n}" for c in "abc" for n in range(5))
    assert len(shown) == 18 and "files" in shown[15]


def test_warnings_of_others_stand_above(clean: pytest.MonkeyPatch) -> None:
    """Whoever writes to stderr or stdout meanwhile knows of no bar, and tears nothing."""
    show = Show(clean, 80)
    out = show.stream
    clean.setattr(sys, "stderr", out)
    clean.setattr(sys, "stdout", out)
    show.tick(UNET, VAE)
    bar = list(out.shown)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        clean.setattr(warnings, "showwarning", _as_python_does)
        warnings.warn("something is deprecated", stacklevel=1)
    print("a line ", end="")
    print("of stdout")
    assert out.shown[0].endswith("something is deprecated")
    assert out.shown[1] == "a line of stdout" and out.shown[2:] == bar
    show.tick(UNET, VAE)
    print("and a begun one", end="", file=sys.stderr)
    assert len(out.shown) == 5
    show.progress.end()
    assert out.shown[-1] == "and a begun one"
    assert sys.stderr is out and sys.stdout is out


def _as_python_does(message: Warning | str, *_: object, **__: object) -> None:
    print(f"x.py:1: Warning: {message}", file=sys.stderr)


def test_colours_only_where_they_are_welcome(clean: pytest.MonkeyPatch) -> None:
    show = Show(clean, 80)
    show.tick(UNET)
    assert "\x1b[32m" in "".join(show.stream.raw)
    clean.setenv("NO_COLOR", "1")
    show = Show(clean, 80)
    show.progress.meter.failed = 1
    show.tick(UNET, VAE)
    assert "waiting for" in show.stream.shown[2] and "1 failed" in show.stream.shown[0]
    assert not re.search(r"\x1b\[\d*m", "".join(show.stream.raw))
    assert "━" in show.stream.shown[0]


def test_letters_where_the_encoding_has_no_bars(clean: pytest.MonkeyPatch) -> None:
    clean.setattr(Terminal, "encoding", "ascii")
    show = Show(clean, 80)
    show.tick(UNET)
    assert all(line.isascii() for line in show.stream.shown) and "#" in show.stream.shown[0]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_no_terminal_gets_plain_lines(clean: pytest.MonkeyPatch, term: str) -> None:
    clean.setenv("TERM", term)
    stream = Terminal(80) if term == "dumb" else io.StringIO()
    progress = Progress(stream)
    progress._pause = 0.0
    progress.begin(1, 100)
    progress.watch(lambda: [InFlight("a", DOWNLOADING, 30, 100, 30)])
    progress.tick()
    progress.end()
    text = "".join(stream.raw) if isinstance(stream, Terminal) else stream.getvalue()
    assert text == "30 B of 100 B  0/1 files\n"


def test_a_short_run_loads_no_tqdm(clean: pytest.MonkeyPatch) -> None:
    clean.setattr("fetcher.ui.progress._PATIENCE_SECONDS", 60.0)
    clean.delitem(sys.modules, "tqdm.auto", raising=False)
    show = Show(clean, 80)
    show.tick(UNET)
    show.progress.end()
    assert not show.stream.raw and "tqdm.auto" not in sys.modules


def test_quiet_draws_nothing_and_imports_nothing(clean: pytest.MonkeyPatch) -> None:
    stream = Terminal(80)
    clean.delitem(sys.modules, "tqdm.auto", raising=False)
    progress = Progress(stream, quiet=True)
    progress._pause = 0.0
    progress.begin(1, 100)
    progress.tick()
    progress.file_failed("x", FileEntry("a"), Problem("network", "gone"))
    progress.end()
    assert not stream.raw and "tqdm.auto" not in sys.modules


def test_events_have_the_numbers_of_the_bar(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setattr("fetcher.ui.progress._EVENT_SECONDS", 0.0)
    stream = Terminal(200)
    sized(clean, stream, 200)
    progress = Progress(stream, events=Events(tmp_path / "events"))
    progress._pause = 0.0
    progress.begin(2, 2_800_000_000)
    progress.watch(lambda: [UNET])
    progress.tick()
    progress.events.close()
    event = json.loads((tmp_path / "events").read_text("utf-8").splitlines()[-1])
    assert event["bytes"] == 500_000_000 and event["share"] == 0.1786
    assert event["rate"] is None and event["seconds_left"] is None
    assert event["in_flight"][0] == {
        "file": "sd15/unet/model.safetensors",
        "state": "downloading",
        "bytes": 500_000_000,
        "size": 2_000_000_000,
        "rate": None,
        "seconds_left": None,
        "stage": None,
        "host": "",
    }
    assert "17%" in stream.shown[0] and "0.50/2.80 GB" in stream.shown[0]


@pytest.fixture
def notebook(clean: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What tqdm and we take for the kernel of a notebook."""
    import IPython
    from IPython.core.interactiveshell import InteractiveShell

    clean.setattr(IPython, "get_ipython", lambda: InteractiveShell.__new__(InteractiveShell))
    clean.setitem(sys.modules, "ipykernel.zmqshell", ModuleType("ipykernel.zmqshell"))
    for name in ("tqdm.auto", "tqdm.autonotebook"):
        clean.delitem(sys.modules, name, raising=False)
    return clean


def test_a_notebook_gets_a_widget(notebook: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress._pause = 0.0
    progress.begin(4, 1000)
    rows = [InFlight("a/big.bin", DOWNLOADING, 1 << 20, 3 << 20, 300)]
    progress.watch(lambda: rows)
    progress.tick()
    bar = progress._bar
    assert isinstance(bar, NotebookBar)
    widget, row = bar._whole.container, bar._rows[0].container  # type: ignore[attr-defined]
    before, gauge, after = row.children
    assert type(gauge).__name__ == "FloatProgress" and gauge.value / gauge.max == 0.3333
    assert before.value == "33%" and words(after) == "a/big.bin  1.0/3.1 MB"
    assert words(widget.children[2]) == "1.0 kB of 1.0 kB  0/4 files" and row.comm is not None
    rows.clear()
    progress._seen_at = 0.0
    progress.tick()
    assert row.layout.display == "none" and widget.layout.display != "none"
    progress.say("a line of the cell")
    progress.end()
    assert widget.comm is None and row.comm is None
    assert stream.getvalue() == "a line of the cell\n"


def words(html: Any) -> str:
    return str(html.value).replace("\u2007", " ")  # a space as wide as a figure


def test_size_is_of_the_stream_that_is_drawn_on(clean: pytest.MonkeyPatch) -> None:
    inside, outside = os.openpty()
    with open(outside, "w", encoding="utf-8") as stream:  # noqa: PTH123
        import fcntl
        import struct
        import termios

        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 7, 33, 0, 0))
        assert terminal.size(stream) == (33, 7)
    os.close(inside)
    assert terminal.size(io.StringIO()) == (80, 24)
    clean.setenv("COLUMNS", "-3")
    assert terminal.size(io.StringIO()).columns == 80
