"""What partial downloads are worth: who could go on with them, and which nobody can."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fetcher.fs.free_space import allocated, filled
from fetcher.fs.owners import is_ours_alone
from fetcher.i18n import n, t
from fetcher.project import lockfile
from fetcher.store import part_notes
from fetcher.store.demands import Demand, Demands, releases
from fetcher.store.released import key_of
from fetcher.store.store import Part, Store
from fetcher.ui.units import human_bytes

# Why nobody can go on with one.
IN_STORE, SUPERSEDED, UNPROVABLE, EMPTY = "in-store", "superseded", "unprovable", "empty"
# Who could, or does.
IN_USE, WANTED, UNCLAIMED = "in-use", "wanted", "unclaimed"
USELESS = (EMPTY, IN_STORE, SUPERSEDED, UNPROVABLE)


@dataclass(frozen=True)
class PartialDownload:
    """A partial download.

    `fate`: "in-use" by a live process; "wanted" by the artifact (MANIFEST/ID) of a project at
    `root`; "unclaimed": it could be gone on with, but no project is known to want it. Useless are
    "in-store" (its content is there), "superseded" (a project wanted it once), "unprovable"
    (nothing would tell that both halves are of one file) and "empty" ones.
    """

    path: Path
    label: str
    fate: str
    stat: os.stat_result
    root: str = ""
    artifact: str = ""

    @property
    def bytes(self) -> int:
        """Bytes that are there."""
        return filled(self.stat)

    @property
    def mtime(self) -> float:
        """When it was last written, in seconds since 1970."""
        return self.stat.st_mtime

    @property
    def useless(self) -> bool:
        """Whether nobody can go on with it."""
        return self.fate in USELESS

    def forget(self) -> None:
        """Remove what is remembered of it, and the file if it is still there."""
        Store.drop_part(Part(str(self.path), 0))
        part_notes.forget(str(self.path))

    def remove(self) -> bool:
        """Remove it and what is remembered of it; whether it is gone now, and was not before."""
        there = os.path.lexists(self.path)
        self.forget()
        return there and not os.path.lexists(self.path)


def partial_downloads(store: Store, needed: Demands) -> list[PartialDownload]:
    """Every partial download, and what it is worth to whom."""
    orphaned = set(store.orphaned_parts())
    labels = {owner[0] for path, owner in store.parts() if path in orphaned}
    wanted = _wanted(needed, labels) if labels else {}
    there = _in_store(store, wanted, labels)
    once = {store.label_of(key_of(one.need)) for one in releases(store, needed)} if labels else ()
    found = []
    for path, (label, _, _) in store.parts():
        with suppress(FileNotFoundError):
            stat = path.lstat()
            who = wanted.get(label)
            if path not in orphaned:
                fate = IN_USE
            elif not filled(stat):
                fate = EMPTY
            elif label in there:
                fate = IN_STORE
            elif who is not None:
                too_long = who.size is not None and stat.st_size > who.size
                fate = UNPROVABLE if too_long else WANTED
            elif label in once:
                fate = SUPERSEDED
            else:
                fate = UNCLAIMED if _provable(path, stat) else UNPROVABLE
            whose = (who.root, who.artifact) if who is not None else ("", "")
            found.append(PartialDownload(path, label, fate, stat, *whose))
    return found


def _provable(path: Path, stat: os.stat_result) -> bool:
    """Whether a digest, or our own note, will tell that both halves are of one file."""
    if not Store.lacks_digest(path):
        return True
    # Another person's note lies in their own cache.
    return not is_ours_alone(stat) or part_notes.read(str(path)) is not None


@dataclass(frozen=True)
class _Wanting:
    root: str
    artifact: str
    key: str
    size: int | None = None


def _wanted(needed: Demands, labels: Collection[str]) -> dict[str, _Wanting]:
    """Who wants the contents with these labels."""
    found: dict[str, _Wanting] = {}
    for demand in needed.projects:
        for wanting in _wantings(demand) if demand.counts else ():
            if (label := Store.label_of(wanting.key)) in labels:
                found.setdefault(label, wanting)
    return found


def _wantings(demand: Demand) -> Iterator[_Wanting]:
    """All that a project wants: by its lock, and by its last run where that came later, as one
    that was killed has not written its lock yet."""
    record = demand.record
    root = str(record.root)
    for (manifest, name), locked in demand.lock.artifacts.items() if demand.lock else ():
        for file in (*locked.files, *locked.archives):
            size = None if file.size_hint else file.size
            yield _Wanting(root, f"{manifest}/{name}", file.key, size)
    if demand.lock is None or record.noted > _written(record.root / lockfile.NAME):
        for artifact, needs in (record.needs_by_artifact() or {}).items():
            for need in needs:
                yield _Wanting(root, artifact, key_of(need))


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _in_store(store: Store, wanted: Mapping[str, _Wanting], labels: Collection[str]) -> set[str]:
    """Labels of contents that the store has."""
    if not labels:
        return set()
    blobs = {sha256 for sha256, _ in store.digests()}
    found = {label for sha256 in blobs if (label := store.label_of(key_of(sha256))) in labels}
    for label, wanting in wanted.items():
        kind, _, git_blob = wanting.key.partition(":")
        if kind == "git" and not blobs.isdisjoint(store.claimed_by_git(git_blob)):
            found.add(label)
    return found


# Room on a full disk


@dataclass(frozen=True)
class Keeping:
    """The partial downloads that a run goes on with: of the contents with these keys, and, if
    `by_place`, of contents without a digest, of which nobody knows which are its own."""

    keys: Collection[str]
    by_place: bool = False

    def begun(self, store: Store) -> int:
        """Bytes of disk that they have already."""
        labels = {store.label_of(key) for key in self.keys}
        return sum(
            size
            for path, size in store.begun()
            if store.label_in(path) in labels or (self.by_place and store.lacks_digest(path))
        )


def others(store: Store, needed: Demands, keeping: Keeping) -> list[PartialDownload]:
    """Partial downloads that nobody writes and a run does not go on with: the useless first, then
    those that nobody is known to want, then the oldest."""
    ours = {store.label_of(key) for key in keeping.keys}
    left = [
        part
        for part in partial_downloads(store, needed)
        if part.fate != IN_USE
        and (part.useless or part.label not in ours)
        and not (keeping.by_place and part.fate == UNCLAIMED and store.lacks_digest(part.path))
    ]
    order = (*USELESS, UNCLAIMED, WANTED)
    return sorted(left, key=lambda part: (order.index(part.fate), part.mtime))


def free(parts: Iterable[PartialDownload], enough: Callable[[], bool]) -> tuple[int, int]:
    """Remove partial downloads until it is `enough`; returns how many went, and their bytes."""
    count = size = 0
    for part in parts:
        if part.remove():
            count += 1
            size += allocated(part.stat)
            if enough():
                break
    return count, size


def freed_words(store: Store, count: int, size: int) -> str:
    """What to say of `count` partial downloads of `size` bytes that went to make room."""
    return t(
        "the disk of {store} is full: {downloads} that this run does not go on with went, {bytes}",
        store=store.root,
        downloads=n("{count:,} partial download", "{count:,} partial downloads", count),
        bytes=human_bytes(size),
    )
