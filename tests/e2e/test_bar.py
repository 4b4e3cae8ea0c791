"""The bar of real runs, as a terminal shows it: slow, storming, resuming and failing servers."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pyte
import pytest

from fetcher.commands import run
from tests.conftest import write_project
from tests.kit import payload, sha256, wait_for
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer
from tests.ui.screens import Terminal


@dataclass
class Recording:
    """What a terminal showed of a run, and when, in seconds since it began."""

    frames: list[list[str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    cursor_shown: bool = True
    status: int = 0

    def bars(self) -> list[tuple[float, list[str]]]:
        """The frames that have a bar."""
        return [
            (at, shown)
            for at, shown in zip(self.times, self.frames, strict=True)
            if any("%" in line for line in shown)
        ]

    @property
    def text(self) -> str:
        return "\n".join(line for frame in self.frames for line in frame)


def record(
    root: Path,
    columns: int,
    *arguments: str,
    kill_at: int = 101,
    with_signal: int = signal.SIGKILL,
    resize: Sequence[int] = (),
) -> Recording:
    """A run in a terminal of so many columns, then of each of `resize`.

    It gets a signal at that percentage.
    """
    child, terminal = pty.fork()
    if not child:
        os.chdir(root)
        os.environ.update(TERM="xterm-256color", COLUMNS="", LINES="")
        os.execv(sys.executable, [sys.executable, "-m", "fetcher", *arguments])
    screen = pyte.Screen(columns, 24)
    stream = pyte.ByteStream(screen)
    found = Recording()
    sizes = list(resize)
    began = time.monotonic()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    while time.monotonic() < began + 60:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:
            break  # the other side has ended
        stream.feed(data)
        shown = [line.rstrip() for line in screen.display if line.strip()]
        if not found.frames or shown != found.frames[-1]:
            found.frames.append(shown)
            found.times.append(time.monotonic() - began)
        share = max((int(n) for line in shown for n in re.findall(r"(\d+)%", line)), default=0)
        if share >= kill_at:
            os.kill(child, with_signal)
            kill_at = 101
        if sizes and share >= 20:
            columns = sizes.pop(0)
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            screen.resize(24, columns)
    found.status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    found.cursor_shown = not screen.cursor.hidden
    return found


def frames(root: Path, columns: int, *arguments: str, kill_at: int = 101) -> list[list[str]]:
    """What a terminal of so many columns shows during a run, which is killed at that percentage."""
    return record(root, columns, *arguments, kill_at=kill_at).frames


def shares(seen: list[list[str]]) -> list[int]:
    """The whole's share, frame by frame; of two, one is what a line that moves has yet to erase."""
    whole = re.compile(r"(\d+)%  +[\d.]+/3\.1 MB")
    lines = [
        [int(found[1]) for line in frame[-6:] if (found := whole.search(line))] for frame in seen
    ]
    return [max(found) for found in lines if found]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_never_runs_backwards(project: Path, hub: HubServer, columns: int) -> None:
    hub.cdn.faults.add("GET", "slow", rate=1_500_000)
    hub.faults.add("GET /o/m/resolve/.*config", "status", code=429, retry_after=2, times=1)
    hub.cdn.faults.add("GET", "cut", n=800_000, times=2)
    seen = frames(project, columns, "all")
    found = shares(seen)
    assert len(set(found)) >= 3 and found == sorted(found)
    lines = [line for frame in seen for line in frame]
    assert all(len(line) <= columns for line in lines)
    assert any("waiting for " in line for line in lines)
    if columns >= 80:
        assert any(re.search(r"\d s left", line) for line in lines)
        assert any(re.search(r"m/model\.saf|m/mo.*tensors", line) for line in lines)
    # Nothing of it stays behind.
    assert not any("━" in line or "%" in line for line in seen[-1])
    assert re.search(r"placed 3, [\d.]+ s\s*in models/", " ".join(seen[-1]))


