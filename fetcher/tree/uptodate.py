"""The seal of a complete tree: how every file stood when all was as the lock wants it.

A run that has nothing to do need not parse manifests and lock, nor build a plan: if what the plan
depends on is byte for byte what it was, and every file's stat is what it was, then so is the
outcome. It costs one stat for each file, in constant memory. What a report says of the files lies
beside it, about 60 bytes a file, and is read only where it is asked for.
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
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher import __version__
from fetcher.fs.atomic import BLOCK
from fetcher.fs.safe_paths import native
from fetcher.i18n import t
from fetcher.tree.actions import KEEP
from fetcher.tree.state import State
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import MAX_LIST, NotRegularError, open_regular

if TYPE_CHECKING:
    from fetcher.config.settings import Settings
    from fetcher.project.project import Project, Selection
    from fetcher.tree.plan import Item, Plan

_ENTRY = struct.Struct("<QqQ")  # size, mtime in nanoseconds, inode
_PROGRAM = 1 << 63  # in an entry's size: the file must be one that its owner may run
_FACTS = struct.Struct("<q32s")  # size (below 0: not known), sha256 (zeroes: not known)
_UNKNOWN = bytes(32)
_ZEROES, _DIGITS, _WORDS = _UNKNOWN.hex(), 2 * _FACTS.size, _FACTS.size // 8
_CHUNK = 4096  # files in one row of what a report says
_Packed = tuple[int, str, str, bytes]  # number of the artifact, paths, targets, facts
_Columns = tuple[Sequence[str], Sequence[str], Sequence[int | None], Sequence[str | None]]
_DAMAGED = (sqlite3.DatabaseError, struct.error, AttributeError, LookupError, TypeError, ValueError)
_KEPT = 4  # seals of one tree: for `fetch all`, and for a few selections of artifacts
_MASK = 2**64 - 1


class SealedFile(NamedTuple):
    """What a report says of one file: its path in the artifact, and where it stands."""

    path: str
    target: str
    size: int | None
    sha256: str | None


class SealedArtifact(NamedTuple):
    """One artifact of a complete tree; `files` are counted, `bytes` their sizes' sum."""

    id: str
    manifest: str
    name: str
    state: str
    revision: str
    optional: bool
    files: int
    bytes: int


class Seal(NamedTuple):
    """A complete tree.

    `all_of_it`: no artifact of the manifests was left out; `clean`: nothing of an older lock is
    left in the tree. `packed` is what `files_of` reads, empty unless it was asked for.
    """

    files: int
    bytes: int
    all_of_it: bool
    clean: bool
    artifacts: tuple[SealedArtifact, ...]
    packed: Sequence[_Packed] = ()

    def columns_of(self, index: int) -> Iterator[_Columns]:
        """Paths, targets, sizes and sha256 of files of the artifact with this index, some
        thousands at a time, in the order of the plan."""
        for artifact, paths, targets, facts in self.packed:
            if artifact == index:
                sizes = struct.unpack(f"<{len(facts) // 8}q", facts)[::_WORDS]
                digests = _digests(facts.hex())
                yield (
                    paths.split("\n"),
                    targets.split("\n"),
                    [None if size < 0 else size for size in sizes] if min(sizes) < 0 else sizes,
                    [None if one == _ZEROES else one for one in digests]
                    if _ZEROES in digests
                    else digests,
                )

    def files_of(self, index: int) -> Iterator[SealedFile]:
        """The same, file by file."""
        for columns in self.columns_of(index):
            yield from map(SealedFile._make, zip(*columns, strict=True))


def _digests(facts: str) -> list[str]:
    return [facts[at + 16 : at + _DIGITS] for at in range(0, len(facts), _DIGITS)]


# What such a file says counts for nothing, here as where it is read.
_NONE = (FileNotFoundError, NotADirectoryError, PermissionError, NotRegularError)


