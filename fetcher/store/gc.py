"""Looking after the store: what is in it, what is sound, what no project needs any more."""

from __future__ import annotations

import logging
import os
import shutil
import stat as stats
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import FetchError, Problem, from_os_error
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.processes import machine
from fetcher.i18n import t
from fetcher.project import lockfile
from fetcher.sources.base import FileEntry
from fetcher.store import upstream_records
from fetcher.store.project_records import ProjectRecord, record_of, records
from fetcher.store.runs import tidy_runs
from fetcher.store.store import PART_NOTES, Store

_log = logging.getLogger(__name__)

# A blob this young may belong to a run that has not written its lock yet.
YOUNG_SECONDS = 3600
# Folder of the locks of bundles that were imported.
IMPORTED = "imported"
# A project that is not here counts for so long after it was last seen.
ABSENT_DAYS = 90
STALE_PART_SECONDS = 7 * 24 * 3600


@dataclass
class Usage:
    """What the store holds, in bytes and files."""

    blobs: int = 0
    blob_bytes: int = 0
    linked_bytes: int = 0
    parts: int = 0
    part_bytes: int = 0
    damaged: int = 0


@dataclass
class Sweep:
    """What gc removed, or would remove; `young` of those kept nobody needs, but they are new."""

    blobs: list[str] = field(default_factory=list)
    bytes: int = 0
    leftovers: int = 0
    kept: int = 0
    problems: list[Problem] = field(default_factory=list)
    young: int = 0


def usage(store: Store) -> Usage:
    """Measure the store."""
    found = Usage()
    for _, stat in store.digests():
        found.blobs += 1
        found.blob_bytes += stat.st_size
        if stat.st_nlink > 1:
            found.linked_bytes += stat.st_size
    for _, stat in _leftovers(store):
        found.parts += 1
        found.part_bytes += stat.st_size if stats.S_ISREG(stat.st_mode) else 0
    damaged = store.root / "damaged"
    found.damaged = sum(1 for _ in damaged.iterdir()) if damaged.is_dir() else 0
    return found


def _leftovers(store: Store) -> Iterator[tuple[Path, os.stat_result]]:
    """What lies in the folder of partial downloads; another run may finish meanwhile."""
    folder = store.root / "partial"
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            yield path, path.stat()


def projects(store: Store) -> Iterator[Path]:
    """Roots of the projects that have used this store and are here, each once."""
    roots = (_root(store, record) for record in records(store.root) if _is_here(store, record))
    yield from dict.fromkeys(roots)


def _root(store: Store, record: ProjectRecord) -> Path:
    """Where a project is; what came with a bundle lies in the store, wherever that is now."""
    imported = store.root / IMPORTED / record.path.stem
    return imported.absolute() if imported.is_dir() else record.root


def _is_here(store: Store, record: ProjectRecord) -> bool:
    return record.is_here or (store.root / IMPORTED / record.path.stem).is_dir()


@dataclass
class Demand:
    """What a project needs of the store, and how that is known.

    `state`: "here", by its lock; "absent", by what it needed when it last ran; "broken", the same,
    as its lock cannot be read; "expired" and "forgotten" need nothing any more. `needs` are sha256
    (None: nobody knows, so that it may be anything), `bytes` those of them in the store.
    """

    record: ProjectRecord
    state: str
    needs: set[str] | None = field(default_factory=set)
    bytes: int = 0
    why: str = ""

    @property
    def unknown(self) -> bool:
        """Whether nobody knows what it needs."""
        return self.needs is None


@dataclass
class Demands:
    """What all who use the store need. `unknown`: of some nobody knows, so nothing may go."""

    wanted: set[str] = field(default_factory=set)
    projects: list[Demand] = field(default_factory=list)

    @property
    def unknown(self) -> bool:
        """Whether some project may need anything."""
        return any(demand.unknown for demand in self.projects)


def demands(
    store: Store,
    here: Iterable[Path] = (),
    absent_days: float = ABSENT_DAYS,
    forget: Collection[str] = (),
) -> Demands:
    """What the projects that use the store need, those at `here` too, and a Hub's files.

    One that is not here counts for `absent_days` after it was last seen, with what it needed then.
    `forget` has the ids of those that do not count, and the paths of those that are not there.
    """
    found = Demands()
    known: set[Path] = set()
    for record in records(store.root):
        demand = _demand(store, record, absent_days, forget)
        found.projects.append(demand)
        if demand.state in {"here", "broken"}:
            known.add(record.root)
    for root in here:
        if root.absolute() not in known:
            found.projects.append(_by_lock(store, record_of(store.root, root.absolute()), root))
    sizes = {sha256: stat.st_size for sha256, stat in store.digests()}
    for demand in found.projects:
        needs = demand.needs or set()
        demand.bytes = sum(sizes.get(sha256, 0) for sha256 in needs)
        found.wanted |= needs
    found.wanted.update(_digests(store, upstream_records.needed(store)))
    _log.debug("%d contents are needed by %d projects", len(found.wanted), len(found.projects))
    return found