def test_what_was_there_moves_the_bar_and_is_no_speed(project: Path, hub: HubServer) -> None:
    hub.cdn.faults.add("GET", "slow", rate=500_000)
    first = shares(frames(project, 80, "all", kill_at=40))
    assert first and max(first) >= 40
    seen = frames(project, 80, "all")
    found = shares(seen)
    assert found[0] >= 25 and found == sorted(found)
    rates = [
        float(number) * {"k": 1e3, "M": 1e6}[unit]
        for frame in seen
        for number, unit in re.findall(r"([\d.]+) ([kM])B/s", " ".join(frame))
    ]
    assert rates and max(rates) < 1_200_000


def test_a_failure_never_ends_at_a_hundred(project: Path, hub: HubServer) -> None:
    hub.cdn.faults.add("GET", "slow", rate=1_500_000)
    hub.faults.add("GET /o/m/resolve/.*vocab", "status", code=404)
    seen = frames(project, 80, "all")
    assert 0 < max(shares(seen)) < 100
    assert any("1 failed" in line for frame in seen for line in frame)


def percents(found: Recording, column: str = r"\d[\d,]*/\d[\d,]* files?") -> list[int]:
    """The whole's share, frame by frame."""
    lines = (line for _, shown in found.bars() for line in shown if re.match(column, line))
    return [int(match[1]) for line in lines if (match := re.search(r"(\d+)%", line))]