def mark(
    project: Project, tree: Path, selection: Selection, names: Sequence[str], settings: Settings
) -> str:
    """The fingerprint under which a plan of these is sealed. Raises OSError, UsageError."""
    if project.are_all_own(names):
        names = ()
    allowed = sorted(map(str, settings.allowed.links))
    variants = settings.text("variants")
    choice = [*names, asdict(selection), str(settings.hub_cache), allowed, variants]
    return fingerprint(tree, project.inputs(names), choice)


def fingerprint(tree: Path, inputs: Iterable[Path], choice: Sequence[Any]) -> str:
    """Digest of all that a plan depends on but the tree itself. Raises OSError."""
    digest = hashlib.sha256(json.dumps([__version__, str(tree), choice]).encode())
    for path in sorted(set(inputs)):
        digest.update(b"\0" + os.fsencode(path) + b"\0")
        with suppress(*_NONE), open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            # Nobody reads a larger one.
            while size <= MAX_LIST and (block := stream.read(BLOCK)):
                digest.update(block)
    return digest.hexdigest()


def load(state: State, mark: str, with_files: bool = False) -> Seal | None:
    """The seal with this fingerprint, if every file still stands as it did.

    `with_files`: it can also tell what a report says of each of them.
    """
    if not state.path.exists():
        _tell("nothing was fetched into %s yet", state.folder.parent)
        return None
    try:
        found = state.seal(mark)
        if found is None:
            _tell("no run with these options, manifests and lock has left this tree complete")
            return None
        number, text = found
        seen = 0
        for folder, names, numbers in state.sealed(number):
            seen += names.count("\n") + 1
            if not _unchanged(state.folder.parent, folder, names, numbers):
                return None
        packed = state.sealed_files(number) if with_files else None
        seal = _opened(json_text.loads(text), packed)
    except (
        sqlite3.DatabaseError,
        ValueError,
        TypeError,
        LookupError,
        struct.error,
        AttributeError,
    ) as error:
        _tell("what is recorded of the tree cannot be read: %s", error)
        return None  # it is a cache: the plan will tell
    if seen != seal.files:  # another run replaced it between two of these reads
        _tell("another run is at work in it")
        return None
    return seal


def _opened(values: Any, packed: Sequence[_Packed] | None) -> Seal:
    """The seal that was saved; raises one of many errors for anything else."""
    artifacts = tuple(SealedArtifact(**item) for item in values.pop("artifacts"))
    seal = Seal(artifacts=artifacts, packed=packed or (), **values)
    if packed is not None:
        counts = [0] * len(artifacts)
        for artifact, paths, targets, facts in packed:
            count = paths.count("\n") + 1
            if targets.count("\n") + 1 != count or len(facts) != count * _FACTS.size:
                raise ValueError(t("a damaged seal"))
            counts[artifact] += count
        if counts != [artifact.files for artifact in artifacts]:
            raise ValueError(t("a damaged seal"))
    return seal


def _tell(why: str, *values: object) -> None:
    """Log why every file is looked at; `logging` is loaded only now that much else will be."""
    import logging

    logging.getLogger(__name__).info("every file is looked at: " + why, *values)


def _unchanged(tree: Path, folder: str, names: str, numbers: bytes) -> bool:
    """Whether all files of one folder stand as they did."""
    try:
        handle = os.open(native(str(tree / folder)), os.O_RDONLY)
    except OSError as error:
        _tell("%s cannot be opened: %s", folder or tree, error.strerror)
        return False
    try:
        return _match(handle, folder, names.split("\n"), numbers)
    finally:
        os.close(handle)


