"""`fetch all`, step by step: lock, plan, preflight, transfer, store, layout, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fetcher.errors import Failure, FetchError, Problem, from_os_error
from fetcher.fs.atomic import Stat
from fetcher.mirror.locations import candidates_of
from fetcher.operations.workspace import Workspace
from fetcher.reporting import envelope
from fetcher.reporting.envelope import Report
from fetcher.sources.base import (
    LOCAL_CANDIDATES,
    Candidate,
    FileEntry,
    PathCandidate,
    Source,
    UrlCandidate,
)
from fetcher.sources.fetch_mirror import FetchMirror
from fetcher.store.runs import Runs
from fetcher.tree import preflight
from fetcher.tree.hf_cache import CachedBlobs
from fetcher.tree.placer import Placer
from fetcher.tree.plan import GET, KEEP, PLACE, WITHHELD, ArtifactPlan, Item, Plan, row_of
from fetcher.tree.state import Row

if TYPE_CHECKING:
    from fetcher.transfer.worker_pool import WorkerPool

_RECORD_SECONDS = 0.5


class Run:
    """One `fetch all` over a workspace."""

    def __init__(self, space: Workspace) -> None:
        self.space = space
        self.problems: list[Problem] = []
        self.learned: dict[tuple[str, str], dict[str, FileEntry]] = {}
        self.downloaded_files = self.downloaded_bytes = 0
        self.rows: list[Row] = []
        self._cached = CachedBlobs(space.settings.hub_cache)
        mirrors = [FetchMirror(location) for location in space.settings.mirrors]
        self._chosen_mirrors = [(mirror, f"mirror:{mirror.describe()}") for mirror in mirrors]
        self._unopened: set[str] = set()
        self._recorded = time.monotonic()
        self._workers = self._start_workers()
        self._runs = Runs(space.store.root, space.progress.say, space.settings.locks)
        if not space.readonly:
            self._runs.enter()
            space.resources.callback(self._runs.leave)

    def _start_workers(self) -> WorkerPool | None:
        """Processes for many small files, now that this one is small."""
        from fetcher.transfer.worker_pool import FEWEST, WorkerPool, can_be_used

        space = self.space
        # How many files there may be; whether the lock still holds is the plan's to find out.
        locked = space.lock.artifacts
        known = [locked.get((item.manifest, item.id)) for _, item in space.wanted]
        few = all(known) and sum(len(one.files) for one in known if one) < FEWEST
        if few or space.readonly or not known or not can_be_used(space.network):
            return None
        workers = WorkerPool(space.network, space.store)
        space.resources.callback(workers.close)
        return workers

    def plan(self) -> Plan:
        """Resolve and plan; nothing is written yet."""
        self.space.store.recover()
        self.resolution = self.space.resolve()
        self.problems += self.resolution.problems
        self.planner = self.space.planner()
        plan = self.planner.plan(self.space.wanted, self.space.lock)
        if self.space.options.overwrite:
            for item in plan.items:
                if item.problem is not None and item.problem.code == "conflict":
                    self.planner.overwrite(item)
        return plan

    def check_ahead(self, plan: Plan) -> bool:
        """The preflight; False if the run must not start."""
        space = self.space
        fatal = preflight.check_space(plan, space.store.root, space.settings.link)
        fatal += preflight.check_writable(plan, space.store.root)
        if not fatal and any(item.action == GET for item in plan.items):
            fatal = preflight.check_mirrors(space.network)
        if fatal:
            self.problems += fatal
            return False
        if any(item.action == GET for item in plan.items):
            for part, problem in preflight.check_access(plan, space.network):
                self._bar(part, problem)
        return True

    def _bar(self, part: ArtifactPlan, problem: Problem) -> None:
        """Leave an artifact's downloads out; what is in the store is still placed."""
        self.problems.append(problem)
        for item in part.items:
            if item.action == GET:
                item.action = WITHHELD

    def execute(self, plan: Plan) -> Report:
        """Do what the plan says; always returns a report, also when interrupted."""
        space = self.space
        interrupted = False
        self._record_touched(plan)
        placer = Placer(space.options.into, space.store, space.settings.link, space.linked())
        try:
            if self.check_ahead(plan):
                self._place(placer, [(i, i.sha256, None) for i in plan.items if i.action == PLACE])
                self._transfer(plan, placer)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            space.progress.end()
            self._finish(plan)
        self.problems += plan.problems()
        found = envelope.of_plan(plan, self.problems, time.monotonic() - space.started)
        found.summary["downloaded_files"] = self.downloaded_files
        found.summary["downloaded_bytes"] = self.downloaded_bytes
        found.interrupted = interrupted
        return found

    def _record_touched(self, plan: Plan) -> None:
        rows = []
        for item in plan.items:
            if item.action == KEEP and item.touched and item.stat is not None:
                rows.append(row_of(item, item.sha256, item.stat))
        if rows:
            self.space.state.record(rows)

    def _place(self, placer: Placer, ready: list[tuple[Item, str, Stat | None]]) -> None:
        """Place blobs that are in the store, and remember it."""
        if not ready:
            return
        rows, problems = placer.place(ready)
        placed = {row.path: row for row in rows}
        for item, sha256, _ in ready:
            if item.target in placed:
                item.action, item.placed, item.sha256 = KEEP, True, sha256
        self.rows += rows
        self.problems += problems
        if time.monotonic() - self._recorded > _RECORD_SECONDS:
            self._record()

    def _record(self) -> None:
        """Write the rows gathered so far; a file without its row is read again next time."""
        rows, self.rows = self.rows, []
        self._recorded = time.monotonic()
        try:
            if rows:
                self.space.state.record(rows)
        except Failure as failure:
            self.problems.append(failure.problem)

    def _transfer(self, plan: Plan, placer: Placer) -> None:
        groups = plan.to_get()
        if not groups:
            return
        from fetcher.transfer.download import Delivered, Download
        from fetcher.transfer.engine import Engine

        space = self.space
        waiting: dict[Download, list[Item]] = {}
        revisions = {
            (part.artifact.manifest, part.artifact.id): part.locked.revision
            for part in plan.artifacts
            if part.locked is not None
        }

        def downloads() -> Iterator[Download]:
            for items in groups.values():
                download = Download(
                    items[0].artifact.id, items[0].file, self._candidates(items, revisions)
                )
                waiting[download] = items
                yield download
            groups.clear()

        def on_batch(batch: list[Delivered]) -> None:
            ready: list[tuple[Item, str, Stat | None]] = []
            for done in batch:
                for item in waiting.pop(done.download):
                    item.origin = done.origin
                    ready.append((item, done.sha256, done.stat))
                    if item.file.size is None or not item.file.key:
                        self._learn(item, done.sha256, done.size)
                self.downloaded_files += 1 if done.downloaded or not done.size else 0
                self.downloaded_bytes += done.downloaded
            if any(not done.download.file.key for done in batch):
                # Placed before its digest is locked, such a file would be a stranger to a run
                # that comes after a crash.
                self._save_lock()
            self._place(placer, ready)

        total = sum(items[0].file.size or 0 for items in groups.values())
        space.progress.begin(len(groups), total)
        workers, self._workers = self._workers, None  # they serve once
        network, store, progress = space.network, space.store, space.progress
        with Engine(network, store, progress, on_batch, workers, self._runs) as engine:
            failed = engine.run(downloads())
        for download, problem in failed:
            self.problems += [
                problem.about(item.artifact.id, item.file.path) for item in waiting[download]
            ]

    def _candidates(
        self, items: list[Item], revisions: dict[tuple[str, str], str]
    ) -> list[Candidate]:
        """Where a content can be had: chosen mirrors, the source, the artifact's mirrors."""
        network = self.space.network
        file = items[0].file
        found: list[Candidate] = []
        for item in items:
            cached = self._cached.find(item.artifact.source, item.file)
            if cached is not None:
                found.append(PathCandidate("hf-cache", cached, link=True))
        for mirror, label in self._chosen_mirrors:
            found += [_chosen(c, label) for c in candidates_of(mirror, file, network)]
        for item in items:
            revision = revisions[item.artifact.manifest, item.artifact.id]
            found += item.artifact.source.candidates(revision, item.file, network)
            # A mirror is never trusted with a content that nobody knows yet.
            for source in item.artifact.mirrors if item.file.key else ():
                found += self._of_mirror(source, item.file)
        found = found if len(items) == 1 else list(dict.fromkeys(found))
        if network.offline:
            # What needs the network stands once at the end, to say so.
            here = [item for item in found if isinstance(item, LOCAL_CANDIDATES)]
            return here + [item for item in found if not isinstance(item, LOCAL_CANDIDATES)][:1]
        return found

    def _of_mirror(self, source: Source, file: FileEntry) -> list[Candidate]:
        """Candidates of an artifact's own mirror; one that cannot be opened is passed over."""
        network = self.space.network
        label = f"mirror:{source.describe()}"
        try:
            found = candidates_of(source, file, network)
        except FetchError as error:
            if label not in self._unopened:
                self._unopened.add(label)
                self.space.progress.say(f"{label}: {error.message}")
            return []
        return [candidate._replace(origin=label) for candidate in found]

    def _learn(self, item: Item, sha256: str, size: int) -> None:
        """Remember a digest that the lock does not have yet."""
        if item.file.sha256 is None or item.file.size is None:
            found = self.learned.setdefault((item.artifact.manifest, item.artifact.id), {})
            if item.file.path not in found:
                path, _, _, git_blob, lfs, md5 = item.file
                found[path] = FileEntry(path, size, sha256, git_blob, lfs, md5)

    def _finish(self, plan: Plan) -> None:
        """Write what was learned into the state and the lock, and leave the store tidy."""
        self._record()
        for item in plan.items:
            if item.action == KEEP and item.sha256 and item.file.size is not None and not item.edit:
                self._learn(item, item.sha256, item.file.size)
        self._save_lock()
        try:
            if any(item.placed for item in plan.items):
                self.space.remember_project()
            self.space.store.close()
            if not self.problems:
                self.space.seal(plan)
        except OSError as error:
            self.problems.append(from_os_error(error, f"writing {error.filename}").problem)

    def _save_lock(self) -> None:
        """Merge what was resolved and learned so far into fetch.lock."""
        changed = dict(self.resolution.fresh)
        for key, entries in self.learned.items():
            locked = self.space.lock.artifacts[key]
            files = tuple(entries.get(file.path, file) for file in locked.files)
            changed[key] = replace(locked, files=files)
        try:
            self.space.save_lock(changed)
        except OSError as error:
            self.problems.append(from_os_error(error, f"writing {error.filename}").problem)
        except Failure as failure:
            self.problems.append(failure.problem)


def _chosen(candidate: Candidate, label: str) -> Candidate:
    """A candidate of a mirror that the user has named: asked before all others."""
    if isinstance(candidate, UrlCandidate):
        return candidate._replace(origin=label, rank=0)
    return candidate._replace(origin=label)