def test_what_is_unpacked_is_shown_ten_times_a_second(tmp_path: Path) -> None:
    """A zip is read at its end: unpacking begins when all is there, and takes longer than that."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for n in range(300):
            archive.writestr(f"d/{n}.bin", b"\x80\x02" + payload(20_000, n) + b"\0" * 1_000_000)
    with FileServer() as server:
        url = server.add("data.zip", packed.getvalue())
        server.faults.add("GET", "slow", rate=8_000_000)
        manifest = f"artifacts:\n  m:\n    source: {url}\n    unpack: true\n"
        write_project(tmp_path, "p", manifest, "tree:\n  models/: m\n")
        found = record(tmp_path, 80, "all", "--json-events", "events")
    assert found.status == 0
    shares = percents(found)
    assert shares == sorted(shares) and len(set(shares)) > 5 and shares[-1] == 99
    assert re.search(r"m/data.zip +\S+ +99% +(\S+)/\1 MB  unpacking \d+%", found.text)
    assert not re.search(r"\d+/\d+ files .* left.*\n.*unpacking", found.text)
    # Neither more often, nor ever still.
    times = [at for at, _ in found.bars()]
    gaps = sorted(later - at for at, later in pairwise(times))
    assert len(times) <= 11 * (times[-1] - times[0]) + 2
    assert gaps[len(gaps) // 2] < 0.16 and gaps[-1] < 1, gaps[-5:]
    # The same numbers for programs, with a last word.
    events = [json.loads(line) for line in (tmp_path / "events").read_text("utf-8").splitlines()]
    told = [event for event in events if event["event"] == "progress"]
    assert [e["share"] for e in told] == sorted(e["share"] for e in told)
    assert told[-1]["share"] == 1 and told[-1]["bytes"] == told[-1]["total_bytes"]
    assert all(event["share"] < 1 for event in told[:-1])
    states = {row["state"] for event in told for row in event["in_flight"]}
    assert {"downloading", "unpacking"} <= states


def test_what_is_placed_from_the_store_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetcher.ui.progress._PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("fetcher.ui.progress._REDRAW_SECONDS", 0.005)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add_repo("o/m", {f"d{n % 9}/{n}.json": b'{"n": %d}' % n for n in range(600)})
        for name in ("one", "two"):
            terminal = Terminal(80)
            monkeypatch.setattr(sys, "stderr", terminal)
            root = tmp_path / name
            write_project(
                root, "p", "artifacts:\n  m:\n    source: hf:o/m\n", "tree:\n  models/: m\n"
            )
            monkeypatch.chdir(root)
            assert run(["all", "--link", "copy"]) == 0
    text = "\n".join(line for shown in terminal.frames for line in shown)
    counts = [int(n) for n in re.findall(r"(\d+)/600 files", text)]
    assert counts == sorted(counts) and len(set(counts)) >= 5
    shares = [int(n) for n in re.findall(r"files .* (\d+)%", text)]
    assert shares == sorted(shares) and max(shares) <= 99 and "MB/s" not in text
    assert terminal.shown == []


def test_what_pip_moves_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"\x80\x02}q\x00." + payload(3_000_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("weights/a.pth", data)
        about = "weights-1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    name = "weights-1.0-py3-none-any.whl"
    with FileServer() as server:
        page = f'<a href="/{name}">{name}</a>'.encode()
        server.add("simple/weights/", page, content_type="text/html")
        server.add(name, packed.getvalue())
        server.faults.add("GET .*whl", "slow", rate=1_500_000)
        server.faults.add("GET /gone", "status", code=404)
        for key, value in (("INDEX_URL", server.url + "/simple/"), ("CONFIG_FILE", os.devnull)):
            monkeypatch.setenv(f"PIP_{key}", value)
        monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        manifest = (
            f"artifacts:\n  m:\n    source: {server.url}/gone\n"
            "    mirrors: ['pypi:weights==1.0:weights']\n"
            f"    files: {{a.pth: {{size: {len(data)}, sha256: {sha256(data)}}}}}\n"
        )
        write_project(tmp_path, "p", manifest, "tree:\n  models/: m\n")
        found = record(tmp_path, 80, "all")
    assert found.status == 0, found.text
    moved = [float(n) for n in re.findall(r"  weights==1.0 +[━╸─]+ +([\d.]+) MB", found.text)]
    assert len(set(moved)) >= 3 and moved == sorted(moved)
    assert re.search(r"  weights==1.0 .*[kM]B/s", found.text)
    assert re.search(r"m/a.pth .*waiting for weights", found.text)
    shares = percents(found)
    assert len(set(shares)) >= 3 and shares == sorted(shares)


def test_a_terminal_of_other_sizes_and_a_word_from_the_keyboard(
    project: Path, hub: HubServer
) -> None:
    hub.cdn.faults.add("GET", "slow", rate=1_200_000)
    found = record(project, 120, "all", resize=[50, 90], kill_at=80, with_signal=signal.SIGINT)
    assert found.status == 130 and found.cursor_shown
    shares = [int(n) for n in re.findall(r"(\d+)% +[\d.]+/3\.1 MB  ", found.text)]
    assert len(shares) > 8
    for _, shown in found.bars()[-5:]:  # nothing of the wider ones has stayed
        assert len([line for line in shown if "/3.1 MB" in line]) <= 2
    assert not any("━" in line or "%" in line for line in found.frames[-1])


def test_what_another_run_brings_is_shown(
    tmp_path_factory: pytest.TempPathFactory, project: Path, hub: HubServer
) -> None:
    hub.cdn.faults.add("GET", "slow", rate=1_000_000)
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(project, other, dirs_exist_ok=True)
    first = subprocess.Popen(
        [sys.executable, "-m", "fetcher", "all", "--quiet"], cwd=other, stdout=subprocess.DEVNULL
    )
    wait_for(lambda: any(request.target.startswith("/o/m/") for request in hub.requests))
    wait_for(lambda: any("safetensors" in r.target for r in hub.requests))
    found = record(project, 80, "all")
    assert first.wait(60) == 0 and found.status == 0
    assert "waiting for PID" in found.text and "downloaded 0 B" in found.text
    rows = [int(n) for n in re.findall(r"m/model.\S+ .* (\d+)% .*MB  waiting", found.text)]
    assert len(set(rows)) >= 3 and rows == sorted(rows)
    assert percents(found) == sorted(percents(found))
