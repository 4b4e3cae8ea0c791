"""Orphans: files that were placed here, and that manifests, layouts and lock no longer want.

Only files that the tree's state says were placed can be orphans; those of the Hugging Face cache
are shared with others and never are. Files of artifacts that this look knows nothing of (another
manifest, one that is not locked) are left alone.
"""

from __future__ import annotations

import os
import re
import stat as stats
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fetcher.fs.atomic import sha256_of
from fetcher.fs.reserved import is_private, is_reserved
from fetcher.fs.safe_paths import BadPath, check_relative, native
from fetcher.project.file_table import SHA256, FileTable
from fetcher.project.layout import Entry, PlacedTable, covers, placements, takes_whole
from fetcher.project.lockfile import Lock
from fetcher.project.manifest import Artifact
from fetcher.project.project import Unit
from fetcher.tree.item_list import ItemList, PackedRun
from fetcher.tree.orphan import MOVED, OTHER, REMOVED, REPLACED, UNLISTED, Orphan
from fetcher.tree.plan import GET, PLACE, Item, Plan
from fetcher.tree.state import StateRow
from fetcher.tree.state_rows import Rows
from fetcher.tree.target_names import TargetNames

# What lies beside weights and data, and that no loader reads.
_NOT_READ = (".md", ".rst", ".pdf", ".html", ".gitattributes", ".gitignore")
_NOT_READ_NAMES = ("license", "licence", "notice", "readme", "copying", "changelog")


@dataclass(frozen=True)
class Found:
    """The orphans of a tree, by path; `lost` are paths that are neither there nor wanted."""

    orphans: tuple[Orphan, ...] = ()
    lost: tuple[str, ...] = ()

    def of(self, artifacts: Collection[str]) -> Found:
        """Those of these artifacts, by full name."""
        return replace(self, orphans=tuple(o for o in self.orphans if o.artifact in artifacts))


def find(
    plan: Plan,
    rows: Rows,
    units: Iterable[Unit],
    lock: Lock,
    gone: Collection[str] = (),
    others: Collection[str] = (),
    quick: bool = False,
) -> Found:
    """The orphans of what these manifests once placed, of the manifests that are gone, and of
    artifacts (by full name) that belong to other choices of variants.

    A file that was touched, or copied with its folder, is read, unless it is to be `quick`.
    """
    if rows.count_in_tree() == plan.met:
        return Found()  # nearly always: all are of files that are wanted
    wanted = TargetNames(plan)
    paths = [path for path in rows.placed() if path not in wanted]
    strays = [row for row in map(rows.get, paths) if row is not None and _is_ours(row)]
    if not strays:
        return Found()
    look = _Look(plan.tree, units, lock, wanted)
    orphans: list[Orphan] = []
    lost: list[str] = []
    for row in sorted(strays):
        why = OTHER if row.artifact in others else look.why(row, gone)
        if not why:
            continue
        try:
            stat = os.lstat(native(str(plan.tree / row.path)))
        except OSError:
            lost.append(row.path)
            continue
        if not look.is_another_spelling(row.path, stat):
            now = _as_it_stands(row, stat, plan.tree, quick)
            orphans.append(
                Orphan(row.path, row.artifact, why, now is None, stat.st_size, now or row)
            )
    return Found(tuple(_judged(orphans, plan)), tuple(lost))


def _as_it_stands(row: StateRow, stat: os.stat_result, tree: Path, quick: bool) -> StateRow | None:
    """The row with the stat that an unchanged file has now; None for one that was changed."""
    if row.matches(stat):
        return row
    if stat.st_size != row.size or not stats.S_ISREG(stat.st_mode):
        return None
    try:
        if not quick and sha256_of(native(str(tree / row.path))) != row.sha256:
            return None
    except OSError:
        return None
    return row._replace(mtime_ns=stat.st_mtime_ns, inode=stat.st_ino)


def _is_ours(row: StateRow) -> bool:
    """Whether a row may be acted upon: its path could be a target's."""
    if not row.placed or os.path.isabs(row.path):
        return False
    try:
        check_relative(row.path)
    except BadPath:
        return False
    parts = tuple(row.path.split("/"))
    return not (any(map(is_private, parts)) or is_reserved(parts))


