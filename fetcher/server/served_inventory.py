"""What a server has to show: the inventories of its locations, looked at again when they change."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from fetcher.errors import FetchError
from fetcher.fs.atomic import git_blob_hasher
from fetcher.fs.extents import Extent, read
from fetcher.i18n import t
from fetcher.mirror.bundle import SUMS, open_bundles
from fetcher.mirror.claims import disputes, repo_key
from fetcher.mirror.inventory import HeldArtifact, Inventory
from fetcher.mirror.trust import require
from fetcher.server.claims import assembled
from fetcher.server.project_inventory import (
    Contradicted,
    ProjectInventory,
    StoreInventory,
    UnreadableProject,
)
from fetcher.server.repos import Repo
from fetcher.server.tokens import Identity
from fetcher.server.upstream_index import UpstreamInventory
from fetcher.sources.base import FileEntry
from fetcher.store import imports, upstream_records
from fetcher.store.demands import recorded_needs
from fetcher.store.imports import ImportRecord
from fetcher.store.project_records import record_of
from fetcher.store.source_word import SourceWord
from fetcher.store.store import Store
from fetcher.store.upstream_records import UpstreamRecords

_log = logging.getLogger(__name__)

# How often a busy server looks whether its locations changed.
_LOOK_SECONDS = 1.0
# Bytes that are read to prove git ids, of all files together.
_MOST_READ = 1 << 30


class Location(Protocol):
    """Somewhere that holds something; what is there may change."""

    @property
    def label(self) -> str:
        """What to call it."""

    def signature(self) -> object:
        """A value that changes when what is there may have changed; costs a few stats."""

    def open(self) -> list[Inventory]:
        """What is there now. Raises FetchError."""


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _project_signature(root: Path) -> tuple[object, ...]:
    manifests = root / "manifests"
    files = sorted(manifests.iterdir()) if manifests.is_dir() else []
    return _stat(root / "fetch.lock"), *((path.name, _stat(path)) for path in files)


@dataclass
class StoreLocation:
    """A store: with the projects at `roots`, or with all that it knows (`everything`).

    The operator named `roots` and what was imported. Of other projects that the store knows nothing
    is shown in a source's name, since each could claim what it likes. `upstream` adds what was
    fetched from that Hub before. Without one, `everything` has what came from the only Hub that
    anything came from; of several that from `endpoint`, the operator's, or none.
    """

    path: Path
    roots: tuple[Path, ...] = ()
    everything: bool = False
    upstream: str = ""
    endpoint: str = ""

    @property
    def label(self) -> str:
        """The store's folder."""
        return str(self.path)

    def _strangers(self) -> list[Path]:
        """Projects that have used the store, and that nobody named, sorted."""
        if not self.everything:
            return []
        known = imports.projects(Store(self.path, readonly=True))
        named = {os.path.realpath(root) for root in self.roots}
        return sorted(root for root in known if os.path.realpath(root) not in named)

    def _imports(self) -> list[ImportRecord]:
        return imports.records(self.path) if self.everything else []

    def upstreams(self) -> list[str]:
        """The Hubs from which something came, as far as what they said can count."""
        if self.upstream:
            return [upstream_records.endpoint(self.upstream)]
        return upstream_records.believed(self.path, self.endpoint)

    def _records(self) -> UpstreamRecords | None:
        known = self.upstreams()
        return UpstreamRecords(self.path, known[0]) if len(known) == 1 else None

    def signature(self) -> object:
        """Times of the folders in which something appears when the store is filled."""
        folders = [self.path / name for name in ("blobs/sha256", "stamps", "projects")]
        records = self._records()
        return (
            [_stat(folder) for folder in folders],
            [_project_signature(root) for root in (*self.roots, *self._strangers())],
            [(record.name, record.number) for record in self._imports()],
            records.marks() if records else None,
        )

    def open(self) -> list[Inventory]:
        """The projects that have a lock, those that nobody named first, and all other contents if
        wanted."""
        store = Store(self.path, readonly=True)
        records = self._records()
        word = SourceWord(records, store) if records else None
        found: list[Inventory] = list(_of_strangers(self._strangers(), store, word))
        imported = self._imports()
        latest = imports.latest(imported, self.path)
        found += [
            ProjectInventory(
                record.folder(self.path),
                store,
                word=word,
                label=record.label,
                latest=latest[record.name],
            )
            for record in imported
        ]
        named = filter(_has_lock, self.roots)
        found += [ProjectInventory(root, store, word=word) for root in named]
        projects_known = bool(found)
        if records is not None and (self.everything or self.upstream):
            found.append(UpstreamInventory(records, store))
        # The store's other contents are no business of those who ask a project's server.
        others = self.everything or (self.upstream and not projects_known)
        return [*found, StoreInventory(store)] if others else found


