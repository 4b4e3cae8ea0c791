"""Files and folders of one process alone: names that tell whose they are, and who is gone.

What a process has not finished when it is killed stays under such a name. Whoever next works in
that folder takes it away.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

from fetcher.fs.processes import alive, machine
from fetcher.fs.safe_paths import native

_COUNTER = itertools.count()
_NAME = re.compile(r"(\..*\.)?([A-Za-z0-9-]{1,60})\.(\d{1,9})-([0-9a-f]{12})-\d+\.tmp", re.DOTALL)
_SCRATCH = ".fetch."
# Whether a process of another machine still runs cannot be seen.
_FAR_SECONDS = 24 * 3600
_tidied: set[tuple[int, int]] = set()


@lru_cache(maxsize=1)
def run_id() -> str:
    """Hex digits that no other process has, nor had."""
    return os.urandom(6).hex()


@lru_cache(maxsize=1)
def _owner() -> str:
    return f"{machine()}.{os.getpid()}-{run_id()}"


def _forget() -> None:
    """Be another process than the one that forked."""
    run_id.cache_clear()
    _owner.cache_clear()
    _tidied.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def unique_name() -> str:
    """A file name that no other process and no other call uses; at most 100 bytes."""
    return f"{_owner()}-{next(_COUNTER)}.tmp"


def private_name(path: str) -> str:
    """A name beside `path` that nobody else uses."""
    folder, _, name = path.rpartition(os.sep)
    start = os.fsencode(name)[:80].decode("utf-8", "ignore")
    unique = f".{start}.{unique_name()}"
    return f"{folder}{os.sep}{unique}" if folder else unique


def remove_quietly(path: str) -> None:
    """Remove a file if it is there."""
    try:
        os.unlink(native(path))
    except OSError:
        pass


def ended(owner: tuple[str, int, str], changed: float) -> bool:
    """Whether a file's owner (machine, process, run) is gone; `changed`: when it last was, in s."""
    host, pid, run = owner
    if host != machine():
        return time.time() - changed > _FAR_SECONDS
    return run != run_id() if pid == os.getpid() else not alive(pid)


def owner_in(name: str) -> tuple[str, int, str] | None:
    """Whose a private file is (machine, process, run), by its name; None for any other file."""
    found = _NAME.fullmatch(name) if name.endswith(".tmp") else None
    return (found[2], int(found[3]), found[4]) if found else None


def tidy(folder: str) -> None:
    """Remove what dead processes left unfinished in a folder; a run looks there once."""
    with suppress(OSError):
        stat = os.stat(native(folder or os.curdir))  # not by name: that of an open one is reused
        if (stat.st_dev, stat.st_ino) not in _tidied:
            _tidied.add((stat.st_dev, stat.st_ino))
            _remove_left(folder)


def _remove_left(folder: str) -> None:
    with os.scandir(native(folder or os.curdir)) as entries:
        for entry in entries:
            found = _NAME.fullmatch(entry.name) if entry.name.endswith(".tmp") else None
            if found:
                with suppress(OSError):
                    _remove_if_left(entry, found)


def _remove_if_left(entry: os.DirEntry[str], found: re.Match[str]) -> None:
    stat = entry.stat(follow_symlinks=False)
    # A hard link to a blob is as old as that; when it was linked is the inode's change.
    if not ended((found[2], int(found[3]), found[4]), max(stat.st_mtime, stat.st_ctime)):
        return
    if not entry.is_dir(follow_symlinks=False):
        os.unlink(entry.path)
    # In a folder that all may write to, only our own.
    elif found[1] == _SCRATCH and (not hasattr(os, "geteuid") or stat.st_uid == os.geteuid()):
        import shutil

        shutil.rmtree(entry.path, ignore_errors=True)


def make_scratch(parent: str = "") -> str:
    """Make a folder for files that are needed for a while; the caller removes it. Raises OSError.

    If this process is killed, the next one that makes such a folder there removes it. Without
    `parent` it is where the system keeps temporary files.
    """
    if not parent:
        import tempfile

        parent = tempfile.gettempdir()
    tidy(parent)
    path = os.path.join(parent, f"{_SCRATCH}{unique_name()}")
    os.mkdir(path, 0o700)
    return path


@contextmanager
def scratch_folder(parent: str = "") -> Iterator[str]:
    """The same, removed at the end."""
    path = make_scratch(parent)
    try:
        yield path
    finally:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
