"""A terminal that remembers: what it shows after each thing that was written."""

from __future__ import annotations

import io

import pyte


class Terminal(io.StringIO):
    """A stream that looks like a terminal of a given size, with every frame that was flushed."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        super().__init__()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.Stream(self.screen)
        self.frames: list[list[str]] = []
        self.raw: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        # What a terminal does with the line ends that a program writes.
        self._stream.feed(text.replace("\n", "\r\n"))
        self.raw.append(text)
        return len(text)

    def flush(self) -> None:
        self.frames.append(self.shown)

    @property
    def shown(self) -> list[str]:
        """The lines that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]
