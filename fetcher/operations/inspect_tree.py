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
from fetcher.tree.plan import Plan, bytes_of
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
    found.summary.update(
        Summary(
            to_download_files=len(groups),
            to_download_bytes=bytes_of(groups),
            unknown_sizes=sum(1 for items in groups.values() if items[0].file.size is None),
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
