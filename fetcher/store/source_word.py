"""Whether a claim about a repository is what its source said, as far as that is known."""

from __future__ import annotations

from fetcher.fs.atomic import digests_of
from fetcher.mirror.claims import paths_of
from fetcher.mirror.inventory import HeldArtifact
from fetcher.sources.base import FileEntry
from fetcher.sources.git_fields import COMMIT
from fetcher.store import upstream_records
from fetcher.store.store import GIT_SIZES, Store
from fetcher.store.upstream_records import UpstreamRecords, UpstreamRepo


class SourceWord:
    """What one Hub said of its repositories, to compare claims with."""

    def __init__(self, records: UpstreamRecords, store: Store) -> None:
        self.url = records.url
        self._records = records
        self._store = store
        self._repos: dict[tuple[str, str], UpstreamRepo] = {}

    @classmethod
    def of_store(cls, store: Store, chosen: str) -> SourceWord | None:
        """What the Hub of the person's choice said, else the only one that is known here; None if
        several are."""
        known = upstream_records.believed(store.root, chosen)
        return cls(UpstreamRecords(store.root, known[0]), store) if len(known) == 1 else None

    def _repo(self, item: HeldArtifact) -> UpstreamRepo | None:
        if item.origin.type != "huggingface":
            return None
        key = item.origin.text("repo_type") or "model", item.origin.repo
        if key not in self._repos:
            self._repos[key] = self._records.read(*key, runs=True)
        return self._repos[key]

    def unconfirmed(self, item: HeldArtifact) -> list[FileEntry]:
        """The files of an artifact that the source's listing of its commit does not have so.

        Nothing where no listing is known.
        """
        repo = self._repo(item)
        if repo is None:
            return []
        return [file for path, file in paths_of(item) if not self._is(repo, item, path, file)]

    def _is(self, repo: UpstreamRepo, item: HeldArtifact, path: str, file: FileEntry) -> bool:
        listed = repo.listed(item.revision, path)
        if listed is None:
            return True
        there = listed.get(path)
        if there is None or (None not in {there.size, file.size} and there.size != file.size):
            return False
        if there.sha256 or not there.git_blob:
            return there.sha256 == file.sha256
        known = self._store.by_git_blob(there.git_blob)
        if known is not None or (file.size or 0) > GIT_SIZES:
            return known == file.sha256
        try:
            return digests_of(self._store.blob_path(file.sha256 or ""), True)[1] == there.git_blob
        except OSError:
            return True  # nobody gets bytes that are not here

    def may_stand(self, item: HeldArtifact) -> bool:
        """Whether the revision's name may stand at this commit: the source said so once, or never
        spoke of that name."""
        repo = self._repo(item)
        named = item.origin.text("revision") or "main"
        if repo is None or COMMIT.fullmatch(named):
            named = "main"  # it stands in for what nobody follows
        stood = repo.stood.get(named) if repo else None
        return not stood or item.revision in stood