def _match(handle: int, folder: str, names: list[str], numbers: bytes) -> bool:
    stat = os.stat
    for name, entry in zip(names, _ENTRY.iter_unpack(numbers), strict=True):
        try:
            now = stat(name, dir_fd=handle, follow_symlinks=False)
        except OSError as error:
            _tell("%s/%s is not there as it was: %s", folder, name, error.strerror)
            return False
        if (now.st_size, now.st_mtime_ns, now.st_ino & _MASK) != entry:
            if entry[0] & _PROGRAM:
                if _is_program(now, entry):
                    continue
                _tell("%s/%s is not the program that it was", folder, name)
                return False
            what = "size" if now.st_size != entry[0] else "time or inode"
            _tell("%s/%s has another %s than it had", folder, name, what)
            return False
    return True


def _is_program(now: os.stat_result, entry: tuple[int, int, int]) -> bool:
    found = (now.st_size | _PROGRAM, now.st_mtime_ns, now.st_ino & _MASK)
    return found == entry and bool(now.st_mode & stats.S_IXUSR)


def can_seal(plan: Plan, link: str) -> bool:
    """Whether a stat of each file will tell all that there is to tell."""
    return (
        os.stat in os.supports_dir_fd
        and link != "symlink"
        and not plan.problems()
        and all(part.locked is not None and part.locked.members_known for part in plan.artifacts)
        and all(
            item.action == KEEP
            and not (item.outside or item.changed_by_user)
            and (item.placed or item.stat is None or not stats.S_ISLNK(item.stat.st_mode))
            for item in plan.pending()
        )
    )


def save(state: State, mark: str, plan: Plan, all_of_it: bool) -> None:
    """Seal a plan of which everything is done; the state has a row for every file of it."""
    targets = {item.target for item in plan.items}
    owners = {part.artifact.full_name for part in plan.artifacts}
    programs = {item.target for item in plan.items if item.file.executable}
    rows, clean = _folders(state, targets, owners, programs)
    if sum(len(names) for _, names, _ in rows) != len(targets):
        return
    artifacts = [
        SealedArtifact(
            part.artifact.id,
            part.artifact.manifest,
            part.artifact.name,
            part.state,
            part.locked.revision if part.locked else "",
            part.artifact.optional,
            len(part.items),
            part.items.bytes(),
        )
        for part in plan.artifacts
    ]
    found = {
        "files": len(targets),
        "bytes": sum(artifact.bytes for artifact in artifacts),
        "all_of_it": all_of_it,
        "clean": clean,
        "artifacts": [artifact._asdict() for artifact in artifacts],
    }
    packed = (
        (index, *_packed(chunk))
        for index, part in enumerate(plan.artifacts)
        for chunk in _chunks(part.items)
    )
    folders = ((folder, "\n".join(names), bytes(numbers)) for folder, names, numbers in rows)
    state.save_seal(mark, json.dumps(found), folders, packed, _KEPT)


def _folders(
    state: State, targets: set[str], owners: set[str], programs: set[str]
) -> tuple[list[tuple[str, list[str], bytearray]], bool]:
    """(folder, names, stats) of the targets that the state knows; and whether these artifacts
    have placed nothing else."""
    found: list[tuple[str, list[str], bytearray]] = []
    clean = True
    for path, size, mtime_ns, inode, artifact, placed in state.stats():
        if path not in targets:
            clean = clean and not (placed and artifact in owners)
            continue
        folder, _, name = path.rpartition("/")
        if not found or found[-1][0] != folder:
            found.append((folder, [], bytearray()))
        found[-1][1].append(name)
        marked = size | _PROGRAM if path in programs else size
        found[-1][2].extend(_ENTRY.pack(marked, mtime_ns, inode & _MASK))
    return found, clean


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(items)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _packed(items: Sequence[Item]) -> tuple[str, str, bytes]:
    """What a report says of these items: paths, targets, sizes with digests."""
    facts = bytearray()
    for item in items:
        size, sha256 = item.file.size, item.file.sha256 or item.sha256
        facts += _FACTS.pack(
            -1 if size is None else size, bytes.fromhex(sha256) if sha256 else _UNKNOWN
        )
    paths = "\n".join(item.file.path for item in items)
    return paths, "\n".join(item.target for item in items), bytes(facts)