def _of_strangers(
    roots: Iterable[Path], store: Store, word: SourceWord | None
) -> Iterator[Inventory]:
    """What projects have that nobody named: one whose lock is broken stops nobody else."""
    for root in filter(_has_lock, roots):
        try:
            yield ProjectInventory(root, store, published=False, word=word)
        except FetchError as error:
            needs = recorded_needs(store, record_of(store.root, root)) or ()
            yield UnreadableProject(root, needs, error.message)


def _has_lock(root: Path) -> bool:
    return _stat(root / "fetch.lock") is not None


@dataclass
class BundleLocation:
    """Bundles: folders, tar files or volumes. `key` is the public key that they are signed with."""

    paths: tuple[str, ...]
    key: Path | None = None

    @property
    def label(self) -> str:
        """The first one's name, and how many there are."""
        more = len(self.paths) - 1
        return t(
            "{paths}{which}",
            paths=self.paths[0],
            which=t(" and {more} more", more=more) if more else "",
        )

    def signature(self) -> object:
        """Stats of the files, and of a folder's list of digests."""
        paths = [Path(path) for path in self.paths]
        return [_stat(path / SUMS if path.is_dir() else path) for path in paths]

    def open(self) -> list[Inventory]:
        """The bundles. Raises Failure unless each is whole and, with a key, signed with it."""
        opened = open_bundles(self.paths)
        for bundle in opened:
            require(bundle, self.key)
        later: set[str] = set()
        for bundle in reversed(opened):
            bundle.hide_names(later)
            if bundle.delta:  # it takes the place of what it builds on
                later |= {item.full_name for item in bundle.artifacts()}
        return list(opened)


