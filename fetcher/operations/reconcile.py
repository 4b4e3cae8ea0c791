"""Brings a tree back to what is wanted: what was placed once, and is not wanted any more, goes.

A target that was moved is moved, without a download. What a loader would read in place of the new
files is moved aside at once. The rest is named, and goes when the person says so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fetcher.errors import Failure, Problem
from fetcher.operations.keep_gitignore import keep_in_step
from fetcher.operations.workspace import Workspace
from fetcher.reporting.orphan_words import OrphanEntry, entry_of
from fetcher.reporting.report import Report
from fetcher.tree import orphans
from fetcher.tree.kept import Kept
from fetcher.tree.orphan import MOVED, OTHER, REPLACED, Orphan
from fetcher.tree.orphans import Found
from fetcher.tree.placer import Placer
from fetcher.tree.plan import GET, KEEP, PLACE, Item, Plan
from fetcher.tree.remover import Remover
from fetcher.tree.state import StateRow

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Reconciled:
    """What became of orphans: `moved` and `pruned` are gone, `aside` are in the folder `kept`,
    `left` still stand where they were."""

    moved: list[Orphan] = field(default_factory=list)
    aside: list[Orphan] = field(default_factory=list)
    pruned: list[Orphan] = field(default_factory=list)
    left: list[Orphan] = field(default_factory=list)
    kept: str = ""
    problems: list[Problem] = field(default_factory=list)

    @property
    def taken(self) -> list[Orphan]:
        """All that stand there no more."""
        return [*self.moved, *self.aside, *self.pruned]

    def entries(self) -> list[OrphanEntry]:
        """The same for reports."""
        outcomes = {"moved": self.moved, "kept": self.aside, "pruned": self.pruned}
        found = [
            entry_of(orphan, state, self.kept if state == "kept" else "")
            for state, some in outcomes.items()
            for orphan in some
        ]
        return found + [entry_of(orphan) for orphan in self.left]


def look(space: Workspace, plan: Plan, quick: bool = False) -> Found:
    """The orphans beside a plan, which a planner of this space has made; `quick` reads none."""
    others = _other_choices(space, plan)
    found = orphans.find(
        plan, space.rows, space.units, space.lock, space.gone_manifests, others, quick
    )
    return replace(found, orphans=tuple(_within(space, found.orphans)))


def _within(space: Workspace, some: Iterable[Orphan]) -> Iterable[Orphan]:
    """Those that are not behind a link out of the tree: what lies there was not placed."""
    reached: dict[str, bool] = {}
    for orphan in some:
        folder = orphan.path.rpartition("/")[0]
        if folder not in reached:
            try:
                space.boundary.locate(folder)
                reached[folder] = True
            except Failure as failure:
                _log.info("%s is left alone: %s", folder, failure)
                reached[folder] = False
        if reached[folder]:
            yield orphan


def _other_choices(space: Workspace, plan: Plan) -> set[str]:
    """The artifacts of choices that are not those of the plan, which has all of the chosen ones."""
    if not space.choices.left_out:
        return set()
    planned = {(part.artifact.manifest, part.artifact.id) for part in plan.artifacts}
    return {
        f"{one.manifest}/{name}"
        for one in space.choices.chosen
        if all((one.manifest, chosen) in planned for chosen in one.variant.choices[one.choice])
        for name in one.variant.left_out(one.choice)
    }


def make_way(space: Workspace, plan: Plan, found: Found) -> bool:
    """Take away unchanged orphans that stand where a folder must be, or in place of a file.

    Their contents go into the store, so that nothing is fetched again. Returns whether any did:
    the plan is to be made anew then.
    """
    targets = {item.target for item in plan.items if not item.hub}
    above = {folder for target in targets for folder in _folders_of(target)}
    ways = [
        orphan
        for orphan in found.orphans
        if not orphan.changed
        and (orphan.path in above or not targets.isdisjoint(_folders_of(orphan.path)))
    ]
    if not ways:
        return False
    remover = Remover(space.boundary, Kept(plan.tree, space.store))
    gone = [orphan for orphan in ways if _stored(space, orphan) and remover.take(orphan) is None]
    remover.bring_to_disk()
    space.state.forget(orphan.path for orphan in gone)
    return bool(gone)


def _folders_of(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _stored(space: Workspace, orphan: Orphan) -> bool:
    """Whether the store has an orphan's content, now at least."""
    row = orphan.row
    if row.edit or space.store.has(row.sha256):
        return True  # an edited file is made anew
    try:
        space.store.add_file(str(space.boundary.real_path(row.path)), row.sha256, link=True)
    except (Failure, OSError) as error:
        _log.info("%s cannot be taken into the store: %s", row.path, error)
        return False
    return True


