"""What two locks differ in, as somebody needs it who reviews a change of fetch.lock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.sources.base import FileEntry

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
# The content is the same, and more is known of it: a size, a digest.
LEARNED = "learned"
# The content is the same, and less is known of it: a digest that was computed once.
FORGOTTEN = "forgotten"
# What both sides know of a file must be the same, or it is another file.
_FACTS = ("size", "sha256", "git_blob", "md5", "published")


@dataclass(frozen=True)
class FileChange:
    """A file of one lock or of both; `state` is added, removed, changed, learned or forgotten."""

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
            yield FileChange(path, _state(one, other), one, other)


def _by_path(one: LockedArtifact | None, other: LockedArtifact | None) -> dict[str, FileEntry]:
    """An artifact's files; archives in their place where it, or the other, does not know theirs."""
    if one is None:
        return {}
    known = one.members_known and (other is None or other.members_known)
    return {file.path: file for file in (one.files if known else one.source_files)}


def _state(old: FileEntry, new: FileEntry) -> str:
    if _more_of_the_same(old, new):
        return LEARNED
    return FORGOTTEN if same_content(old, new) else CHANGED


def same_content(old: FileEntry, new: FileEntry) -> bool:
    """Whether what both know is the same, one digest among it."""
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in _FACTS}
    shared = {name: pair for name, pair in pairs.items() if None not in pair}
    if old.size_hint or new.size_hint:
        shared.pop("size", None)
    equal = all(one == other for one, other in shared.values())
    return equal and any(name != "size" for name in shared)


def moved(change: ArtifactChange) -> bool:
    """Whether a source says something else than the lock: a revision, or a file's content.

    A source that gives no digest of a file, and no other size, says nothing of it.
    """
    if change.old is None or change.new is None or change.old.revision != change.new.revision:
        return True
    return any(
        file.state in {ADDED, REMOVED} or (file.state == CHANGED and not _untold(file))
        for file in change.files
    )


def _untold(file: FileChange) -> bool:
    old, new = file.old, file.new
    if old is None or new is None or any(getattr(new, name) for name in _FACTS[1:]):
        return False
    return new.size is None or new.size == old.size


def bytes_to_come(change: ArtifactChange) -> int:
    """Bytes of the files that are new or other than before, as far as sizes are known."""
    news = (file.new for file in change.files if file.state in {ADDED, CHANGED})
    return sum(entry.size or 0 for entry in news if entry is not None)


def _more_of_the_same(old: FileEntry, new: FileEntry) -> bool:
    """Whether the new entry keeps every fact of the old, one digest among them."""
    facts = [(getattr(old, name), getattr(new, name)) for name in _FACTS]
    kept = all(before is None or before == after for before, after in facts)
    return kept and any(before is not None for before, _ in facts[1:])
