"""`fetch all`: resolve, plan, check ahead, transfer, place, record, report."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fetcher.errors import Problem, hint_of
from fetcher.i18n import t
from fetcher.operations import make_room, reconcile
from fetcher.operations.keep_gitignore import keep_in_step
from fetcher.operations.placing_progress import PlacingProgress
from fetcher.operations.ready import Ready
from fetcher.operations.reconcile import Reconciled
from fetcher.operations.record_run import Recorder
from fetcher.operations.run_transfer import Transferred, start_workers, transfer
from fetcher.operations.unpack_archives import Archives
from fetcher.operations.workspace import Workspace
from fetcher.project.resolve import Resolution
from fetcher.reporting.report import Report, of_plan
from fetcher.store.store import Store
from fetcher.tree.orphans import Found
from fetcher.tree.placer import Placer
from fetcher.tree.plan import GET, KEEP, PLACE, Plan
from fetcher.tree.planner import Planner
from fetcher.tree.preflight import check_ahead
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.operations.attestations import Attestations
    from fetcher.operations.library_gate import LibraryGate
    from fetcher.transfer.worker_pool import WorkerPool

_log = logging.getLogger(__name__)

Each = Callable[[Iterable[Ready]], Iterator[Ready]]


@dataclass(frozen=True)
class PreparedRun:
    """What a run would do, before anything is written: `workers` wait for their first download,
    `gate` lets files into libraries' folders."""

    resolution: Resolution
    plan: Plan
    planner: Planner
    workers: WorkerPool | None = None
    gate: LibraryGate | None = None
    orphans: Found = field(default_factory=Found)


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
    planner, plan = _plan(space)
    found = reconcile.look(space, plan)
    if found.orphans and not space.readonly and reconcile.make_way(space, plan, found):
        planner, plan = _plan(space)
        found = reconcile.look(space, plan)
    gate = _library_gate(space, plan, resolution)
    resolution.problems += _unresolved(plan, resolution)
    _log_plan(plan)
    return PreparedRun(resolution, plan, planner, workers, gate, found)


def _plan(space: Workspace) -> tuple[Planner, Plan]:
    planner = space.planner(only_look=True)
    plan = planner.plan(space.wanted, space.lock)
    if space.options.overwrite:
        planner.overwrite_conflicts(plan)
    return planner, plan


def _unresolved(plan: Plan, resolution: Resolution) -> list[Problem]:
    """Artifacts of which nothing is known after resolving, and nobody has said why."""
    told = {problem.artifact for problem in resolution.problems}
    return [
        Problem(
            "missing-upstream",
            t("it has no files after resolving"),
            t("run `fetch lock --update {id}`", id=part.artifact.command_words),
            part.artifact.id,
        )
        for part in plan.artifacts
        # (Files that it shares with another artifact, at one place, are that one's.)
        if not (part.items or part.problems or part.artifact.id in told)
        and not (part.locked and part.locked.files)
        and not list(part.unpackings())
    ]


def _log_plan(plan: Plan) -> None:
    if _log.isEnabledFor(logging.INFO):
        for part in plan.artifacts:
            counts = part.items.actions()
            told = ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))
            _log.info("plan of %s: %s", part.artifact.full_name, told or "nothing")


def carry_out(space: Workspace, prepared: PreparedRun) -> Report:
    """Do what was prepared; always returns a report, also when interrupted."""
    plan, problems = prepared.plan, list(prepared.resolution.problems)
    recorder = Recorder(space, prepared.resolution)
    placer = space.placer()
    done = Transferred()
    interrupted = ended = False
    cleared = Reconciled(left=list(prepared.orphans.orphans))

    attestations: Attestations | None = None

    guard = threading.RLock()  # files and members of archives come in different threads

    def place(ready: Sequence[Ready], each: Each = iter) -> None:
        with guard:
            problems.extend(_place(placer, recorder, [attestations, prepared.gate], ready, each))

    archives = Archives(space, prepared.planner, recorder, place)

    recorder.begin(plan)
    recorder.recognised(plan)
    try:
        make_room.before(space, plan)
        verdict = check_ahead(plan, space.store.root, space.settings.link, space.network)
        problems += verdict.problems()
        for part, problem in verdict.refused:
            _log.info("left out %s: %s", part.artifact.full_name, problem.message)
        told = len(problems)
        if verdict.may_start:
            verdict.withhold()
            attestations = _attestations(space, plan, prepared.resolution)
            recorder.placed(reconcile.move_targets(space, plan, prepared.orphans, placer))
            reconcile.bring(space, plan)
            place(*_stored(space, plan))
            transfer(space, plan, prepared.workers, place, done, archives)
            if _make_room(space, plan, problems[told:], done, archives):
                problems[told:] = _without_full(problems[told:])
                place(_placeable(space, plan))
                transfer(space, plan, None, place, done, archives)
            archives.tidy(plan)
        cleared = reconcile.clear(space, plan, prepared.orphans, placer, space.options.prune)
        problems += cleared.problems
        ended = True
    except KeyboardInterrupt:
        _log.info("interrupted: what has come is recorded")
        interrupted = True
    finally:
        problems += [*done.problems, *archives.problems]
        space.progress.end(whole=ended and not problems)
        tidy = ended and not (problems or interrupted or cleared.left)
        problems += recorder.finish(plan, complete=tidy)
        problems = _tell_of_parts(problems, space.store)
    keep_in_step(space, (orphan.path for orphan in cleared.left))
    problems = [_about_manifest(problem, plan) for problem in problems]
    report = _report(space, plan, problems, done, interrupted)
    _tell_of_old_files(report, cleared, placer)
    return report


