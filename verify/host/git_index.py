"""What a git repository tracks, read from its index: git is never run in a stranger's clone."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.verify.contract.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 512 * 1024 * 1024  # bytes
_STAT = 40  # bytes of an entry before its object id
_MODE = 24  # where the mode stands among them
_ID_SIZES = (20, 32)  # SHA-1, SHA-256
_EXTENDED = 0x4000
_SYMLINK, _DIRECTORY = 0o120000, 0o040000


class _UnreadableError(ValueError):
    """An index that is none of those that git writes."""


def ships(folder: Path) -> bool:
    """Tell whether a repository around `folder` tracks it, or anything in it.

    Also true where it is reached through a tracked symlink, or an index cannot be read: nobody
    knows then.
    """
    named = Path(os.path.normpath(folder.absolute()))
    places = dict.fromkeys((named, Path(os.path.realpath(folder))))
    return any(_tracks(root, place) for place in places for root in place.parents)


def _tracks(root: Path, place: Path) -> bool:
    wanted = os.fsencode(place.relative_to(root).as_posix()).lower()
    try:
        return any(_is_of(wanted, name, mode) for name, mode in _entries(root))
    except (OSError, _UnreadableError):
        return True


def _is_of(wanted: bytes, name: bytes, mode: int) -> bool:
    # Not every file system tells upper from lower case.
    name = name.lower()
    if name == wanted or name.startswith(wanted + b"/"):
        return True
    return mode in {_SYMLINK, _DIRECTORY} and wanted.startswith(name.rstrip(b"/") + b"/")


def _entries(root: Path) -> Iterator[tuple[bytes, int]]:
    """Paths and modes in the index of the repository in `root`; nothing if there is none."""
    folder = root / ".git"
    if folder.is_file():  # of a worktree or submodule: it names the real one
        text = read_regular(folder, _LARGEST)[:4096].decode("utf-8", "surrogateescape")
        folder = root / text.partition("gitdir:")[2].strip()
    if not folder.is_dir():
        return
    for path in (folder / "index", *folder.glob("sharedindex.*")):
        if path.is_file():
            yield from _parsed(path)


def _parsed(path: Path) -> list[tuple[bytes, int]]:
    data = read_regular(path, _LARGEST)
    for size in _ID_SIZES:
        try:
            return _with_ids_of(data, size)
        except (_UnreadableError, struct.error, IndexError):
            continue
    raise _UnreadableError


def _with_ids_of(data: bytes, id_size: int) -> list[tuple[bytes, int]]:
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC" or version not in {2, 3, 4}:
        raise _UnreadableError
    found: list[tuple[bytes, int]] = []
    position, name = 12, b""
    for _ in range(count):
        start = position
        (mode,) = struct.unpack_from(">I", data, start + _MODE)
        position += _STAT + id_size
        (flags,) = struct.unpack_from(">H", data, position)
        position += 4 if flags & _EXTENDED else 2
        kept = b""
        if version == 4:
            dropped, position = _number(data, position)
            if dropped > len(name):
                raise _UnreadableError
            kept = name[: len(name) - dropped]
        end = data.index(0, position) if 0 in data[position : position + 65536] else -1
        if end < 0:
            raise _UnreadableError
        name = kept + data[position:end]
        position = end + 1
        if version != 4:
            position = start + (end - start + 8) // 8 * 8
            if data[end:position].strip(b"\0"):
                raise _UnreadableError
        if len(name) != flags & 0xFFF and flags & 0xFFF != 0xFFF:
            raise _UnreadableError
        found.append((name, mode))
    return found


def _number(data: bytes, position: int) -> tuple[int, int]:
    """A number as git's pack files write offsets, and where it ends."""
    byte = data[position]
    value = byte & 127
    while byte & 128:
        position += 1
        byte = data[position]
        value = ((value + 1) << 7) | (byte & 127)
    return value, position + 1
