"""What a run would do to a tree and how each artifact stands: reports that change nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fetcher.errors import Problem
from fetcher.fs.free_space import free_bytes
from fetcher.operations import check
from fetcher.operations.workspace import Workspace
from fetcher.reporting.report import ArtifactStatus, Report, Summary, of_plan, status_of
from fetcher.tree.plan import Plan
from fetcher.tree.preflight import check_for_plan


def _seconds(space: Workspace) -> float:
    return time.monotonic() - space.started


def plan_report(space: Workspace, plan: Plan, problems: Sequence[Problem]) -> Report:
    """What a run would do, and what would keep it from it; repositories are asked.

    `problems` are those of resolving.
    """
    ahead = check_for_plan(plan, space.store.root, space.settings.link, space.network)
    found = of_plan(plan, [*problems, *plan.problems(), *ahead], _seconds(space))
    groups = plan.to_get()
    parts = {
        entry.key or f"{one.part.artifact.source.describe()} {entry.path}": entry
        for one in plan.to_unpack()
        for entry in one.parts
        if not space.store.find(entry)
    }
    sizes = [*(items[0].file.size for items in groups.values()), *(p.size for p in parts.values())]
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
    return found


def disk_free(tree: Path, store: Path) -> int:
    """Bytes free on the fuller of the disks of tree and store."""
    return min(free_bytes(folder) for folder in (tree, store))


def status_report(space: Workspace) -> tuple[Report, list[ArtifactStatus]]:
    """How each artifact stands, by stat alone: no file is read."""
    plan = space.planner(quick=True).plan(space.wanted, space.lock)
    return of_plan(plan, [], _seconds(space)), status_of(plan)


def check_report(
    space: Workspace, plan: Plan, findings: Sequence[check.Finding], more: Sequence[Problem] = ()
) -> Report:
    """Every file against the lock: `results` has the findings that are not ok."""
    problems = [*check.problems_of(plan, findings), *more]
    found = of_plan(plan, problems, _seconds(space))
    bad = [finding for finding in findings if finding.state != "ok"]
    found.results = [asdict(finding) for finding in bad]
    found.summary["failed_files"] = len(bad)
    return found
