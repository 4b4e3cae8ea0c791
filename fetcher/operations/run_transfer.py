"""Runs the transfer: what the plan wants is downloaded, and placed batch by batch meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fetcher.errors import Failure, Problem
from fetcher.fs.atomic import Stat
from fetcher.operations.candidates import Candidates
from fetcher.operations.workspace import Workspace
from fetcher.tree.plan import Item, Plan, bytes_of

if TYPE_CHECKING:
    from fetcher.transfer.download import Delivered, Download
    from fetcher.transfer.worker_pool import WorkerPool


class Ready(NamedTuple):
    """An item whose content is in the store, as the blob `sha256` of `size` bytes.

    `stat` is the blob's where it is known. `new`: the lock has no digest of it yet.
    """

    item: Item
    sha256: str
    size: int | None = None
    stat: Stat | None = None
    new: bool = False


@dataclass
class Transferred:
    """What has come so far: contents, their bytes, and what did not come.

    Filled while it goes on, so that it tells of an interrupted transfer as well.
    """

    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


def start_workers(space: Workspace) -> WorkerPool | None:
    """Processes for many small files: to be started while this one is small."""
    from fetcher.transfer.worker_pool import FEWEST, WorkerPool, can_be_used

    # How many files there may be; whether the lock still holds is the plan's to find out.
    locked = space.lock.artifacts
    known = [locked.get((item.manifest, item.id)) for _, item in space.wanted]
    few = all(known) and sum(len(one.files) for one in known if one) < FEWEST
    if few or space.readonly or not known or not can_be_used(space.network):
        return None
    workers = WorkerPool(space.network, space.store)
    space.resources.callback(workers.close)
    return workers


def transfer(
    space: Workspace,
    plan: Plan,
    workers: WorkerPool | None,
    arrived: Callable[[Sequence[Ready]], None],
    done: Transferred,
) -> None:
    """Get every content that the plan wants, each once, whoever wants it.

    `arrived` takes each batch that is in the store, in another thread, while others come. `workers`
    serve one transfer.
    """
    groups = plan.to_get()
    if not groups:
        return
    from fetcher.transfer.download import Download
    from fetcher.transfer.engine import Engine

    candidates = Candidates(space.network, space.progress.say)
    revisions = plan.revisions()
    waiting: dict[Download, list[Item]] = {}

    def downloads() -> Iterator[Download]:
        for items in groups.values():
            try:
                places = candidates.of(items, revisions)
            except Failure as failure:
                problem = failure.problem
                done.problems += [problem.about(i.artifact.id, i.file.path) for i in items]
                continue
            first = items[0]
            trust = space.options.first_trust
            download = Download(first.artifact.id, first.file, places, first_trust=trust)
            waiting[download] = items
            yield download
        groups.clear()

    def on_batch(batch: list[Delivered]) -> None:
        ready = [one for delivered in batch for one in _ready(delivered, waiting)]
        done.files += sum(1 for one in batch if one.downloaded or not one.size)
        done.bytes += sum(one.downloaded for one in batch)
        arrived(ready)

    space.progress.begin(len(groups), bytes_of(groups))
    network, store, progress = space.network, space.store, space.progress
    with Engine(network, store, progress, on_batch, workers, space.runs) as engine:
        failed = engine.run(downloads())
    for download, problem in failed:
        done.problems += [problem.about(i.artifact.id, i.file.path) for i in waiting[download]]


def _ready(delivered: Delivered, waiting: dict[Download, list[Item]]) -> Iterator[Ready]:
    """The items that were waiting for a content."""
    download, sha256, _, size, origin, _, stat = delivered
    for item in waiting.pop(download):
        item.origin = origin
        file = item.file
        new = file.size is None or file.size_hint or not file.key
        yield Ready(item, sha256, size, stat, new)
