"""What a place holds: artifacts with their files, and where on disk each content's bytes lie.

A bundle (a directory, a tar or volumes) and a project with its store are read through this one
view, so that whoever serves, checks or imports need not know which of them it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol

from fetcher.fs.extents import Extent
from fetcher.sources.base import FileEntry, Listing, Source, from_top
from fetcher.sources.git_fields import COMMIT
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.yamldoc.json_fields import JsonFields


class SourceFields(JsonFields):
    """A source's fields, such as {"type": "huggingface", "repo": "o/m", "repo_type": "model"}.

    A file's path in the repository is `path` + "/" + the file's path in the artifact.
    """

    @classmethod
    def of_source(cls, source: Source) -> SourceFields:
        """The fields of a source: a frozen dataclass of what a manifest writes."""
        fields: dict[str, object] = asdict(source)  # type: ignore[call-overload]
        return cls({"type": source.type, **fields})

    @classmethod
    def of_text(cls, text: str) -> SourceFields:
        """The fields of a source as a lock writes it, such as `hf:o/m@main`; where that says no
        more, its type alone."""
        prefix, _, rest = text.partition(":")
        for short, kind in (("hf", HuggingFace), ("github", GitHub)):
            if prefix == short:
                try:
                    return cls.of_source(kind(**kind.from_short(rest)))
                except (ValueError, TypeError):
                    break
        return cls({"type": prefix})

    @property
    def type(self) -> str:
        """The kind of source, as manifests name it."""
        return self.text("type")

    @property
    def repo(self) -> str:
        """The repository's id, "" where the source is none."""
        return self.text("repo")


class ArtifactRecord(JsonFields):
    """The descriptive record: name, license, visibility, tags and what else the manifest says."""

    @property
    def visibility(self) -> str:
        """private, organization or public; what says nothing is private."""
        return self.text("visibility") or "private"

    @property
    def closed(self) -> bool:
        """Whether upstream shows it only to the server's own account."""
        return self.object("attributes").text("upstream") == "closed"

    @property
    def unsure(self) -> bool:
        """Whether nobody knows who may see it: somebody read it with a login."""
        return self.object("attributes").text("upstream") == "login"


OPEN = ArtifactRecord({"visibility": "public"})
# What upstream shows only to the server's own account takes a token here too.
CLOSED = ArtifactRecord({"visibility": "private", "attributes": {"upstream": "closed"}})
UNSURE = ArtifactRecord({"visibility": "private", "attributes": {"upstream": "login"}})


@dataclass(frozen=True)
class HeldArtifact:
    """One artifact of a place. Every file has its size (bytes) and sha256.

    `source` is the lock's canonical short text, `origin` are the source's fields. `upstream` is
    the address of the Hub that said all this, where that is known; `refs` are further names of the
    revision there. Everything else is a claim of the inventory called `party`; `published`: the
    operator named that one. `latest`: no later import of the same artifact replaces it.
    `follows`: the source's names may stand at this revision, as far as it is known what it said.
    """

    manifest: str
    id: str
    source: str
    origin: SourceFields
    revision: str
    files: tuple[FileEntry, ...]
    record: ArtifactRecord = field(default_factory=ArtifactRecord)
    upstream: str = ""
    refs: tuple[str, ...] = ()
    party: str = ""
    published: bool = True
    latest: bool = True
    follows: bool = True

    @property
    def full_name(self) -> str:
        """The id with its manifest."""
        return f"{self.manifest}/{self.id}"

    @property
    def name(self) -> str:
        """The name for people: the record's, else the id."""
        return self.record.text("name") or self.id

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size or 0 for file in self.files)

    def is_like(self, other: HeldArtifact) -> bool:
        """Whether two claims of an artifact are one: the same contents, from the same place."""
        held = [
            (item.source, item.revision, {(file.path, file.sha256) for file in item.files})
            for item in (self, other)
        ]
        return held[0] == held[1]


def listing_of(artifact: HeldArtifact, name: str) -> Listing | None:
    """What a place called `name` says of a commit of the Hub's; None of any other source."""
    origin, commit = artifact.origin, artifact.revision
    if origin.type != HuggingFace.type or not COMMIT.fullmatch(commit):
        return None
    folder = origin.text("path")
    page: list[dict[str, object]] = []
    for file in artifact.files:
        said: dict[str, object] = {"type": "file", "size": file.size, "oid": file.git_blob}
        if file.git_blob is None or file.lfs:
            said["lfs"] = {"oid": file.sha256, "size": file.size}
        page.append({**said, "path": from_top(folder, file.path)})
    revision = origin.text("revision") or "main"
    return Listing(
        name,
        origin.text("repo_type") or "model",
        origin.repo,
        commit,
        "" if COMMIT.fullmatch(revision) else revision,
        "",
        (json.dumps(page).encode(),),
        artifact.record.visibility == "private",
        whole=False,
    )


class Inventory(Protocol):
    """The view of one place; safe to share among threads once it is open."""

    label: str  # what to call the place in messages
    published: bool  # whether the operator named it: what it claims is shown in a source's name
    imported: bool  # whether it was taken into the store, after those that stand before it

    @property
    def delta(self) -> bool:
        """Whether contents that it names may lie in another place."""

    def artifacts(self) -> Sequence[HeldArtifact]:
        """Every artifact, sorted by manifest and id. All of their files need not be there."""

    def locate(self, sha256: str) -> tuple[Extent, ...] | None:
        """Where a content lies: one piece, or several where it crosses volumes; None: not here.

        The bytes are not proven by this. An empty content is an empty tuple.
        """

    def documents(self) -> Mapping[str, bytes]:
        """`fetch.lock`, `manifests/NAME.yaml` and `layouts/NAME.yaml` by name."""
