"""What a place holds: artifacts with their files, and where on disk each content's bytes lie.

A bundle (a directory, a tar or volumes) and a project with its store are read through this one
view, so that whoever serves, checks or imports need not know which of them it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fetcher.fs.extents import Extent
from fetcher.sources.base import FileEntry


@dataclass(frozen=True)
class HeldArtifact:
    """One artifact of a place. Every file has its size and sha256.

    `source` is the lock's canonical short text; `origin` are the source's fields as a manifest
    writes them, such as {"type": "huggingface", "repo": "o/m", "repo_type": "model", "path": ""},
    where a file's path in the repository is `path` + "/" + the file's path. `record` is the
    descriptive record: name, license, visibility, tags and what else the manifest says.
    """

    manifest: str
    id: str
    source: str
    origin: Mapping[str, Any]
    revision: str
    files: tuple[FileEntry, ...]
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """The id with its manifest."""
        return f"{self.manifest}/{self.id}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size or 0 for file in self.files)


class Holdings(Protocol):
    """The view of one place; safe to share among threads once it is open."""

    label: str  # what to call the place in messages

    def artifacts(self) -> Sequence[HeldArtifact]:
        """Every artifact, sorted by manifest and id. All of their files need not be there."""

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """Where a content lies: one piece, or several where it crosses volumes; None: not here.

        The bytes are not proven by this. An empty content is an empty tuple.
        """

    def documents(self) -> Mapping[str, bytes]:
        """`fetch.lock`, `manifests/NAME.yaml` and `layouts/NAME.yaml` by name."""