@dataclass(eq=False)
class InventoryView:
    """All inventories at one time. Repositories are put together when they are first asked for.

    Private wins: a content of an artifact that somebody may not see is none for them in another
    artifact either, whatever that one says of itself. Only a Hub's own word that everybody may
    have it counts more than what a project says.

    `contradictions` name claims that a source said otherwise, `disputes` claims that contradict
    each other.
    """

    inventories: Sequence[Inventory] = ()
    artifacts: list[HeldArtifact] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    disputes: list[str] = field(default_factory=list)
    contradictions: list[Contradicted] = field(default_factory=list)
    _unreadable: set[str] = field(default_factory=set)  # of projects whose lock cannot be read
    _owners: dict[str, list[HeldArtifact]] = field(default_factory=dict)
    _seen: dict[Identity, _Seen] = field(default_factory=dict)
    _made: dict[tuple[object, ...], Repo] = field(default_factory=dict)
    _stores: list[Store] = field(default_factory=list)
    _git_ids: dict[tuple[str, str], bool] = field(default_factory=dict)
    _read: int = 0

    @classmethod
    def of(cls, inventories: Sequence[Inventory]) -> InventoryView:
        """The view of these inventories; files that are not there are left out."""
        view = cls(inventories)
        for inventory in inventories:
            view.problems += getattr(inventory, "problems", [])
            view.contradictions += getattr(inventory, "contradictions", [])
            view._unreadable |= getattr(inventory, "private", frozenset())
            store = getattr(inventory, "store", None)
            if isinstance(store, Store) and store not in view._stores:
                store.stamp_of("")  # read here, and not while somebody waits
                view._stores.append(store)
            for artifact in inventory.artifacts():
                files = (f for f in artifact.files if view._holds(inventory, f.sha256 or ""))
                view._add(
                    replace(
                        artifact,
                        files=tuple(files),
                        party="" if artifact.upstream else artifact.party or inventory.label,
                    )
                )
        view.disputes = [
            t("{dispute}: not shown in its name", dispute=found.message)
            for found in disputes(view.artifacts)
        ]
        view.problems += [*(found.message for found in view.contradictions), *view.disputes]
        return view

    @property
    def unreadable(self) -> list[str]:
        """Why the claims of some projects are not known."""
        found = (item for item in self.inventories if isinstance(item, UnreadableProject))
        return [text for item in found for text in item.problems]

    def _holds(self, inventory: Inventory, sha256: str) -> bool:
        """Whether a content that an inventory names is here; a delta's may lie in its base."""
        if not sha256 or inventory.locate(sha256) is not None:
            return bool(sha256)
        return inventory.delta and self.locate(sha256) is not None

    def _add(self, artifact: HeldArtifact) -> None:
        self.artifacts.append(artifact)
        for file in artifact.files:
            owners = self._owners.setdefault(file.sha256 or "", [])
            if not owners or owners[-1] is not artifact:
                owners.append(artifact)

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """Where a content lies now."""
        for inventory in self.inventories:
            if (found := inventory.locate(sha256)) is not None:
                return found
        return None

    def stamped(self, sha256: str, stat: os.stat_result, more: Iterable[Store] = ()) -> bool:
        """Whether one of these stores has recorded this very file as one that it has proven."""
        return any(store.is_proven(sha256, stat) for store in (*self._stores, *more))

    def _of(self, identity: Identity) -> _Seen:
        """What exists for somebody; made when they first ask."""
        found = self._seen.get(identity)
        if found is None:
            found = _Seen(self._hidden(identity))
            for item in self.artifacts:
                if identity.may_see(item.full_name, item.record):
                    found.add(item)
            self._seen[identity] = found
        return found

    def _hidden(self, identity: Identity) -> set[str | None]:
        """Digests that are private to somebody else."""
        if identity.sees_all:
            return set()
        closed = (
            item
            for item in self.artifacts
            if not item.record.unsure and not identity.may_see(item.full_name, item.record)
        )
        hidden: set[str | None] = {f.sha256 for item in closed for f in item.files if f.size}
        hidden |= self._unreadable
        if hidden:
            for item in self.artifacts:
                if item.upstream and item.record.visibility == "public":
                    hidden.difference_update(file.sha256 for file in item.files)
        return hidden

    def visible(self, identity: Identity) -> list[HeldArtifact]:
        """The artifacts that exist for somebody, with the files that do."""
        return self._of(identity).artifacts

    def withheld(self, identity: Identity) -> list[str]:
        """Names of artifacts that somebody sees without contents which are private elsewhere."""
        return self._of(identity).withheld

    def may_read(self, identity: Identity, sha256: str) -> bool:
        """Whether a content may be had by its digest.

        One that is in no artifact may be a private one's left-over: where there are private
        artifacts, it takes a token that sees all of them.
        """
        owners = self._owners.get(sha256)
        if owners is not None and any(identity.may_see(i.full_name, i.record) for i in owners):
            return sha256 not in self._of(identity).hidden
        artifacts = self.artifacts if owners is None else owners
        if sha256 in self._of(identity).hidden:
            return False
        return all(identity.may_see(item.full_name, item.record) for item in artifacts)

    def repo(self, kind: str, name: str, identity: Identity, pulled: bool = True) -> Repo | None:
        """A repository as somebody may see it, None if there is nothing of it for them.

        `pulled`: what a Hub said of it counts as well.
        """
        key = (kind, name.lower() if kind == "github" else name)
        found = self._of(identity).by_repo.get(key, ())
        artifacts = [item for item in found if pulled or not item.upstream]
        if not artifacts:
            return None
        made = (*key, *map(id, artifacts))
        if made not in self._made:
            self._made[made] = assembled(kind, name, map(self._with_proven_ids, artifacts))
        return self._made[made]

    def _with_proven_ids(self, item: HeldArtifact) -> HeldArtifact:
        """Without git ids that are claimed of other bytes: clients keep contents under these."""
        if item.upstream or not any(file.git_blob for file in item.files):
            return item
        files = (
            file
            if file.lfs or not file.git_blob or self._is_git_id(file)
            else file._replace(git_blob=None)
            for file in item.files
        )
        return replace(item, files=tuple(files))

    def _is_git_id(self, file: FileEntry) -> bool:
        key = file.sha256 or "", file.git_blob or ""
        if key not in self._git_ids:
            known = (store.by_git_blob(key[1]) for store in self._stores)
            self._git_ids[key] = key[0] in known or self._computed(file) == key[1]
        return self._git_ids[key]

    def _computed(self, file: FileEntry) -> str:
        """The git id of a content that is read for it, "" of one that is too much to read."""
        extents = self.locate(file.sha256 or "")
        size = sum(extent.length for extent in extents or ())
        if extents is None or size > _MOST_READ - self._read:
            return ""
        self._read += size
        hasher = git_blob_hasher(size)
        try:
            for block in read(extents):
                hasher.update(block)
        except (OSError, EOFError):
            return ""
        return str(hasher.hexdigest())

    def named(self, identity: Identity, name: str) -> list[HeldArtifact]:
        """What `MANIFEST/ARTIFACT` means for somebody: one, or several that contradict each other.

        What the operator named counts more than what the store merely knows.
        """
        found = self._of(identity).by_name.get(name, [])
        found = [item for item in found if item.published] or found
        if all(item.is_like(found[0]) for item in found):
            return found[-1:]
        return found

    def repos(self, kind: str, identity: Identity) -> list[Repo]:
        """All repositories of a kind that somebody may see, by name."""
        names = sorted(name for found, name in self._of(identity).by_repo if found == kind)
        return [repo for name in names if (repo := self.repo(kind, name, identity))]