class _Look:
    """What each artifact wants now; worked out for those that have strays alone."""

    def __init__(self, tree: Path, units: Iterable[Unit], lock: Lock, wanted: TargetNames) -> None:
        self._tree = tree
        self._lock = lock
        self._wanted = wanted
        self._manifests: set[str] = set()
        self._declared: dict[str, tuple[Unit, Artifact]] = {}
        self._unread: set[str] = set()
        for unit in units:
            name = unit.manifest.name
            self._manifests.add(name)
            self._unread.update(f"{name}/{id}" for id in unit.manifest.declared)
            for artifact in unit.manifest.artifacts.values():
                self._declared[artifact.full_name] = unit, artifact
        self._targets: dict[str, Container[str] | None] = {}
        self._open: list[tuple[str, Entry]] | None = None

    def why(self, row: StateRow, gone: Collection[str]) -> str:
        """Why nothing wants a file any more; "" if something does, or nobody can say."""
        found = self._why(row, gone)
        return "" if found and self._may_be_wanted(row.path) else found

    def _why(self, row: StateRow, gone: Collection[str]) -> str:
        name = row.artifact
        if name.partition("/")[0] not in self._manifests:
            return REMOVED if name.partition("/")[0] in gone else ""
        if name not in self._declared:
            return "" if name in self._unread else REMOVED
        if name not in self._targets:
            self._targets[name] = self._targets_of(*self._declared[name])
        targets = self._targets[name]
        return "" if targets is None or row.path in targets else UNLISTED

    def _targets_of(self, unit: Unit, artifact: Artifact) -> Container[str] | None:
        locked = self._lock.of(artifact)
        if locked is None or not locked.members_known:
            return None
        entries = unit.layout.entries_of(artifact.id)
        if isinstance(locked.files, FileTable) and takes_whole(entries):
            return PlacedTable(unit.layout, entries, locked.files)
        found, problems = placements(unit.layout, artifact, locked.files)
        if problems:
            return None
        root = f"{unit.layout.root}/" if unit.layout.root else ""
        return {root + placement.target for placement in found}

    def _may_be_wanted(self, path: str) -> bool:
        """Whether an artifact whose files nobody knows yet has a place here: one with a new name,
        or all of them when the lock was lost."""
        if self._open is None:
            self._open = [
                (f"{unit.layout.root}/" if unit.layout.root else "", entry)
                for unit, artifact in self._declared.values()
                if not ((locked := self._lock.of(artifact)) and locked.members_known)
                for entry in unit.layout.entries_of(artifact.id)
            ]
        return any(
            path.startswith(root) and covers(entry, path[len(root) :]) for root, entry in self._open
        )

    def is_another_spelling(self, path: str, stat: os.stat_result) -> bool:
        """Whether a file system that folds names has one file under this name and a wanted one."""
        other = self._wanted.alike(path)
        if other is None:
            return False
        try:
            return os.path.samestat(stat, os.lstat(native(str(self._tree / other))))
        except OSError:
            return False


def _judged(orphans: Sequence[Orphan], plan: Plan) -> Iterable[Orphan]:
    """The same, with what was moved and what would be read in place of new files told apart."""
    places: dict[str, dict[str, str]] = {}  # by artifact: where its contents stand
    new: dict[str, dict[str, str]] = {}  # where they come to stand
    folders: dict[str, set[str]] = {}
    contents = {key for orphan in orphans for key in (orphan.row.want, _key(orphan.row.sha256))}
    for part in plan.artifacts if orphans else ():
        name = part.artifact.full_name
        for item in _with_contents(part.items, contents):
            if not item.hub:
                for known in (places, new) if item.action in {GET, PLACE} else (places,):
                    for key in filter(None, (item.file.key, _key(item.sha256))):
                        known.setdefault(name, {}).setdefault(key, item.target)
        folders[name] = set(_folders(part.items))
    renamed = _renamed(orphans, new)
    for orphan in orphans:
        now = renamed.get(orphan.artifact, orphan.artifact)
        to = _place(orphan, places.get(now, {}))
        beside = orphan.path.rpartition("/")[0] in folders.get(orphan.artifact, ())
        if to:
            yield orphan._replace(why=MOVED, to=to)
        elif orphan.why == UNLISTED and beside and _may_be_read(orphan.path):
            yield orphan._replace(why=REPLACED)
        else:
            yield orphan


def _with_contents(items: ItemList, contents: Collection[str]) -> Iterator[Item]:
    """The items that may have one of these contents, by its key."""
    digests = {bytes.fromhex(key[7:]) for key in contents if _IS_SHA256(key)}
    for piece in items.pieces():
        if isinstance(piece, PackedRun):
            packed = piece.run.sha256
            starts = range(0, len(packed), SHA256)
            found = [n for n, at in enumerate(starts) if packed[at : at + SHA256] in digests]
            yield from map(piece.at, sorted({*found, *piece.singular}))
        else:
            yield from piece


def _folders(items: ItemList) -> Iterator[str]:
    for piece in items.pieces():
        if isinstance(piece, PackedRun):
            yield piece.folder[:-1]
        else:
            yield from (item.target.rpartition("/")[0] for item in piece if not item.hub)


_IS_SHA256 = re.compile(r"sha256:[0-9a-f]{64}").fullmatch


def _renamed(orphans: Sequence[Orphan], places: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Artifacts that are gone, with the one that comes to have all their contents."""
    gone: dict[str, list[Orphan]] = {}
    for orphan in orphans:
        if orphan.why == REMOVED:
            gone.setdefault(orphan.artifact, []).append(orphan)
    found = {}
    for name, files in gone.items():
        for other, known in places.items():
            if all(_place(file, known) for file in files):
                found[name] = other
                break
    return found


def _place(orphan: Orphan, known: Mapping[str, str]) -> str:
    row = orphan.row
    return known.get(row.want) or known.get(_key(row.sha256)) or ""


def _key(sha256: str) -> str:
    return sha256 and f"sha256:{sha256}"


def _may_be_read(path: str) -> bool:
    name = path.rpartition("/")[2].lower()
    return not (name.endswith(_NOT_READ) or name.partition(".")[0] in _NOT_READ_NAMES)
