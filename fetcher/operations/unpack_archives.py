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
from typing import TYPE_CHECKING, cast

from fetcher.archives.rules import Rules, is_archive_of_files
from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.safe_paths import printable
from fetcher.i18n import n, t
from fetcher.operations.ready import Ready
from fetcher.operations.record_run import Recorder
from fetcher.operations.workspace import Workspace
from fetcher.project.lockfile import LockedArtifact, against
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.store.project_records import records
from fetcher.store.store import Store
from fetcher.tree.plan import GET, PLACE, ArtifactPlan, Item, Plan
from fetcher.tree.plan import Unpacking as Wanted
from fetcher.tree.planner import Planner
from fetcher.ui.meter import DOWNLOADING, UNPACKING, InFlight

if TYPE_CHECKING:  # most runs have no archive, and need none of these
    from fetcher.archives.opening import ArchiveFile
    from fetcher.archives.streams import JoinedFile
    from fetcher.fs.growing_file import GrowingFile
    from fetcher.network.range_file import RangeFile
    from fetcher.operations.stream_archive import ArchiveStream
    from fetcher.store.unpacking import Unpacked, Unpacking

_log = logging.getLogger(__name__)
_AT_ONCE = 2
_OPEN_FILES = 200
# What may be the fault of who serves ranges; whatever else is wrong is so with all of the archive.
_OF_RANGES = {"network", "archive", "auth", "not-found", "refused"}


