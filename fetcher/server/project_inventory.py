"""What a project has: what its lock names, as far as it lies in the store."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure, FetchError
from fetcher.fs.extents import Extent
from fetcher.i18n import join, t
from fetcher.mirror.inventory import ArtifactRecord, HeldArtifact, SourceFields
from fetcher.project import lockfile as locks
from fetcher.project import manifest as manifests
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.manifest import Artifact, Manifest
from fetcher.project.names import said
from fetcher.project.project import SUFFIXES, Project
from fetcher.sources.base import FileEntry
from fetcher.store.source_word import SourceWord
from fetcher.store.store import Store
from fetcher.verify.contract.regular import MAX_LIST, read_regular


class Contradicted(NamedTuple):
    """A claim that the source's own listing does not confirm, in words, and what to do."""

    message: str
    hint: str


class ProjectInventory:
    """A project's locked artifacts and the blobs of a store (see `fetcher.mirror.inventory`).

    `only` keeps other contents of the store out of reach: a store is shared by projects that need
    not know of each other. `problems` names manifests that could not be read, whose artifacts count
    as private, as nobody can tell what they say of visibility; and artifacts of which the lock
    contradicts the manifest: these are not served. `word`: what a source said, which its files
    must keep to. `latest` are artifacts that a later import does not replace, None for all.
    """

    delta = False

    def __init__(
        self,
        root: Path,
        store: Store,
        only: bool = True,
        published: bool = True,
        word: SourceWord | None = None,
        label: str = "",
        latest: Collection[tuple[str, str]] | None = None,
    ) -> None:
        self.root = root
        self.store = store
        self.published = published
        self.label = label or str(root)
        self.problems: list[str] = []
        self.contradictions: list[Contradicted] = []  # of what its sources said
        self.imported = latest is not None
        self._word = word
        self._latest = latest
        self._claimed: set[str | None] = set()
        self._lock = locks.read(root)
        self._project = Project(root)
        self._manifests = dict(self._load_manifests())
        self._refused: set[tuple[str, str]] = set()
        self._artifacts = tuple(self._held())
        self._digests = self._claimed if only else None

    def artifacts(self) -> Sequence[HeldArtifact]:
        """Every locked artifact, sorted by manifest and id."""
        return self._artifacts

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """The blob's file, if it is in the store."""
        if self._digests is not None and sha256 not in self._digests:
            return None
        return blob_extents(self.store, sha256)

    def documents(self) -> Mapping[str, bytes]:
        """`fetch.lock`, the manifests that it names, and their layouts."""
        found = {}
        for name, path in self._document_files():
            try:
                self._project.check_own(path)
                found[name] = read_regular(path, MAX_LIST)
            except (OSError, Failure):
                continue
        if self._refused and locks.NAME in found:
            kept = {k: v for k, v in self._lock.artifacts.items() if k not in self._refused}
            found[locks.NAME] = locks.dumps(locks.Lock(kept)).encode()
        return found

    def _document_files(self) -> Iterator[tuple[str, Path]]:
        yield locks.NAME, self.root / locks.NAME
        for name, manifest in self._manifests.items():
            if manifest is None or manifest.path is None:
                continue
            yield f"manifests/{name}.yaml", manifest.path
            beside = manifest.path.resolve().parent.parent / "layouts"
            for suffix in SUFFIXES:
                if manifest.layout and (path := beside / (manifest.layout + suffix)).is_file():
                    yield f"layouts/{manifest.layout}.yaml", path
                    break

    def _load_manifests(self) -> Iterator[tuple[str, Manifest | None]]:
        for name in sorted({manifest for manifest, _ in self._lock.artifacts}):
            try:
                path = self._project.manifest_path(name)
                manifest, document = manifests.load(path, str(path))
                problem = str(document.problems[0]) if document.problems else ""
            except FetchError as error:
                manifest, problem = None, error.message
            if problem:
                text = t("{problem}; its artifacts count as private", problem=problem)
                self.problems.append(join((str(self.root), text), ": "))
            yield name, None if problem else manifest

    def _held(self) -> Iterator[HeldArtifact]:
        for (manifest, name), locked in sorted(self._lock.artifacts.items()):
            declared = self._manifests[manifest]
            artifact = declared.artifacts.get(name) if declared else None
            if declared is not None and artifact is None:
                continue  # removed from the manifest since
            if artifact is not None and (why := self._contradiction(artifact)):
                self.problems.append(why)
                self._refused.add((manifest, name))
                continue
            # What cannot be read may have been private.
            record = ArtifactRecord(said(artifact) if artifact else {"visibility": "private"})
            origin = _origin(locked, artifact)
            files = tuple(filter(None, map(self._known, locked.files)))
            self._claimed.update(file.sha256 for file in files)
            yield self._confirmed(
                HeldArtifact(
                    manifest,
                    name,
                    locked.source,
                    origin,
                    locked.revision,
                    files,
                    record,
                    party=self.label,
                    published=self.published,
                    latest=self._latest is None or (manifest, name) in self._latest,
                )
            )

    def _confirmed(self, item: HeldArtifact) -> HeldArtifact:
        """An artifact without what its source said otherwise; that is named."""
        word = self._word
        if word is None:
            return item
        wrong = word.unconfirmed(item)
        if wrong:
            names = ", ".join(file.path for file in wrong[:3]) + ("…" if len(wrong) > 3 else "")
            text = t(
                "{party}: {name} claims {names} of {source} at {revision}, and {url} listed no "
                "such content there: not served",
                party=self.label,
                name=item.full_name,
                names=names,
                source=item.source,
                revision=item.revision[:12],
                url=word.url,
            )
            self.contradictions.append(Contradicted(text, self._cure(item)))
            item = replace(item, files=tuple(file for file in item.files if file not in wrong))
        return item if word.may_stand(item) else replace(item, follows=False)

    def _cure(self, item: HeldArtifact) -> str:
        """What to do about an artifact that its source said otherwise of."""
        if self.imported:
            return t("ask who made the bundle; an import of a right one takes its place")
        return t(
            "in {project}: fetch lock --update {artifact}, then fetch all",
            project=self.root,
            artifact=item.id,
        )

    def _contradiction(self, artifact: Artifact) -> str:
        """Where the lock does not keep what the manifest states, "" if it does."""
        found = self._lock.contradictions(artifact)
        if not found:
            return ""
        return t(
            "{root}: {name} is not served: {why}",
            root=self.root,
            name=artifact.full_name,
            why=found[0].message,
        )

    def _known(self, file: FileEntry) -> FileEntry | None:
        """The file with its size and sha256; None if these are not known here."""
        sha256 = self.store.digest_of(file)
        if not sha256:
            return None
        size = file.size
        if size is None:
            try:
                size = os.stat(self.store.blob_path(sha256)).st_size
            except OSError:
                return None
        return file._replace(sha256=sha256, size=size)


