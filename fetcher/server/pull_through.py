"""Files on their way from upstream: each once, into the store, while clients read along."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from fetcher.config.settings import Settings, Value
from fetcher.errors import Problem
from fetcher.fs.atomic import git_blob_hasher
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.server.http import HttpError, Live
from fetcher.server.metrics import Metrics
from fetcher.server.streaming import CutOff
from fetcher.server.upstream_refusals import Refusals, of_problem
from fetcher.sources.base import FileEntry, UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.download import Delivered, Download
from fetcher.transfer.engine import Engine
from fetcher.ui.progress import Progress

_log = logging.getLogger(__name__)
_LARGE_AT_ONCE = 8
# While one batch of small files is brought to disk, the next is on its way.
_SMALL_LANES = 4
_CONNECTIONS = "4"  # for a large file
_BATCH = 256
_PIECE = 1 << 20
_POLL_SECONDS = 0.03
# What came wrong once may do so again: a while is waited for the proof, less than clients wait.
_PROOF_SECONDS = 5.0


class RepoPath(NamedTuple):
    """What a file is called upstream."""

    kind: str
    repo: str
    commit: str
    path: str


class Landed(NamedTuple):
    """A file that is in the store now, with its sha256, and one of its names."""

    place: RepoPath
    file: FileEntry
    large: bool


class PullThrough:
    """One file on its way. `sha256` is set when it has landed, `problem` if it never will.

    `places` are those for which it is fetched, with what each says of it.
    """

    def __init__(self, download: Download) -> None:
        self.download = download
        self.places: dict[RepoPath, FileEntry] = {}
        self.done = threading.Event()
        self.sha256 = ""
        self.problem: Problem | None = None

    def available(self) -> tuple[str, int]:
        """Where its bytes lie so far, and up to where none is missing."""
        partial = self.download.partial
        if partial is None:
            return "", 0
        return partial.part.path, partial.readable


class Puller:
    """Runs the transfer engine: a large file by itself, small ones in batches."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        say: Callable[[str], None],
        landed: Callable[[list[Landed]], None],
        refused: Refusals,
    ) -> None:
        self.settings = settings
        self.landed = landed
        self.refused = refused
        self.store = store
        self.metrics = metrics
        self.say = say
        self._flights: dict[str, PullThrough] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._networks: list[Network] = []
        self._small: queue.SimpleQueue[PullThrough | None] = queue.SimpleQueue()
        self._large = ThreadPoolExecutor(_LARGE_AT_ONCE, thread_name_prefix="pull")
        for _ in range(_SMALL_LANES):
            threading.Thread(target=self._run_small, name="pull-small", daemon=True).start()

    def close(self) -> None:
        """End every transfer; what arrived of large files stays for the next run."""
        self._closed = True
        with self._lock:
            for network in self._networks:
                network.interrupt()
        for _ in range(_SMALL_LANES):
            self._small.put(None)
        self._large.shutdown(wait=False, cancel_futures=True)

    def live(self, file: FileEntry, candidates: Sequence[UrlCandidate], place: RepoPath) -> Live:
        """What gives the bytes of a file from one offset up to another (see `Response.live`).

        Raises HttpError if these places were found not to give them a moment ago.
        """
        for candidate in candidates:
            self.refused.check((candidate.url, file.key))
        return lambda start, stop: self._read(file, candidates, place, start, stop)

    def _read(
        self,
        file: FileEntry,
        candidates: Sequence[UrlCandidate],
        place: RepoPath,
        start: int,
        stop: int,
    ) -> Iterator[bytes]:
        flight = self._flight(file, candidates, place)
        try:
            yield from self._read_along(flight, start, stop)
        except HttpError:  # nothing was sent yet
            if flight.download.candidates == list(candidates):
                raise
            # It was on its way from another repository, whose fault is not this one's.
            yield from self._read_along(self._flight(file, candidates, place), start, stop)

    def _flight(
        self, file: FileEntry, candidates: Sequence[UrlCandidate], place: RepoPath
    ) -> PullThrough:
        with self._lock:
            flight = self._flights.get(file.key)
            if flight is None:
                _log.info("upstream: fetching %s, %s bytes", file.path, file.size)
                # What comes is passed on as it comes: better nothing than what is doubtful.
                download = Download("upstream", file, list(candidates))
                download.lengths_count = True
                flight = PullThrough(download)
                self._flights[file.key] = flight
                if flight.download.small:
                    self._small.put(flight)
                else:
                    self._large.submit(self._run, [flight], _CONNECTIONS)
            flight.places[place] = file
            return flight

    def _run_small(self) -> None:
        while (first := self._small.get()) is not None:
            batch = [first]
            with suppress(queue.Empty):
                while len(batch) < _BATCH and (following := self._small.get_nowait()):
                    batch.append(following)
            self._run(batch, self.settings.text("jobs"))

    def _run(self, flights: list[PullThrough], downloads: str) -> None:
        """Get these files; every flight has ended afterwards, whatever happens."""
        by_download = {id(flight.download): flight for flight in flights}

        def landed(batch: list[Delivered]) -> None:
            for item in batch:
                by_download[id(item.download)].sha256 = item.sha256
            self._note([by_download[id(item.download)] for item in batch])
            for item in batch:
                self._end(by_download[id(item.download)], "fetched", item.downloaded)

        values = self.settings.values | {"jobs": Value(downloads, "default")}
        settings = Settings(self.settings.root, values)
        network = Network(settings, self.say)
        with self._lock:
            self._networks.append(network)
        try:
            if not self._closed:
                with Engine(network, self.store, Progress(quiet=True), landed) as engine:
                    for download, problem in engine.run([flight.download for flight in flights]):
                        by_download[id(download)].problem = problem
        except Exception as error:
            self.say(t("upstream: {name}: {error}", name=type(error).__name__, error=error))
        finally:
            with self._lock:
                self._networks = [item for item in self._networks if item is not network]
            for flight in flights:
                if not flight.done.is_set():
                    flight.problem = flight.problem or Problem("network", t("interrupted"))
                    self._remember(flight)
                    self._end(flight, "failed", flight.download.received)
                    self.say(
                        t(
                            "upstream: {path}: {message}",
                            path=flight.download.file.path,
                            message=flight.problem.message,
                        )
                    )

    def _note(self, flights: list[PullThrough]) -> None:
        """Have what has landed written down: by name, before anybody has it whole."""
        with self._lock:  # who joins later finds the content in the store
            for flight in flights:
                self._flights.pop(flight.download.key, None)
        self.landed(
            [
                Landed(place, file._replace(sha256=flight.sha256), not flight.download.small)
                for flight in flights
                for place, file in flight.places.items()
            ]
        )

    def _remember(self, flight: PullThrough) -> None:
        """Upstream is not asked again at once for what it does not give, or gives wrong."""
        if flight.problem is not None and not self._closed:
            error, seconds = of_problem(flight.problem, self.settings.hf_endpoint)
            for candidate in flight.download.candidates:
                if isinstance(candidate, UrlCandidate):
                    self.refused.keep((candidate.url, flight.download.key), error, seconds)

    def _end(self, flight: PullThrough, outcome: str, received: int) -> None:
        key = flight.download.key
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        _log.debug("upstream: %s: %s, %d bytes", flight.download.file.path, outcome, received)
        self.metrics.add("fetch_upstream_requests_total", outcome=outcome)
        self.metrics.add("fetch_upstream_bytes_total", received)
        flight.done.set()

    # Reading along

    def _read_along(self, flight: PullThrough, start: int, stop: int) -> Iterator[bytes]:
        """Bytes as they arrive; the last one only once the whole file is proven.

        What left before may come from a try that turned out wrong: whoever got it is cut off, and
        a whole file is compared at the end. Nothing leaves at once of a file that came wrong: an
        answer that has not begun can still say so.
        Raises CutOff, or HttpError if nothing was sent yet.
        """
        position, restarts = start, 0
        wait_until = time.monotonic() + _PROOF_SECONDS
        check = (
            _DigestCheck(flight.download.file)
            if (start, stop) == (0, flight.download.file.size)
            else None
        )
        while not flight.done.wait(0 if position > start else _POLL_SECONDS):
            if self._closed:
                raise CutOff(t("the server stops"))
            if position == start:
                restarts = flight.download.restarts
            elif flight.download.restarts != restarts:
                raise _began_anew(flight)
            path, there = flight.available()
            ready = min(there, stop - 1)
            waits = flight.download.mismatched and position == start
            if position >= ready or (waits and time.monotonic() < wait_until):
                time.sleep(_POLL_SECONDS)
                continue
            for piece in _between(path, position, ready):
                position += len(piece)
                if check:
                    check.add(piece)
                yield piece
        if flight.problem is not None:
            if position == start:
                raise of_problem(flight.problem, self.settings.hf_endpoint)[0]
            raise CutOff(flight.problem.message)
        if position > start and not check and flight.download.restarts != restarts:
            raise _began_anew(flight)
        yield from self._proven(flight, position, stop, check)

    def _proven(
        self, flight: PullThrough, start: int, stop: int, check: _DigestCheck | None
    ) -> Iterator[bytes]:
        """What is left of a file that has landed; the last piece once all that was sent is right.

        Raises CutOff if it is not.
        """
        held = b""
        for piece in _between(self.store.blob_path(flight.sha256), start, stop):
            if held:
                yield held
            if check:
                check.add(piece)
            held = piece
        if check and not check.sound():
            raise CutOff(
                t("{path}: upstream sent wrong bytes first", path=flight.download.file.path)
            )
        yield held


def _began_anew(flight: PullThrough) -> CutOff:
    return CutOff(t("{path}: upstream began anew", path=flight.download.file.path))


class _DigestCheck:
    """The digest of what was sent."""

    def __init__(self, file: FileEntry) -> None:
        self._wanted = file.sha256 or file.git_blob
        self._hasher: Any = hashlib.sha256() if file.sha256 else git_blob_hasher(file.size or 0)

    def add(self, piece: bytes) -> None:
        self._hasher.update(piece)

    def sound(self) -> bool:
        return bool(self._hasher.hexdigest() == self._wanted)


def _between(path: str, start: int, stop: int) -> Iterator[bytes]:
    """Bytes of a file that may vanish meanwhile: then there are none."""
    try:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            stream.seek(start)
            while start < stop and (piece := stream.read(min(stop - start, _PIECE))):
                start += len(piece)
                yield piece
    except FileNotFoundError:
        return
