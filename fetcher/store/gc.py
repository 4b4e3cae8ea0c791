"""Looking after the store: what is in it, what is sound, what no project needs any more."""

from __future__ import annotations

import logging
import os
import shutil
import stat as stats
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import FetchError
from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import join
from fetcher.project import lockfile
from fetcher.sources.base import FileEntry
from fetcher.store import upstream_records
from fetcher.store.runs import tidy_runs
from fetcher.store.store import PART_NOTES, Store
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import read_regular

_log = logging.getLogger(__name__)

# A blob this young may belong to a run that has not written its lock yet.
YOUNG_SECONDS = 3600
# Folder of the locks of bundles that were imported.
IMPORTED = "imported"
STALE_PART_SECONDS = 7 * 24 * 3600


@dataclass
class Usage:
    """What the store holds, in bytes and files."""

    blobs: int = 0
    blob_bytes: int = 0
    linked_bytes: int = 0
    parts: int = 0
    part_bytes: int = 0
    damaged: int = 0


@dataclass
class Sweep:
    """What gc removed, or would remove."""

    blobs: list[str] = field(default_factory=list)
    bytes: int = 0
    leftovers: int = 0
    kept: int = 0


def usage(store: Store) -> Usage:
    """Measure the store."""
    found = Usage()
    for _, stat in store.digests():
        found.blobs += 1
        found.blob_bytes += stat.st_size
        if stat.st_nlink > 1:
            found.linked_bytes += stat.st_size
    for _, stat in _leftovers(store):
        found.parts += 1
        found.part_bytes += stat.st_size if stats.S_ISREG(stat.st_mode) else 0
    damaged = store.root / "damaged"
    found.damaged = sum(1 for _ in damaged.iterdir()) if damaged.is_dir() else 0
    return found


def _leftovers(store: Store) -> Iterator[tuple[Path, os.stat_result]]:
    """What lies in the folder of partial downloads; another run may finish meanwhile."""
    folder = store.root / "partial"
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):
            yield path, path.stat()


def projects(store: Store) -> Iterator[Path]:
    """Roots of the projects that have used this store."""
    folder = store.root / "projects"
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.json")):
        try:
            yield Path(json_text.loads(read_regular(path))["root"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


def forget_imports(store: Store) -> int:
    """Let go of what imported bundles need and no project does; how many bundles there were."""
    folder = store.root / IMPORTED
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    for name in names:
        remove_quietly(str(store.root / "projects" / f"{name}.json"))
        shutil.rmtree(folder / name, ignore_errors=True)
    return len(names)


def needed(store: Store, extra: list[Path]) -> tuple[set[str], list[str]]:
    """Digests that some project's lock has or a Hub's files, and locks that could not be read.

    A project whose folder is gone needs nothing; one whose lock cannot be read needs everything,
    which the caller must respect.
    """
    wanted: set[str] = set()
    unreadable: list[str] = []
    for root in {*projects(store), *extra}:
        try:
            locked = lockfile.read(root)
        except FetchError as error:
            _log.info("the lock of %s cannot be read: %s", root, error.message)
            unreadable.append(join((str(root), error.message), ": "))
            continue
        for artifact in locked.artifacts.values():
            wanted.update(_digests(store, artifact.files))
    wanted.update(_digests(store, upstream_records.needed(store)))
    _log.debug("%d contents are needed; %d locks cannot be read", len(wanted), len(unreadable))
    return wanted, unreadable


def _digests(store: Store, files: Iterable[FileEntry]) -> Iterator[str]:
    for entry in files:
        if entry.sha256:
            yield entry.sha256
        elif entry.git_blob:
            # What is kept by mistake does no harm: nothing is read to prove it.
            yield from store.claimed_by_git(entry.git_blob)


def sweep(store: Store, wanted: set[str], dry_run: bool, partial: bool = False) -> Sweep:
    """Remove blobs that nobody needs, and what dead runs have left.

    `partial`: also downloads that were begun and might be gone on with, however young.
    """
    done, now = Sweep(), time.time()
    if not dry_run:
        store.recover()
        tidy_runs(store.root)
    begun = {path.name for path in store.orphaned_parts()} if partial else set()
    for sha256, stat in list(store.digests()):
        if sha256 in wanted or now - max(stat.st_ctime, stat.st_mtime) < YOUNG_SECONDS:
            done.kept += 1
            continue
        done.blobs.append(sha256)
        # Bytes come free only where no tree shares the blob.
        done.bytes += stat.st_size if stat.st_nlink == 1 else 0
        if not dry_run:
            remove_quietly(store.blob_path(sha256))
    for path, stat in _leftovers(store):
        name = path.name
        for note in PART_NOTES:
            name = name.removesuffix(note)
        if name in begun or now - stat.st_mtime > STALE_PART_SECONDS:
            done.leftovers += 1
            done.bytes += stat.st_size if stats.S_ISREG(stat.st_mode) else 0
            if not dry_run and stats.S_ISDIR(stat.st_mode):
                shutil.rmtree(path, ignore_errors=True)
            elif not dry_run:
                remove_quietly(str(path))
    _log.info(
        "%d blobs and %d leftovers %s, %d blobs kept",
        len(done.blobs),
        done.leftovers,
        "would go" if dry_run else "are gone",
        done.kept,
    )
    return done