@dataclass(eq=False)
class _Archive:
    """One archive that is wanted: `had` gives the blobs of its parts that are here.

    `stream` unpacks it while it comes, and `found` is what has come of that. `in_part`: it is read
    where it lies.
    """

    wanted: Wanted
    had: dict[str, str] = field(default_factory=dict)
    origin: str = ""
    stream: ArchiveStream | None = None
    found: list[Unpacked] = field(default_factory=list)
    in_part: bool = False
    downloaded: bool = True  # by the engine, which counts it

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

    @property
    def stream(self) -> ArchiveStream | None:
        """What reads it while it comes."""
        return self.wanted_by[0][1].stream


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
        self.to_read_whole: list[Wanted] = []  # which could not be read in part
        self._space = space
        self._planner = planner
        self._recorder = recorder
        self._place = place
        self._guard = threading.RLock()
        self._pool: ThreadPoolExecutor | None = None
        self._futures: list[Future[None]] = []
        self._running: list[Unpacking] = []
        self._open: set[_Archive] = set()
        self._streams = threading.BoundedSemaphore(_AT_ONCE)
        self._at: dict[_Archive, ArchiveStream | JoinedFile | RangeFile] = {}  # being unpacked
        space.progress.watch_handled(self.in_flight)

    def in_flight(self) -> list[InFlight]:
        """The archives that are unpacked just now, with how much of them is read.

        Those that come meanwhile are their downloads' to tell of.
        """
        return [_look(*one) for one in list(self._at.items())]

    def begin(self, wanted: Iterable[Wanted], in_part: bool = True) -> list[ArchivePart]:
        """Unpack what is here already, and what can be read `in_part` where it lies; returns what
        is to be downloaded for the rest."""
        missing: dict[str, ArchivePart] = {}
        wanted = list(wanted)
        uses = Counter(_place_of(one, entry) for one in wanted for entry in one.parts)
        for one in wanted:
            archive = _Archive(one)
            self._open.add(archive)
            alone = all(uses[_place_of(one, entry)] == 1 for entry in one.parts)
            if in_part and alone and (remote := self._in_part(archive)) is not None:
                archive.in_part = True
                self._space.progress.begin(1, 0, unknown=1, last=False)
                self._submit(archive, remote)
                continue
            for entry in one.parts:
                file = entry._replace(archive="")
                anew = _is_for_library(one)
                if not anew and (sha256 := self._space.store.find(file)):
                    archive.had[entry.path] = sha256
                    continue
                if one.listed and one.part.artifact.source.packs_anew:
                    # Its members are known by their own digests.
                    file = file._replace(sha256=None, size=None, size_hint=False)
                item = Item(one.part.artifact, file, "", str(self._space.options.into), anew=anew)
                key = f"{_place_of(one, entry)} anew" if anew else _place_of(one, entry)
                missing.setdefault(key, ArchivePart(item, [])).wanted_by.append(
                    (entry.path, archive)
                )
            if archive.whole:
                archive.downloaded = False
                self._space.progress.begin(1, 0, last=False)
                self._submit(archive)
            elif alone and len(one.parts) == 1:
                self._stream(archive)
        return list(missing.values())

    def _stream(self, archive: _Archive) -> None:
        from fetcher.operations.stream_archive import ArchiveStream

        def read(file: GrowingFile) -> None:
            archive.found.clear()
            self._read(archive, file, archive.found)

        archive.stream = ArchiveStream(archive.name, self._streams, read)

    def arrived(self, part: ArchivePart, sha256: str, size: int, origin: str) -> None:
        """A part is in the store: unpack what is whole now."""
        with self._guard:
            entry = part.item.file
            for path, archive in part.wanted_by:
                if not _is_repacked(archive):
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
        if part.stream is not None:
            part.stream.abandon()

    def finish(self) -> None:
        """Wait for what is being unpacked; take away the archives that this run downloaded."""
        try:
            if self._futures:
                self._space.progress.start()
            for future in self._futures:
                future.result()
        except BaseException:
            self.stop()
            raise
        self._end()

    def stop(self) -> None:
        """End what is being unpacked, at its next member."""
        for unpacking in self._running:
            unpacking.stop = True
        for archive in list(self._open):
            if archive.stream is not None:
                archive.stream.abandon()
        self._end()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool, self._futures = None, []

    def _in_part(self, archive: _Archive) -> RangeFile | None:
        """An archive on its server, if only some of it need be downloaded."""
        from fetcher.operations.remote_zip import may_be_read_in_part, open_in_part

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
        from fetcher.network.range_file import RangeFile

        found: list[Unpacked] = []
        try:
            with opened or _opened(archive, self._space.store) as file:
                self._at[archive] = file
                if self._has_come(archive):
                    found = archive.found
                else:
                    self._at[archive] = file
                    self._read(archive, file, found)
            with self._guard:
                if isinstance(opened, RangeFile):
                    self.received += opened.received
                self._done(archive, found)
                self._count(archive, opened)
        except Failure as failure:
            with self._guard:
                if isinstance(opened, RangeFile) and failure.problem.code in _OF_RANGES:
                    self._read_whole(archive, opened, failure)
                else:
                    self._failed(archive, failure)
        finally:
            self._at.pop(archive, None)

    def _count(self, archive: _Archive, opened: RangeFile | JoinedFile | None) -> None:
        """Tell that an archive is done which the engine did not count."""
        progress = self._space.progress
        if archive.in_part:
            got = cast("RangeFile", opened).received
            file = archive.wanted.parts[0]
            progress.file_done(archive.key[1], file, got, archive.origin, None, got)
        elif not archive.downloaded:
            progress.placed(0, 1)

    def _read_whole(self, archive: _Archive, opened: RangeFile, failure: Failure) -> None:
        """Have all of an archive downloaded: its server did not give some of it."""
        self.received += opened.received
        self._open.discard(archive)
        self._space.progress.elsewhere(None)
        self.to_read_whole.append(archive.wanted)
        self._space.progress.say(
            t(
                "{artifact}: {message}; taking all of {archive}",
                artifact=archive.key[1],
                message=failure.message,
                archive=archive.name,
            )
        )

    def _has_come(self, archive: _Archive) -> bool:
        """Whether it was unpacked while it came; then what came of it is that of this archive."""
        stream = archive.stream
        if stream is None:
            return False
        archive.stream = None
        self._at[archive] = stream
        try:
            return stream.has_read(self._space.store.blob_path(*archive.had.values()))
        finally:
            stream.close()

    def _failed(self, archive: _Archive, failure: Failure) -> None:
        _log.info("%s: %s", archive.wanted.part.artifact.full_name, failure.message)
        self._open.discard(archive)
        name = failure.problem.file or archive.name
        self.problems.append(failure.problem.about(archive.key[1], name))
        self._forget(archive)

    def _read(self, archive: _Archive, opened: ArchiveFile, found: list[Unpacked]) -> None:
        from fetcher.store.unpacking import Unpacking

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
        owner = wanted.part.artifact.command_words
        unpacking = Unpacking(store, archive.name, opened, _rules(archive), known, arrived, owner)
        self._running.append(unpacking)
        unpacking.run()

    def _done(self, archive: _Archive, found: list[Unpacked]) -> None:
        """Lock what was learned; place it once all archives of its artifact are known."""
        part = archive.wanted.part
        if not archive.wanted.listed:
            locked = self._recorder.learn_members(
                archive.key, archive.name, [_entry(one, archive.name) for one in found]
            )
            self._tell_of_nested(archive, found)
            if locked.members_known:
                self._complete(part, locked, archive.origin)
        self._let_go(archive)

    def _tell_of_nested(self, archive: _Archive, found: Sequence[Unpacked]) -> None:
        """Name what a person might expect to be unpacked as well."""
        nested = [one.path for one in found if is_archive_of_files(one.path)]
        if nested:
            self._space.progress.say(
                n(
                    "{artifact}: {archive} holds an archive, {first}: it stays a file",
                    "{artifact}: {archive} holds {count} archives, {first} first: they stay files",
                    len(nested),
                    artifact=archive.key[1],
                    archive=archive.name,
                    first=printable(nested[0]),
                )
            )

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
        placed = [item for item in part.items.singular() if item.action == PLACE]
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
        from fetcher.store import upstream_records

        store, here = self._space.store, self._space.project.root.absolute()
        for record in records(store.root):
            needs = record.needs()
            if record.root != here and (needs is None or sha256 in needs):
                return True
        return any(file.sha256 == sha256 for file in upstream_records.needed(store))


