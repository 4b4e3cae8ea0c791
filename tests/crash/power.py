"""What a disk may hold after the power went: calls that nothing brought to disk are lost.

The library's log says what a run did, call by call, with the bytes before and after. From what is
on disk now and that log, a disk is made on which some of the calls since the last sync never
happened. Inodes stay the same, and so do times: whoever trusts a stat is put to the test.
"""

from __future__ import annotations

import os
import random
import stat as stats
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash.shim import (
    CREATE,
    LINK,
    MKDIR,
    RENAME,
    RMDIR,
    SYNC,
    SYNC_ALL,
    TRUNCATE,
    UNLINK,
    WRITE,
)

_HEAD = struct.Struct("<QQQQIIIIII")
_NAMES = {CREATE, LINK, MKDIR, RENAME, RMDIR, UNLINK}
_BYTES = {WRITE, TRUNCATE}

# How much is lost. JOURNAL: names in order, as ext4 and XFS keep them, bytes as it comes.
# LOOSE: each name by itself. ZEROES: as JOURNAL, and a file has its length but not its bytes.
JOURNAL, LOOSE, ZEROES = "journal", "loose", "zeroes"
MODELS = (JOURNAL, LOOSE, ZEROES)


@dataclass(frozen=True)
class Call:
    """One call that changed something: on names (`one`, `two`) or on an inode's bytes."""

    kind: int
    inode: int
    one: str
    two: str
    offset: int
    length: int
    old_size: int
    before: bytes
    after: bytes


@dataclass
class Disk:
    """What stood below a folder: inodes by path, and folders."""

    files: dict[str, int]
    folders: set[str]

    @classmethod
    def scan(cls, root: Path) -> Disk:
        """As it is now."""
        files, folders = {}, set()
        for folder, names, others in os.walk(root):
            for name in [*names, *others]:
                path = os.path.join(folder, name)
                stat = os.lstat(path)
                if stats.S_ISDIR(stat.st_mode):
                    folders.add(path)
                else:
                    files[path] = stat.st_ino
        return cls(files, folders)

    def apply(self, call: Call) -> None:
        """Do what a call did, where it still can be done."""
        parent = os.path.dirname(call.two or call.one)
        if call.kind in {CREATE, LINK, MKDIR, RENAME} and parent not in self.folders:
            return
        if call.kind == MKDIR:
            self.folders.add(call.one)
        elif call.kind == RMDIR:
            inside = any(name.startswith(call.one + "/") for name in {*self.files, *self.folders})
            if not inside:
                self.folders.discard(call.one)
        elif call.kind == CREATE:
            self.files[call.one] = call.inode
        elif call.kind == LINK:
            self.files[call.two] = call.inode
        elif call.kind == UNLINK:
            self.files.pop(call.one, None)
        elif call.one in self.folders:
            self._move(call.one, call.two)
        elif self.files.get(call.one) == call.inode:
            if self.files.get(call.two) != call.inode:  # else rename leaves both
                del self.files[call.one]
            self.files[call.two] = call.inode

    def _move(self, one: str, two: str) -> None:
        inside = one + "/"
        self.files = {
            two + path[len(one) :] if path.startswith(inside) else path: inode
            for path, inode in self.files.items()
        }
        self.folders = {
            two + path[len(one) :] if path == one or path.startswith(inside) else path
            for path in self.folders
        }


def read_log(path: Path) -> list[Call]:
    """The calls of a run, in order."""
    return list(_calls(path.read_bytes())) if path.exists() else []


def _calls(data: bytes) -> Iterator[Call]:
    at = 0
    while at < len(data):
        inode, offset, length, old, kind, *sizes, _ = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        parts = []
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        one, two = os.path.normpath(os.fsdecode(parts[0])), os.fsdecode(parts[1])
        two = os.path.normpath(two) if two else ""
        yield Call(kind, inode, one, two, offset, length, old, parts[2], parts[3])


def lose(before: Disk, calls: list[Call], root: Path, grave: Path, seed: int, model: str) -> int:
    """Take away what a power cut might; returns how many calls are lost."""
    chance = random.Random(seed)
    safe = _safe(calls, model)
    kept = _survivors(calls, safe, chance, model)
    paths = _objects(root, grave)
    for inode in {call.inode for call in calls if call.kind in _BYTES}:
        mine = [(n, call) for n, call in enumerate(calls) if call.inode == inode]
        mine = [(n, call) for n, call in mine if call.kind in _BYTES and not safe[n]]
        if mine and inode in paths:
            _undo_bytes(paths[inode], [(call, n in kept) for n, call in mine], model)
    disk = Disk(dict(before.files), {*before.folders, str(root)})
    for number, call in enumerate(calls):
        if call.kind in _NAMES and number in kept:
            disk.apply(call)
    _realize(disk, root, grave, paths)
    return len(calls) - len(kept)


