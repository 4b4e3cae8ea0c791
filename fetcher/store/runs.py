"""Runs that use one store at the same time, and which contents each is getting.

Each run has a file of its own, which grows: a line for each content that it claims, has published
or lets go of. The others read on in it. To claim is to look at all files and to write into one's
own under a lock, many contents at a time; nobody waits for a content while holding that lock, and
a run goes on with what it has claimed meanwhile, so that no two can wait for each other for ever.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from fetcher.fs.atomic import Stat
from fetcher.fs.locks import Busy, Holder, Teller, Watch, held
from fetcher.fs.owners import is_ours_alone
from fetcher.fs.private_files import ended, remove_quietly
from fetcher.fs.processes import machine
from fetcher.i18n import t

_log = logging.getLogger(__name__)

_FOLDER = "runs"
# Not in that folder, whose time of change tells if runs have come or gone.
_LOCK = "runs.lock"
_BEAT_SECONDS = 5.0
# A run that claims contents gives signs of life: without one for so long, they are taken over.
SILENT_SECONDS = 60.0
# One whose bytes have not grown for so long is stuck, whatever signs it gives.
STALLED_SECONDS = 120.0
# One that plans or places gives none; of another machine it is only believed for so long.
_STALE_SECONDS = 600.0
_GC_POLL_SECONDS = 0.25
_RUN = re.compile(r"([^.]+)\.(\d{1,9})\.[0-9a-f]{12}\.run")
_MAX_UNTOLD = 10_000  # kept in memory while nobody reads them
_CLAIM, _RELEASE, _DONE = "+", "-", "="


class Published(NamedTuple):
    """A content that a run has put into the store."""

    sha256: str
    git_blob: str
    stat: Stat


@dataclass
class OtherRun:
    """Another run, as far as its file has been read."""

    path: str
    handle: int
    holder: Holder
    ours: bool
    claimed: set[str] = field(default_factory=set)
    done: dict[str, Published] = field(default_factory=dict)
    _rest: bytes = b""
    _watch: Watch = field(default_factory=Watch)
    _growth: Watch = field(default_factory=Watch)
    _still: float = 0.0

    @classmethod
    def open(cls, path: str) -> OtherRun | None:
        """None for what is no run's file, or is gone."""
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        head, _, rest = os.read(handle, 1 << 16).partition(b"\n")
        holder = Holder.parse(head.decode("utf-8", "replace"))
        if holder is None:
            os.close(handle)
            return None
        found = cls(path, handle, holder, is_ours_alone(os.fstat(handle)))
        found._take(rest)
        return found

    def read(self) -> None:
        """Read on, also in a file that was removed."""
        with suppress(OSError):
            while data := os.read(self.handle, 1 << 20):
                self._take(data)

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            sign, _, text = line.decode("ascii", "replace").partition(" ")
            key, *fields = text.split("\t")
            if sign == _CLAIM:
                self.claimed.add(key)
                self.done.pop(key, None)
                continue
            self.claimed.discard(key)
            if sign == _DONE and (published := _published(fields)):
                self.done[key] = published

    def live(self, silent_for: float | None = None) -> bool:
        """Whether it still gets what it has claimed: neither ended, nor stopped or out of reach."""
        try:
            stat = os.fstat(self.handle)
        except OSError:
            return False
        if not stat.st_nlink or self.holder.dead or not os.path.lexists(self.path):
            return False
        if not self.holder.near and time.time() - stat.st_mtime > _STALE_SECONDS:
            return False
        if self._still > STALLED_SECONDS:
            return False
        patience = SILENT_SECONDS if silent_for is None else silent_for
        return self._watch.silent(stat.st_mtime_ns) <= patience

    def grown(self, partial_bytes: int | None) -> None:
        """See how many bytes its partial files have, None without any: then it does other work."""
        with suppress(OSError):
            sign = partial_bytes, os.fstat(self.handle).st_size
            self._still = self._growth.silent(sign)
        if partial_bytes is None:
            self._still = 0.0

    def close(self) -> None:
        """Read no further."""
        os.close(self.handle)


