"""Reads a lock as it is written, line by line, so that a million files take little memory.

Whatever is not exactly as `lockfile.dumps` writes it raises UnusualLock: the caller then reads the
lock as the JSON that it is, slowly, and says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter, lt
from typing import TextIO

from fetcher.fs.safe_paths import BadPath, check_relative, is_plain
from fetcher.project.file_table import SHA1, FileTable, Piece, Run
from fetcher.sources.base import FileEntry

_BLOCK = 1 << 20  # characters that are read at a time
_LONGEST = 1 << 16  # characters of a line that is no file's
_HEX = "[0-9a-f]"
# A file's line as it nearly always is: folder, name, size, sha256, git id, and two flags.
_FILE = re.compile(
    r' {10}\{"path": "((?:[^"\\/\x00-\x1f\x7f]+/)*)([^"\\/\x00-\x1f\x7f]+)", '
    rf'"size": (0|[1-9]\d{{0,17}}), "sha256": "({_HEX}{{64}})"'
    rf'(?:, "git_blob": "({_HEX}{{40}})"(, "computed": false)?)?(, "lfs": true)?\}},\n',
    re.ASCII,
)
_END = "\n        ]"
# What names may have to be looked at for, one a line in lower case: most have none of it.
_DOUBTFUL = ("\n.", ".\n", "\ncon", "\nprn", "\naux", "\nnul", "\ncom", "\nlpt")
_OTHER_SIGN = re.compile(r"[^A-Za-z0-9_.\n-]").search
_MOST_PLAIN = 128  # characters of a name

_Line = tuple[str, str, str, str, str, str, str]


class UnusualLock(ValueError):
    """A lock that is not as this tool writes it; that need not be wrong."""


class LockStream:
    """The lines of a lock, one after the other; the files of an artifact as a table."""

    def __init__(self, stream: TextIO, file_entry: Callable[[object], FileEntry]) -> None:
        self._stream = stream
        self._file_entry = file_entry
        self._text = ""  # complete lines
        self._at = 0

    def line(self) -> str:
        """The next line without its end, "" after the last. Raises UnusualLock for a long one."""
        end = self._text.find("\n", self._at)
        if end < 0:
            self._more()
            if not self._text:
                return ""
            end = self._text.find("\n")
        line = self._text[self._at : end]
        if len(line) > _LONGEST:
            raise UnusualLock
        self._at = end + 1
        return line

    def expect(self, *lines: str) -> None:
        """Go past these lines. Raises UnusualLock for others."""
        if any(self.line() != line for line in lines):
            raise UnusualLock

    def match(self, shape: re.Pattern[str]) -> str:
        """The name in a line of this shape. Raises UnusualLock for another."""
        found = shape.fullmatch(self.line())
        if found is None:
            raise UnusualLock
        return found[1]

    def closed(self, end: str) -> str:
        """What follows the line that closes an object: "," or nothing. Raises UnusualLock."""
        line = self.line()
        if line.removesuffix(",") != end:
            raise UnusualLock
        return line[len(end) :]

    def files(self, ordered: bool = True) -> FileTable:
        """The files of a list that has just been opened, to the line that closes it.

        Raises UnusualLock, where they are to be `ordered` for paths that do not ascend.
        """
        return FileTable(self._ordered() if ordered else self._pieces())

    def _more(self) -> None:
        """Read on, to the end of a line."""
        text = self._text[self._at :] + self._stream.read(_BLOCK)
        if text and text[-1] != "\n":
            text += self._stream.readline(_LONGEST)
            if text[-1] != "\n":
                raise UnusualLock
        if text.endswith("}\n"):  # without a comma: what closes the list is looked for with it
            text += self._stream.readline(_LONGEST)
        self._text, self._at = text, 0

    def _ordered(self) -> Iterator[Piece]:
        """The pieces, if all paths ascend: none of them then stands twice."""
        last = ""
        for piece in self._pieces():
            if isinstance(piece, Run):
                first, names = piece.folder + piece.names[0], piece.names
                ends = piece.folder + names[-1]
            else:
                names = [entry.path for entry in piece]
                first, ends = names[0], names[-1]
            if not (last < first and all(map(lt, names, names[1:]))):
                raise UnusualLock
            last = ends
            yield piece

    def _pieces(self) -> Iterator[Piece]:
        while True:
            if self._at >= len(self._text):
                self._more()
                if not self._text:
                    raise UnusualLock
            end = self._text.find(_END, self._at)
            if end >= 0:
                # The last one has no comma after it: with one, all are alike.
                lines = self._text[self._at : end] + ",\n"
                self._at = end + 1
                yield from self._packed(lines) if lines != ",\n" else ()
                return
            lines, self._at = self._text[self._at :], len(self._text)
            yield from self._packed(lines)

    def _packed(self, lines: str) -> Iterator[Piece]:
        found = _FILE.findall(lines)
        if len(found) == lines.count("\n"):
            yield from _runs(found)
            return
        yield from self._one_by_one(lines)

    def _one_by_one(self, lines: str) -> Iterator[Piece]:
        """The same where some files are of other kinds."""
        usual: list[_Line] = []
        loose: list[FileEntry] = []
        for line in lines[:-1].split("\n"):
            match = _FILE.fullmatch(line + "\n")
            if match:
                if loose:
                    yield tuple(loose)
                    loose = []
                usual.append(match.groups(""))  # type: ignore[arg-type]
                continue
            if usual:
                yield from _runs(usual)
                usual = []
            if not line.startswith('          {"path": ') or not line.endswith("},"):
                raise UnusualLock
            loose.append(self._file_entry(json.loads(line[:-1], object_pairs_hook=_object)))
        if usual:
            yield from _runs(usual)
        if loose:
            yield tuple(loose)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnusualLock
    return found


def _runs(found: Sequence[_Line]) -> Iterator[Run]:
    for folder, group in groupby(found, itemgetter(0)):
        lines = list(group)
        run = _run(folder, lines)
        if run is not None:
            yield run
            continue
        for _, some in groupby(lines, lambda line: (bool(line[4]), line[5], line[6])):
            run = _run(folder, list(some))
            assert run is not None
            yield run


def _run(folder: str, lines: Sequence[_Line]) -> Run | None:
    """Files of one folder as a run, None if they are not all of one kind."""
    _, names, sizes, digests, gits, stated, lfs = zip(*lines, strict=True)
    git = bytes.fromhex("".join(gits))
    if len(git) not in {0, SHA1 * len(lines)} or len(set(stated)) > 1 or len(set(lfs)) > 1:
        return None
    _check(folder, names)
    sha256 = bytes.fromhex("".join(digests))
    computed = bool(git) and not stated[0]
    return Run(folder, names, array("q", map(int, sizes)), sha256, git, computed, bool(lfs[0]))


def _check(folder: str, names: Sequence[str]) -> None:
    """Raise UnusualLock for a path that is not safe."""
    try:
        text = "\n".join(("", *names, ""))
        lower = text.lower()
        if (
            is_plain(f"{folder}x")
            and not _OTHER_SIGN(text)
            and not any(mark in lower for mark in _DOUBTFUL)
            and max(map(len, names)) <= _MOST_PLAIN
        ):
            return
        for name in names:
            check_relative(folder + name)
    except BadPath:
        raise UnusualLock from None
