"""Commands in a terminal of 80 x 24, as an asciinema recording (version 2)."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyte

from tests.pictures import scene

COLUMNS, LINES = 80, 24
PROMPT = "\x1b[32m$\x1b[0m "
_KEY_SECONDS, _BEFORE_ENTER, _READ_SECONDS = 0.04, 0.4, 1.6
_LONGEST_PAUSE = 1.0  # seconds; what takes longer is cut
# What is of the machine that records.
_OF_THE_MACHINE = (
    (re.compile(r"127\.0\.0\.1:\d+|localhost:\d+"), "huggingface.co"),
    (re.compile(r"[\d.]+ [GT]B free"), "250.0 GB free"),
    (re.compile(r"남은 디스크 [\d.]+ [GT]B"), "남은 디스크 250.0 GB"),
    (re.compile(r"\b\d{8}T\d{6}-\d+"), "20260101T090000-4242"),
)


@dataclass
class Recording:
    """What a terminal was sent, and when, in seconds since the beginning."""

    title: str
    events: list[tuple[float, str]] = field(default_factory=list)
    clock: float = 0.0

    def say(self, text: str, seconds: float = 0.0) -> None:
        """Something appears so many seconds after what came before it."""
        self.clock += seconds
        for pattern, instead in _OF_THE_MACHINE:
            text = pattern.sub(instead, text)
        self.events.append((round(self.clock, 2), text))

    def type(self, line: str) -> None:
        """Somebody types a line."""
        self.say(PROMPT)
        for letter in line:
            self.say(letter, _KEY_SECONDS)
        self.say("\r\n", _BEFORE_ENTER)

    def cast(self) -> str:
        """The file's text: a header and an event a line."""
        header = {
            "version": 2,
            "width": COLUMNS,
            "height": LINES,
            "title": self.title,
            "env": {"TERM": "xterm-256color", "SHELL": "/bin/sh"},
        }
        lines = [json.dumps(header, ensure_ascii=False)]
        lines += [json.dumps([at, "o", text], ensure_ascii=False) for at, text in self.events]
        return "\n".join(lines) + "\n"


def read_cast(text: str) -> Recording:
    """A recording of a file's text. Raises ValueError."""
    header, *lines = text.splitlines()
    found = Recording(str(json.loads(header)["title"]))
    for line in lines:
        at, _, said = json.loads(line)
        found.events.append((float(at), str(said)))
    found.clock = found.events[-1][0] if found.events else 0.0
    return found


def run(
    arguments: Sequence[str], root: Path, environment: dict[str, str]
) -> Iterator[tuple[float, str] | int]:
    """What a command writes to a terminal, with the seconds since the last; then its status."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(root)
        os.execve(arguments[0], [*arguments], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    last, left = time.monotonic(), b""
    while True:
        select.select([terminal], [], [])
        try:
            data = left + os.read(terminal, 1 << 16)
        except OSError:
            break  # the other side has ended
        text, left = _whole(data)
        now = time.monotonic()
        yield now - last, text
        last = now
    os.close(terminal)
    yield os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _whole(data: bytes) -> tuple[str, bytes]:
    """What of it are whole characters, and the rest."""
    for cut in range(4):
        try:
            return data[: len(data) - cut].decode(), data[len(data) - cut :]
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace"), b""


def record(
    title: str,
    root: Path,
    environment: dict[str, str],
    steps: Sequence[scene.Step] = scene.STEPS,
) -> Recording:
    """Steps of the scene, one after the other. Raises RuntimeError where one ends otherwise."""
    found = Recording(title)
    for step in steps:
        found.type(step.line)
        for came in run(scene.arguments(step), root, environment):
            if isinstance(came, tuple):
                found.say(came[1], min(came[0], _LONGEST_PAUSE))
            elif came != step.code:
                raise RuntimeError(f"{step.line}: exit code {came}, not {step.code}")
        found.say("", _READ_SECONDS)
    found.say(PROMPT)
    found.say("", _READ_SECONDS)
    return found


def screens(recording: Recording) -> Iterator[tuple[float, pyte.Screen]]:
    """The terminal after each event: one screen, which goes on changing."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.Stream(screen)
    for at, text in recording.events:
        stream.feed(text)
        yield at, screen


def said(recording: Recording) -> dict[str, list[str]]:
    """The lines that stay of each step, by what was typed, in order: progress has gone."""
    found: dict[str, list[str]] = {}
    text, typed = "", ""
    for _, piece in [*recording.events, (0.0, PROMPT)]:
        if piece == PROMPT:
            head, _, body = text.partition("\r\n")
            if head:
                typed = head if head not in found else f"{head} again"
                found[typed] = _left(body)
            text = ""
        else:
            text += piece
    return found


def _left(text: str) -> list[str]:
    screen = pyte.HistoryScreen(COLUMNS, 200)
    pyte.Stream(screen).feed(text)
    return [line.rstrip() for line in screen.display if line.strip()]
