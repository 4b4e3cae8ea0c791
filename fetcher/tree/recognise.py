"""Whether the files of a folder stand as they were recorded: all of them in one go.

One look at each file decides; whatever is not as it was is left to the planner.
"""

from __future__ import annotations

import os
import stat as stats
from collections.abc import Sequence
from typing import NamedTuple

from fetcher.fs.safe_paths import native
from fetcher.project.file_table import SHA256
from fetcher.tree.state_rows import Facts, Rows

_BY_HANDLE = os.stat in os.supports_dir_fd
_WAY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)
_UNKNOWN: Facts = ("", -1, -1, -1, "", "")
_REGULAR = stats.S_IFREG >> 12


class Piece(NamedTuple):
    """Files of one folder, by ascending names; the digests that are wanted, one after the other.

    `folder` is "", or a path from the tree's root on that ends in "/".
    """

    folder: str
    names: Sequence[str]
    sha256: bytes


class Judged(NamedTuple):
    """How many of some files have rows, and which, by index, are not as recorded and locked."""

    met: int
    unlike: Sequence[int]


def judge(root: str, rows: Rows, piece: Piece) -> Judged:
    """Judge files of the tree at `root`."""
    folder, names, _ = piece
    known = rows.batch([folder + name for name in names])
    return Judged(len(known) - known.count(None), unlike(os.path.join(root, folder), piece, known))


def unlike(folder: str, piece: Piece, rows: Sequence[Facts | None]) -> Sequence[int]:
    """Which files, by index, are not as the state's rows have them, or not what is wanted.

    `folder` is the absolute path of their folder. None of the others is a link.
    """
    known = [row or _UNKNOWN for row in rows] if None in rows else rows
    names = piece.names
    try:
        found = _stats(folder, names)
    except OSError:
        return range(len(names))
    _, sizes, times, inodes, digests, edits = zip(*known, strict=True)
    recorded = list(zip(sizes, times, inodes, strict=True))
    wanted, step = piece.sha256.hex(), 2 * SHA256
    if recorded == found and not any(edits) and "".join(map(str, digests)) == wanted:
        return ()
    return [
        index
        for index in range(len(names))
        if edits[index]
        or recorded[index] != found[index]
        or digests[index] != wanted[index * step : (index + 1) * step]
    ]


def _stats(folder: str, names: Sequence[str]) -> list[tuple[int, int, int] | None]:
    """(size, mtime_ns, inode) of each file, None for what is none. Raises OSError."""
    if not _BY_HANDLE:
        return [_facts(native(os.path.join(folder, name))) for name in names]
    handle = os.open(folder, _WAY)
    try:
        return _facts_in(handle, names)
    finally:
        os.close(handle)


def _facts_in(handle: int, names: Sequence[str]) -> list[tuple[int, int, int] | None]:
    look, found = os.stat, list[tuple[int, int, int] | None]()
    for name in names:  # the innermost loop of a look at a tree
        try:
            now = look(name, dir_fd=handle, follow_symlinks=False)
        except OSError:
            found.append(None)
            continue
        regular = now.st_mode >> 12 == _REGULAR
        found.append((now.st_size, now.st_mtime_ns, now.st_ino) if regular else None)
    return found


def _facts(path: str) -> tuple[int, int, int] | None:
    try:
        now = os.lstat(path)
    except OSError:
        return None
    regular = stats.S_ISREG(now.st_mode)
    return (now.st_size, now.st_mtime_ns, now.st_ino) if regular else None