def _safe(calls: list[Call], model: str) -> list[bool]:
    """Which calls something brought to disk."""
    safe = [False] * len(calls)
    all_names = all_calls = -1
    inodes: set[int] = set()
    folders: set[str] = set()
    for number in range(len(calls) - 1, -1, -1):
        call = calls[number]
        if call.kind == SYNC_ALL:
            all_calls = max(all_calls, number)
        elif call.kind == SYNC:
            inodes.add(call.inode)
            folders.add(call.one)
            all_names = max(all_names, number)
        if number <= all_calls or call.kind in {SYNC, SYNC_ALL}:
            safe[number] = True
        elif call.kind in _BYTES:
            safe[number] = call.inode in inodes
        elif model == LOOSE:
            beside = os.path.dirname(call.two or call.one) in folders
            # A file's own names go to disk with it, on every file system in use.
            safe[number] = beside or (call.kind != UNLINK and call.inode in inodes)
        else:
            safe[number] = number <= all_names
    return safe


def _survivors(calls: list[Call], safe: list[bool], chance: random.Random, model: str) -> set[int]:
    """Which calls the disk shows."""
    open_names = [n for n, call in enumerate(calls) if call.kind in _NAMES and not safe[n]]
    last = chance.choice([-1, *open_names, *open_names[-1:] * 2]) if open_names else -1
    share = chance.choice([0.0, 0.5, 0.9])
    kept = set()
    for number, call in enumerate(calls):
        if safe[number]:
            kept.add(number)
        elif call.kind in _BYTES:
            if chance.random() < share:
                kept.add(number)
        elif model == LOOSE:
            if chance.random() < 0.7:
                kept.add(number)
        elif number <= last:
            kept.add(number)
    return kept


def _objects(root: Path, grave: Path) -> dict[int, str]:
    """A path of every inode that there is or was."""
    found = {inode: path for path, inode in Disk.scan(root).files.items()}
    for path in grave.iterdir() if grave.is_dir() else ():
        found.setdefault(int(path.name), str(path))
    return found


def _undo_bytes(path: str, calls: list[tuple[Call, bool]], model: str) -> None:
    stat = os.lstat(path)
    if not stats.S_ISREG(stat.st_mode):
        return
    data = bytearray(Path(path).read_bytes())
    length = len(data)
    for call, _ in reversed(calls):
        if call.kind == TRUNCATE:
            del data[call.offset :]
            data += bytes(max(0, call.offset - len(data))) + call.before
        else:
            data[call.offset : call.offset + len(call.before)] = call.before
            del data[call.old_size :]
    for call, kept in calls:
        if not kept:
            continue
        if call.kind == TRUNCATE:
            del data[call.offset :]
            data += bytes(call.offset - len(data))
        else:
            data += bytes(max(0, call.offset - len(data)))
            data[call.offset : call.offset + len(call.after)] = call.after
    if model == ZEROES:
        data = data[:length] + bytes(max(0, length - len(data)))
    with Path(path).open("r+b") as stream:
        stream.write(data)
        stream.truncate()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _realize(disk: Disk, root: Path, grave: Path, paths: dict[int, str]) -> None:
    """Make the folder as the disk says."""
    now = Disk.scan(root)
    grave.mkdir(exist_ok=True)
    for inode in set(disk.files.values()):
        if inode in paths and not (grave / str(inode)).is_symlink():
            try:
                os.link(paths[inode], grave / str(inode), follow_symlinks=False)
            except FileExistsError:
                pass
    for path, inode in now.files.items():
        if disk.files.get(path) != inode:
            os.unlink(path)
    for folder in sorted(now.folders - disk.folders, reverse=True):
        os.rmdir(folder)
    for folder in sorted(disk.folders):
        os.makedirs(folder, exist_ok=True)
    for path, inode in disk.files.items():
        if now.files.get(path) != inode and inode in paths:
            os.link(grave / str(inode), path, follow_symlinks=False)
