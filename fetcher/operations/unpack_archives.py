"""Archives of a plan: had once, unpacked into the store while others come, then let go.

What is unpacked at once is bounded by the processors. The members of an archive that nobody has
opened before are learned: they are locked before any of them is placed.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fetcher.archives.rules import Rules
from fetcher.archives.streams import JoinedFile
from fetcher.errors import Failure, Problem, from_os_error
from fetcher.i18n import t
from fetcher.network.range_file import RangeFile
from fetcher.operations.ready import Ready
from fetcher.operations.record_run import Recorder
from fetcher.operations.remote_zip import may_be_read_in_part, open_in_part
from fetcher.operations.workspace import Workspace
from fetcher.project.lockfile import LockedArtifact, against
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.store import upstream_records
from fetcher.store.project_records import records
from fetcher.store.store import Store
from fetcher.store.unpacking import Unpacked, Unpacking
from fetcher.tree.plan import GET, PLACE, ArtifactPlan, Item, Plan
from fetcher.tree.plan import Unpacking as Wanted
from fetcher.tree.planner import Planner

_log = logging.getLogger(__name__)
_AT_ONCE = 2
_OPEN_FILES = 200


@dataclass(eq=False)
class _Archive:
    """One archive that is wanted: `had` gives the blobs of its parts that are here."""

    wanted: Wanted
    had: dict[str, str] = field(default_factory=dict)
    origin: str = ""

    @property
    def name(self) -> str:
        return self.wanted.archive

    @property
    def key(self) -> tuple[str, str]:
        artifact = self.wanted.part.artifact
        return artifact.manifest, artifact.id

    @property
    def whole(self) -> bool:
        return len(self.had) == len(self.wanted.parts)


@dataclass(eq=False)
class ArchivePart:
    """A file of a source that archives of this run are read from; `item` stands for it where
    files are downloaded."""

    item: Item
    wanted_by: list[tuple[str, _Archive]]  # each with its own path of the file

    @property
    def is_piece(self) -> bool:
        """Whether it is an archive only together with others."""
        return any(len(archive.wanted.parts) > 1 for _, archive in self.wanted_by)


class Archives:
    """All archives of one run.

    `place` gets what is in the store; it is called in several threads, one at a time.
    """

    def __init__(
        self,
        space: Workspace,
        planner: Planner,
        recorder: Recorder,
        place: Callable[[Sequence[Ready]], None],
    ) -> None:
        self.problems: list[Problem] = []
        self.received = 0  # bytes of archives that were read in part
        self._space = space
        self._planner = planner
        self._recorder = recorder
        self._place = place
        self._guard = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._futures: list[Future[None]] = []
        self._running: list[Unpacking] = []
        self._open: set[_Archive] = set()

    def begin(self, wanted: Iterable[Wanted]) -> list[ArchivePart]:
        """Unpack what is here already; returns what is to be downloaded for the rest."""
        missing: dict[str, ArchivePart] = {}
        wanted = list(wanted)
        uses = Counter(_place_of(one, entry) for one in wanted for entry in one.parts)
        for one in wanted:
            archive = _Archive(one)
            self._open.add(archive)
            alone = all(uses[_place_of(one, entry)] == 1 for entry in one.parts)
            if alone and (remote := self._in_part(archive)) is not None:
                self._submit(archive, remote)
                continue
            for entry in one.parts:
                file = entry._replace(archive="")
                if sha256 := self._space.store.find(file):
                    archive.had[entry.path] = sha256
                    continue
                item = Item(one.part.artifact, file, "", str(self._space.options.into))
                key = _place_of(one, entry)
                missing.setdefault(key, ArchivePart(item, [])).wanted_by.append(
                    (entry.path, archive)
                )
            if archive.whole:
                self._submit(archive)
        return list(missing.values())

    def arrived(self, part: ArchivePart, sha256: str, size: int, origin: str) -> None:
        """A part is in the store: unpack what is whole now."""
        with self._guard:
            entry = part.item.file
            for path, archive in part.wanted_by:
                self._recorder.learn_archive(archive.key, path, sha256, size)
            if entry.sha256 is None or entry.size is None or entry.size_hint:
                # So that a run that comes after a crash finds it.
                self.problems += self._recorder.save_lock()
            for path, archive in part.wanted_by:
                archive.had[path], archive.origin = sha256, origin
                if archive.whole:
                    self._submit(archive)

    def failed(self, part: ArchivePart, problem: Problem) -> None:
        """A part could not be had."""
        with self._guard:
            for path, archive in part.wanted_by:
                self.problems.append(problem.about(archive.key[1], path))
                self._open.discard(archive)

    def finish(self) -> None:
        """Wait for what is being unpacked; take away the archives that this run downloaded."""
        try:
            for future in self._futures:
                future.result()
        except BaseException:
            for unpacking in self._running:
                unpacking.stop = True
            raise
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool, self._futures = None, []

    def _in_part(self, archive: _Archive) -> RangeFile | None:
        """An archive on its server, if only some of it need be downloaded."""
        wanted, space = archive.wanted, self._space
        artifact = wanted.part.artifact
        if len(wanted.parts) > 1 or space.store.find(wanted.parts[0]) or space.network.offline:
            return None
        file, rules = wanted.parts[0]._replace(archive=""), _rules(archive)
        members = None
        if wanted.listed:
            members = {item.file.path for item in wanted.items}
        if not may_be_read_in_part(file, rules, _is_stated(artifact, file), members):
            return None
        assert wanted.part.locked is not None
        try:
            places = artifact.source.candidates(wanted.part.locked.revision, file, space.network)
        except Failure:
            return None  # who downloads all of it says why
        archive.origin = artifact.source.type
        return open_in_part(file, rules, places, members, space.network)

    def _submit(self, archive: _Archive, remote: RangeFile | None = None) -> None:
        """Unpack it in a thread of the pool. It is opened now: another run may let go of it."""
        opened: RangeFile | JoinedFile | None = remote
        try:
            if opened is None and len(self._open) < _OPEN_FILES:
                opened = _opened(archive, self._space.store)
        except Failure as failure:
            self._failed(archive, failure)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="unpack")
        self._futures.append(self._pool.submit(self._unpack, archive, opened))

    def _unpack(self, archive: _Archive, opened: RangeFile | JoinedFile | None) -> None:
        found: list[Unpacked] = []
        try:
            with opened or _opened(archive, self._space.store) as file:
                self._read(archive, file, found)
            with self._guard:
                if isinstance(opened, RangeFile):
                    self.received += opened.received
                self._done(archive, found)
        except Failure as failure:
            with self._guard:
                self._failed(archive, failure)

    def _failed(self, archive: _Archive, failure: Failure) -> None:
        _log.info("%s: %s", archive.wanted.part.artifact.full_name, failure.message)
        self._open.discard(archive)
        name = failure.problem.file or archive.name
        self.problems.append(failure.problem.about(archive.key[1], name))
        self._forget(archive)

    def _read(
        self, archive: _Archive, opened: RangeFile | JoinedFile, found: list[Unpacked]
    ) -> None:
        wanted, store = archive.wanted, self._space.store
        waiting: dict[str, list[Item]] = {}
        for item in wanted.items:
            waiting.setdefault(item.file.path, []).append(item)

        def arrived(batch: list[Unpacked]) -> None:
            if wanted.listed:
                with self._guard:
                    self._place(list(_ready(batch, waiting, archive.origin)))
            else:
                found.extend(batch)

        known = {p: items[0].file for p, items in waiting.items()} if wanted.listed else None
        _log.info("unpacking %s of %s", archive.name, wanted.part.artifact.full_name)
        unpacking = Unpacking(store, archive.name, opened, _rules(archive), known, arrived)
        self._running.append(unpacking)
        unpacking.run()

    def _done(self, archive: _Archive, found: list[Unpacked]) -> None:
        """Lock what was learned; place it once all archives of its artifact are known."""
        part = archive.wanted.part
        if not archive.wanted.listed:
            locked = self._recorder.learn_members(
                archive.key, archive.name, [_entry(one, archive.name) for one in found]
            )
            if locked.members_known:
                self._complete(part, locked, archive.origin)
        self._let_go(archive)

    def _complete(self, part: ArtifactPlan, locked: LockedArtifact, origin: str) -> None:
        """Plan and place an artifact whose files are known now. Raises Failure."""
        for pin in against(part.artifact, locked):
            raise Failure(
                "count" if pin.fact == "count" else "refused",
                pin.message,
                t("compare `count`, `files` and `unpack` with what the archives hold"),
            )
        self.problems += self._recorder.save_lock()
        self._planner.complete(part, locked, self._space.options.overwrite)
        self._recorder.recognised(Plan(self._space.options.into, [part]))
        placed = [item for item in part.items if item.action == PLACE]
        for item in placed:
            item.origin = origin or item.origin
        self._place([Ready(item, item.sha256, item.file.size) for item in placed])

    def _let_go(self, archive: _Archive) -> None:
        """Remove the archive from the store, unless somebody wants it as a file."""
        self._open.discard(archive)
        self._discard(set(archive.had.values()))

    def tidy(self, plan: Plan) -> None:
        """Remove archives that a run has left which died once their members were locked."""
        left: set[str] = set()
        for part in plan.artifacts:
            if part.locked is not None and not any(part.unpackings()):
                digests = (entry.sha256 for entry in part.locked.archives if entry.sha256)
                left.update(d for d in digests if os.path.exists(self._space.store.blob_path(d)))
        self._discard(left)

    def _discard(self, digests: set[str]) -> None:
        if not digests:
            return
        others = {sha256 for other in self._open for sha256 in other.had.values()}
        files = (file for item in self._space.lock.artifacts.values() for file in item.files)
        for sha256 in digests - others - {file.sha256 for file in files}:
            if not self._needed_elsewhere(sha256):
                self._space.store.discard(sha256)
                _log.info("an archive is unpacked, and not kept: %s", sha256)

    def _forget(self, archive: _Archive) -> None:
        """Do not lock what a broken archive is that nobody had a digest of: it may come whole."""
        unknown = [entry for entry in archive.wanted.parts if not entry.key]
        for entry in unknown:
            self._recorder.forget_archive(archive.key, entry)
        if unknown:
            self._let_go(archive)

    def _needed_elsewhere(self, sha256: str) -> bool:
        """Whether another project wants the archive as a file."""
        store, here = self._space.store, self._space.project.root.absolute()
        for record in records(store.root):
            needs = record.needs()
            if record.root != here and (needs is None or sha256 in needs):
                return True
        return any(file.sha256 == sha256 for file in upstream_records.needed(store))


def _place_of(wanted: Wanted, entry: FileEntry) -> str:
    """What is equal where one download serves two archives."""
    return entry.key or f"{wanted.part.artifact.source.describe()} {entry.path}"


def _rules(archive: _Archive) -> Rules:
    """How it is unpacked."""
    artifact = archive.wanted.part.artifact
    assert artifact.unpack is not None
    return artifact.unpack.by_name.get(archive.name, artifact.unpack.rules)


def _opened(archive: _Archive, store: Store) -> JoinedFile:
    """The archive as it lies in the store. Raises Failure."""
    try:
        return JoinedFile([store.blob_path(archive.had[e.path]) for e in archive.wanted.parts])
    except OSError as error:
        doing = t("unpacking {archive}", archive=archive.name)
        raise from_os_error(error, doing, error.filename or "") from error


def _is_stated(artifact: Artifact, file: FileEntry) -> bool:
    """Whether the manifest has a digest of a file, or says where one stands."""
    if artifact.checksums or (file.published or "").startswith("prefix:"):
        return True
    known = (artifact.request.known or {}).get(file.path)
    return known is not None and bool(known.key or known.md5 or known.published)


def _entry(one: Unpacked, archive: str) -> FileEntry:
    """A member as the lock has it."""
    return FileEntry(
        one.path, one.size, one.sha256, computed=True, archive=archive, executable=one.executable
    )


def _ready(
    batch: Sequence[Unpacked], waiting: dict[str, list[Item]], origin: str
) -> Iterator[Ready]:
    """The items that were waiting for members."""
    for one in batch:
        for item in waiting.get(one.path, ()):
            if item.action == GET:
                item.origin = origin or "store"
                file = item.file
                new = file.size is None or file.size_hint or not file.key
                yield Ready(item, one.sha256, one.size, one.stat, new)
