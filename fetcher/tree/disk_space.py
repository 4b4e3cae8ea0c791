"""Whether the disks have room for a plan, and which artifacts have none whatever else is chosen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.errors import Problem
from fetcher.fs.free_space import nearest_folder
from fetcher.i18n import t
from fetcher.store.store import Store
from fetcher.tree.item_list import PackedRun
from fetcher.tree.plan import GET, ArtifactPlan, Item, Plan, Unpacking, space_needed
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:  # most runs have room, and go on with nothing
    from fetcher.store.parts import Keeping

_MARGIN = 32 * 1024 * 1024


@dataclass(eq=False, repr=False)
class Room:
    """What is known of the room for a plan: `lacking` is a problem for each disk that has too
    little for the rest, once the artifacts in `too_large` are left out."""

    too_large: list[tuple[ArtifactPlan, Problem]] = field(default_factory=list)
    lacking: list[Problem] = field(default_factory=list)

    def problems(self) -> list[Problem]:
        """All of it."""
        return [*(problem for _, problem in self.too_large), *self.lacking]


class _Disks:
    """The disks of store and tree, and what is free on them; begun downloads are counted in."""

    def __init__(self, plan: Plan, store: Path, link: str, freed: int) -> None:
        self._store, self._tree = nearest_folder(store.absolute()), nearest_folder(plan.tree)
        self._same = os.stat(self._store).st_dev == os.stat(self._tree).st_dev
        self._link = link
        self._begun: int | None = None
        self._root = store
        self._plan = plan
        self._free = {
            folder: shutil.disk_usage(folder).free for folder in (self._store, self._tree)
        }
        self._free[self._store] += freed

    def surely_hold(self, plan: Plan) -> bool:
        """Whether every disk has room for all of it twice: in the store, and as copies."""
        most = sum(one.size for one in plan.to_unpack())
        for item in plan.to_do():
            most += sum(item.run.sizes) if isinstance(item, PackedRun) else item.file.size or 0
        return 2 * most + _MARGIN <= min(self._free.values())

    def lacking(
        self, items: Iterable[Item | PackedRun], unpackings: Iterable[Unpacking]
    ) -> Mapping[Path, tuple[int, int]]:
        """(needed, free) of each disk that has too little room for these."""
        in_store, in_tree = space_needed(items, unpackings, self._link, self._same)
        if in_store:
            in_store = max(0, in_store - self._begun_bytes())
        needs = {self._store: in_store}
        if self._same:
            needs[self._store] += in_tree
        else:
            needs[self._tree] = in_tree
        return {
            folder: (needed, self._free[folder])
            for folder, needed in needs.items()
            if needed and needed + _MARGIN > self._free[folder]
        }

    def _begun_bytes(self) -> int:
        if self._begun is None:
            store = Store(self._root, readonly=True)
            # Whose they are is asked for where there are any: a plan may have a million files.
            some = next(iter(store.begun()), None) is not None
            self._begun = kept_by(self._plan).begun(store) if some else 0
        return self._begun


def kept_by(plan: Plan) -> Keeping:
    """The partial downloads that a run of this plan goes on with."""
    from fetcher.store.parts import Keeping

    files = [item.file for item in plan.pending() if item.action == GET]
    files += [entry for one in plan.to_unpack() for entry in one.parts]
    keys = {file.key for file in files if file.key}
    return Keeping(keys, by_place=not all(file.key for file in files))


def room_for(plan: Plan, store: Path, link: str, freed: int = 0) -> Room:
    """Look whether the plan fits, with so many bytes `freed` on the store's disk. An artifact that
    cannot fit alone is told apart from the rest."""
    disks = _Disks(plan, store, link, freed)
    if disks.surely_hold(plan) or not disks.lacking(plan.to_do(), plan.to_unpack()):
        return Room()
    room = Room()
    rest: list[Item | PackedRun] = []
    archives: list[Unpacking] = []
    for part in plan.artifacts:
        gets = [item for item in part.items.to_do() if item.action == GET]
        unpackings = list(part.unpackings())
        lacking = disks.lacking(gets, unpackings)
        for folder, (needed, free) in lacking.items():
            room.too_large.append((part, _problem(folder, needed, free, part.artifact.id)))
        archives += [] if lacking else unpackings
        rest += [item for item in part.items.to_do() if not lacking or item.action != GET]
    for folder, (needed, free) in disks.lacking(rest, archives).items():
        room.lacking.append(_problem(folder, needed, free))
    return room


def _problem(folder: Path, needed: int, free: int, artifact: str = "") -> Problem:
    text = t(
        "{folder}: {needed} needed and {margin} to spare, {free} free",
        folder=folder,
        needed=human_bytes(needed),
        margin=human_bytes(_MARGIN),
        free=human_bytes(free),
    )
    hint = t(
        "free some space, choose fewer artifacts with --only, or point FETCH_STORE or --into at "
        "another disk"
    )
    return Problem("disk-space", text, hint, artifact)
