"""What one command sees: a project, its tree, its lock, and the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from fetcher.config.boundaries import came_with_project
from fetcher.config.settings import Settings
from fetcher.errors import LockError
from fetcher.fs import published
from fetcher.fs.boundary import Boundary
from fetcher.fs.private_files import tidy
from fetcher.i18n import join, t
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.operations.choose_variants import Choices, choose
from fetcher.project import lockfile as locks
from fetcher.project import pins
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, Selection, Unit, artifacts_of
from fetcher.project.resolve import Resolution, resolve
from fetcher.sources.base import FileEntry, Listing
from fetcher.store.project_records import heading, remember
from fetcher.store.runs import Runs
from fetcher.store.store import Store
from fetcher.tree import look_ahead
from fetcher.tree import uptodate as seals
from fetcher.tree.look_ahead import LookAhead
from fetcher.tree.placer import Placer
from fetcher.tree.plan import Plan
from fetcher.tree.planner import Planner
from fetcher.tree.state import State
from fetcher.tree.state_rows import KnownRows, Rows, StoredRows
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
    prune: bool = False
    first_trust: bool = False  # whatever comes is taken where no digest is known


@dataclass(eq=False, repr=False)
class Workspace:
    """A project, its tree and the store, as one command sees them."""

    project: Project
    units: list[Unit]
    settings: Settings
    options: Options
    progress: Progress
    readonly: bool = False
    names: tuple[str, ...] = ()  # manifests that were named on the command line
    looks: bool = False  # the tree is going to be looked at: best while the lock is read
    store: Store = field(init=False)
    state: State = field(init=False)
    runs: Runs = field(init=False)
    boundary: Boundary = field(init=False)
    choices: Choices = field(init=False)
    started: float = field(default_factory=time.monotonic)
    resources: ExitStack = field(default_factory=ExitStack)  # what else is to be closed
    _network: Network | None = None
    _ahead: LookAhead | None = None

    def __post_init__(self) -> None:
        self.store = Store.of(self.settings, self.readonly)
        into, root = self.options.into, self.project.root
        self.boundary = Boundary(into, self.settings.allowed.may_lead_to, [root])
        self.runs = Runs(self.store.root, self.progress.say, self.settings.locks)
        self.state = State(self.options.into)
        self.options.selection.check(self.units)
        self.choices = choose(
            self.units, self.settings, self.options.selection, StoredRows(self.state).owners
        )
        left_out = self.choices.left_out
        picked = list(artifacts_of(self.units, self.options.selection))
        self.wanted = [pair for pair in picked if _key(pair[1]) not in left_out]
        self.others = [pair for pair in picked if _key(pair[1]) in left_out]
        if self.looks:
            self._look_ahead(locks.most_files(self.project.root))
        try:
            self._lock = locks.read(self.project.root)
        except BaseException:  # nobody has this space, to close it
            self.close()
            raise
        self._lock_compared = False

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

    def take_every_variant(self) -> None:
        """Be about all choices of each variant, not only about the chosen one."""
        self.wanted, self.others = [*self.wanted, *self.others], []

    # Lock

    def resolve(self) -> Resolution:
        """Bring the lock in memory up to date, with all choices of each variant; what is wrong
        with those that are not chosen is no matter. Raises LockError under --locked."""
        artifacts = [artifact for _, artifact in (*self.wanted, *self.others)]
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
        others = {artifact.id for _, artifact in self.others}
        others -= {artifact.id for _, artifact in self.wanted}
        problems = [problem for problem in found.problems if problem.artifact not in others]
        return replace(found, problems=problems)

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
            return published.holds(path, sha256, file.md5, file.published)
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
            if key[0] in self.gone_manifests
            or (key[0] in declared and key[1] not in declared[key[0]])
        ]
        root = self.project.root
        tidy(str(root))  # a lock that was being written when the machine went down
        if self.options.locked or not (changed or gone):
            return False
        State(root).ensure_folder()  # where the lock's own lock lies
        return locks.update(root, changed, gone, self.progress.say, self.settings.locks)

    # Manifests

    @cached_property
    def gone_manifests(self) -> frozenset[str]:
        """The project's own manifests of earlier runs that are not there any more.

        Empty where some manifests were named: the others were not looked at.
        """
        if self.names and not self.project.are_all_own(self.names):
            return frozenset()
        return frozenset(self.state.manifests() - {unit.manifest.name for unit in self.units})

    def note_manifests(self) -> None:
        """Remember which manifests are the project's own, so that one that goes is missed."""
        before = self.state.manifests()
        own = {path.resolve() for path in self.project.own_manifests()}
        now = {
            unit.manifest.name
            for unit in self.units
            if unit.manifest.path and unit.manifest.path.resolve() in own
        }
        owners = {name.partition("/")[0] for name in self.rows.owners()}
        named = self.names and not self.project.are_all_own(self.names)
        kept = now | (before if named else before & owners)
        if kept != before:
            self.state.note_manifests(kept)

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
        if self.choices.by_hardware:
            return  # another card may choose otherwise
        declared = sum(len(unit.manifest.declared) for unit in self.units)
        declared -= len(self.choices.left_out)
        seals.save(self.state, self.mark(), plan, declared == len(plan.artifacts))

    # Plan

    def entries(self) -> list[locks.LockedArtifact | None]:
        """What the lock has of each artifact that is wanted, whether or not it still holds."""
        return [self._lock.artifacts.get(_key(artifact)) for _, artifact in self.wanted]

    def _look_ahead(self, files: int) -> None:
        """Have another process begin to look at the tree, if that may have so many files."""
        if files < look_ahead.FEWEST:
            return
        owners = {artifact.full_name for _, artifact in self.wanted}
        self._ahead = look_ahead.begin(self.boundary, self.state, owners)
        if self._ahead is not None:
            self.resources.callback(self._ahead.close)

    @property
    def rows(self) -> Rows:
        """What the state knew when the planner was made, or where nothing is written, knows."""
        return self._rows

    def planner(self, quick: bool = False, only_look: bool = False) -> Planner:
        """A planner for the tree as the state knows it; see there."""
        self._rows: Rows = StoredRows(self.state) if self.readonly else KnownRows(self.state.rows())
        allowed = self.settings.allowed.roots
        if self._ahead is None:
            self._look_ahead(sum(len(entry.files) for entry in self.entries() if entry))
        ahead, self._ahead = self._ahead, None  # it has seen the tree as it is now
        return Planner(
            self.boundary,
            self.store,
            self._rows,
            self.settings.hub_cache,
            quick,
            allowed_roots=allowed,
            only_look=only_look and self.readonly,
            project=self.project.root,
            ahead=ahead,
        )

    def placer(self) -> Placer:
        """What places into the tree; it is closed with this workspace."""
        confined = came_with_project(self.settings, "hub_cache", self.settings.hub_cache)
        prove = came_with_project(self.settings, "store", self.settings.store)
        placer = Placer(
            self.boundary, self.store, self.settings.link, self.linked(), confined, prove
        )
        self.resources.callback(placer.close)
        return placer

    def in_scope(self, rows: Rows) -> list[tuple[Unit, Artifact]]:
        """What a look at the tree is about: what was asked for by name, else what was fetched.

        A manifest of which nothing was ever placed here is left out while others were; optional
        artifacts count once they have been fetched.
        """
        placed = rows.owners()
        fetched = {name.partition("/")[0] for name in placed}
        selection = self.options.selection

        def counts(artifact: Artifact) -> bool:
            exact = selection.exact.get(artifact.manifest, ())
            if artifact.id in {*selection.only, *exact} or artifact.full_name in placed:
                return True
            if artifact.optional and not selection.asks_for(artifact):
                return False
            return bool(self.names) or not fetched or artifact.manifest in fetched

        return [(unit, artifact) for unit, artifact in self.wanted if counts(artifact)]

    def linked(self) -> set[str]:
        """Contents that the tree already holds as links."""
        return {row.sha256 for row in self._rows.each() if row.placed and not row.edit}

    def remember_project(self, more: Iterable[str] = ()) -> None:
        """Tell the store who uses it and what for, so that `fetch gc` keeps it. Raises OSError.

        `more` are the sha256 of contents that the lock has had no digest of.
        """
        root = self.project.root.absolute()
        # Another tree of the project may stand by another choice.
        own = self.options.into.absolute() == root and self.settings.link != "symlink"
        left_out = self.choices.left_out if own else frozenset()
        lines: list[str] = []
        for key, locked in self._lock.artifacts.items():  # in the lock's order
            if key not in left_out:
                lines.append(heading("/".join(key)))
                lines += dict.fromkeys(_needs(locked))
        names = [f"{manifest}/{name}" for manifest, name in left_out]
        remember(self.store.root, root, [*lines, heading(""), *more], names)


def _needs(locked: locks.LockedArtifact) -> Iterator[str]:
    """What the store must have for an artifact, as a record says it."""
    for file in locked.needed:
        if file.sha256 or file.git_blob:
            yield file.sha256 or f"git:{file.git_blob}"


def _key(artifact: Artifact) -> tuple[str, str]:
    return artifact.manifest, artifact.id
