"""The bar of real runs, as a terminal shows it: slow, storming, resuming and failing servers."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from pathlib import Path

import pyte
import pytest

from tests.servers.hub import HubServer


def frames(root: Path, columns: int, *arguments: str, kill_at: int = 101) -> list[list[str]]:
    """What a terminal of so many columns shows during a run, which is killed at that percentage."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(root)
        os.environ.update(TERM="xterm-256color", COLUMNS="", LINES="")
        os.execv(sys.executable, [sys.executable, "-m", "fetcher", *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    screen = pyte.Screen(columns, 24)
    stream = pyte.ByteStream(screen)
    seen: list[list[str]] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 1 << 16)
        except OSError:
            break  # the other side has ended
        stream.feed(data)
        shown = [line.rstrip() for line in screen.display if line.strip()]
        if not seen or shown != seen[-1]:
            seen.append(shown)
        if any(share >= kill_at for share in shares([shown])):
            os.kill(child, 9)
    os.waitpid(child, 0)
    os.close(terminal)
    return seen


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
    assert "".join(seen[-1]).replace(" ", "").endswith("s")


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
