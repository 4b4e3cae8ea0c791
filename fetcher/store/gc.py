"""Removing what no project needs any more, and saying of what stays why it does."""

from __future__ import annotations

import logging
import os
import shutil
import stat as stats
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import Problem, from_os_error
from fetcher.fs.free_space import filled
from fetcher.fs.owners import may_remove
from fetcher.i18n import n, t
from fetcher.store import released
from fetcher.store.demands import DAY, Demands, contents_of, released_contents
from fetcher.store.parts import IN_USE, PartialDownload, partial_downloads
from fetcher.store.released import Release, key_of
from fetcher.store.runs import tidy_runs
from fetcher.store.store import OWN_FOLDERS, PART_NOTES, Store, left_unfinished

_log = logging.getLogger(__name__)

# A blob this young may belong to a run that has not written its lock yet.
YOUNG_SECONDS = 3600
# What was begun, set aside or left, and nobody has come back to for so long.
STALE_PART_SECONDS = 7 * DAY

# What a group is of.
BLOBS, PARTIAL, UNFINISHED, DAMAGED = "blobs", "partial", "unfinished", "damaged"
# Why something goes that its fate as a partial download does not tell.
UNNEEDED, ASKED, STALE, LEFT = "unneeded", "asked", "stale", "left"
# Why something stays.
YOUNG, RECENT, UNDECIDED, NOT_YOURS = "young", "recent", "undecided", "not-yours"
SAID = "said"  # by a Hub, to a mirror server that fetches from it
RESUMABLE, PROVEN, UNKNOWN = "resumable", "proven", "unknown"


@dataclass
class Group:
    """Files of a store with one fate and one reason for it.

    `of`: blobs, partial (downloads), unfinished (files), damaged (blobs). `goes`: it is removed,
    or would be. `freed_bytes`: what comes back; the rest trees still have. `project` and
    `artifact` (MANIFEST/ID): who needs it, or needed it until `since`. `used`: when it last was,
    at the latest. `until`: when it may go. Times are seconds since 1970, 0 if not known.
    """

    of: str
    goes: bool
    why: str
    project: str = ""
    artifact: str = ""
    files: int = 0
    bytes: int = 0
    freed_bytes: int = 0
    since: float = 0.0
    used: float = 0.0
    until: float = 0.0


@dataclass
class Sweep:
    """What gc removed, or would remove; `young` of those kept nobody needs, but they are new.

    `bytes` come back; `linked_bytes` are of blobs that went, but that trees still have: `linked`
    has these, with their size, by (device, inode).
    """

    blobs: list[str] = field(default_factory=list)
    bytes: int = 0
    leftovers: int = 0
    kept: int = 0
    problems: list[Problem] = field(default_factory=list)
    young: int = 0
    linked_bytes: int = 0
    linked: dict[tuple[int, int], int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)


def sweep(
    store: Store,
    needed: Demands,
    dry_run: bool,
    partial: bool = False,
    older_than: float = 0.0,
) -> Sweep:
    """Remove blobs that nobody needs, records of those who need nothing, and what dead runs left.

    `partial`: also downloads that were begun and might be gone on with, however young.
    `older_than`: only what has not been used for so many seconds.
    """
    one = _Sweep(store, needed, dry_run, partial, older_than)
    one.unfinished()
    if not dry_run:
        store.recover()
        tidy_runs(store.root)
    one.blobs()
    for part in partial_downloads(store, needed):
        one.part(part)
    one.damaged()
    one.finish()
    done = one.done
    done.groups = sorted(one.groups.values(), key=lambda group: (not group.goes, -group.bytes))
    _log.info(
        "%d blobs and %d leftovers %s, %d blobs kept",
        len(done.blobs),
        done.leftovers,
        "would go" if dry_run else "are gone",
        done.kept,
    )
    return done


def last_used(stat: os.stat_result, release: Release | None) -> float:
    """When a blob was last used, as far as anything tells, in seconds since 1970: made, linked or
    unlinked, read, or needed by a project. Rather too late than too early."""
    times = (stat.st_mtime, stat.st_ctime, stat.st_atime, release.at if release else 0.0)
    now = time.time()
    return min(now, max(times))


