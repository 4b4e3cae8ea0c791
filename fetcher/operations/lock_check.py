"""What a lock says of a Hub's files, and what the Hub has said of them to the person's own runs.

An older version could learn a false sha256, and a lock that has lost its git ids cannot be seen to
contradict itself. Nothing is asked: only what is kept counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fetcher.config.settings import Settings
from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.mirror.inventory import HeldArtifact, SourceFields
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.sources.huggingface import HuggingFace
from fetcher.store import upstream_records
from fetcher.store.source_word import SourceWord
from fetcher.store.store import Store


def unlike_source(
    pairs: Iterable[tuple[Artifact, LockedArtifact | None]], store: Store, settings: Settings
) -> Iterator[Problem]:
    """Locked files that are not what the person's own Hub listed at their commit.

    A digest that the manifest itself states may be that of a mirror's content. Small contents of
    the store are read where their git id is not known.
    """
    records = upstream_records.of_person(settings)
    if records is None or not settings.hub_answers_to_person:
        return
    word = SourceWord(records, store)
    for artifact, locked in pairs:
        if locked is None or not isinstance(artifact.source, HuggingFace):
            continue
        for file in word.unconfirmed(_held(artifact, locked)):
            yield _problem(artifact, file, word.url)


def _held(artifact: Artifact, locked: LockedArtifact) -> HeldArtifact:
    stated = artifact.request.known or {}
    files = (
        file
        for file in locked.source_files
        if file.sha256 and not (file.path in stated and stated[file.path].sha256)
    )
    return HeldArtifact(
        artifact.manifest,
        artifact.id,
        locked.source,
        SourceFields.of_source(artifact.source),
        locked.revision,
        tuple(file._replace(archive="") for file in files),
    )


def _problem(artifact: Artifact, file: FileEntry, hub: str) -> Problem:
    message = t(
        "{path}: fetch.lock has the sha256 {sha256}, and {hub} listed no such content at that "
        "commit",
        path=file.path,
        sha256=file.sha256,
        hub=hub,
    )
    hint = t(
        "ask the source again: fetch lock --update {id}, then fetch all", id=artifact.command_words
    )
    return Problem("modified", message, hint, artifact.id, file.path)
