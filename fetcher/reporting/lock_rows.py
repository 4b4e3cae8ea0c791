"""Changes of a lock as JSON: what `diff`, `outdated` and `update` have under `results`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from fetcher.project.lock_diff import ArtifactChange, FileChange
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.terms import TermChange
from fetcher.sources.base import FileEntry


class FileFacts(TypedDict):
    """What one side knows of a file; `size` in bytes."""

    size: int | None
    sha256: str | None
    git_blob: str | None
    md5: str | None
    published: str | None


class LockedFileRow(TypedDict):
    """A file of one side or of both."""

    path: str
    state: str
    old: FileFacts | None
    new: FileFacts | None


class TermRow(TypedDict):
    """A licence, a gate, the card or one of its fields; null where nothing is known."""

    what: str
    old: str | None
    new: str | None
    manifest: str | None


def artifact_row(change: ArtifactChange) -> dict[str, object]:
    """One artifact with its files."""
    return {
        "kind": "artifact",
        "manifest": change.manifest,
        "id": change.id,
        "state": change.state,
        "old": head(change.old),
        "new": head(change.new),
        "files": [_file(file) for file in change.files],
    }


def head(item: LockedArtifact | None) -> dict[str, str] | None:
    """Where an entry came from."""
    if item is None:
        return None
    return {
        "source": item.source,
        "revision": item.revision,
        "said_by": item.said_by,
        "said_at": item.said_at,
    }


def term_rows(terms: Iterable[TermChange]) -> list[TermRow]:
    """Licence, gate and card."""
    return [
        {
            "what": term.what,
            "old": term.old or None,
            "new": term.new or None,
            "manifest": term.stated or None,
        }
        for term in terms
    ]


def _file(change: FileChange) -> LockedFileRow:
    return {
        "path": change.path,
        "state": change.state,
        "old": _facts(change.old),
        "new": _facts(change.new),
    }


def _facts(file: FileEntry | None) -> FileFacts | None:
    if file is None:
        return None
    return {
        "size": file.size,
        "sha256": file.sha256,
        "git_blob": file.git_blob,
        "md5": file.md5,
        "published": file.published,
    }
