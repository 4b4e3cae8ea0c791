"""Runs the transfer: what the plan wants is downloaded, and placed batch by batch meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fetcher.errors import Failure, Problem
from fetcher.i18n import t
from fetcher.operations.candidates import Candidates, Revisions
from fetcher.operations.ready import Ready
from fetcher.operations.unpack_archives import ArchivePart, Archives
from fetcher.operations.workspace import Workspace
from fetcher.tree.plan import Item, Plan, Unpacking

if TYPE_CHECKING:
    from fetcher.transfer.download import Delivered, Download
    from fetcher.transfer.worker_pool import WorkerPool


@dataclass(eq=False, repr=False)
class Transferred:
    """What has come so far: contents, their bytes, and what did not come.

    `limited`: seconds that hosts' rate limits make of it at the least.

    Filled while it goes on, so that it tells of an interrupted transfer as well.
    """

    files: int = 0
    bytes: int = 0
    limited: float = 0.0
    problems: list[Problem] = field(default_factory=list)


def start_workers(space: Workspace) -> WorkerPool | None:
    """Processes for many small files: to be started while this one is small."""
    if space.readonly or not space.wanted:
        return None
    from fetcher.transfer.worker_pool import FEWEST, WorkerPool, can_be_used

    # How many files there may be; whether the lock still holds is the plan's to find out.
    known = space.entries()
    few = all(known) and sum(len(one.files) for one in known if one) < FEWEST
    if few or not can_be_used(space.network):
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
    archives: Archives,
) -> None:
    """Get every content that the plan wants, each once, whoever wants it.

    `arrived` takes each batch that is in the store, in another thread, while others come; so does
    `archives`, which unpacks. Members of archives are asked of mirrors first, where there are any:
    these may have them, and not the archive. `workers` serve one transfer.
    """
    done.limited = done.limited or _tell_of_limits(space, plan)
    if done.limited:
        workers = None  # they cannot count requests
    one = _Transfer(space, plan, arrived, done, archives)
    one.from_their_source()
    members = one.mirrored_members()
    for_later = {item for items in members.values() for item in items}
    wanted = [a for a in plan.to_unpack() if not (a.listed and for_later.issuperset(a.items))]
    groups = {key: items for key, items in plan.to_get().items() if not one.has_tried(items)}
    one.run({**groups, **members}, wanted, workers)
    tried = {found.key for found in wanted}
    # What no mirror had, and what turned out to be wanted once the archives were opened.
    while True:
        rest = [found for found in plan.to_unpack() if found.key not in tried]
        groups = {key: items for key, items in plan.to_get().items() if not one.has_tried(items)}
        if not (rest or groups):
            return
        tried.update(found.key for found in rest)
        one.run(groups, rest, None)


def _tell_of_limits(space: Workspace, plan: Plan) -> float:
    """Say which hosts' rate limits make it slow; returns the seconds that it takes at the least."""
    if not space.network.allowances:
        return 0.0
    from fetcher.tree.pacing import pacing_of

    found = pacing_of(plan, space.network)
    for one in found:
        space.progress.say(one.sentence())
    return round(max((one.seconds for one in found), default=0.0), 1)


