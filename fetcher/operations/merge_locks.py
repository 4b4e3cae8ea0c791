"""Merging fetch.lock: as git's merge driver, and after a merge that was left unfinished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fetcher.config.boundaries import check_output, own_file
from fetcher.errors import LockError, UsageError
from fetcher.fs.atomic import write_atomically
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.project import git_revision, lock_merge, lockfile
from fetcher.project.lock_merge import MergedLock
from fetcher.project.lockfile import Lock
from fetcher.tree.state import State
from fetcher.verify.contract.regular import MAX_LIST, read_regular_text

_BASE, _OURS, _THEIRS = 1, 2, 3  # stages of git's index


@dataclass(frozen=True)
class Resolved:
    """What became of a lock in conflict: `taken` are the artifacts of which a side was chosen."""

    artifacts: int
    taken: Sequence[str]


def drive(root: Path, base: Path, ours: Path, theirs: Path) -> MergedLock:
    """Merge as git asks its drivers to: the result replaces `ours`, with markers for conflicts.

    What is no lock that this version reads is merged line by line, as git would. Raises LockError
    then, with `ours` written; Failure where a link leads it out of the project at `root`; OSError.
    """
    check_output(root, ours)
    texts = [_text(path) for path in (base, ours, theirs)]
    try:
        read = [
            lockfile.loads(text, shown) if text.strip() else Lock()
            for text, shown in zip(texts, ("base", lock_merge.OURS, lock_merge.THEIRS), strict=True)
        ]
    except LockError:
        merged = git_revision.merge_lines(base, ours, theirs)
        write_atomically(ours, merged.encode("utf-8", "surrogateescape"))
        raise
    found = lock_merge.merge(*read)
    text = lock_merge.with_markers(found) if found.conflicts else lockfile.dumps(found.lock)
    write_atomically(ours, text.encode())
    return found


def _text(path: Path) -> str:
    try:
        return read_regular_text(path, MAX_LIST)
    except UnicodeDecodeError as error:
        raise LockError(
            t("{path} cannot be read: {error}", path=printable(str(path)), error=error)
        ) from error


def resolve(root: Path, side: str, locks: str = "auto") -> Resolved:
    """Finish the merge of the project's lock: entry by entry, and `side` of what both changed.

    `side` is `ours` or `theirs`. The sides are those of git's index where it has them, else those
    between the markers. Raises UsageError where nothing is unfinished, LockError, Failure, OSError.
    """
    try:
        text = read_regular_text(own_file(root, lockfile.NAME), MAX_LIST)
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as error:
        raise LockError(
            t("{path} cannot be read: {error}", path=lockfile.NAME, error=error)
        ) from error
    if not lockfile.has_markers(text) and _reads(text):
        raise UsageError(
            t("{name} has no conflict", name=lockfile.NAME),
            t("after a merge by hand, `git add {name}` is all", name=lockfile.NAME),
        )
    merged = _merged(root, text)
    State(root).ensure_folder()  # where the lock's own lock lies
    whole = merged.taking(side)
    lockfile.replace_lock(root, whole, mode=locks)
    return Resolved(len(whole.artifacts), merged.names)


def _reads(text: str) -> bool:
    try:
        return bool(lockfile.loads(text))
    except LockError:
        return False


def _merged(root: Path, text: str) -> MergedLock:
    stages = _stages(root)
    if {_OURS, _THEIRS} & stages.keys():
        base, ours, theirs = (
            lockfile.loads(stages[number], t("{side} of {name}", side=side, name=lockfile.NAME))
            if number in stages
            else Lock()
            for number, side in ((_BASE, "base"), (_OURS, "ours"), (_THEIRS, "theirs"))
        )
        return lock_merge.merge(base, ours, theirs)
    if not lockfile.has_markers(text):
        lockfile.loads(text)  # says what is wrong with it
    one, other = lock_merge.sides(text)
    return lock_merge.merge(
        None, lockfile.loads(one, lock_merge.OURS), lockfile.loads(other, lock_merge.THEIRS)
    )


def _stages(root: Path) -> dict[int, str]:
    try:
        return git_revision.stages(root, lockfile.NAME)
    except UsageError:  # no git: the text between the markers is what there is
        return {}
