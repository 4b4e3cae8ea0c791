"""Stamps: the stat under which a blob was last read, and what its bytes then were.

A person's own runs keep them in the person's own cache, and only those are proof. The same lines
lie in the store, for others: a hint where a content with some git id might be, never believed.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from fetcher.fs.atomic import Stat, write_atomically
from fetcher.fs.home import cache_folder
from fetcher.fs.owners import is_foreign, is_ours_alone
from fetcher.fs.private_files import remove_quietly

FOLDER = "stamps"
_LINE = re.compile(
    r"^([0-9a-f]{64})\t(\d{1,20})\t(-?\d{1,20})\t(\d{1,20})\t([0-9a-f]{40}|)(?:\t(-?\d{1,20}))?\n",
    re.MULTILINE | re.ASCII,
)
_MAX_FILES = 64
_QUIET_SECONDS = 3600
_MERGED = ".merged.tsv"


class Stamp(NamedTuple):
    """The stat under which a blob was last read, times in ns; `git_blob` is "" if not computed.

    `ctime_ns` is kept of another person's file, who may set back all else; 0 of one's own, whose
    ctime changes with each hard link to it.
    """

    size: int
    mtime_ns: int
    inode: int
    git_blob: str
    ctime_ns: int = 0

    @classmethod
    def of(cls, stat: Stat | os.stat_result, git_blob: str) -> Stamp:
        """The stamp of a blob with this stat; a `Stat` is of a file that this run made."""
        if isinstance(stat, Stat):
            return cls(*stat, git_blob)
        ctime_ns = stat.st_ctime_ns if is_foreign(stat) else 0
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino, git_blob, ctime_ns)

    def matches(self, stat: os.stat_result, foreign: bool) -> bool:
        """Whether the file, another person's if `foreign`, has not been touched since."""
        return (
            self.mtime_ns == stat.st_mtime_ns
            and self.size == stat.st_size
            and self.inode == stat.st_ino
            and (not foreign or self.ctime_ns == stat.st_ctime_ns)
        )


def _line(sha256: str, stamp: Stamp) -> str:
    size, mtime_ns, inode, git_blob, ctime_ns = stamp
    line = f"{sha256}\t{size}\t{mtime_ns}\t{inode}\t{git_blob}"
    return f"{line}\t{ctime_ns}\n" if ctime_ns else f"{line}\n"


def _is_finished(path: Path) -> bool:
    """Whether nobody is likely to write this file of stamps any more."""
    return path.name.endswith(_MERGED) or time.time() - path.stat().st_mtime > _QUIET_SECONDS


class StampFiles:
    """A folder of stamps: one append-only file for each writer, merged when there are many."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path: Path | None = None

    def read(self) -> dict[str, Stamp]:
        """The latest stamp of every blob; what cannot be read is passed over."""
        return self._read(self._files())

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.tsv"))

    @staticmethod
    def _read(paths: Iterable[Path]) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for path in paths:
            for sha256, stamp in _stamps_of(path):
                if not stamp.git_blob and sha256 in found:
                    # The same content has the same git id for ever.
                    stamp = stamp._replace(git_blob=found[sha256].git_blob)  # noqa: PLW2901
                found[sha256] = stamp
        return found

    def append(self, text: str) -> None:
        """Add lines, which a crash may lose. Raises OSError."""
        if self._path is None:
            # Sorted by time: later stamps win when all files are read in order.
            name = f"{time.time_ns():020d}-{os.urandom(4).hex()}.tsv"
            self._path = self.folder / name
        # Opened anew each time: another process may have merged the file away meanwhile.
        with self._path.open("ab") as stream:
            stream.write(text.encode("ascii"))

    def close(self) -> None:
        """Finish this writer's stamps, and merge all if there are many files."""
        if self._path is None:
            return
        self._path = None
        with suppress(OSError):
            finished = [path for path in self._files() if _is_finished(path)]
            if len(finished) > _MAX_FILES:
                self._merge(finished)

    def _merge(self, files: list[Path]) -> None:
        self.replace(files, self._read(files))

    def replace(self, files: list[Path], stamps: dict[str, Stamp]) -> None:
        """Put these stamps in place of some of the folder's files. Raises OSError."""
        text = "".join(_line(sha256, stamp) for sha256, stamp in stamps.items())
        # A run that is quiet for hours makes its file anew with its next stamps.
        stem = files[-1].name.partition(".")[0]
        target = files[-1].with_name(f"{stem}{_MERGED}")
        write_atomically(target, text.encode("ascii"))
        for path in files:
            if path != target:
                remove_quietly(str(path))

    def git_ids(self) -> set[tuple[str, str]]:
        """Every (sha256, git id) that somebody says, also where another line says otherwise."""
        pairs = (pair for path in self._files() for pair in _stamps_of(path))
        return {(sha256, stamp.git_blob) for sha256, stamp in pairs if stamp.git_blob}

    def drop(self, wrong: set[tuple[str, str]]) -> None:
        """Forget these (sha256, git id), whoever said so. Raises OSError."""
        for path in self._files():
            stamps = list(_stamps_of(path))
            if any((sha256, stamp.git_blob) in wrong for sha256, stamp in stamps):
                right = {k: v for k, v in stamps if (k, v.git_blob) not in wrong}
                self.replace([path], right)


