"""The loop that moves all bytes: libcurl's multi interface in one thread.

A job has candidates in order of preference. What arrives is proven by the shelf; what is wrong,
cut off or refused is tried again or had from the next candidate, and each reason is kept.
`fetcher.transfer.verdicts` says what an answer means; what to do about it is decided here.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pycurl

from fetcher.errors import Failure, from_os_error
from fetcher.files import remove_quietly
from fetcher.network import MAX_REDIRECTS, Network, backoff, host_of
from fetcher.progress import Progress
from fetcher.sources.base import (
    DeferredCandidate,
    ExtentsCandidate,
    PathCandidate,
    UrlCandidate,
    WheelCandidate,
)
from fetcher.store import Store
from fetcher.transfer.couriers import FEWEST, Couriers, can_fork, eligible
from fetcher.transfer.elsewhere import copy_of, copy_of_extents, read_validator, spool
from fetcher.transfer.hashing import Tail, TailHasher
from fetcher.transfer.hosts import Hosts
from fetcher.transfer.jobs import MAX_TRIES, Arrived, Delivered, Job, Outcome
from fetcher.transfer.shelf import Shelf
from fetcher.transfer.slot import Slot
from fetcher.transfer.verdicts import (
    Decode,
    Fatal,
    GiveUp,
    Mismatch,
    Redirect,
    Retry,
    Unreachable,
    Verdict,
    Wait,
    Whole,
    is_sign_in,
    judge,
    manual_hint,
)
from fetcher.transfer.wheels import WheelRack

_MAX_HELD_BYTES = 64 << 20
# A try that got this much further than any before it earns new tries.
_PROGRESS = 16 << 10
_FATAL_CODES = {"disk-space", "permission"}


class Engine:
    """One run's transfers. Use as a context manager."""

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        on_batch: Callable[[list[Delivered]], None] = lambda _: None,
    ) -> None:
        self.network = network
        self.store = store
        self.progress = progress
        self.outcome = Outcome()
        self.hosts = Hosts(network.unreachable, progress.say)
        self._on_batch = on_batch
        self._rate = network.settings.limit_rate
        self._multi = pycurl.CurlMulti()
        self._hasher = TailHasher()
        self._slots = [Slot(network, self._hasher) for _ in range(network.settings.jobs)]
        self._by_curl = {id(slot.curl): slot for slot in self._slots}
        self._free = list(self._slots)
        self._busy = 0
        self._jobs: list[Job] = []
        self._ready: deque[Job] = deque()
        self._delayed: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._elsewhere = 0  # jobs that a worker, the hasher or the shelf has
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="worker")
        self._rack = WheelRack(store)
        self._shelf = Shelf(store, self._shelved, self._refused)
        self._couriers: Couriers | None = None
        self._told: set[tuple[str, str]] = set()
        progress.live = lambda: sum(slot.written for slot in self._slots)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.network.interrupt()
        self._rack.close()
        if self._couriers is not None:
            self._couriers.close()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._rack.remove()
        try:
            self._hasher.close()
            self._shelf.close()
        finally:
            for slot in self._slots:
                slot.release()
                slot.curl.close()
            self._multi.close()
            self._drain_inbox()
            if self._couriers is not None:
                self._couriers.remove()
            for job in self._jobs:
                if job.part is not None:
                    self.store.leave_part(job.part)

    def run(self, jobs: Iterable[Job]) -> Outcome:
        """Get every job's content; returns when all are delivered or have failed."""
        self.store.prepare()
        self._jobs += jobs
        self._ready.extend(self._send_couriers(self._jobs))
        while self._ready or self._delayed or self._busy or self._elsewhere:
            self._wake_delayed()
            self._fill()
            self._turn()
            self._drain_inbox()
            if self._shelf.crash:
                raise self._shelf.crash
            self.progress.tick(self.hosts.waiting)
        return self.outcome

    # Scheduling

    def _wake_delayed(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.append(heapq.heappop(self._delayed)[2])

    def _later(self, job: Job, seconds: float) -> None:
        heapq.heappush(self._delayed, (time.monotonic() + seconds, next(self._order), job))

    def _fill(self) -> None:
        while self._ready and self._free and self._shelf.held_bytes < _MAX_HELD_BYTES:
            job = self._ready.popleft()
            try:
                self._dispatch(job)
            except Failure as failure:
                self._give_up_candidate(job, failure)

    def _dispatch(self, job: Job) -> None:
        if not job.candidates:
            self._fail(job)
            return
        candidate = job.candidate
        if isinstance(candidate, UrlCandidate):
            self._dispatch_url(job, candidate)
        elif isinstance(candidate, DeferredCandidate):
            self._to_worker(job, lambda: self._prepare_deferred(job, candidate))
        elif isinstance(candidate, WheelCandidate):
            self._to_worker(job, lambda: self._take_member(job, candidate))
        elif isinstance(candidate, ExtentsCandidate):
            self._to_worker(job, lambda: self._take_extents(job, candidate))
        else:
            self._to_worker(job, lambda: self._take_path(job, candidate))

    def _dispatch_url(self, job: Job, candidate: UrlCandidate) -> None:
        url = self.network.rewrite(candidate.url)
        host = self.hosts.get(host_of(url))
        if self.network.offline:
            raise Failure("offline", f"{host.name} is needed, but the network may not be used")
        self.hosts.check(host)
        wait = host.not_before - time.monotonic()
        if wait > 0:
            self._later(job, wait + backoff(1) * 0.2)
            return
        if not job.small and job.part is None:
            self._claim(job)
        slot = self._free.pop()
        slot.host = host.name
        begun = False
        try:
            slot.start(job, candidate, url, self._share_of_rate())
            if not job.small and slot.offset and slot.offset == job.file.size:
                self._body_done(slot)  # all there already: only the digest is left to prove
            else:
                self._multi.add_handle(slot.curl)
                begun = True
        finally:
            if begun:
                self._busy += 1
            else:
                slot.release()
                self._free.append(slot)

    def _share_of_rate(self) -> int:
        """One connection's part of the limit, by how many there will be."""
        wanted = 1 + self._busy + len(self._ready) + len(self._delayed)
        return max(1, self._rate // min(wanted, len(self._slots))) if self._rate else 0

    def _claim(self, job: Job) -> None:
        key = job.file.key
        if not key:  # only the very same address can mean the same bytes
            url = job.candidate.url if isinstance(job.candidate, UrlCandidate) else ""
            key = f"{job.candidate.origin} {job.label} {url}"
        try:
            job.part = self.store.claim_part(key)
        except OSError as error:
            raise from_os_error(error, f"writing into the store {self.store.root}") from error
        if not job.file.key:
            job.validator = read_validator(job.part)

    # Work outside the loop

    def _send_couriers(self, jobs: list[Job]) -> list[Job]:
        """Let processes of their own get many small files; returns the other jobs."""
        if self._rate or self.network.offline or not can_fork():
            return jobs
        fit = [job for job in jobs if eligible(job)]
        if len(fit) < FEWEST:
            return jobs
        self._elsewhere += len(fit)
        self._couriers = Couriers(fit, self.network, self.store, self._shelf.put, self._returned)
        chosen = set(fit)
        return [job for job in jobs if job not in chosen]

    def _returned(self, jobs: list[Job]) -> None:
        """In a reader's thread: the couriers give these jobs back."""

        def follow_up() -> None:
            self._elsewhere -= len(jobs)
            self._ready.extend(jobs)

        self._inbox.put(follow_up)

    def _to_worker(self, job: Job, work: Callable[[], Callable[[], None]]) -> None:
        self._elsewhere += 1

        def run() -> None:
            try:
                follow_up = work()
            except Exception as error:
                failure = _as_failure(error, job)
                follow_up = lambda: self._give_up_candidate(job, failure)  # noqa: E731
            self._inbox.put(lambda: self._back(follow_up))

        self._workers.submit(run)

    def _back(self, follow_up: Callable[[], None]) -> None:
        self._elsewhere -= 1
        follow_up()

    def _prepare_deferred(self, job: Job, candidate: DeferredCandidate) -> Callable[[], None]:
        ready = replace(candidate.prepare(self.network), origin=candidate.origin)

        def follow_up() -> None:
            job.deferred = ready
            self._ready.append(job)

        return follow_up

    def _take_member(self, job: Job, candidate: WheelCandidate) -> Callable[[], None]:
        if self.network.offline:
            raise Failure("offline", "the package index may not be used")
        arrived = self._rack.take(job, candidate.origin, candidate.requirement, candidate.member)
        return lambda: self._to_shelf(arrived)

    def _take_path(self, job: Job, candidate: PathCandidate) -> Callable[[], None]:
        path = copy_of(candidate.path, self.store)
        return lambda: self._to_shelf(Arrived(job, candidate.origin, path=path))

    def _take_extents(self, job: Job, candidate: ExtentsCandidate) -> Callable[[], None]:
        path = copy_of_extents(candidate.extents, self.store)
        return lambda: self._to_shelf(Arrived(job, candidate.origin, path=path))

    def _to_shelf(self, arrived: Arrived) -> None:
        self._elsewhere += 1
        self._shelf.put(arrived)

    def _shelved(self, batch: list[Delivered]) -> None:
        """In the shelf's thread: a batch is in the store."""
        self._on_batch(batch)

        def follow_up() -> None:
            self._elsewhere -= len(batch)
            self.outcome.delivered += batch
            for item in batch:
                self.outcome.downloaded += item.downloaded
                self.progress.file_done(item.job.file, item.downloaded)
                self._drop_part(item.job)

        self._inbox.put(follow_up)

    def _refused(self, arrived: Arrived, failure: Failure) -> None:
        """In the shelf's thread: a body is not what was asked for."""
        self._inbox.put(lambda: self._back(lambda: self._disproved(arrived, failure)))

    def _disproved(self, arrived: Arrived, failure: Failure) -> None:
        job = arrived.job
        own_part = job.part is not None and arrived.path == job.part.path
        if failure.problem.code in _FATAL_CODES:
            if arrived.path and not own_part:  # a whole part is kept: the next run places it
                remove_quietly(arrived.path)
            self._fail(job, failure)
            return
        if arrived.path:
            remove_quietly(arrived.path)
        if own_part:
            self._drop_part(job)
        if job.resumed:  # the fault may lie in what was there before
            job.resumed = False
            self._ready.append(job)
        else:
            self._mismatched(job, failure)

    def _drop_part(self, job: Job) -> None:
        if job.part is not None:
            self.store.drop_part(job.part)
        job.part, job.validator = None, ""

    def _drain_inbox(self) -> None:
        while True:
            try:
                self._inbox.get_nowait()()
            except queue.Empty:
                return

    # The loop's own part

    def _turn(self) -> None:
        if self._busy:
            self._multi.perform()
            self._reap()
            if self._busy:
                pause = 0.02 if self._elsewhere or self._delayed else 0.2
                self._multi.select(pause)
                self._multi.perform()
                self._reap()
        elif self._elsewhere or self._delayed:
            try:
                self._inbox.get(timeout=0.02)()
            except queue.Empty:
                pass

    def _reap(self) -> None:
        while True:
            left, succeeded, failed = self._multi.info_read(64)
            for curl in succeeded:
                self._ended(curl, 0, "")
            for curl, number, message in failed:
                self._ended(curl, number, message)
            if not left:
                return

    def _ended(self, curl: Any, number: int, message: str) -> None:
        slot = self._by_curl[id(curl)]
        job = slot.job
        assert job is not None
        self._multi.remove_handle(curl)
        self._busy -= 1
        again = False
        try:
            verdict = judge(slot, number, message)
            again = isinstance(verdict, Redirect) and self._redirect(slot, job, verdict.location)
            if not again:
                self._act(slot, job, verdict)
        except Failure as failure:
            self._give_up_candidate(job, failure)
        if again:
            self._multi.add_handle(curl)
            self._busy += 1
        else:
            slot.release()
            self._free.append(slot)

    def _redirect(self, slot: Slot, job: Job, location: str) -> bool:
        candidate = job.candidate
        assert isinstance(candidate, UrlCandidate)
        slot.hops += 1
        if not location or slot.hops > MAX_REDIRECTS:
            raise Failure("refused", f"{slot.host} redirects without end")
        if is_sign_in(location):
            text = f"{slot.host} redirects to a sign-in page"
            raise Failure("link-expired", text, manual_hint(job))
        url = self.network.redirected(slot.url, location)
        slot.host = host_of(url)
        self.hosts.check(self.hosts.get(slot.host))
        slot.aim(url, candidate)
        return True

    def _act(self, slot: Slot, job: Job, verdict: Verdict) -> None:
        """Do what the end of a request asks for."""
        match verdict:
            case Whole():
                self.hosts.answered(self.hosts.get(slot.host))
                self._body_done(slot)
            case Decode():
                job.decode = True
                self._ready.append(job)
            case Retry(failure, anew):
                job.anew = job.anew or anew
                self._retry(slot, job, failure)
            case Mismatch(failure):
                self._mismatched(job, failure)
            case Wait():
                self._wait(slot, job, verdict)
            case Unreachable():
                self._unreachable(slot, job, verdict)
            case GiveUp(failure):
                self._give_up_candidate(job, failure)
            case Fatal(failure):
                self._fail(job, failure)

    def _body_done(self, slot: Slot) -> None:
        job = slot.job
        assert job is not None
        if job.small:
            self._small_body_done(slot, job)
            return
        if not slot.begun and slot.offset != job.file.size:  # an empty body
            slot.begin()
            if slot.stopped is not None:
                self._act(slot, job, slot.stopped)
                return
        if job.file.size is not None and slot.written < job.file.size:
            got, size = slot.written, job.file.size
            self._retry(
                slot, job, Failure("network", f"{slot.host} sent {got:,} of {size:,} bytes")
            )
            return
        assert job.part is not None
        arrived = Arrived(job, job.candidate.origin, path=job.part.path)
        written = slot.written
        tail = slot.finish_file()
        self._elsewhere += 1
        hashed = lambda: self._back(lambda: self._hashed(arrived, tail))  # noqa: E731
        self._hasher.finish(tail, written, lambda: self._inbox.put(hashed))

    def _small_body_done(self, slot: Slot, job: Job) -> None:
        data = b"".join(slot.chunks)
        job.received += len(data)
        encoded = slot.headers().get("content-encoding", "identity") != "identity"
        if encoded and not job.decode and len(data) != job.file.size:
            self._act(slot, job, Decode())
        else:
            self._to_shelf(Arrived(job, job.candidate.origin, data=data))

    def _hashed(self, arrived: Arrived, tail: Tail) -> None:
        try:
            arrived.digests = tail.digests()
        except Exception as error:
            self._give_up_candidate(arrived.job, _as_failure(error, arrived.job))
        else:
            self._to_shelf(arrived)

    # What went wrong

    def _retry(self, slot: Slot, job: Job, failure: Failure) -> None:
        """Another try of the same candidate after a pause; progress earns new tries."""
        if job.small and job.file.key and not slot.aside and not job.decode:
            self._keep_small(slot, job)
        # Pages and compressed bodies count as nothing.
        got = 0 if slot.aside or job.decode else slot.written
        ahead = got >= job.furthest + _PROGRESS
        job.furthest = max(job.furthest, got)
        job.tries = 1 if ahead else job.tries + 1
        if job.tries >= MAX_TRIES:
            self._give_up_candidate(job, failure)
        else:
            job.deferred = None
            self._later(job, backoff(job.tries) * (0.2 if ahead else 1.0))

    def _keep_small(self, slot: Slot, job: Job) -> None:
        """Keep what came of a small body that was cut off, if it is worth a request."""
        data = b"".join(slot.chunks)
        if len(data) < _PROGRESS or slot.status() not in {200, 206}:
            return
        if slot.headers().get("content-encoding", "identity") != "identity":
            return
        self._claim(job)
        assert job.part is not None
        job.received += len(data)
        spool(job.part, data)
        job.spooled = True

    def _mismatched(self, job: Job, failure: Failure) -> None:
        """A damaged transfer is mended by another try; a server that lies is not."""
        if job.mismatched or not isinstance(job.candidate, UrlCandidate):
            self._give_up_candidate(job, failure)
            return
        job.mismatched, job.deferred = True, None
        self._later(job, backoff(1) * 0.2)

    def _unreachable(self, slot: Slot, job: Job, verdict: Unreachable) -> None:
        host = self.hosts.get(slot.host)
        # A host that has delivered in this run is likelier to come back than one that never did.
        patience = MAX_TRIES - 1 if host.delivered else 2
        if job.index + 1 < len(job.candidates):
            patience = 2 if host.delivered else 0
        if verdict.final or job.tries >= patience:
            self.hosts.mark_down(host, verdict.failure)
            self._give_up_candidate(job, verdict.failure)
        else:
            self._retry(slot, job, verdict.failure)

    def _wait(self, slot: Slot, job: Job, verdict: Wait) -> None:
        """Being told to wait is no failed try, as long as the host delivers now and then."""
        host = self.hosts.get(slot.host)
        patient = self.hosts.ask_to_wait(host, verdict.seconds, verdict.status)
        job.deferred = None
        if verdict.seconds is None:
            job.tries += 1
            patient = patient and job.tries < MAX_TRIES * (3 if verdict.status == 429 else 2)
        if patient:
            self._later(job, host.not_before - time.monotonic() + backoff(1) * 0.2)
        else:
            self._give_up_candidate(job, verdict.failure)

    def _give_up_candidate(self, job: Job, failure: Failure) -> None:
        if failure.problem.code == "not-a-file" and not failure.hint and job.candidates:
            failure = Failure("not-a-file", failure.message, manual_hint(job))
        if failure.problem.code in _FATAL_CODES:
            self._fail(job, failure)
            return
        old = job.candidate.origin if job.candidates else ""
        if not job.file.key and job.part is not None:
            self._drop_part(job)  # another place's bytes cannot be put to these
        if not job.next_candidate(failure):
            self._fail(job)
            return
        new = job.candidate.origin
        told = (old, new) in self._told or self.network.offline
        if not told and old != new:
            self._told.add((old, new))
            why = job.reasons[0].message
            self.progress.say(f"{job.artifact}: {why}; taking it from {new}")
        self._ready.append(job)

    def _fail(self, job: Job, failure: Failure | None = None) -> None:
        if failure is not None:
            job.reasons.append(failure)
        self.outcome.failed.append((job, job.problem()))
        self.outcome.downloaded += job.received
        self.progress.file_failed(job.file)


def _as_failure(error: Exception, job: Job) -> Failure:
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError):
        return from_os_error(error, f"getting {job.label}")
    return Failure("internal", f"{job.label}: {type(error).__name__}: {error}")
