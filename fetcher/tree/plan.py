"""The plan: what is there, what must be placed, what must be downloaded, what stands in the way."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fetcher.errors import Problem
from fetcher.tree.actions import BLOCKED, CONFLICT, GET, KEEP, PLACE, UNVERIFIED, WITHHELD
from fetcher.tree.item import Item
from fetcher.tree.item_list import ItemList, PackedRun
from fetcher.tree.state import StateRow

if TYPE_CHECKING:
    from fetcher.fs.atomic import Stat
    from fetcher.project.lockfile import LockedArtifact
    from fetcher.project.manifest import Artifact
    from fetcher.project.project import Unit
    from fetcher.sources.base import FileEntry

__all__ = [
    "BLOCKED",
    "CONFLICT",
    "GET",
    "KEEP",
    "PLACE",
    "UNVERIFIED",
    "WITHHELD",
    "ArtifactPlan",
    "Item",
    "Plan",
    "Unpacking",
    "downloads",
    "row_of",
    "space_needed",
]


class Unpacking(NamedTuple):
    """An archive that is to be had and unpacked: `parts` are the source's files that it is in.

    `items` are the members that are wanted of it, none while nobody knows what is in it
    (`listed` is False then).
    """

    part: ArtifactPlan
    archive: str
    parts: tuple[FileEntry, ...]
    items: tuple[Item, ...]
    listed: bool

    @property
    def key(self) -> tuple[str, str, bool]:
        """What tells it from others of a run."""
        return self.part.artifact.full_name, self.archive, self.listed

    @property
    def size(self) -> int:
        """Bytes of the archive, as far as they are known: a server's hint may be anything."""
        return sum(entry.size or 0 for entry in self.parts if not entry.size_hint)


@dataclass(eq=False)
class ArtifactPlan:
    """One artifact's part of the plan; `locked` is None while it is unresolved.

    `refused` are files besides `items`, each with a problem in `problems`.
    """

    unit: Unit
    artifact: Artifact
    locked: LockedArtifact | None
    items: ItemList = field(default_factory=ItemList)
    problems: list[Problem] = field(default_factory=list)
    withheld: bool = False
    refused: list[Item] = field(default_factory=list)  # cannot stand where the layout puts them

    @property
    def state(self) -> str:
        """complete, partial, missing, modified or conflict; or failed."""
        actions = self.items.actions()
        if any(item.changed_by_user or item.lost_mode for item in self.items.singular()):
            return "modified"
        if self.refused or actions[CONFLICT] or actions[BLOCKED]:
            return "conflict"
        if self.items and actions.keys() == {KEEP} and not self.problems:
            return "complete"
        if self.locked is not None and not self.locked.members_known:
            return "missing"
        return "partial" if actions[KEEP] or actions[UNVERIFIED] else "missing"

    def unpackings(self) -> Iterator[Unpacking]:
        """The archives that are to be unpacked: their members are wanted, or not known yet."""
        if self.locked is None or not self.locked.archives or self.withheld:
            return
        wanted: dict[str, list[Item]] = {}
        for item in self.items.singular():
            if item.action == GET and item.file.archive:
                wanted.setdefault(item.file.archive, []).append(item)
        for name in dict.fromkeys(entry.archive for entry in self.locked.archives):
            unknown = name in self.locked.unlisted
            if unknown or name in wanted:
                items = tuple(wanted.get(name, ()))
                yield Unpacking(self, name, self.locked.parts_of(name), items, not unknown)

    def withhold(self) -> None:
        """Leave its downloads out."""
        self.withheld = True
        self.items.withhold({GET}, WITHHELD)


