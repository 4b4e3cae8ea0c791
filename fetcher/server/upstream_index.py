"""What a Hub has said before, as repositories: to be served on while it is away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from fetcher.fs.extents import Extent
from fetcher.mirror.inventory import (
    CLOSED,
    OPEN,
    UNSURE,
    ArtifactRecord,
    HeldArtifact,
    SourceFields,
)
from fetcher.server.project_inventory import blob_extents
from fetcher.server.repos import COMMIT, Repo, Snapshot, repo_file
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.store import Store
from fetcher.store.upstream_records import UpstreamRecords, UpstreamRepo


def record_of(closed: bool) -> ArtifactRecord:
    """Who may see a repository that upstream shows to everybody, or to this server alone."""
    return CLOSED if closed else OPEN


def is_name(ref: str, commit: str) -> bool:
    """Whether this is a branch or tag, and not the commit itself or the beginning of it."""
    return not COMMIT.fullmatch(ref) and not commit.startswith(ref)


def repo_of(said: UpstreamRepo) -> Repo:
    """The repository as far as it is known; a commit that was never listed is not whole."""
    repo = Repo(said.kind, said.id, record=record_of(said.closed))
    for commit in said.commits():
        files = {path: repo_file(file) for path, file in said.at(commit).items()}
        repo.snapshots[commit] = Snapshot(commit, files, commit in said.listings)
    named = sorted(said.refs.values(), key=lambda one: one.at)
    repo.refs = {one.ref: one.commit for one in named if is_name(one.ref, one.commit)}
    return repo


class UpstreamInventory:
    """What one Hub said, as far as its contents lie in a store (see `fetcher.mirror.inventory`)."""

    published = True
    imported = delta = False

    def __init__(self, records: UpstreamRecords, store: Store) -> None:
        self.records = records
        self.store = store
        self.label = records.url
        self._artifacts = tuple(artifact for said in records.all() for artifact in self._held(said))
        self._digests = {file.sha256 for item in self._artifacts for file in item.files}

    def artifacts(self) -> Sequence[HeldArtifact]:
        """One for each commit, that which a ref reached last at the end of its repository's."""
        return self._artifacts

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """The blob's file, if it is in the store."""
        return blob_extents(self.store, sha256) if sha256 in self._digests else None

    def documents(self) -> Mapping[str, bytes]:
        """None: no project says this."""
        return {}

    def _held(self, said: UpstreamRepo) -> Iterator[HeldArtifact]:
        manifest = f"upstream-{_short(self.records.url, said)}"
        record = UNSURE if said.unsure else record_of(said.closed)
        fields = {**record.values, "name": said.id}
        for commit in said.commits():
            named = (ref for ref, one in said.refs.items() if one.commit == commit)
            refs = [ref for ref in named if is_name(ref, commit)]
            source = HuggingFace(said.id, said.kind, refs[0] if refs else commit)
            known = (
                file._replace(sha256=self.store.digest_of(file))
                for file in said.at(commit).values()
            )
            files = tuple(sorted(file for file in known if file.sha256))
            yield HeldArtifact(
                manifest,
                commit,
                source.describe(),
                SourceFields.of_source(source),
                commit,
                files,
                ArtifactRecord(fields),
                self.records.url,
                tuple(refs[1:]),
                follows="main" not in said.refs or "main" in refs,
            )


def _short(url: str, said: UpstreamRepo) -> str:
    return hashlib.sha256(f"{url} {said.kind}/{said.id}".encode()).hexdigest()[:12]
