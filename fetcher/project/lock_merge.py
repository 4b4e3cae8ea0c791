"""Three locks made one, entry by entry, where git would compare lines.

An artifact that one side changed is as that side has it. Where both changed it and say the same
content, all that either knows is kept. Else it is a conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fetcher.project import lockfile
from fetcher.project.lock_diff import same_content
from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.sources.base import FileEntry

OURS, THEIRS = "ours", "theirs"
Key = tuple[str, str]


@dataclass(frozen=True)
class Conflict:
    """An artifact that both sides changed; None where a side took it out."""

    ours: LockedArtifact | None
    theirs: LockedArtifact | None


@dataclass(frozen=True)
class MergedLock:
    """`lock` has all but `conflicts`."""

    lock: Lock
    conflicts: dict[Key, Conflict]

    @property
    def names(self) -> list[str]:
        """The artifacts in conflict, as manifest/id."""
        return ["/".join(key) for key in sorted(self.conflicts)]

    def taking(self, side: str) -> Lock:
        """The whole lock, with one side of each conflict: `ours` or `theirs`."""
        taken = dict(self.lock.artifacts)
        for key, conflict in self.conflicts.items():
            item = conflict.ours if side == OURS else conflict.theirs
            if item is not None:
                taken[key] = item
        return Lock(taken)


def merge(base: Lock | None, ours: Lock, theirs: Lock) -> MergedLock:
    """Merge two locks that come from `base`; None where nobody knows it."""
    known = base or Lock()
    merged, conflicts = Lock(), {}
    for key in ours.artifacts.keys() | theirs.artifacts.keys():
        mine, other = ours.artifacts.get(key), theirs.artifacts.get(key)
        if mine == other:
            found: LockedArtifact | Conflict | None = mine
        elif base is None:
            found = _united(mine, other) or Conflict(mine, other)
        else:
            found = _entry(known.artifacts.get(key), mine, other)
        if isinstance(found, Conflict):
            conflicts[key] = found
        elif found is not None:
            merged.artifacts[key] = found
    return MergedLock(merged, conflicts)


def _entry(
    base: LockedArtifact | None, ours: LockedArtifact | None, theirs: LockedArtifact | None
) -> LockedArtifact | Conflict | None:
    if base == ours:
        return theirs
    if base == theirs:
        return ours
    both = _united(ours, theirs)
    if both is not None:
        return both
    # A side that only learned a digest has changed nothing.
    if _united(base, ours) is not None:
        return theirs
    if _united(base, theirs) is not None:
        return ours
    return Conflict(ours, theirs)


def _united(one: LockedArtifact | None, other: LockedArtifact | None) -> LockedArtifact | None:
    """All that two entries know of the same content; None if it is not the same."""
    if one is None or other is None or _wish(one) != _wish(other):
        return None
    archives = _files(one.archives, other.archives, (), ())
    files = _files(one.files, other.files, one.unlisted, other.unlisted)
    if archives is None or files is None:
        return None
    later = max(one, other, key=lambda item: item.said_at)
    license = later.license or one.license or other.license
    return replace(later, files=files, archives=archives, license=license)


def _wish(item: LockedArtifact) -> tuple[str, str, str]:
    return item.source, item.revision, item.selection


def _files(
    one: Iterable[FileEntry],
    other: Iterable[FileEntry],
    unlisted: Sequence[str],
    unlisted_there: Sequence[str],
) -> tuple[FileEntry, ...] | None:
    """The files of both; members of archives that one of them has not opened are the other's."""
    mine, theirs = ({file.path: file for file in files} for files in (one, other))
    found = []
    for path in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(path), theirs.get(path)
        if a is not None and b is not None:
            if a != b and not _same(a, b):
                return None
            found.append(_file(a, b))
        elif a is not None and a.archive in unlisted_there:
            found.append(a)
        elif b is not None and b.archive in unlisted:
            found.append(b)
        else:
            return None
    return tuple(found)


def _same(one: FileEntry, other: FileEntry) -> bool:
    facts = (one.archive, one.executable, one.lfs), (other.archive, other.executable, other.lfs)
    return facts[0] == facts[1] and same_content(one, other)


def _file(one: FileEntry, other: FileEntry) -> FileEntry:
    """What either knows of one content; a sha256 brings along whether it was computed."""
    if one == other:
        return one
    if one.sha256 is None and other.sha256 is not None:
        one, other = other, one
    size = other.size if one.size is None or (one.size_hint and not other.size_hint) else one.size
    return one._replace(
        size=size,
        size_hint=one.size_hint and (other.size_hint or other.size is None),
        computed=one.computed and (other.computed or other.sha256 is None),
        git_blob=one.git_blob or other.git_blob,
        md5=one.md5 or other.md5,
        published=one.published or other.published,
    )


def with_markers(merged: MergedLock, ours: str = OURS, theirs: str = THEIRS) -> str:
    """The lock's text with git's markers around each artifact in conflict, and around no more.

    It is no lock until somebody has chosen: `lockfile.loads` says so, with the artifacts' names.
    """
    keys = sorted(merged.lock.artifacts.keys() | merged.conflicts.keys())
    lines = ["{", f'  "schema": "{lockfile.SCHEMA}",', '  "manifests": {']
    manifests = list(dict.fromkeys(manifest for manifest, _ in keys))
    for manifest in manifests:
        lines.append(f'    "{manifest}": {{')
        names = [name for owner, name in keys if owner == manifest]
        for name in names:
            comma = "," if name != names[-1] else ""
            conflict = merged.conflicts.get((manifest, name))
            if conflict is None:
                lines.append(
                    lockfile.dump_entry(name, merged.lock.artifacts[manifest, name]) + comma
                )
                continue
            lines.append(f"<<<<<<< {ours}")
            lines += [lockfile.dump_entry(name, conflict.ours) + comma] if conflict.ours else []
            lines.append("=======")
            lines += [lockfile.dump_entry(name, conflict.theirs) + comma] if conflict.theirs else []
            lines.append(f">>>>>>> {theirs}")
        lines.append("    }," if manifest != manifests[-1] else "    }")
    return "\n".join([*lines, "  }", "}", ""])


def sides(text: str) -> tuple[str, str]:
    """Both locks out of a text with git's markers, ours first.

    Lines that stand on one side alone may leave a comma too many or too few: it is mended.
    """
    kept: tuple[list[str], list[str]] = ([], [])
    side = ""
    for line in lockfile.lines_of(text):
        mark = lockfile.marker(line)
        if mark:
            side = "" if mark == ">" else mark
            continue
        if side in {"", "<"}:
            kept[0].append(line)
        if side in {"", "="}:
            kept[1].append(line)
    return _with_commas(kept[0]), _with_commas(kept[1])


def _with_commas(lines: Sequence[str]) -> str:
    found = []
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        bare, after = line.rstrip().removesuffix(","), following.lstrip()[:1]
        if after in {"}", "]"}:
            found.append(bare)
        elif bare[-1:] in {"}", "]"} and after in {'"', "{"}:
            found.append(bare + ",")
        else:
            found.append(line)
    return "\n".join([*found, ""])