@dataclass(eq=False, repr=False)
class Plan:
    """What a run would do to one tree. `met` rows of its state are of different targets."""

    tree: Path
    artifacts: list[ArtifactPlan]
    met: int = 0

    @property
    def items(self) -> Iterator[Item]:
        """Every item of every artifact."""
        return chain.from_iterable(part.items for part in self.artifacts)  # asked for very often

    def pending(self) -> Iterator[Item]:
        """Every item but those that are packed and as they should be."""
        return chain.from_iterable(part.items.pending() for part in self.artifacts)

    def to_do(self) -> Iterator[Item | PackedRun]:
        """The same with runs as they are."""
        return chain.from_iterable(part.items.to_do() for part in self.artifacts)

    def singular(self) -> Iterator[Item]:
        """Every item that is not packed."""
        return chain.from_iterable(part.items.singular() for part in self.artifacts)

    def actions(self) -> set[str]:
        """What there is to do, or not to do."""
        return {action for part in self.artifacts for action in part.items.actions()}

    def problems(self) -> list[Problem]:
        """Everything that already is known to be wrong."""
        found = [problem for part in self.artifacts for problem in part.problems]
        return found + [item.problem for item in self.singular() if item.problem]

    def to_get(self) -> dict[str, list[Item]]:
        """Items to download, by content: one download serves all of them.

        Members of archives are not among them: see `to_unpack`.
        """
        wanted: dict[str, list[Item]] = {}
        for item in self.pending():
            if item.action == GET and not item.file.archive:
                wanted.setdefault(item.content, []).append(item)
        return wanted

    def to_unpack(self) -> list[Unpacking]:
        """The archives that are to be had and unpacked."""
        return [found for part in self.artifacts for found in part.unpackings()]

    def revisions(self) -> dict[tuple[str, str], str]:
        """What each artifact, by manifest and id, resolved to."""
        return {
            (part.artifact.manifest, part.artifact.id): part.locked.revision
            for part in self.artifacts
            if part.locked is not None
        }


def downloads(items: Iterable[Item | PackedRun], members: bool = False) -> dict[object, int | None]:
    """The size of each content that is to be downloaded, None where nobody knows it: what
    `to_get` tells of, without the items. With `members` of archives as well."""
    found: dict[object, int | None] = {}
    for item in items:
        if item.action != GET:
            continue
        if isinstance(item, PackedRun):
            found.update(zip(item.run.digests(), item.run.sizes, strict=True))
        elif members or not item.file.archive:
            sha256 = None if item.anew else item.file.sha256
            found.setdefault(bytes.fromhex(sha256) if sha256 else item.content, item.file.size)
    return found


def row_of(item: Item, sha256: str, stat: Stat | os.stat_result, placed: bool = True) -> StateRow:
    """The state's row for a file that is as the plan wants it."""
    return StateRow(
        item.target,
        stat.st_size,
        stat.st_mtime_ns,
        stat.st_ino,
        sha256,
        item.file.key or f"sha256:{sha256}",
        item.edit_key,
        item.artifact.full_name,
        int(placed),
    )


def space_needed(
    items: Iterable[Item | PackedRun],
    unpackings: Iterable[Unpacking],
    link: str,
    same_disk: bool,
    with_hints: bool = False,
) -> tuple[int, int]:
    """Bytes needed (in the store, in the tree) at most, as far as sizes are known.

    An archive is in the store while its members come to be there. What a server has hinted at may
    be anything: it counts `with_hints` only, where nothing is refused for it.
    """
    listed = list(items)
    known = downloads(listed, members=True)
    hinted = {
        item.content
        for item in listed
        if not (with_hints or isinstance(item, PackedRun)) and item.file.size_hint
    }
    in_store = sum(size or 0 for content, size in known.items() if content not in hinted)
    packed = {
        one.key: sum(part.size or 0 for part in one.parts) if with_hints else one.size
        for one in unpackings
    }
    in_store += sum(packed.values())
    copies = 0
    for item in listed if link != "symlink" else ():
        if isinstance(item, PackedRun):
            copied = item.at(0).is_copy or link == "copy" or not same_disk
            copies += sum(item.run.sizes) if copied and item.action == GET else 0
        elif item.action in {GET, PLACE} and not item.lost_mode:
            copied = item.is_copy or link == "copy" or not same_disk
            counts = copied and (with_hints or not item.file.size_hint)
            copies += item.file.size or 0 if counts else 0
    return in_store, copies
