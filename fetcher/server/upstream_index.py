"""What was learnt from upstream, kept as locks below the store: one project for a repository."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from fetcher.errors import FetchError
from fetcher.fs.atomic import write_atomically
from fetcher.mirror.inventory import CLOSED, OPEN
from fetcher.project import lockfile as locks
from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.server.repos import COMMIT, Repo, Snapshot, repo_file
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.store import Store

FOLDER = "upstream"


def folders(store: Path) -> list[Path]:
    """The projects of repositories that were fetched from upstream."""
    folder = store / FOLDER
    return sorted(folder.iterdir()) if folder.is_dir() else []


class UpstreamIndex:
    """Reads and writes these projects. `save` may be called in any thread."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writing = threading.Lock()

    def _root(self, repo: Repo) -> Path:
        name = re.sub(r"[^A-Za-z0-9_.-]", "--", repo.id)[:60]
        digest = hashlib.sha256(f"{repo.kind}/{repo.id}".encode()).hexdigest()[:12]
        return self.store.root / FOLDER / f"{repo.kind}--{name}-{digest}"

    def _manifest(self, repo: Repo) -> str:
        return f"{FOLDER}-{self._root(repo).name.rpartition('-')[2]}"

    def load(self, kind: str, name: str) -> Repo:
        """A repository as far as it was learnt in earlier runs."""
        repo = Repo(kind, name)
        try:
            lock = locks.read(self._root(repo))
        except FetchError:
            return repo  # it is learnt anew
        for artifact in lock.artifacts.values():
            files = {file.path: repo_file(file) for file in artifact.files}
            repo.snapshots[artifact.revision] = Snapshot(artifact.revision, files)
            short = artifact.source.partition(":")[2]
            revision = HuggingFace(**HuggingFace.from_short(short)).revision
            if not COMMIT.fullmatch(revision):
                repo.refs[revision] = artifact.revision
        private = self._root(repo) / "private"
        repo.record = CLOSED if private.exists() else OPEN
        return repo

    def save(self, repo: Repo, commit: str, files: Sequence[FileEntry]) -> None:
        """Keep a commit's listing, and where the branches stand. Raises OSError."""
        with self._writing:
            root = self._root(repo)
            old = self._read(root)
            listings = {item.revision: item.files for item in old.artifacts.values()}
            listings[commit] = tuple(sorted(files))
            named = {revision: ref for ref, revision in repo.refs.items() if ref != revision}
            manifest = self._manifest(repo)
            lock, declared = Lock(), {}
            private = repo.record.closed
            for revision, listing in listings.items():
                source = HuggingFace(repo.id, repo.kind, named.get(revision, revision))
                lock.artifacts[manifest, revision] = LockedArtifact(
                    source.describe(), revision, "", listing
                )
                declared[revision] = {
                    "name": repo.id,
                    "source": source.describe(),
                    **(CLOSED if private else OPEN).values,
                }
            text = json.dumps({"manifest": manifest, "artifacts": declared}, indent=1)
            write_atomically(root / "manifests" / f"{manifest}.yaml", text.encode())
            write_atomically(root / locks.NAME, locks.dumps(lock).encode())
            if private:
                write_atomically(root / "private", b"")
            entry = self.store.root / "projects" / f"{root.name}.json"
            if not entry.exists():
                write_atomically(entry, json.dumps({"root": str(root.absolute())}).encode())

    @staticmethod
    def _read(root: Path) -> Lock:
        try:
            return locks.read(root)
        except FetchError:
            return Lock()