def _published(fields: list[str]) -> Published | None:
    try:
        sha256, git_blob, size, mtime_ns, inode = fields
        stat = Stat(int(size), int(mtime_ns), int(inode))
    except ValueError:
        return None
    hexadecimal = len(sha256) == 64 and set(sha256 + git_blob) <= set("0123456789abcdef")
    return Published(sha256, git_blob, stat) if hexadecimal else None


class Runs:
    """This run among the others. Everything works without it where its file cannot be written."""

    def __init__(self, root: Path, say: Callable[[str], None], mode: str = "auto") -> None:
        self.folder = root / _FOLDER
        self._lock_path = root / _LOCK
        self._say = say
        self._mode = mode
        self._own = -1
        self._path = ""
        self._others: dict[str, OtherRun] = {}
        self._folder_mtime = 0
        self._untold: list[Iterable[tuple[str, Published]]] = []
        self._untold_count = 0
        self._next_beat = 0.0

    @property
    def present(self) -> bool:
        """Whether the others can see this run."""
        return self._own >= 0

    def enter(self) -> None:
        """Tell the others that this run is there: gc removes nothing before it has left."""
        if self.present:
            return
        name = f"{machine()}.{os.getpid()}.{os.urandom(6).hex()}.run"
        self._path = str(self.folder / name)
        try:
            with self._lock(t("joining the runs on this store")) as locked:
                if not locked:
                    return
                self.folder.mkdir(exist_ok=True)
                tidy_runs(self.folder.parent)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._own = os.open(self._path, flags, 0o644)
                self._write(Holder.here().dump() + "\n")
                self._folder_mtime = os.stat(self.folder).st_mtime_ns
        except (OSError, Busy) as error:
            _log.info("this run cannot be seen by others: %s", error)

    def _lock(self, doing: str) -> AbstractContextManager[bool]:
        return held(self._lock_path, doing, self._say, self._mode)

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("ascii", "replace"))
        while data:
            data = data[os.write(self._own, data) :]

    def leave(self) -> None:
        """Take this run's file away; what it has published stays to be read by who has it open."""
        if self.present:
            self._tell()
        for other in self._others.values():
            other.close()
        self._others.clear()
        if self.present:
            os.close(self._own)
            self._own = -1
            remove_quietly(self._path)

    def __enter__(self) -> Runs:
        self.enter()
        return self

    def __exit__(self, *rest: object) -> None:
        self.leave()

    def beat(self) -> None:
        """Give a sign of life, now and then; tell those who have come what is done."""
        self._tell()
        now = time.monotonic()
        if self.present and now >= self._next_beat:
            self._next_beat = now + _BEAT_SECONDS
            with suppress(OSError):
                os.utime(self._own)

    # Claims

    def claim(self, keys: list[str]) -> set[str]:
        """Claim contents ("" is none); returns those that another live run is getting."""
        if not self.present:
            return set()
        try:
            with self._lock(t("claiming downloads")) as locked:
                if not locked:
                    return set()
                self.look()
                taken = set().union(*(other.claimed for other in self._live()))
                theirs = taken.intersection(keys)
                ours = [key for key in keys if key and key not in theirs] if theirs else keys
                self._write("".join(f"{_CLAIM} {key}\n" for key in ours if key))
                return theirs
        except (OSError, Busy) as error:
            _log.info("contents cannot be claimed: %s", error)
            return set()

    def release(self, key: str) -> None:
        """This run does not get a content after all."""
        if self.present:
            with suppress(OSError):
                self._write(f"{_RELEASE} {key}\n")

    def publish(self, count: int, done: Iterable[tuple[str, Published]]) -> None:
        """So many contents are in the store; `done` is gone through, and written down, once
        somebody is there to read it."""
        if self.present:
            self._untold.append(done)
            self._untold_count += count
            self._tell()

    def _tell(self) -> None:
        if self._untold and (self.crowded or self._untold_count > _MAX_UNTOLD):
            untold, self._untold, self._untold_count = self._untold, [], 0
            with suppress(OSError):
                self._write("".join(map(_done_line, chain.from_iterable(untold))))

    # The others

    @property
    def crowded(self) -> bool:
        """Whether others are here, or have been since this run entered."""
        try:
            return bool(self._others) or os.stat(self.folder).st_mtime_ns != self._folder_mtime
        except OSError:
            return False

    def look(self) -> None:
        """Read on in the files of the others."""
        for path in _files(self.folder):
            if path not in self._others and path != self._path:
                other = OtherRun.open(path)
                if other is not None:
                    self._others[path] = other
        for path, other in list(self._others.items()):
            other.read()
            if other.holder.dead:
                remove_quietly(path)

    def holders(self) -> dict[str, Holder]:
        """The contents that other live runs are getting, with who does."""
        return {key: other.holder for other in self._live() for key in other.claimed}

    def see_growth(self, by_owner: Mapping[tuple[str, int], int]) -> None:
        """Which of the others still get bytes, by what partial files (machine, pid) have."""
        for other in self._others.values():
            other.grown(by_owner.get((other.holder.machine, other.holder.pid)))

    def claimed_by_others(self, keys: Iterable[str]) -> set[str]:
        """Which of these another live run has claimed."""
        live = self._live()
        return {key for key in keys if any(key in other.claimed for other in live)}

    def _live(self) -> list[OtherRun]:
        return [other for other in self._others.values() if other.live()]

    def published(self, key: str) -> Published | None:
        """What another run of this person has put into the store for a content.

        Another person's may say anything; what it has put there is read before it is taken.
        """
        for other in self._others.values():
            if other.ours and key in other.done:
                return other.done[key]
        return None


