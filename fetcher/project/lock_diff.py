"""What two locks differ in, as somebody needs it who reviews a change of fetch.lock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.sources.base import FileEntry

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
# The content is the same, and more is known of it: a size, a digest.
LEARNED = "learned"
# What both sides know of a file must be the same, or it is another file.
_FACTS = ("size", "sha256", "git_blob", "md5", "published")


@dataclass(frozen=True)
class FileChange:
    """A file of one lock or of both; `state` is added, removed, changed or learned."""

    path: str
    state: str
    old: FileEntry | None
    new: FileEntry | None


@dataclass(frozen=True)
class ArtifactChange:
    """An artifact of one lock or of both, with the files that differ."""

    manifest: str
    id: str
    state: str
    old: LockedArtifact | None
    new: LockedArtifact | None
    files: tuple[FileChange, ...]


def compare(old: Lock, new: Lock) -> list[ArtifactChange]:
    """The artifacts that differ, sorted by manifest and id."""
    return list(_changes(old, new))


def _changes(old: Lock, new: Lock) -> Iterator[ArtifactChange]:
    for key in sorted(old.artifacts.keys() | new.artifacts.keys()):
        before, after = old.artifacts.get(key), new.artifacts.get(key)
        if before == after:
            continue
        state = ADDED if before is None else REMOVED if after is None else CHANGED
        yield ArtifactChange(*key, state, before, after, tuple(_files(before, after)))


def _files(old: LockedArtifact | None, new: LockedArtifact | None) -> Iterator[FileChange]:
    before, after = _by_path(old, new), _by_path(new, old)
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one == other:
            continue
        if one is None or other is None:
            yield FileChange(path, ADDED if one is None else REMOVED, one, other)
        else:
            yield FileChange(
                path, LEARNED if _more_of_the_same(one, other) else CHANGED, one, other
            )


def _by_path(one: LockedArtifact | None, other: LockedArtifact | None) -> dict[str, FileEntry]:
    """An artifact's files; archives in their place where it, or the other, does not know theirs."""
    if one is None:
        return {}
    known = one.members_known and (other is None or other.members_known)
    return {file.path: file for file in (one.files if known else one.source_files)}


def _more_of_the_same(old: FileEntry, new: FileEntry) -> bool:
    """Whether the new entry keeps every fact of the old, one digest among them."""
    facts = [(getattr(old, name), getattr(new, name)) for name in _FACTS]
    kept = all(before is None or before == after for before, after in facts)
    return kept and any(before is not None for before, _ in facts[1:])
