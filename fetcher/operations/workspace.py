"""What one command sees: a project, its tree, its lock, and the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.config.boundaries import came_with_project
from fetcher.config.settings import Settings
from fetcher.errors import LockError
from fetcher.fs.atomic import md5_of
from fetcher.fs.boundary import Boundary
from fetcher.fs.private_files import tidy
from fetcher.fs.published import complaint
from fetcher.i18n import join, t
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.project import lockfile as locks
from fetcher.project import pins
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, Selection, Unit, artifacts_of
from fetcher.project.resolve import Resolution, resolve
from fetcher.sources.base import FileEntry, Listing
from fetcher.store.project_records import remember
from fetcher.store.runs import Runs
from fetcher.store.store import Store
from fetcher.tree import uptodate as seals
from fetcher.tree.placer import Placer
from fetcher.tree.plan import Plan
from fetcher.tree.planner import Planner
from fetcher.tree.state import State, StateRow
from fetcher.ui.progress import Progress

_log = logging.getLogger(__name__)


@dataclass
class Options:
    """What the command line asks of one run."""

    into: Path
    selection: Selection = field(default_factory=Selection)
    locked: bool = False
    update: Callable[[Artifact], bool] = lambda _: False
    overwrite: bool = False
    first_trust: bool = False  # whatever comes is taken where no digest is known


@dataclass
class Workspace:
    """A project, its tree and the store, as one command sees them."""

    project: Project
    units: list[Unit]
    settings: Settings
    options: Options
    progress: Progress
    readonly: bool = False
    names: tuple[str, ...] = ()  # manifests that were named on the command line
    store: Store = field(init=False)
    state: State = field(init=False)
    runs: Runs = field(init=False)
    boundary: Boundary = field(init=False)
    started: float = field(default_factory=time.monotonic)
    resources: ExitStack = field(default_factory=ExitStack)  # what else is to be closed
    _network: Network | None = None

    def __post_init__(self) -> None:
        self.store = Store.of(self.settings, self.readonly)
        into, root = self.options.into, self.project.root
        self.boundary = Boundary(into, self.settings.allowed.may_lead_to, [root])
        self.runs = Runs(self.store.root, self.progress.say, self.settings.locks)
        self.state = State(self.options.into)
        self._lock = locks.read(self.project.root)
        self._lock_compared = False
        self.options.selection.check(self.units)
        self.wanted = list(artifacts_of(self.units, self.options.selection))

    @property
    def lock(self) -> locks.Lock:
        """The lock, which keeps every pin of these manifests. Raises LockMismatch.

        Artifacts that are resolved anew do not count: their entries are on their way out.
        """
        if not self._lock_compared:
            renewed, found = self.options.update, self._lock.contradictions
            pins.refuse(
                (unit.manifest for unit in self.units),
                lambda artifact: () if renewed(artifact) else found(artifact),
            )
            self._lock_compared = True
        return self._lock

    @property
    def network(self) -> Network:
        """The rules for requests; made when first needed."""
        if self._network is None:
            self._network = Network(self.settings, self.progress.say)
        return self._network

    def close(self) -> None:
        """Release what is open."""
        self.resources.close()
        self.store.close()
        self.state.close()

    def join_runs(self) -> None:
        """Let other runs on the store see this one: before it plans with what the store has."""
        if not self.readonly:
            self.runs.enter()
            self.resources.callback(self.runs.leave)

    # Lock

    def resolve(self) -> Resolution:
        """Bring the lock in memory up to date; raises LockError under --locked."""
        artifacts = [artifact for _, artifact in self.wanted]
        if self.options.locked:
            self.require_current(
                t("run `fetch lock`, look at the difference, and commit fetch.lock")
            )
            return Resolution()
        pending = [a for a in artifacts if self.options.update(a) or self.lock.of(a) is None]
        if not pending:
            return Resolution()
        found = resolve(pending, self.lock, self.network, self._is_proven)
        self.keep_listings(found.listings)
        return found

    def keep_listings(self, listings: Sequence[Listing]) -> None:
        """Remember what the Hub of the person's choice said; best effort."""
        if not listings or self.readonly or not self.settings.hub_answers_to_person:
            return
        from fetcher.store import upstream_records

        records = upstream_records.of_person(self.settings)
        if records is None:
            return
        for listing in listings:
            try:
                records.add_pages(listing)
            except OSError as error:
                _log.info("what %s says is not kept: %s", public_url(listing.endpoint), error)

    def _is_proven(self, file: FileEntry) -> bool:
        """Whether the store has bytes with all the digests of a file."""
        sha256 = self.store.find(file)
        if sha256 is None or file.git_proof or not (file.md5 or file.published):
            return sha256 is not None
        path = self.store.blob_path(sha256)
        try:
            return _has_stated(path, file, sha256)
        except OSError:
            return False

    def require_current(self, hint: str) -> None:
        """Raise LockError for artifacts without a current entry, with the reason if it is one."""
        why = {
            artifact.id: self.lock.why_not(artifact)
            for _, artifact in self.wanted
            if self.lock.of(artifact) is None
        }
        if why:
            reasons = join(dict.fromkeys(why.values()), "; ")
            text = t("no current entry in fetch.lock: {reasons}", reasons=reasons)
            raise LockError(text, hint, why)

    def save_lock(self, changed: dict[tuple[str, str], locks.LockedArtifact]) -> bool:
        """Merge changed entries into fetch.lock; entries of removed artifacts go."""
        declared = {unit.manifest.name: unit.manifest.declared for unit in self.units}
        gone = [
            key
            for key in self.lock.artifacts
            if key[0] in declared and key[1] not in declared[key[0]]
        ]
        root = self.project.root
        tidy(str(root))  # a lock that was being written when the machine went down
        if self.options.locked or not (changed or gone):
            return False
        State(root).ensure_folder()  # where the lock's own lock lies
        return locks.update(root, changed, gone, self.progress.say, self.settings.locks)

    # Seal

    def mark(self) -> str:
        """The fingerprint of everything that this space's plan depends on. Raises OSError."""
        options = self.options
        return seals.mark(self.project, options.into, options.selection, self.names, self.settings)

    def seal(self, plan: Plan) -> None:
        """Remember that all of a plan is done, so that the next run can see it at a glance."""
        if not plan.artifacts or not (self.names or self.project.own_manifests()):
            return
        if not seals.can_seal(plan, self.settings.link):
            return
        declared = sum(len(unit.manifest.declared) for unit in self.units)
        seals.save(self.state, self.mark(), plan, declared == len(plan.artifacts))

    # Plan

    def planner(self, quick: bool = False) -> Planner:
        """A planner for the tree as the state knows it."""
        self._rows = self.state.rows()
        return Planner(self.boundary, self.store, self._rows, self.settings.hub_cache, quick)

    def placer(self) -> Placer:
        """What places into the tree; it is closed with this workspace."""
        confined = came_with_project(self.settings, "hub_cache", self.settings.hub_cache)
        prove = came_with_project(self.settings, "store", self.settings.store)
        placer = Placer(
            self.boundary, self.store, self.settings.link, self.linked(), confined, prove
        )
        self.resources.callback(placer.close)
        return placer

    def in_scope(self, rows: Iterable[StateRow]) -> list[tuple[Unit, Artifact]]:
        """What a look at the tree is about: what was asked for by name, else what was fetched.

        A manifest of which nothing was ever placed here is left out while others were; optional
        artifacts count once they have been fetched.
        """
        placed = {row.artifact for row in rows if row.placed}
        fetched = {name.partition("/")[0] for name in placed}
        selection = self.options.selection

        def counts(artifact: Artifact) -> bool:
            exact = selection.exact.get(artifact.manifest, ())
            if artifact.id in {*selection.only, *exact} or artifact.full_name in placed:
                return True
            if artifact.optional and not selection.optional:
                return False
            return bool(self.names) or not fetched or artifact.manifest in fetched

        return [(unit, artifact) for unit, artifact in self.wanted if counts(artifact)]

    def linked(self) -> set[str]:
        """Contents that the tree already holds as links."""
        return {row.sha256 for row in self._rows.values() if row.placed and not row.edit}

    def remember_project(self, more: Iterable[str] = ()) -> None:
        """Tell the store who uses it and what for, so that `fetch gc` keeps it. Raises OSError.

        `more` are the sha256 of contents that the lock has had no digest of.
        """
        root = self.project.root.absolute()
        files = (file for item in self._lock.artifacts.values() for file in item.needed)
        needs = [
            file.sha256 or f"git:{file.git_blob}" for file in files if file.sha256 or file.git_blob
        ]
        remember(self.store.root, root, dict.fromkeys([*needs, *more]))  # in the lock's order


def _has_stated(path: str, file: FileEntry, sha256: str) -> bool:
    """Whether the bytes have the digests that their publisher states. Raises OSError."""
    if file.md5 and md5_of(path) != file.md5:
        return False
    if not file.published:
        return True
    with open(path, "rb") as stream:  # noqa: PTH123
        return not complaint(file.published, stream, sha256)[0]