def _done_line(item: tuple[str, Published]) -> str:
    key, (sha256, git_blob, stat) = item
    return f"{_DONE} {key}\t{sha256}\t{git_blob}\t" + "\t".join(map(str, stat)) + "\n"


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.name.endswith(".run")]
    except OSError:
        return []


def tidy_runs(root: Path) -> None:
    """Remove the files of runs that are gone, also of those that had no time to fill them."""
    for path in _files(root / _FOLDER):
        found = _RUN.fullmatch(os.path.basename(path))
        with suppress(OSError):
            if found and ended((found[1], int(found[2]), ""), os.stat(path).st_mtime):
                remove_quietly(path)


@contextmanager
def alone(root: Path, doing: str, say: Callable[[str], None], mode: str = "auto") -> Iterator[None]:
    """Wait until no run uses the store, and keep others out meanwhile. Raises Busy."""
    folder, teller = root / _FOLDER, Teller(say)
    others: dict[str, OtherRun] = {}
    try:
        while True:
            with held(root / _LOCK, doing, say, mode, long=True):
                holder = _present(folder, others)
                if holder is None:
                    yield
                    return
            teller.tell(t("waiting for {holder}, which uses the store", holder=holder))
            time.sleep(_GC_POLL_SECONDS)
    finally:
        for other in others.values():
            other.close()


def present(root: Path) -> list[Holder]:
    """The runs that use the store now; nothing is written."""
    found: list[Holder] = []
    for path in _files(root / _FOLDER):
        if (other := OtherRun.open(path)) is not None:
            if other.live(_STALE_SECONDS):
                found.append(other.holder)
            other.close()
    return found


def _present(folder: Path, known: dict[str, OtherRun]) -> Holder | None:
    """A run that uses the store."""
    for path in _files(folder):
        if path not in known and (found := OtherRun.open(path)):
            known[path] = found
        if path in known and known[path].live(_STALE_SECONDS):
            return known[path].holder
    return None