def _demand(
    store: Store, record: ProjectRecord, absent_days: float, forget: Collection[str]
) -> Demand:
    if {record.id, record.path.stem} & set(forget):
        return Demand(record, "forgotten")
    # Another project may stand at the path of one that is gone: its lock keeps what it needs.
    if str(record.root) in forget and not (_is_here(store, record) and _has_lock(record)):
        return Demand(record, "forgotten")
    expired = time.time() - record.seen > absent_days * 24 * 3600
    if _is_here(store, record):
        demand = _by_lock(store, record, _root(store, record))
        # A copy of it, id and all, may stand at the same path of another machine.
        if demand.needs is not None and record.machine != machine() and not expired:
            demand.needs |= recorded_needs(store, record) or set()
        return demand
    if expired or upstream_records.is_record(record.root, store.root):
        return Demand(record, "expired")
    return Demand(record, "absent", recorded_needs(store, record))


def _has_lock(record: ProjectRecord) -> bool:
    try:
        return bool(lockfile.read(record.root).artifacts)
    except FetchError:
        return False


def _by_lock(store: Store, record: ProjectRecord, root: Path) -> Demand:
    try:
        locked = lockfile.read(root)
    except FetchError as error:
        _log.info("the lock of %s cannot be read: %s", root, error.message)
        return Demand(record, "broken", recorded_needs(store, record), why=error.message)
    files = (file for artifact in locked.artifacts.values() for file in artifact.needed)
    return Demand(record, "here", set(_digests(store, files)))


def recorded_needs(store: Store, record: ProjectRecord) -> set[str] | None:
    """What a project needed when it last ran; None if nobody wrote that down."""
    needs = record.needs()
    if needs is None:
        return None
    found: set[str] = set()
    for need in needs:
        kind, _, git_blob = need.rpartition(":")
        found.update(store.claimed_by_git(git_blob) if kind else [need])
    return found


def _digests(store: Store, files: Iterable[FileEntry]) -> Iterator[str]:
    for entry in files:
        if entry.sha256:
            yield entry.sha256
        elif entry.git_blob:
            # What is kept by mistake does no harm: nothing is read to prove it.
            yield from store.claimed_by_git(entry.git_blob)


def _remove(path: str, done: Sweep) -> bool:
    """Remove a file; one that stays is noted, since who sweeps counts on the room."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        done.problems.append(from_os_error(error, t("removing {path}", path=path), path).problem)
        return False
    return True


def sweep(store: Store, needed: Demands, dry_run: bool, partial: bool = False) -> Sweep:
    """Remove blobs that nobody needs, records of those who need nothing, and what dead runs left.

    `partial`: also downloads that were begun and might be gone on with, however young.
    """
    done, now = Sweep(), time.time()
    if not dry_run:
        store.recover()
        tidy_runs(store.root)
        for demand in needed.projects:
            if demand.state in {"expired", "forgotten"}:
                demand.record.forget()
    begun = {path.name for path in store.orphaned_parts()} if partial else set()
    for sha256, stat in list(store.digests()):
        young = now - max(stat.st_ctime, stat.st_mtime) < YOUNG_SECONDS
        if young or needed.unknown or sha256 in needed.wanted:
            done.kept += 1
            done.young += young and not needed.unknown and sha256 not in needed.wanted
            continue
        if not dry_run and not _remove(store.blob_path(sha256), done):
            done.kept += 1
            continue
        done.blobs.append(sha256)
        # Bytes come free only where no tree shares the blob.
        done.bytes += stat.st_size if stat.st_nlink == 1 else 0
    for path, stat in _leftovers(store):
        name = path.name
        for note in PART_NOTES:
            name = name.removesuffix(note)
        if name in begun or now - stat.st_mtime > STALE_PART_SECONDS:
            done.leftovers += 1
            done.bytes += stat.st_size if stats.S_ISREG(stat.st_mode) else 0
            if not dry_run and stats.S_ISDIR(stat.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            elif not dry_run:
                remove_quietly(str(path))
    _log.info(
        "%d blobs and %d leftovers %s, %d blobs kept",
        len(done.blobs),
        done.leftovers,
        "would go" if dry_run else "are gone",
        done.kept,
    )
    return done
