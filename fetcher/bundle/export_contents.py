"""What a project sends out: its locked artifacts, their documents, and where the bytes are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.mirror.inventory import ArtifactRecord, HeldArtifact, SourceFields
from fetcher.mirror.oci_documents import as_json
from fetcher.operations.workspace import Workspace
from fetcher.project import lockfile as locks
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.tree.hint_commands import fetch_these
from fetcher.tree.state import StateRow
from fetcher.verify.contract.regular import read_regular


@dataclass
class ExportContents:
    """Artifacts with complete digests; `places` says which file has the bytes of each digest."""

    artifacts: list[HeldArtifact] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def _as_values(fields: Mapping[str, object]) -> dict[str, object]:
    """Fields as JSON gives them back: lists for tuples, so that a bundle's are the same."""
    values: dict[str, object] = json.loads(as_json(fields))
    return values


def collect(space: Workspace) -> ExportContents:
    """Everything that the command is about. Raises LockError for what was never resolved."""
    space.require_current(_bring(space, [artifact for _, artifact in space.wanted]))
    contents = ExportContents()
    finder = _Finder(space, contents)
    full: dict[tuple[str, str], LockedArtifact] = {}
    for _, artifact in space.wanted:
        locked = space.lock.of(artifact)
        assert locked is not None
        for name in locked.unlisted:
            contents.problems.append(_missing(artifact, name, _bring(space, [artifact])))
        files = tuple(finder.find(artifact, file) for file in locked.files)
        full[artifact.manifest, artifact.id] = replace(locked, files=files)
        contents.artifacts.append(
            HeldArtifact(
                artifact.manifest,
                artifact.id,
                locked.source,
                SourceFields(_as_values(SourceFields.of_source(artifact.source).values)),
                locked.revision,
                files,
                ArtifactRecord(_as_values(artifact.info)),
            )
        )
    _add_documents(space, contents, full)
    return contents


def _add_documents(
    space: Workspace, contents: ExportContents, full: dict[tuple[str, str], LockedArtifact]
) -> None:
    """The manifests' and layouts' own bytes, and the lock's part about these manifests."""
    names = {artifact.manifest for artifact in contents.artifacts}
    for unit in space.units:
        if unit.manifest.name not in names:
            continue
        for folder, name, path in (
            ("manifests", unit.manifest.name, unit.manifest.path),
            ("layouts", unit.layout.name, unit.layout.path),
        ):
            if path is not None:
                contents.documents[f"{folder}/{name}.yaml"] = read_regular(path)
    entries = {key: item for key, item in space.lock.artifacts.items() if key[0] in names}
    text = locks.dumps(locks.Lock({**entries, **full}))
    contents.documents[locks.NAME] = text.encode("utf-8")


class _Finder:
    """Finds the bytes of files: in the store, else in the tree where we placed them."""

    def __init__(self, space: Workspace, contents: ExportContents) -> None:
        self._space = space
        self.store = space.store
        self.contents = contents
        self._tree = space.options.into
        self._rows: dict[str, StateRow] | None = None
        self._state = space.state

    def find(self, artifact: Artifact, file: FileEntry) -> FileEntry:
        """The file with its size and sha256; a problem is noted if its bytes are nowhere."""
        sha256 = file.sha256
        if sha256 is None and file.git_blob:
            sha256 = self.store.by_git_blob(file.git_blob)
            file = file._replace(computed=sha256 is not None)
        elif sha256 and file.git_proof and self.store.has(sha256) and not self.store.find(file):
            self.contents.problems.append(_contradiction(artifact, file))
            return file
        if sha256 and (sha256 in self.contents.places or self._place(sha256, file.size)):
            size = os.stat(self.contents.places[sha256]).st_size if file.size is None else file.size
            return file._replace(sha256=sha256, size=size)
        hint = _bring(self._space, [artifact])
        self.contents.problems.append(_missing(artifact, file.path, hint))
        return file

    def _place(self, sha256: str, size: int | None) -> bool:
        if self.store.has(sha256, size):
            self.contents.places[sha256] = self.store.blob_path(sha256)
            return True
        # The store may have been emptied or be another one: what the tree has is proven while
        # it is written.
        row = self._by_digest().get(sha256)
        if row is None:
            return False
        path = os.path.join(self._tree, row.path)
        try:
            sound = row.matches(os.lstat(path)) and size in {None, row.size}
        except OSError:
            return False
        if sound:
            self.contents.places[sha256] = path
        return sound

    def _by_digest(self) -> dict[str, StateRow]:
        if self._rows is None:
            rows = self._state.rows().values()
            self._rows = {row.sha256: row for row in rows if row.placed and not row.edit}
        return self._rows


def fetching(space: Workspace, artifacts: Iterable[Artifact], *flags: str) -> str:
    """The `fetch all` that brings these artifacts into the tree that is exported."""
    among = [artifact for _, artifact in space.wanted]
    return fetch_these(space.project.root, space.options.into, artifacts, among, *flags)


def _bring(space: Workspace, artifacts: Iterable[Artifact]) -> str:
    return t("run `{command}` first: it brings the files", command=fetching(space, artifacts))


def _missing(artifact: Artifact, path: str, hint: str) -> Problem:
    """A file, or what is in an archive, that is not here."""
    return Problem(
        "missing",
        t("not in the store, so it cannot be exported"),
        hint,
        artifact.id,
        path,
    )


def _contradiction(artifact: Artifact, file: FileEntry) -> Problem:
    """The lock's digests of a file are of two contents."""
    return Problem(
        "digest-mismatch",
        t(
            "fetch.lock contradicts itself: the content with sha256 {sha256} does not have the "
            "size or the git id {git_blob} that it says",
            sha256=file.sha256,
            git_blob=file.git_proof,
        ),
        t("ask the source again: fetch lock --update {id}", id=artifact.command_words),
        artifact.id,
        file.path,
    )
