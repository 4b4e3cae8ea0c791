"""Who needs what of a store: projects, here or not, imported bundles, and what Hubs have said."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import FetchError
from fetcher.fs.processes import machine
from fetcher.project import lockfile
from fetcher.project.lockfile import Lock
from fetcher.sources.base import FileEntry
from fetcher.store import released, upstream_records
from fetcher.store.project_records import ProjectRecord, record_of, records
from fetcher.store.released import Release
from fetcher.store.store import Store

_log = logging.getLogger(__name__)

# Folder of the locks of bundles that were imported.
IMPORTED = "imported"
# A project that is not here counts for so long after it was last seen.
ABSENT_DAYS = 90
DAY = 24 * 3600  # seconds


@dataclass
class Demand:
    """What a project needs of the store, and how that is known.

    `state`: "here", by its lock; "absent", by what it needed when it last ran; "broken", the same,
    as its lock cannot be read; "expired" and "forgotten" need nothing any more. `needs` are sha256
    (None: nobody knows, so that it may be anything), `bytes` those of them in the store,
    `artifacts` the same by MANIFEST/ID. `until`: when one that is not here ceases to count, in
    seconds since 1970. `lock`: what it was read from.
    """

    record: ProjectRecord
    state: str
    needs: set[str] | None = field(default_factory=set)
    bytes: int = 0
    why: str = ""
    artifacts: dict[str, set[str]] = field(default_factory=dict)
    until: float = 0.0
    is_import: bool = False
    lock: Lock | None = field(default=None, repr=False)

    @property
    def unknown(self) -> bool:
        """Whether nobody knows what it needs."""
        return self.needs is None

    @property
    def counts(self) -> bool:
        """Whether what it needs is kept."""
        return self.state not in {"expired", "forgotten"}


@dataclass
class Demands:
    """What all who use the store need. `unknown`: of some nobody knows, so nothing may go.

    `said` is what Hubs have said to servers, and bundles of Hubs, that fetch from this store.
    """

    wanted: set[str] = field(default_factory=set)
    projects: list[Demand] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    @property
    def unknown(self) -> bool:
        """Whether some project may need anything."""
        return any(demand.unknown for demand in self.projects)


def projects(store: Store) -> Iterator[Path]:
    """Roots of the projects that have used this store and are here, each once."""
    roots = (root_of(store, record) for record in records(store.root) if _is_here(store, record))
    yield from dict.fromkeys(roots)


def root_of(store: Store, record: ProjectRecord) -> Path:
    """Where a project is; what came with a bundle lies in the store, wherever that is now."""
    return _import_of(store, record) or record.root


def _import_of(store: Store, record: ProjectRecord) -> Path | None:
    folder = store.root / IMPORTED / record.path.stem
    return folder.absolute() if folder.is_dir() else None


def _is_here(store: Store, record: ProjectRecord) -> bool:
    return record.is_here or _import_of(store, record) is not None


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
        demand.is_import = _import_of(store, record) is not None
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
    found.said.update(_digests(store, upstream_records.needed(store)))
    found.wanted |= found.said
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
    until = record.seen + absent_days * DAY
    expired = time.time() > until
    if _is_here(store, record):
        demand = _by_lock(store, record, root_of(store, record))
        # A copy of it, id and all, may stand at the same path of another machine.
        if demand.needs is not None and record.machine != machine() and not expired:
            _add(demand, _recorded(store, record) or {})
        return demand
    if expired or upstream_records.is_record(record.root, store.root):
        return Demand(record, "expired")
    return _by_record(store, Demand(record, "absent", until=until))


def _has_lock(record: ProjectRecord) -> bool:
    try:
        return bool(lockfile.read(record.root).artifacts)
    except FetchError:
        return False


def _by_record(store: Store, demand: Demand) -> Demand:
    recorded = _recorded(store, demand.record)
    if recorded is None:
        demand.needs = None
    else:
        _add(demand, recorded)
    return demand


def _add(demand: Demand, needs: dict[str, set[str]]) -> None:
    assert demand.needs is not None
    for artifact, contents in needs.items():
        demand.artifacts.setdefault(artifact, set()).update(contents)
        demand.needs |= contents


def _by_lock(store: Store, record: ProjectRecord, root: Path) -> Demand:
    try:
        locked = lockfile.read(root)
    except FetchError as error:
        _log.info("the lock of %s cannot be read: %s", root, error.message)
        return _by_record(store, Demand(record, "broken", why=error.message))
    demand = Demand(record, "here", lock=locked)
    for (manifest, name), artifact in locked.artifacts.items():
        full_name = f"{manifest}/{name}"
        if full_name not in record.left_out:
            _add(demand, {full_name: set(_digests(store, artifact.needed))})
    return demand


def recorded_needs(store: Store, record: ProjectRecord) -> set[str] | None:
    """What a project needed when it last ran; None if nobody wrote that down."""
    found = _recorded(store, record)
    return None if found is None else set().union(*found.values())


def _recorded(store: Store, record: ProjectRecord) -> dict[str, set[str]] | None:
    """The same by artifact."""
    needs = record.needs_by_artifact()
    if needs is None:
        return None
    return {
        artifact: {sha256 for need in lines for sha256 in contents_of(store, need)}
        for artifact, lines in needs.items()
    }


def contents_of(store: Store, need: str) -> Collection[str]:
    """The contents that a line of a record may mean."""
    kind, _, git_blob = need.rpartition(":")
    return store.claimed_by_git(git_blob) if kind else (need,)


def _digests(store: Store, files: Iterable[FileEntry]) -> Iterator[str]:
    for entry in files:
        if entry.sha256:
            yield entry.sha256
        elif entry.git_blob:
            # What is kept by mistake does no harm: nothing is read to prove it.
            yield from store.claimed_by_git(entry.git_blob)


# What nobody needs any more


def released_contents(store: Store, needed: Demands) -> dict[str, Release]:
    """The latest word of who needed what nobody needs now, by sha256, as far as it is known."""
    found: dict[str, Release] = {}
    for release in releases(store, needed):
        for sha256 in contents_of(store, release.need):
            known = found.get(sha256)
            if sha256 not in needed.wanted and (known is None or known.at <= release.at):
                found[sha256] = release
    return found


def releases(store: Store, needed: Demands) -> Iterator[Release]:
    """All that projects let go of, and what records, but not their locks, still say is needed."""
    yield from released.releases(store.root)
    yield from _just_released(needed)


def _just_released(needed: Demands) -> Iterator[Release]:
    """What records say that was needed, and those who needed it, or their locks, say no more."""
    for demand in needed.projects:
        if demand.counts and demand.lock is None:
            continue
        record = demand.record
        at = record.seen if demand.lock is None else max(record.noted, _lock_time(record))
        for artifact, needs in (record.needs_by_artifact() or {}).items():
            for need in needs:
                yield Release(need, at, artifact, record.root)


def _lock_time(record: ProjectRecord) -> float:
    """When a project's lock was last written."""
    try:
        return (record.root / lockfile.NAME).stat().st_mtime
    except OSError:
        return record.seen