@dataclass
class _Seen:
    """What exists for one identity: artifacts without the contents that are `hidden` from it."""

    hidden: set[str | None]
    artifacts: list[HeldArtifact] = field(default_factory=list)
    withheld: list[str] = field(default_factory=list)
    by_repo: dict[tuple[str, str], list[HeldArtifact]] = field(default_factory=dict)
    by_name: dict[str, list[HeldArtifact]] = field(default_factory=dict)

    def add(self, artifact: HeldArtifact) -> None:
        """Add an artifact that the identity may see."""
        if self.hidden and any(file.sha256 in self.hidden for file in artifact.files):
            files = tuple(file for file in artifact.files if file.sha256 not in self.hidden)
            artifact = replace(artifact, files=files)
            self.withheld.append(artifact.full_name)
        self.artifacts.append(artifact)
        if artifact.latest:
            self.by_name.setdefault(artifact.full_name, []).append(artifact)
        key = repo_key(artifact)
        if artifact.files and artifact.published and key is not None:
            self.by_repo.setdefault(key, []).append(artifact)


class ServedInventory:
    """The locations, and the latest view of them."""

    def __init__(self, locations: Iterable[Location], say: Callable[[str], None] = lambda _: None):
        self.locations = list(locations)
        self.say = say
        self._signatures: list[object] = [None] * len(self.locations)
        self._opened: list[list[Inventory]] = [[] for _ in self.locations]
        self._said: set[str] = set()
        self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None
        self.view = InventoryView()

    def load(self) -> None:
        """Look at every location now. Raises FetchError."""
        self._look(strict=True)

    def refresh(self) -> None:
        """Look, in the background, whether something changed; cheap to call for every request."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS or self._looking is not None:
            return
        self._looked = now
        self._looking = asyncio.ensure_future(self._look_again())

    async def _look_again(self) -> None:
        try:
            await asyncio.to_thread(self._look, False)
        except Exception as error:  # a location that cannot be read keeps its latest view
            self._tell(f"{type(error).__name__}: {error}")
        finally:
            self._looking = None
            self._looked = time.monotonic()

    def _look(self, strict: bool) -> None:
        changed = False
        for index, location in enumerate(self.locations):
            signature = location.signature()
            if signature == self._signatures[index] and not strict:
                continue
            _log.info("reading %s", location.label)
            try:
                self._opened[index] = location.open()
            except FetchError as error:
                if strict:
                    raise
                self._tell(
                    t(
                        "{label}: {message}; what was there before is served on",
                        label=location.label,
                        message=error.message,
                    )
                )
            self._signatures[index] = signature
            changed = True
        if changed:
            view = InventoryView.of([found for opened in self._opened for found in opened])
            for problem in view.problems:
                self._tell(problem)
            self.view = view

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(text)
