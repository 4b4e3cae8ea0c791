"""Room on a full disk: partial downloads that a run does not go on with go first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from fetcher.fs.free_space import allocated
from fetcher.operations.workspace import Workspace
from fetcher.store.store import Store
from fetcher.tree.disk_space import kept_by, room_for
from fetcher.tree.plan import Plan

if TYPE_CHECKING:  # most runs have room
    from fetcher.store.parts import PartialDownload

_log = logging.getLogger(__name__)


def before(space: Workspace, plan: Plan) -> bool:
    """Where a plan does not fit, free as much as helps; whether anything went."""
    if not space.store.orphaned_parts():
        return False  # there is nothing to free, whatever does not fit
    lacking = _lacking(space, plan)
    if not lacking:
        return False
    left = _others(space, plan)
    if not left:
        return False
    possible = _lacking(space, plan, freeable(left))
    if possible >= lacking:
        _log.info("partial downloads stay: the plan would not fit without them either")
        return False
    return _free(space, left, lambda: _lacking(space, plan) <= possible)


def during(space: Workspace, plan: Plan) -> bool:
    """When the disk was full in the middle of a run: whether anything could be freed.

    What is free is not all that may be used, and sizes need not be known: if the plan would seem
    to fit, all of it goes.
    """
    left = _others(space, plan)
    known = bool(_lacking(space, plan))
    return _free(space, left, lambda: known and not _lacking(space, plan))


def freeable_for(space: Workspace, plan: Plan) -> int:
    """Bytes that a run could free, if its plan does not fit without; nothing is removed."""
    return freeable(_others(space, plan)) if _lacking(space, plan) else 0


def freeable(left: list[PartialDownload]) -> int:
    """Bytes of disk that these have."""
    return sum(allocated(part.stat) for part in left)


def _lacking(space: Workspace, plan: Plan, freed: int = 0) -> int:
    """How much does not fit."""
    return len(room_for(plan, space.store.root, space.settings.link, freed).problems())


def _others(space: Workspace, plan: Plan) -> list[PartialDownload]:
    store: Store = space.store
    if not store.orphaned_parts():
        return []
    from fetcher.store import parts
    from fetcher.store.demands import demands

    return parts.others(store, demands(store, [space.project.root]), kept_by(plan))


def _free(space: Workspace, left: list[PartialDownload], enough: Callable[[], bool]) -> bool:
    from fetcher.store import parts

    count, size = parts.free(left, enough)
    if count:
        space.progress.say(parts.freed_words(space.store, count, size))
    return count > 0
