"""The plan: what is there, what must be placed, what must be downloaded, what stands in the way."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.errors import Problem
from fetcher.tree import json_edits
from fetcher.tree.state import StateRow

if TYPE_CHECKING:
    from fetcher.fs.atomic import Stat
    from fetcher.project.lockfile import LockedArtifact
    from fetcher.project.manifest import Artifact
    from fetcher.project.project import Unit
    from fetcher.sources.base import FileEntry

KEEP = "keep"  # there, and right
PLACE = "place"  # in the store: only to be placed
GET = "get"  # to be downloaded, then placed
CONFLICT = "conflict"  # something else stands there
BLOCKED = "blocked"  # cannot be placed at all
WITHHELD = "withheld"  # to be downloaded, but no disk has room or the repository does not let us
UNVERIFIED = "unverified"  # there, but nobody has read it (quick plans only)


@dataclass(eq=False, slots=True)
class Item:
    """One file of one artifact at one target.

    `target` is relative to `tree`, or absolute in the Hugging Face cache.
    `replaces` marks a file of ours that an older plan has placed there. In the cache, `etag` is
    the name that its blob gets (its git id or sha256), `said_by` who says so, and `ref` the branch
    that is to lead there.
    """

    artifact: Artifact
    file: FileEntry
    target: str
    tree: str
    edit: Mapping[str, object] | None = None
    writable: bool = False
    hub: str = ""
    action: str = GET
    sha256: str = ""
    replaces: bool = False
    touched: bool = False
    changed_by_user: bool = False
    aside: bool = False  # move what stands there to .fetch/kept/ first
    placed: bool = False
    stat: os.stat_result | None = None
    problem: Problem | None = None
    origin: str = ""
    etag: str = ""
    said_by: str = ""
    ref: str = ""

    @property
    def path(self) -> str:
        """The absolute path of the target."""
        return self.target if self.hub else f"{self.tree}{os.sep}{self.target}"

    @property
    def is_copy(self) -> bool:
        """Whether it may share no bytes with the store's blob: it will be changed, or has a mode
        of its own."""
        return bool(self.writable or self.edit or self.file.executable)

    @property
    def stands(self) -> bool:
        """Whether a file is there that may be looked at, right or not."""
        if self.action == BLOCKED:
            return False  # it may be there behind a link that is not followed
        return self.action in {KEEP, UNVERIFIED} or os.path.exists(self.path)

    @property
    def content(self) -> str:
        """What tells its content from others: two items with one need one download."""
        return self.file.key or f"{self.artifact.full_name}/{self.file.path}"

    @property
    def edit_key(self) -> str:
        """Fingerprint of the edits, "" without any."""
        return json_edits.fingerprint(self.edit) if self.edit else ""


@dataclass(frozen=True)
class Unpacking:
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
    """One artifact's part of the plan; `locked` is None while it is unresolved."""

    unit: Unit
    artifact: Artifact
    locked: LockedArtifact | None
    items: list[Item] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    withheld: bool = False

    @property
    def state(self) -> str:
        """complete, partial, missing, modified or conflict; or failed."""
        actions = {item.action for item in self.items}
        if any(item.changed_by_user for item in self.items):
            return "modified"
        if CONFLICT in actions or BLOCKED in actions:
            return "conflict"
        if self.items and actions == {KEEP} and not self.problems:
            return "complete"
        if self.locked is not None and not self.locked.members_known:
            return "missing"
        present = any(item.action in {KEEP, UNVERIFIED} for item in self.items)
        return "partial" if present else "missing"

    def unpackings(self) -> Iterator[Unpacking]:
        """The archives that are to be unpacked: their members are wanted, or not known yet."""
        if self.locked is None or not self.locked.archives or self.withheld:
            return
        wanted: dict[str, list[Item]] = {}
        for item in self.items:
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
        for item in self.items:
            if item.action == GET:
                item.action = WITHHELD


@dataclass
class Plan:
    """What a run would do to one tree."""

    tree: Path
    artifacts: list[ArtifactPlan]

    @property
    def items(self) -> Iterator[Item]:
        """Every item of every artifact."""
        return (item for part in self.artifacts for item in part.items)

    def problems(self) -> list[Problem]:
        """Everything that already is known to be wrong."""
        found = [problem for part in self.artifacts for problem in part.problems]
        return found + [item.problem for item in self.items if item.problem]

    def to_get(self) -> dict[str, list[Item]]:
        """Items to download, by content: one download serves all of them.

        Members of archives are not among them: see `to_unpack`.
        """
        wanted: dict[str, list[Item]] = {}
        for part in self.artifacts:
            for item in part.items:
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


def bytes_of(groups: Mapping[str, Sequence[Item]]) -> int:
    """Bytes to download for what `to_get` returned, as far as sizes are known."""
    return sum(items[0].file.size or 0 for items in groups.values())


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
    items: Iterable[Item], unpackings: Iterable[Unpacking], link: str, same_disk: bool
) -> tuple[int, int]:
    """Bytes needed (in the store, in the tree) at most, as far as sizes are known.

    An archive is in the store while its members come to be there.
    """
    contents: dict[str, int] = {}
    copies = 0
    for item in items:
        # What a server has hinted at may be anything.
        size = 0 if item.file.size_hint else item.file.size or 0
        if item.action == GET:
            contents[item.content] = size
        if item.action in {GET, PLACE}:
            copied = item.is_copy or link == "copy" or not same_disk
            copies += size if copied and link != "symlink" else 0
    for unpacking in unpackings:
        contents[f"{unpacking.part.artifact.full_name} {unpacking.archive}"] = unpacking.size
    return sum(contents.values()), copies