def _origin(locked: LockedArtifact, artifact: Artifact | None) -> SourceFields:
    """The fields of the source that the lock names."""
    if artifact is not None and artifact.source.describe() == locked.source:
        return SourceFields.of_source(artifact.source)
    return SourceFields.of_text(locked.source)


def blob_extents(store: Store, sha256: str) -> tuple[Extent, ...] | None:
    """Where a blob of the store lies, None if it is not there."""
    path = store.blob_path(sha256)
    try:
        size = os.stat(path).st_size
    except OSError:
        return None
    return (Extent(path, 0, size),) if size else ()


class UnreadableProject:
    """A project whose lock cannot be read: it claims nothing, and what it needed when it last ran
    is `private` (digests), as nobody can tell what of it was."""

    imported = delta = published = False

    def __init__(self, root: Path, needs: Collection[str], why: str) -> None:
        self.label = str(root)
        self.private = frozenset(needs)
        self.problems = [
            t("{root}: {why}: what it needed counts as private", root=self.label, why=why)
        ]

    def artifacts(self) -> Sequence[HeldArtifact]:
        """None."""
        return ()

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """Nothing."""
        return None

    def documents(self) -> Mapping[str, bytes]:
        """None."""
        return {}


class StoreInventory:
    """A store without projects: contents by digest, no artifacts."""

    published = True
    imported = delta = False

    def __init__(self, store: Store) -> None:
        self.store = store
        self.label = str(store.root)

    def artifacts(self) -> Sequence[HeldArtifact]:
        """None."""
        return ()

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """The blob's file, if it is in the store."""
        return blob_extents(self.store, sha256)

    def documents(self) -> Mapping[str, bytes]:
        """None."""
        return {}