class _Transfer:
    """One run's transfers, with what they are for."""

    def __init__(
        self,
        space: Workspace,
        plan: Plan,
        arrived: Callable[[Sequence[Ready]], None],
        done: Transferred,
        archives: Archives,
    ) -> None:
        self._space = space
        self._plan = plan
        self._arrived = arrived
        self._done = done
        self._archives = archives
        self._candidates = Candidates(space.network, space.progress.say)
        self._tried: set[Item] = set()
        self._waiting: dict[Download, list[Item] | ArchivePart] = {}

    def has_tried(self, items: Sequence[Item]) -> bool:
        """Whether these were to be downloaded before."""
        return any(item in self._tried for item in items)

    def from_their_source(self) -> None:
        """Get what only its own source may deliver; whoever else wants that content has it then."""
        if not any(item.anew for item in self._plan.singular()):
            return
        groups = self._plan.to_get()
        anew = {key: items for key, items in groups.items() if items[0].anew}
        self.run(dict(anew), [], None)
        placed = {
            (item.artifact.full_name, item.file.path): item.sha256
            for items in anew.values()
            for item in items
        }
        find = self._space.store.find
        here = [
            Ready(item, sha256)
            for key, items in groups.items()
            for item in (items if key not in anew else ())
            if (sha256 := find(item.file) or placed.get((item.artifact.full_name, item.file.path)))
        ]
        self._arrived(here)

    def mirrored_members(self) -> dict[str, list[Item]]:
        """Members, by content, that a mirror may have."""
        found: dict[str, list[Item]] = {}
        for unpacking in self._plan.to_unpack():
            for item in unpacking.items:
                if item.file.sha256 and not item.anew and self._candidates.of_member(item):
                    found.setdefault(item.content, []).append(item)
        return found

    def run(
        self,
        groups: dict[str, list[Item]],
        wanted: Sequence[Unpacking],
        workers: WorkerPool | None,
        in_part: bool = True,
    ) -> None:
        """Get these contents and archives; returns when all that can be had is placed."""
        parts = self._archives.begin(wanted, in_part)
        try:
            if groups or parts:
                self._download(groups, parts, workers)
        except BaseException:
            self._archives.stop()
            raise
        self._archives.finish()
        self._done.bytes += self._archives.received
        self._archives.received = 0
        if whole := self._archives.to_read_whole:
            self._archives.to_read_whole = []
            self.run({}, whole, None, in_part=False)

    def _download(
        self,
        groups: dict[str, list[Item]],
        parts: Sequence[ArchivePart],
        workers: WorkerPool | None,
    ) -> None:
        from fetcher.transfer.engine import Engine

        space, progress = self._space, self._space.progress
        files = [items[0].file for items in groups.values()] + [part.item.file for part in parts]
        sizes = [file.size for file in files]
        total, unknown = sum(size or 0 for size in sizes), sizes.count(None)
        progress.begin(len(files), total, unknown, last=False)
        del files
        with Engine(
            space.network, space.store, progress, self._on_batch, workers, space.runs
        ) as engine:
            failed = engine.run(self._downloads(groups, parts))
        for download, problem in failed:
            self._failed(self._waiting[download], problem)

    def _downloads(
        self, groups: dict[str, list[Item]], parts: Sequence[ArchivePart]
    ) -> Iterator[Download]:
        from fetcher.transfer.download import Download

        revisions = self._plan.revisions()
        # Archives first: they are unpacked while the others come.
        for part in parts:
            if (download := self._download_of([part.item], part, revisions, Download)) is not None:
                yield download
        for items in groups.values():
            if (download := self._download_of(items, items, revisions, Download)) is not None:
                yield download
        groups.clear()

    def _download_of(
        self,
        items: list[Item],
        waiting: list[Item] | ArchivePart,
        revisions: Revisions,
        make: type[Download],
    ) -> Download | None:
        """What is to be downloaded for these; None where they may not be taken from anywhere."""
        first = items[0]
        self._tried.update(items)
        try:
            if first.file.archive and not first.anew:
                places = list(
                    dict.fromkeys(c for i in items for c in self._candidates.of_member(i))
                )
            else:
                places = self._candidates.of(items, revisions)
        except Failure as failure:
            self._failed(waiting, failure.problem)
            self._space.progress.elsewhere(first.file.size)
            return None
        # A part of an archive does not look like one.
        part = isinstance(waiting, ArchivePart) and waiting.is_piece
        trust = self._space.options.first_trust or part
        file, artifact = first.file, first.artifact
        if first.anew:  # its source's word is asked for: bytes of others, begun before, are none
            file = file._replace(sha256=None, git_blob=None)
            trust = trust or bool(first.file.key)
        follower = waiting.stream if isinstance(waiting, ArchivePart) else None
        download = make(
            artifact.id,
            file,
            places,
            first_trust=trust,
            follower=follower,
            reach=artifact.reach,
            called=artifact.called,
        )
        if file.archive and isinstance(waiting, list):
            download.elsewhere = True
        self._waiting[download] = waiting
        return download

    def _failed(self, waiting: list[Item] | ArchivePart, problem: Problem) -> None:
        if not isinstance(waiting, list):
            self._archives.failed(waiting, problem)
        elif not waiting[0].file.archive:  # what no mirror has is asked of its archive
            self._done.problems += [problem.about(i.artifact.id, i.file.path) for i in waiting]

    def _on_batch(self, batch: list[Delivered]) -> None:
        done = self._done
        done.files += sum(1 for one in batch if one.downloaded or not one.size)
        done.bytes += sum(one.downloaded for one in batch)
        ready: list[Ready] = []
        for one in batch:
            waiting = self._waiting.pop(one.download)
            if problem := _contradiction(one, waiting):
                self._failed(waiting, problem)
            elif isinstance(waiting, list):
                ready += _ready(one, waiting)
            else:
                self._archives.arrived(waiting, one.sha256, one.size, one.origin)
        self._arrived(ready)


def _contradiction(delivered: Delivered, waiting: list[Item] | ArchivePart) -> Problem | None:
    """What to say where a source delivers other bytes than are stated."""
    item = waiting[0] if isinstance(waiting, list) else waiting.item
    file = item.file
    if not item.anew or delivered.sha256 == (file.sha256 or delivered.sha256):
        return None
    return Problem(
        "digest-mismatch",
        t(
            "{path}: {source} has other bytes (sha256 {found}) than are stated ({stated})",
            path=file.path,
            source=item.artifact.source.describe(),
            found=delivered.sha256,
            stated=file.sha256 or file.git_blob,
        ),
        t("if they are right: fetch lock --update {id}", id=item.artifact.command_words),
        item.artifact.id,
        file.path,
    )


def _ready(delivered: Delivered, items: list[Item]) -> Iterator[Ready]:
    """The items that were waiting for a content."""
    _, sha256, _, size, origin, _, stat = delivered
    for item in items:
        item.origin = origin
        file = item.file
        new = file.size is None or file.size_hint or not file.key
        yield Ready(item, sha256, size, stat, new)