def _stamps_of(path: Path) -> Iterator[tuple[str, Stamp]]:
    """Every sound line of a file of stamps."""
    try:
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return  # merged away by another process, or damaged: blobs are then read again
    # A line without its end is still being written.
    for sha256, size, mtime_ns, inode, git_blob, ctime_ns in _LINE.findall(text):
        yield sha256, Stamp(int(size), int(mtime_ns), int(inode), git_blob, int(ctime_ns or 0))


class Stamps:
    """What is known of one store's blobs without reading them."""

    def __init__(self, store: Path) -> None:
        self.hints = StampFiles(store / FOLDER)
        self._store = store
        self._unwritten: list[str] = []
        self._proven: dict[str, Stamp] | None = None
        self._by_git: dict[str, str] | None = None
        self._claimed: dict[str, list[str]] | None = None
        # Whatever is added while one thread reads must not be lost to it.
        self._guard = threading.RLock()

    @cached_property
    def own(self) -> StampFiles | None:
        """Where the person's own runs keep them; None without a home."""
        cache = cache_folder()
        if cache is None:
            return None
        name = hashlib.sha256(os.fsencode(os.path.realpath(self._store))).hexdigest()[:24]
        return StampFiles(cache / FOLDER / name)

    @property
    def proven(self) -> dict[str, Stamp]:
        """What this person's runs have read or made, by sha256; read once."""
        found = self._proven
        if found is None:
            with self._guard:
                found = self._proven
                if found is None:
                    own = self._trusted()
                    found = self._proven = own.read() if own else {}
        return found

    def _trusted(self) -> StampFiles | None:
        """The person's own folder, if nobody else may write there."""
        own = self.own
        try:
            return own if own and is_ours_alone(os.lstat(own.folder)) else None
        except OSError:
            return None

    def by_git(self) -> dict[str, str]:
        """The sha256 of every git id that this person's runs have computed."""
        found = self._by_git
        if found is None:
            with self._guard:
                known = self.proven.items()
                found = {stamp.git_blob: sha256 for sha256, stamp in known if stamp.git_blob}
                self._by_git = found
        return found

    def claimed(self, git_blob: str) -> list[str]:
        """The sha256 of contents of which somebody says that they have this git id."""
        found = self._claimed
        if found is None:
            found = {}
            for sha256, said in self.hints.git_ids():
                found.setdefault(said, []).append(sha256)
            self._claimed = found
        return found.get(git_blob, [])

    def add(self, sha256: str, stamp: Stamp, write: bool) -> None:
        """Remember what was computed; in memory alone if not `write`."""
        with self._guard:
            known = self.proven
            if not stamp.git_blob and sha256 in known:
                stamp = stamp._replace(git_blob=known[sha256].git_blob)
            known[sha256] = stamp
            if self._by_git is not None and stamp.git_blob:
                self._by_git[stamp.git_blob] = sha256
            if write:
                self._unwritten.append(_line(sha256, stamp))

    def refresh(self) -> None:
        """Look anew at what other processes have written."""
        with self._guard:
            self._proven = self._by_git = self._claimed = None

    def take_unwritten(self) -> str:
        """The lines that are still to be written."""
        with self._guard:
            text, self._unwritten = "".join(self._unwritten), []
        return text

    def write(self, text: str) -> None:
        """Append lines to the person's own stamps and to the store's; best effort."""
        own = self.own
        with suppress(OSError):
            if own is not None:
                own.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                own.append(text)
        with suppress(OSError):
            self.hints.append(text)

    def close(self) -> None:
        """Finish what this run writes."""
        if self.own is not None:
            self.own.close()
        self.hints.close()
