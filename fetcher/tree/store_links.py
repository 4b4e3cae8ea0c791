"""Which trees share bytes with a store's blobs: what comes back when a blob goes, and when not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import Failure
from fetcher.fs.safe_paths import native
from fetcher.store.demands import Demand
from fetcher.tree.kept_files import PLACE, KeptFolder, KeptRun, kept_folder, kept_runs
from fetcher.tree.state import State

Inode = tuple[int, int]


def links_of(demand: Demand, blobs: Mapping[Inode, str]) -> Mapping[str, int]:
    """How many links a project's own folder has to each of these blobs, as far as its state and
    `.fetch/kept/` tell; a tree elsewhere (`--into`) is not known here."""
    if demand.is_import or demand.lock is None:
        return {}
    found = Counter[str]()
    for inode in (*_placed(demand.record.root, blobs), *_kept(kept_runs(demand.record.root))):
        if inode in blobs:
            found[blobs[inode]] += 1
    return found


def _placed(root: Path, blobs: Mapping[Inode, object]) -> Iterable[Inode]:
    """The inodes of files that were placed in a tree, once for each name."""
    state = State(root)
    wanted = {inode for _, inode in blobs}
    try:
        rows = list(state.rows().values()) if state.path.exists() else []
    except (Failure, OSError):
        return
    finally:
        state.close()
    for row in rows:
        if row.inode in wanted:
            try:
                stat = os.lstat(native(os.path.join(root, row.path)))
            except (OSError, ValueError):
                continue
            yield stat.st_dev, stat.st_ino


def _kept(runs: Iterable[KeptRun]) -> Iterable[Inode]:
    return (inode for run in runs for inode in run.links)


@dataclass
class Holder:
    """A folder that shares bytes with blobs that go: they come back when its files go too."""

    folder: str
    files: int = 0
    bytes: int = 0


def holders(demands: Iterable[Demand], blobs: Mapping[Inode, int]) -> list[Holder]:
    """The folders of projects that still have links to these blobs (with their sizes), the one
    with most first. Others that have some are not known."""
    if not blobs:
        return []
    found: dict[str, Holder] = {}
    told: set[Inode] = set()
    for root in dict.fromkeys(one.record.root for one in demands if one.lock and not one.is_import):
        for folder, inodes in (
            (str(root), _placed(root, blobs)),
            (str(root / PLACE), _kept(kept_runs(root))),
        ):
            for inode in inodes:
                if inode in blobs and inode not in told:
                    told.add(inode)
                    holder = found.setdefault(folder, Holder(folder))
                    holder.files += 1
                    holder.bytes += blobs[inode]
    return sorted(found.values(), key=lambda holder: -holder.bytes)


def kept_folders(demands: Iterable[Demand]) -> list[KeptFolder]:
    """What the projects that are here keep, the one with most first."""
    found = []
    for root in dict.fromkeys(one.record.root for one in demands if one.lock and not one.is_import):
        if (kept := kept_folder(root, kept_runs(root))).files:
            found.append(kept)
    return sorted(found, key=lambda kept: -kept.bytes)
