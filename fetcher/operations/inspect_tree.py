"""What a run would do to a tree and how each artifact stands: reports that change nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fetcher.errors import Problem
from fetcher.fs.free_space import free_bytes
from fetcher.operations import check, make_room, reconcile
from fetcher.operations.workspace import Workspace
from fetcher.reporting.orphan_words import entry_of
from fetcher.reporting.report import ArtifactStatus, Report, Summary, of_plan, status_of
from fetcher.sources.base import FileEntry
from fetcher.store.store import Store
from fetcher.tree.orphan import Orphan
from fetcher.tree.orphans import Found
from fetcher.tree.pacing import pacing_of
from fetcher.tree.plan import ArtifactPlan, Plan, downloads
from fetcher.tree.preflight import check_for_plan


def _seconds(space: Workspace) -> float:
    return time.monotonic() - space.started


def plan_report(
    space: Workspace, plan: Plan, problems: Sequence[Problem], found_orphans: Sequence[Orphan]
) -> Report:
    """What a run would do, and what would keep it from it; repositories are asked.

    `problems` are those of resolving.
    """
    ahead = check_for_plan(
        plan,
        space.store.root,
        space.settings.link,
        space.network,
        make_room.freeable_for(space, plan),
    )
    found = of_plan(plan, [*problems, *plan.problems(), *ahead], _seconds(space))
    found.orphans = [entry_of(orphan) for orphan in found_orphans]
    contents = downloads(plan.to_do())
    parts = {
        entry.key or f"{part.artifact.source.describe()} {entry.path}": entry
        for part in plan.artifacts
        for entry in archives_to_get(part, space.store)
    }
    sizes = [*contents.values(), *(p.size for p in parts.values())]
    found.summary.update(
        Summary(
            to_download_files=len(sizes),
            to_download_bytes=sum(size or 0 for size in sizes),
            unknown_sizes=sizes.count(None),
            unknown_archives=sum(1 for one in plan.to_unpack() if not one.listed),
            unresolved_artifacts=sum(1 for part in plan.artifacts if part.locked is None),
            disk_free=disk_free(plan.tree, space.store.root),
            failed_files=len({(p.artifact, p.file) for p in found.problems if p.file}),
        )
    )
    if limits := pacing_of(plan, space.network):
        found.summary["limited_seconds"] = round(max(one.seconds for one in limits), 1)
    return found


def archives_to_get(part: ArtifactPlan, store: Store) -> list[FileEntry]:
    """The archives (or parts of them) that are to be downloaded for an artifact's members."""
    found = [entry for one in part.unpackings() for entry in one.parts]
    return [entry for entry in dict.fromkeys(found) if not store.find(entry)]


def disk_free(tree: Path, store: Path) -> int:
    """Bytes free on the fuller of the disks of tree and store."""
    return min(free_bytes(folder) for folder in (tree, store))


def status_report(space: Workspace) -> tuple[Report, list[ArtifactStatus]]:
    """How each artifact stands, by stat alone: no file is read."""
    plan = space.planner(quick=True, only_look=True).plan(space.wanted, space.lock)
    found = of_plan(plan, [], _seconds(space))
    found.orphans = [entry_of(orphan) for orphan in reconcile.look(space, plan, quick=True).orphans]
    return found, status_of(plan)


def orphan_report(space: Workspace, plan: Plan, found: Found) -> Report:
    """What was placed here once and is not wanted now."""
    report = of_plan(plan, [], _seconds(space))
    report.orphans = [entry_of(orphan) for orphan in found.orphans]
    return report


def check_report(
    space: Workspace,
    plan: Plan,
    findings: Sequence[check.Finding],
    found_orphans: Sequence[Orphan],
    more: Sequence[Problem] = (),
) -> Report:
    """Every file against the lock: `results` has the findings that are not ok."""
    problems = [*check.problems_of(space.project.root, plan, findings), *more]
    found = of_plan(plan, problems, _seconds(space))
    bad = [finding for finding in findings if finding.state != "ok"]
    found.results = [asdict(finding) for finding in bad]
    found.summary["failed_files"] = len(bad)
    found.orphans = [entry_of(orphan) for orphan in found_orphans]
    return found