def move_targets(space: Workspace, plan: Plan, found: Found, placer: Placer) -> list[StateRow]:
    """Rename what is wanted at another place now; returns the state's rows of the new places."""
    free = {
        item.target: item
        for item in (plan.pending() if found.orphans else ())
        if item.action in {GET, PLACE} and not (item.hub or item.edit or item.stat or item.aside)
    }
    remover = Remover(space.boundary, placer.kept)
    rows: list[StateRow] = []
    for orphan in found.orphans:
        item = free.get(orphan.to) if orphan.why == MOVED and not orphan.changed else None
        if item is None or item.file.key not in {orphan.row.want, f"sha256:{orphan.row.sha256}"}:
            continue
        # One that shares its bytes with the store is no copy to be worked on.
        if item.is_copy or orphan.row.edit:
            continue
        if (row := remover.give_name(orphan, item)) is not None:
            item.action, item.placed, item.sha256 = KEEP, True, row.sha256
            item.origin = "tree"
            rows.append(row)
    remover.bring_to_disk()
    return rows


def bring(space: Workspace, plan: Plan) -> None:
    """Take contents that only stand elsewhere in the tree into the store, to be placed."""
    for item in plan.singular():
        if item.action == PLACE and item.found_at:
            _bring(space, item)


def _bring(space: Workspace, item: Item) -> None:
    if space.store.has(item.sha256):
        return
    try:
        path = space.boundary.real_path(item.found_at)
        space.store.add_file(str(path), item.sha256, link=True)
    except (Failure, OSError) as error:
        _log.info("%s is not taken from %s: %s", item.target, item.found_at, error)
        item.action, item.sha256, item.origin, item.found_at = GET, "", "", ""


def clear(space: Workspace, plan: Plan, found: Found, placer: Placer, prune: bool) -> Reconciled:
    """Take away what goes at once; with `prune` all orphans. What went wrong is in the result."""
    done = Reconciled()
    if not (found.orphans or found.lost):
        return done
    remover = Remover(space.boundary, placer.kept)
    standing = {item.target for item in plan.items if item.action == KEEP}
    unfinished = {
        (item.artifact.full_name, item.target.rpartition("/")[0])
        for item in plan.pending()
        if item.action != KEEP
    }
    for orphan in found.orphans:
        if orphan.why == MOVED and not orphan.changed and orphan.to in standing:
            _take(orphan, remover, done, done.moved, aside=False)
        elif prune and (orphan.changed or orphan.why != MOVED):
            _take(orphan, remover, done, done.aside if orphan.changed else done.pruned, False)
        elif orphan.why == OTHER and not (orphan.changed or unfinished):
            _take(orphan, remover, done, done.pruned, aside=False)
        elif (
            orphan.why == REPLACED
            and not orphan.changed
            and (orphan.artifact, orphan.path.rpartition("/")[0]) not in unfinished
        ):
            _take(orphan, remover, done, done.aside, aside=True)
        else:
            done.left.append(orphan)
    remover.tidy_after(found.lost)
    remover.bring_to_disk()
    done.kept = placer.kept.folder
    gone = [orphan.path for orphan in done.taken]
    try:
        space.state.forget([*gone, *found.lost])
    except Failure as failure:
        done.problems.append(failure.problem)
    return done


def prune(space: Workspace, plan: Plan, found: Found, report: Report) -> None:
    """Take all orphans away, whatever else is to be done in the tree; the report tells of it."""
    done = clear(space, plan, found, space.placer(), True)
    report.orphans = done.entries()
    report.problems += done.problems
    keep_in_step(space, (orphan.path for orphan in done.left))
    gone = {key for key in space.lock.artifacts if key[0] in space.gone_manifests}
    if gone and not done.left:
        space.save_lock({})
    try:
        space.note_manifests()
    except Failure as failure:
        report.problems.append(failure.problem)


def _take(
    orphan: Orphan, remover: Remover, done: Reconciled, taken: list[Orphan], aside: bool
) -> None:
    problem = remover.take(orphan, aside)
    if problem is not None:
        done.problems.append(problem)
        done.left.append(orphan)
        return
    _log.info("%s (%s) of %s was taken away", orphan.path, orphan.why, orphan.artifact)
    taken.append(orphan)