def _tell_of_old_files(report: Report, cleared: Reconciled, placer: Placer) -> None:
    report.orphans = cleared.entries()
    gone = {orphan.path for orphan in cleared.taken}
    report.kept_in = placer.kept.folder
    report.replaced = [path for path in placer.kept.paths if path not in gone]


def _make_room(
    space: Workspace, plan: Plan, placing: list[Problem], done: Transferred, archives: Archives
) -> bool:
    """Where a disk was full, free what can be; if anything was, it is tried again."""
    every = [*placing, *done.problems, *archives.problems]
    if len(_without_full(every)) == len(every) or not make_room.during(space, plan):
        return False
    space.progress.again()
    done.problems = _without_full(done.problems)
    archives.problems = _without_full(archives.problems)
    return True


def _without_full(problems: list[Problem]) -> list[Problem]:
    """The problems of other kinds than a full disk."""
    return [problem for problem in problems if problem.code != "disk-space"]


def _stored(space: Workspace, plan: Plan) -> tuple[list[Ready], Each]:
    """What is in the store already, and what tells how far placing it is."""
    here = [Ready(item, item.sha256) for item in plan.singular() if item.action == PLACE]
    return here, PlacingProgress(space.progress, here).each if here else iter


def _placeable(space: Workspace, plan: Plan) -> list[Ready]:
    """What is in the store, but had no room in the tree."""
    waiting = (item for item in plan.pending() if item.action in {GET, PLACE} and not item.anew)
    return [
        Ready(item, sha256)
        for item in waiting
        if (sha256 := item.sha256 or space.store.find(item.file) or "") and space.store.has(sha256)
    ]


def _attestations(space: Workspace, plan: Plan, resolution: Resolution) -> Attestations | None:
    """Who lets files into the Hugging Face cache, where any are to go there."""
    if not any(item.hub and item.action in {GET, PLACE} for item in plan.singular()):
        return None
    from fetcher.operations.attestations import Attestations

    found = Attestations(space, resolution.listings)
    found.begin(plan)
    return found


def _library_gate(space: Workspace, plan: Plan, resolution: Resolution) -> LibraryGate | None:
    """Who lets files into libraries' folders, where any are to go there."""
    if not any(part.unit.layout.roots for part in plan.artifacts):
        return None
    from fetcher.operations.library_gate import LibraryGate

    gate = LibraryGate(space, resolution.listings)
    gate.begin(plan)
    return gate


def _place(
    placer: Placer,
    recorder: Recorder,
    gates: Sequence[Attestations | LibraryGate | None],
    ready: Sequence[Ready],
    each: Each = iter,
) -> list[Problem]:
    """Place contents that are in the store, as `each` gives them; returns what went wrong."""
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
    for gate in gates:
        if gate is not None:
            ready, unproven = gate.admit(ready)
            problems += unproven
    rows, failed = placer.place((one.item, one.sha256, one.stat) for one in each(ready))
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
    return [*problems[:full], problems[full]._replace(hint=hint), *problems[full + 1 :]]


def _about_manifest(problem: Problem, plan: Plan) -> Problem:
    """With a hint at the manifest, where that states itself what the file is not."""
    if problem.code not in {"digest-mismatch", "size-mismatch"} or not problem.file:
        return problem
    for part in plan.artifacts:
        known = (part.artifact.request.known or {}).get(problem.file)
        if part.artifact.id != problem.artifact or known is None:
            continue
        stated = known.sha256 or known.md5 or known.published or known.size is not None
        if stated:
            hint = t(
                "{manifest} states it: if that is a mistake, correct {file} there; else do not "
                "trust the place",
                file=problem.file,
                manifest=part.unit.manifest.file,
            )
            return problem._replace(hint=hint)
    return problem


def _report(
    space: Workspace, plan: Plan, problems: list[Problem], done: Transferred, interrupted: bool
) -> Report:
    seconds = time.monotonic() - space.started
    found = of_plan(plan, [*problems, *plan.problems()], seconds)
    found.summary["downloaded_files"] = done.files
    found.summary["downloaded_bytes"] = done.bytes
    if done.limited:
        found.summary["limited_seconds"] = done.limited
    found.interrupted = interrupted
    return found
