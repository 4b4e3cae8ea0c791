"""What was found wrong is not trusted by its stat any more: the next run reads it, and mends it.

A byte may change while size, time and inode stay: on a bad disk, or by a program that sets the time
back. Whoever reads all bytes, or loads a model, finds out, and says so here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from fetcher.errors import Failure
from fetcher.fs.safe_paths import native
from fetcher.operations.workspace import Workspace
from fetcher.store.project_records import records
from fetcher.store.store import Store
from fetcher.tree.plan import Item
from fetcher.tree.state import State

_log = logging.getLogger(__name__)


def doubt_files(space: Workspace, items: Iterable[Item]) -> None:
    """Have these files of a tree read before they are trusted, and blobs that they share bytes
    with; best effort."""
    wrong = list(items)
    for item in wrong:
        sha256 = item.sha256 or item.file.sha256 or _known(space, item)
        try:
            blob = os.stat(space.store.blob_path(sha256)) if sha256 else None
            if blob is not None and os.path.samestat(blob, os.stat(native(item.path))):
                space.store.doubt(sha256)
        except OSError:
            continue  # the one or the other is not there
    space.store.flush()
    # A link of ours is as it was: the blob that it leads to is not.
    files = [item.target for item in wrong if not os.path.islink(native(item.path))]
    try:
        if wrong:
            space.state.doubt(files)
    except (Failure, OSError) as failure:
        _log.info("what was found is not remembered: %s", failure)


def _known(space: Workspace, item: Item) -> str:
    row = space.rows.get(item.target)
    return row.sha256 if row is not None else ""


def doubt_links(store: Store, inodes: Iterable[int]) -> None:
    """Have the known projects read the files that share bytes with damaged blobs; best effort."""
    damaged = list(inodes)
    for record in records(store.root) if damaged else ():
        if not record.is_here:
            continue
        state = State(record.root)
        try:
            state.doubt(inodes=damaged)
        except (Failure, OSError) as failure:
            _log.info("%s is not told of damaged blobs: %s", record.root, failure)
        finally:
            state.close()
