"""The seal of a complete tree: how every file stood when all was as the lock wants it.

A run that has nothing to do need not parse manifests and lock, nor build a plan: if what the plan
depends on is byte for byte what it was, and every file's stat is what it was, then so is the
outcome. It costs one stat for each file, in constant memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat as stats
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetcher import __version__
from fetcher.fs.atomic import BLOCK
from fetcher.fs.safe_paths import native
from fetcher.tree.plan import KEEP, Plan
from fetcher.tree.state import State

if TYPE_CHECKING:
    from fetcher.config.settings import Settings
    from fetcher.project.project import Project, Selection

_ENTRY = struct.Struct("<QqQ")  # size, mtime in nanoseconds, inode
_KEPT = 4  # seals of one tree: for `fetch all`, and for a few selections of artifacts
_MASK = 2**64 - 1


@dataclass(frozen=True)
class Seal:
    """A complete tree. `artifacts` are as `fetch status` shows them.

    `all_of_it`: no artifact of the manifests was left out; `clean`: nothing of an older lock is
    left in the tree.
    """

    files: int
    bytes: int
    all_of_it: bool
    clean: bool
    artifacts: list[dict[str, Any]] = field(default_factory=list)


def mark(
    project: Project, tree: Path, selection: Selection, names: Sequence[str], settings: Settings
) -> str:
    """The fingerprint under which a plan of these is sealed. Raises OSError, UsageError."""
    if {project.manifest_path(name) for name in names} == set(project.own_manifests()):
        names = ()  # all of them, named one by one
    choice = [*names, asdict(selection), str(settings.hub_cache)]
    return fingerprint(tree, project.inputs(names), choice)


def fingerprint(tree: Path, inputs: Iterable[Path], choice: Sequence[Any]) -> str:
    """Digest of all that a plan depends on but the tree itself. Raises OSError."""
    digest = hashlib.sha256(json.dumps([__version__, str(tree), choice]).encode())
    for path in sorted(set(inputs)):
        digest.update(b"\0" + os.fsencode(path) + b"\0")
        with suppress(FileNotFoundError), open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            while block := stream.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def load(state: State, mark: str) -> Seal | None:
    """The seal with this fingerprint, if every file still stands as it did."""
    if not state.path.exists():
        return None
    try:
        found = state.seal(mark)
        if found is None:
            return None
        number, text = found
        if not all(_unchanged(state.folder.parent, *row) for row in state.sealed(number)):
            return None
        values = json.loads(text)
        return Seal(**values) if isinstance(values, dict) else None
    except (sqlite3.DatabaseError, ValueError, TypeError, struct.error):
        return None  # it is a cache: the plan will tell


def _unchanged(tree: Path, folder: str, names: str, numbers: bytes) -> bool:
    """Whether all files of one folder stand as they did."""
    try:
        handle = os.open(native(str(tree / folder)), os.O_RDONLY)
    except OSError:
        return False
    try:
        return _match(handle, names.split("\n"), numbers)
    finally:
        os.close(handle)


def _match(handle: int, names: list[str], numbers: bytes) -> bool:
    stat = os.stat
    for name, entry in zip(names, _ENTRY.iter_unpack(numbers), strict=True):
        try:
            now = stat(name, dir_fd=handle, follow_symlinks=False)
        except OSError:
            return False
        if (now.st_size, now.st_mtime_ns, now.st_ino & _MASK) != entry:
            return False
    return True


def can_seal(plan: Plan, link: str) -> bool:
    """Whether a stat of each file will tell all that there is to tell."""
    return (
        os.stat in os.supports_dir_fd
        and link != "symlink"
        and not plan.problems()
        and all(
            item.action == KEEP
            and not (item.hub or item.changed_by_user)
            and (item.placed or item.stat is None or not stats.S_ISLNK(item.stat.st_mode))
            for item in plan.items
        )
    )


def save(state: State, mark: str, plan: Plan, all_of_it: bool) -> None:
    """Seal a plan of which everything is done; the state has a row for every file of it."""
    targets = {item.target for item in plan.items}
    found = {"files": len(targets), "bytes": 0, "all_of_it": all_of_it, "clean": True}
    artifacts = []
    for part in plan.artifacts:
        size = sum(item.file.size or 0 for item in part.items)
        found["bytes"] += size
        artifacts.append(
            {
                "id": part.artifact.id,
                "manifest": part.artifact.manifest,
                "state": part.state,
                "optional": part.artifact.optional,
                "files": len(part.items),
                "present": len(part.items),
                "unread": 0,
                "bytes": size,
            }
        )
    owners = {part.artifact.full_name for part in plan.artifacts}
    seen = 0

    def folders() -> Iterator[tuple[str, str, bytes]]:
        nonlocal seen
        folder = ""
        names: list[str] = []
        numbers = bytearray()
        for path, size, mtime_ns, inode, artifact, placed in state.stats():
            if path not in targets:
                if placed and artifact in owners:
                    found["clean"] = False
                continue
            seen += 1
            above, _, name = path.rpartition("/")
            if above != folder and names:
                yield folder, "\n".join(names), bytes(numbers)
                names, numbers = [], bytearray()
            folder = above
            names.append(name)
            numbers += _ENTRY.pack(size, mtime_ns, inode & _MASK)
        if names:
            yield folder, "\n".join(names), bytes(numbers)

    rows = list(folders())
    if seen == len(targets):
        state.save_seal(mark, json.dumps({**found, "artifacts": artifacts}), rows, _KEPT)
