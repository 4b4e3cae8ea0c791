"""`fetch all`: resolve, plan, check ahead, transfer, place, record, report."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fetcher.errors import Problem, hint_of
from fetcher.i18n import t
from fetcher.operations.ready import Ready
from fetcher.operations.record_run import Recorder
from fetcher.operations.run_transfer import Transferred, start_workers, transfer
from fetcher.operations.unpack_archives import Archives
from fetcher.operations.workspace import Workspace
from fetcher.project.resolve import Resolution
from fetcher.reporting.report import Report, of_plan
from fetcher.store.store import Store
from fetcher.tree.placer import Placer
from fetcher.tree.plan import GET, KEEP, PLACE, Plan
from fetcher.tree.planner import Planner
from fetcher.tree.preflight import check_ahead
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.operations.attestations import Attestations
    from fetcher.transfer.worker_pool import WorkerPool

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedRun:
    """What a run would do, before anything is written: `workers` wait for their first download."""

    resolution: Resolution
    plan: Plan
    planner: Planner
    workers: WorkerPool | None = None


def fetch_all(space: Workspace) -> Report:
    """Bring the tree into the state that manifests, layouts and lock describe.

    Partial failure is in the report, and so is an interruption. Raises LockError under --locked.
    """
    return carry_out(space, prepare(space))


def prepare(space: Workspace) -> PreparedRun:
    """Resolve and plan; nothing is written but the store's leftovers that are published."""
    workers = start_workers(space)
    space.join_runs()
    space.store.recover()
    resolution = space.resolve()
    for (manifest, name), locked in resolution.fresh.items():
        _log.info("resolved %s/%s: %s, %d files", manifest, name, locked.source, len(locked.files))
    planner = space.planner()
    plan = planner.plan(space.wanted, space.lock)
    if space.options.overwrite:
        planner.overwrite_conflicts(plan)
    _log_plan(plan)
    return PreparedRun(resolution, plan, planner, workers)


def _log_plan(plan: Plan) -> None:
    if _log.isEnabledFor(logging.INFO):
        for part in plan.artifacts:
            counts = Counter(item.action for item in part.items)
            told = ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))
            _log.info("plan of %s: %s", part.artifact.full_name, told or "nothing")


def carry_out(space: Workspace, prepared: PreparedRun) -> Report:
    """Do what was prepared; always returns a report, also when interrupted."""
    plan, problems = prepared.plan, list(prepared.resolution.problems)
    recorder = Recorder(space, prepared.resolution)
    placer = space.placer()
    done = Transferred()
    interrupted = False

    attestations: Attestations | None = None

    guard = threading.RLock()  # files and members of archives come in different threads

    def place(ready: Sequence[Ready]) -> None:
        with guard:
            problems.extend(_place(placer, recorder, attestations, ready))

    archives = Archives(space, prepared.planner, recorder, place)

    recorder.begin(plan)
    recorder.recognised(plan)
    try:
        verdict = check_ahead(plan, space.store.root, space.settings.link, space.network)
        problems += verdict.problems()
        for part, problem in verdict.refused:
            _log.info("left out %s: %s", part.artifact.full_name, problem.message)
        if verdict.may_start:
            verdict.withhold()
            attestations = _attestations(space, plan, prepared.resolution)
            place([Ready(item, item.sha256) for item in plan.items if item.action == PLACE])
            transfer(space, plan, prepared.workers, place, done, archives)
            archives.tidy(plan)
    except KeyboardInterrupt:
        _log.info("interrupted: what has come is recorded")
        interrupted = True
    finally:
        space.progress.end()
        problems += [*done.problems, *archives.problems]
        problems += recorder.finish(plan, complete=not (problems or interrupted))
        problems = _tell_of_parts(problems, space.store)
    return _report(space, plan, problems, done, interrupted)


def _attestations(space: Workspace, plan: Plan, resolution: Resolution) -> Attestations | None:
    """Who lets files into the Hugging Face cache, where any are to go there."""
    if not any(item.hub and item.action in {GET, PLACE} for item in plan.items):
        return None
    from fetcher.operations.attestations import Attestations

    found = Attestations(space, resolution.listings)
    found.begin(plan)
    return found


def _place(
    placer: Placer,
    recorder: Recorder,
    attestations: Attestations | None,
    ready: Sequence[Ready],
) -> list[Problem]:
    """Place contents that are in the store; returns what went wrong."""
    if not ready:
        return []
    problems: list[Problem] = []
    new = [one for one in ready if one.new]
    for one in new:
        recorder.learn(one.item, one.sha256, one.size or 0)
    if any(not one.item.file.key for one in new):
        # Placed before its digest is locked, such a file would be a stranger to a run that comes
        # after a crash.
        problems += recorder.save_lock()
    if attestations is not None:
        ready, unproven = attestations.admit(ready)
        problems += unproven
    rows, failed = placer.place((one.item, one.sha256, one.stat) for one in ready)
    placed = {row.path for row in rows}
    for item, sha256, *_ in ready:
        if item.target in placed:
            item.action, item.placed, item.sha256 = KEEP, True, sha256
    recorder.placed(rows)
    return [*problems, *failed]


def _tell_of_parts(problems: list[Problem], store: Store) -> list[Problem]:
    """Where a disk is full, say how much of it downloads hold that were begun."""
    begun = sum(size for _, size in store.begun())
    full = next((n for n, item in enumerate(problems) if item.code == "disk-space"), None)
    if full is None or not begun:
        return problems
    told = t(
        "{begun} of partial downloads are in {folder}: the next run goes on with them, "
        "`fetch gc --partial` frees them",
        begun=human_bytes(begun),
        folder=store.partial,
    )
    hint = "; ".join(filter(None, (hint_of(problems[full]), told)))
    return [*problems[:full], replace(problems[full], hint=hint), *problems[full + 1 :]]


def _report(
    space: Workspace, plan: Plan, problems: list[Problem], done: Transferred, interrupted: bool
) -> Report:
    seconds = time.monotonic() - space.started
    found = of_plan(plan, [*problems, *plan.problems()], seconds)
    found.summary["downloaded_files"] = done.files
    found.summary["downloaded_bytes"] = done.bytes
    found.interrupted = interrupted
    return found