def _look(archive: _Archive, file: ArchiveStream | JoinedFile | RangeFile) -> InFlight:
    """How far an archive is unpacked, by what is read of it."""
    label = f"{archive.key[1]}/{archive.name}"
    if archive.in_part:  # nobody knows how much of it is wanted
        got = cast("RangeFile", file).received
        return InFlight(label, DOWNLOADING, got, None, got, expected=-1)
    size = file.size
    done = min(file.taken / size, 1.0) if size else None
    return InFlight(label, UNPACKING, size, size or None, stage=done, counted=False)


def _is_repacked(archive: _Archive) -> bool:
    """Whether what came may be other bytes than those that are locked."""
    wanted = archive.wanted
    return wanted.listed and wanted.part.artifact.source.packs_anew


def _place_of(wanted: Wanted, entry: FileEntry) -> str:
    """What is equal where one download serves two archives."""
    return entry.key or f"{wanted.part.artifact.source.describe()} {entry.path}"


def _is_for_library(wanted: Wanted) -> bool:
    """Whether members go where only the source's own bytes may go."""
    if wanted.listed:
        return any(item.anew for item in wanted.items)
    entries = wanted.part.unit.layout.entries_of(wanted.part.artifact.id)
    return any(entry.root for entry in entries)


def _rules(archive: _Archive) -> Rules:
    """How it is unpacked."""
    artifact = archive.wanted.part.artifact
    assert artifact.unpack is not None
    return artifact.unpack.by_name.get(archive.name, artifact.unpack.rules)


def _opened(archive: _Archive, store: Store) -> JoinedFile:
    """The archive as it lies in the store. Raises Failure."""
    from fetcher.archives.streams import JoinedFile

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