class _Sweep:
    """One sweep: judges each file, and removes it."""

    def __init__(
        self, store: Store, needed: Demands, dry_run: bool, partial: bool, older_than: float
    ) -> None:
        self._store = store
        self._needed = needed
        self._dry_run = dry_run
        self._partial = partial
        self._older_than = older_than
        self._now = time.time()
        self._failed: list[OSError] = []
        needs = (demand.needs for demand in needed.projects if demand.counts and demand.needs)
        self._only_said = needed.said.difference(*needs)
        self.done = Sweep()
        self.groups: dict[tuple[object, ...], Group] = {}

    def _tell(self, told: Group, size: int, freed: int = 0) -> None:
        """Count a file to those of the same fate and reason."""
        day = int(told.since // DAY)
        key = (told.of, told.goes, told.why, told.project, told.artifact, day)
        group = self.groups.setdefault(key, told)
        group.files += 1
        group.bytes += size
        group.freed_bytes += freed
        group.used = max(group.used, told.used)
        group.until = max(group.until, told.until)

    def _remove(self, path: str, stat: os.stat_result) -> bool:
        """Remove a file or folder, or see whether it could be; what stays is a problem."""
        try:
            if self._dry_run:
                return may_remove(path, stat)
            if stats.S_ISDIR(stat.st_mode):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._failed.append(error)
            return False
        return True

    # Blobs

    def blobs(self) -> None:
        """Remove what nobody needs."""
        releases = released_contents(self._store, self._needed)
        for sha256, stat in list(self._store.digests()):
            if sha256 in self._needed.wanted or not self._blob_may_go(sha256, stat, releases):
                self.done.kept += 1
                if sha256 in self._only_said:
                    self._tell(Group(BLOBS, False, SAID), stat.st_size)
            elif self._remove(self._store.blob_path(sha256), stat):
                self._gone(sha256, stat, releases.get(sha256))
            else:
                self.done.kept += 1
                self._tell(Group(BLOBS, False, NOT_YOURS), stat.st_size)

    def _blob_may_go(self, sha256: str, stat: os.stat_result, releases: dict[str, Release]) -> bool:
        """Whether a blob that nobody is known to need may go; says why not."""
        release = releases.get(sha256)
        # What a project let go of is no run's that has not written its lock yet, unless it is new:
        # to take it out of a tree changes its ctime.
        made = stat.st_mtime if release else max(stat.st_ctime, stat.st_mtime)
        used = last_used(stat, release)
        if self._needed.unknown:
            self._tell(Group(BLOBS, False, UNDECIDED), stat.st_size)
        elif self._now - made < YOUNG_SECONDS:
            self.done.young += 1
            self._tell(Group(BLOBS, False, YOUNG, until=made + YOUNG_SECONDS), stat.st_size)
        elif self._now - used < self._older_than:
            until = used + self._older_than
            self._tell(Group(BLOBS, False, RECENT, used=used, until=until), stat.st_size)
        else:
            return True
        return False

    def _gone(self, sha256: str, stat: os.stat_result, release: Release | None) -> None:
        done = self.done
        done.blobs.append(sha256)
        # Bytes come free only where no tree shares the blob.
        freed = stat.st_size if stat.st_nlink <= 1 else 0
        done.bytes += freed
        if stat.st_nlink > 1:
            done.linked_bytes += stat.st_size
            done.linked[stat.st_dev, stat.st_ino] = stat.st_size
        group = Group(BLOBS, True, UNNEEDED, used=last_used(stat, release))
        if release:
            group.project, group.artifact = str(release.root), release.artifact
            group.since = release.at
        self._tell(group, stat.st_size, freed)

    # What was begun

    def part(self, part: PartialDownload) -> None:
        """Remove a partial download that nobody can go on with, or comes back to."""
        idle = self._now - part.mtime
        limit = self._older_than
        if not (part.useless or (self._partial and part.fate != IN_USE)):
            limit = max(limit, STALE_PART_SECONDS)
        group = Group(PARTIAL, True, part.fate, part.root, part.artifact, used=part.mtime)
        if idle < limit or (part.fate == IN_USE and idle <= STALE_PART_SECONDS):
            group.goes, group.until = False, part.mtime + limit
            if part.fate != IN_USE:
                recent = part.useless or 0 < self._older_than == limit
                group.why = RECENT if recent else RESUMABLE
            self._tell(group, part.bytes)
            return
        if not part.useless:
            group.why = ASKED if self._partial and part.fate != IN_USE else STALE
        if self._remove(str(part.path), part.stat):
            if not self._dry_run:
                part.forget()
            self._left(group, part.bytes, part.bytes)
        else:
            self._tell(Group(PARTIAL, False, NOT_YOURS), part.bytes)

    def _left(self, group: Group, size: int, freed: int) -> None:
        self.done.leftovers += 1
        self.done.bytes += freed
        self._tell(group, size, freed)

    def unfinished(self) -> None:
        """Remove what runs were making when they ended; what was proven becomes blobs."""
        for path, stat in _entries(self._store.partial):
            name = path.name
            for note in PART_NOTES:
                name = name.removesuffix(note)
            if name.endswith(".part") and (name == path.name or (path.parent / name).exists()):
                continue  # told of as a partial download
            self._unfinished(path, stat)
        for folder in ("", *OWN_FOLDERS):
            for path, stat in _entries(self._store.root / folder):
                if path.parent != self._store.partial and left_unfinished(path, stat) is not None:
                    self._unfinished(path, stat)

    def _unfinished(self, path: Path, stat: os.stat_result) -> None:
        size, left = _size_of(path, stat), left_unfinished(path, stat)
        stale = self._now - stat.st_mtime > STALE_PART_SECONDS
        if left is not None and not left.of_living and (left.proven or _has_proven(path, stat)):
            self._tell(Group(UNFINISHED, False, PROVEN), size)
        elif not stale and (left is None or left.of_living):
            why = IN_USE if left is not None else UNKNOWN
            until = stat.st_mtime + STALE_PART_SECONDS
            self._tell(Group(UNFINISHED, False, why, until=until), size)
        elif self._remove(str(path), stat):
            why = STALE if stale else LEFT
            self._left(Group(UNFINISHED, True, why, used=stat.st_mtime), size, size)
        else:
            self._tell(Group(UNFINISHED, False, NOT_YOURS), size)

    def damaged(self) -> None:
        """Remove what was set aside, once there was time to look at it."""
        limit = max(self._older_than, STALE_PART_SECONDS)
        for path, stat in _entries(self._store.root / "damaged"):
            size, aside = stat.st_size, max(stat.st_mtime, stat.st_ctime)
            if left_unfinished(path, stat) is not None:
                continue
            if self._now - aside <= limit:
                self._tell(Group(DAMAGED, False, DAMAGED, since=aside, until=aside + limit), size)
            elif self._remove(str(path), stat):
                freed = size if stat.st_nlink <= 1 else 0
                self._left(Group(DAMAGED, True, STALE, used=aside), size, freed)
            else:
                self._tell(Group(DAMAGED, False, NOT_YOURS), size)

    def finish(self) -> None:
        """Remove the records of those who need nothing, and note since when they do; say what
        could not be removed."""
        if self._failed:
            self.done.problems.append(_not_removed(self._failed))
        if self._dry_run:
            return
        for demand in self._needed.projects:
            if not demand.counts:
                record = demand.record
                record.release(record.needs_by_artifact() or {}, record.seen)
                record.forget()
        blobs = {sha256 for sha256, _ in self._store.digests()}
        labels = {owner[0] for _, owner in self._store.parts()}
        released.tidy(
            self._store.root,
            lambda need: (
                not blobs.isdisjoint(contents_of(self._store, need))
                or self._store.label_of(key_of(need)) in labels
            ),
        )


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What lies in a folder; another run may finish meanwhile."""
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            yield path, path.lstat()


def _has_proven(folder: Path, stat: os.stat_result) -> bool:
    """Whether a process's folder has files that become blobs when it has died."""
    if not stats.S_ISDIR(stat.st_mode):
        return False
    with suppress(OSError):
        left = (left_unfinished(path, found) for path, found in _entries(folder))
        return any(one is not None and one.proven for one in left)
    return False


def _size_of(path: Path, stat: os.stat_result) -> int:
    """Bytes that are there of a file, or of all below a folder of one process."""
    if not stats.S_ISDIR(stat.st_mode):
        return filled(stat)
    with suppress(OSError):
        return sum(_size_of(below, found) for below, found in _entries(path))
    return 0


def _not_removed(errors: list[OSError]) -> Problem:
    """One problem for all that stays: who sweeps counts on the room."""
    first = errors[0]
    doing = t(
        "removing {files}, such as {path}",
        files=n("{count:,} file", "{count:,} files", len(errors)),
        path=first.filename,
    )
    return from_os_error(first, doing, str(first.filename)).problem
