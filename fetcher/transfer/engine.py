"""The loop that moves all bytes: libcurl's multi interface in one thread.

A job has candidates in order of preference. What arrives is proven by the shelf; what is wrong,
cut off or refused is tried again or had from the next candidate, and each reason is kept.
`verdicts` says what an answer means, `mending` what to do about one that is not what was asked
for; here is what begins when, and over which connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pycurl

from fetcher.errors import Failure, Problem
from fetcher.network.retry import MAX_REDIRECTS, backoff, retry_after
from fetcher.network.session import Network
from fetcher.network.urls import host_of
from fetcher.sources.base import UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.backends import Outside
from fetcher.transfer.connection import Slot
from fetcher.transfer.download import Arrived, Delivered, Job
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.outcomes import (
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
from fetcher.transfer.partial_file import Body, Cell
from fetcher.transfer.queue import Agenda
from fetcher.transfer.recovery import Mending
from fetcher.transfer.worker_pool import Couriers
from fetcher.ui.progress import Progress

_MAX_HELD_BYTES = 64 << 20
_REVIEW_SECONDS = 0.5
# A transfer this young says nothing of how fast its host is.
_YOUNG_SECONDS = 3.0


class Engine:
    """One run's transfers. Use as a context manager.

    `couriers`: processes that were started for it; else it starts its own where it can.
    """

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        on_batch: Callable[[list[Delivered]], None] = lambda _: None,
        couriers: Couriers | None = None,
    ) -> None:
        self.network = network
        self.store = store
        self.progress = progress
        self.hosts = Hosts(network.unreachable, progress.say, network.settings.jobs)
        self._rate = network.settings.limit_rate
        self._multi = pycurl.CurlMulti()
        self._slots = [Slot(network) for _ in range(network.settings.jobs)]
        self._by_curl = {id(slot.curl): slot for slot in self._slots}
        self._free = list(self._slots)
        self._busy: dict[Slot, Host] = {}
        self._spread: dict[Job, None] = {}  # bodies with ranges that more connections could get
        self._agenda = Agenda()
        self._mending = Mending(network, store, progress, self.hosts, self._agenda, self._cut)
        self._outside = Outside(
            network,
            store,
            on_batch,
            couriers,
            on_ready=lambda job: self._agenda.add([job]),
            on_lost=self._mending.give_up_candidate,
            on_delivered=self._delivered,
            on_refused=self._mending.disproved,
        )
        self._reviewed = time.monotonic()
        progress.live = self._live

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.network.interrupt()
        try:
            self._outside.stop()
        finally:
            for slot in self._slots:
                slot.release()
                slot.curl.close()
            self._multi.close()
            for job in self._mending.begun:
                if job.body is not None:
                    job.body.close()
                if job.part is not None:
                    self.store.leave_part(job.part)

    def run(self, jobs: Iterable[Job]) -> list[tuple[Job, Problem]]:
        """Get every job's content; returns those that failed, when no other is left.

        What is delivered goes to `on_batch`.
        """
        self.store.prepare()
        self._agenda.add(self._outside.send_couriers(jobs))
        del jobs  # what is delivered need not be kept
        while self._agenda or self._busy or self._outside.pending or self.hosts.queued():
            self._agenda.wake()
            self._fill()
            self._turn()
            self._outside.drain()
            self._review()
            self.progress.tick(self.hosts.waiting)
        return self._mending.failed

    def _live(self) -> int:
        """Bytes that are there of bodies that are not whole yet."""
        there = {slot.job: slot.body.got for slot in self._busy if slot.cell is not None}
        here = sum(there.values()) + sum(s.received for s in self._busy if s.cell is None)
        return here + self._outside.live_bytes

    # Beginning

    def _fill(self) -> None:
        for job in self.hosts.released():
            self._agenda.first(job)
        while self._free and self._outside.held_bytes < _MAX_HELD_BYTES:
            following = self._next_job()
            if following is None:
                return
            try:
                self._dispatch(following)
            except Failure as failure:
                self._mending.give_up_candidate(following, failure)

    def _next_job(self) -> Job | None:
        """A job to begin; else one whose body comes in ranges, and that has one to spare."""
        if self._agenda.ready:
            return self._agenda.ready.popleft()
        now = time.monotonic()
        for job in list(self._spread):
            body = job.body
            if body is None or not body.in_ranges:
                del self._spread[job]
            elif now >= job.retry_at and body.has_next() and not self._host_of(job).full:
                return job
        return None

    def _host_of(self, job: Job) -> Host:
        candidate = job.candidate
        assert isinstance(candidate, UrlCandidate)
        return self.hosts.get(host_of(job.landed or self.network.rewrite(candidate.url)))

    def _dispatch(self, job: Job) -> None:
        if job.settled:
            return  # one of its ranges was to be tried again, and others have brought it
        if not job.candidates:
            self._mending.fail(job)
            return
        self._mending.prefer_fastest(job)
        candidate = job.candidate
        if isinstance(candidate, UrlCandidate):
            self._dispatch_url(job, candidate)
        else:
            self._outside.take(job, candidate)

    def _dispatch_url(self, job: Job, candidate: UrlCandidate) -> None:
        url = job.landed or self.network.rewrite(candidate.url)
        host = self.hosts.get(host_of(url))
        if self.network.offline:
            raise Failure("offline", f"{host.name} is needed, but the network may not be used")
        self.hosts.check(host)
        wait = max(host.not_before, job.retry_at) - time.monotonic()
        if wait > 0:
            self._agenda.later(job, wait + backoff(1) * 0.2)
            return
        if host.full:
            host.queue.append(job)
            return
        cell = None
        if not job.small:
            body = self._mending.open_body(job, self._outside.hasher)
            if body.complete:  # all there already: only the digest is left to prove
                self._body_whole(job, body)
                return
            cell = body.next_cell()
            if cell is None:
                return  # other connections fetch all that is missing
        self._begin(job, candidate, url, cell)

    def _begin(self, job: Job, candidate: UrlCandidate, url: str, cell: Cell | None) -> None:
        slot = self._free.pop()
        slot.host = host_of(url)
        try:
            slot.start(job, candidate, url, self._share_of_rate(), cell)
            self._add(slot)
        except BaseException:
            slot.release()
            self._free.append(slot)
            raise

    def _add(self, slot: Slot) -> None:
        host = self.hosts.get(slot.host)
        self._multi.add_handle(slot.curl)
        self._busy[slot] = host
        host.active += 1

    def _remove(self, slot: Slot) -> None:
        host = self._busy.pop(slot)
        self._multi.remove_handle(slot.curl)
        host.active -= 1
        if slot.received and not slot.aside:
            host.measured(slot.received, time.monotonic() - slot.began)

    def _share_of_rate(self) -> int:
        """One connection's part of the limit, by how many there will be."""
        wanted = 1 + len(self._busy) + len(self._agenda) + self.hosts.queued()
        return max(1, self._rate // min(wanted, len(self._slots))) if self._rate else 0

    # The loop's own part

    def _turn(self) -> None:
        if self._busy:
            self._perform()
            if self._busy:
                pause = 0.02 if self._outside.pending or self._agenda.delayed else 0.2
                self._multi.select(pause)
                self._perform()
        elif self._outside.pending or self._agenda.delayed:
            self._outside.wait(0.02)

    def _perform(self) -> None:
        self._multi.perform()
        for slot in list(self._busy):
            if slot.chunks and slot in self._busy:
                self._flush(slot)
        while True:
            left, succeeded, failed = self._multi.info_read(64)
            for curl in succeeded:
                self._ended(self._by_curl[id(curl)], 0, "")
            for curl, number, message in failed:
                self._ended(self._by_curl[id(curl)], number, message)
            if not left:
                return

    def _flush(self, slot: Slot) -> None:
        """Write what came of a large body; end a transfer that brings something else."""
        if slot.cell is None:
            return
        host = self._busy[slot]
        if not slot.begun:
            host.connected(slot.connected_in())
            if host.near:
                slot.bound_buffer()
            if slot.restarts():
                self._cut(slot.job, but=slot)
        before = slot.received
        if not slot.flush():
            self._ended(slot, pycurl.E_WRITE_ERROR, "")
            return
        job = slot.job
        assert job is not None
        host.pace.received += slot.received - before
        if slot.begun and not slot.aside:
            if slot.hops and not job.landed:
                job.landed = slot.url
            if slot.ranged and self.network.settings.jobs > 1 and not job.ranges:
                job.ranges = True
                self._spread[job] = None

    def _ended(self, slot: Slot, number: int, message: str) -> None:
        job = slot.job
        if job is None or slot not in self._busy:
            return  # cut off meanwhile
        self._remove(slot)
        if slot.cell is None:
            self.hosts.get(slot.host).pace.received += slot.received
        again = False
        try:
            verdict = judge(slot, number, message)
            again = isinstance(verdict, Redirect) and self._redirect(slot, job, verdict.location)
            if not again:
                self._act(slot, job, verdict)
        except Failure as failure:
            self._mending.give_up_candidate(job, failure)
        if again:
            self._add(slot)
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
        host = self.hosts.get(slot.host)
        match verdict:
            case Whole():
                self.hosts.answered(host)
                self._heed_limit(slot, host)
                self._body_done(slot, job)
            case Decode():
                self._cut(job)
                job.decode = True
                self._agenda.add([job])
            case Retry():
                self._mending.retry(slot, job, verdict)
            case Mismatch(failure):
                self._mending.mismatched(job, failure)
            case Wait():
                self._mending.wait(host, job, verdict)
            case Unreachable():
                self._mending.unreachable(host, slot, job, verdict)
            case GiveUp(failure):
                self._mending.give_up_candidate(job, failure)
            case Fatal(failure):
                self._mending.fail(job, failure)

    def _heed_limit(self, slot: Slot, host: Host) -> None:
        """A host that counts requests tells with the last one allowed when the next ones are."""
        headers = slot.headers()
        if "ratelimit" in headers or "x-ratelimit-remaining" in headers:
            seconds = retry_after(headers)
            if seconds is not None:
                self.hosts.spent(host, seconds)

    def _cut(self, job: Job | None, but: Slot | None = None) -> None:
        """End all requests of a job; what they have brought stays."""
        for slot in [slot for slot in self._busy if slot.job is job and slot is not but]:
            self._remove(slot)
            slot.release()
            self._free.append(slot)

    # Bodies

    def _body_done(self, slot: Slot, job: Job) -> None:
        if slot.cell is None:
            self._small_body_done(slot, job)
            return
        body, cell = slot.body, slot.cell
        if not slot.begun and cell.at != job.file.size:  # an empty body
            slot.begin()
            if slot.stopped is not None:
                self._act(slot, job, slot.stopped)
                return
        if cell.stop is not None and not cell.whole:
            got, wanted = slot.received, cell.stop - slot.offset
            text = f"{slot.host} sent {got:,} of {wanted:,} bytes"
            self._mending.retry(slot, job, Retry(Failure("network", text)))
        elif cell.stop is None or body.complete:
            self._body_whole(job, body)
        else:
            self._agenda.first(job)  # the connection is free for the next range

    def _body_whole(self, job: Job, body: Body) -> None:
        self._cut(job)  # others may have brought their last bytes in the same turn
        self._spread.pop(job, None)
        job.settled = True
        written = body.frontier
        arrived = Arrived(job, job.candidate.origin, path=body.part.path)
        job.body = None
        self._outside.finish_digest(arrived, body.finish(), written)

    def _small_body_done(self, slot: Slot, job: Job) -> None:
        data = b"".join(slot.chunks)
        job.received += len(data)
        encoded = slot.headers().get("content-encoding", "identity") != "identity"
        if encoded and not job.decode and len(data) != job.file.size:
            self._act(slot, job, Decode())
        else:
            self._outside.shelve(Arrived(job, job.candidate.origin, data=data))

    def _delivered(self, batch: list[Delivered]) -> None:
        """A batch is in the store, and placed."""
        for item in batch:
            self.progress.file_done(item.job.artifact, item.job.file, item.downloaded, item.origin)
            self._mending.drop_part(item.job)

    # Looking around

    def _review(self) -> None:
        """Now and then: are more connections worth having, is a place too slow?"""
        now = time.monotonic()
        if now - self._reviewed < _REVIEW_SECONDS:
            return
        self._reviewed = now
        spare = {
            self._host_of(job).name for job in self._spread if job.body and job.body.has_next()
        }
        self.hosts.review(lambda host: host.name in spare)
        for job in {slot.job for slot in self._busy}:
            assert job is not None
            if job.index + 1 < len(job.candidates):
                self._consider_overtaking(job, now)

    def _consider_overtaking(self, job: Job, now: float) -> None:
        slots = [slot for slot in self._busy if slot.job is job]
        if any(now - slot.began < _YOUNG_SECONDS or slot.aside for slot in slots):
            return
        rate = sum(slot.received / (now - slot.began) for slot in slots)
        there = job.body.got if job.body is not None else slots[0].received
        size = job.file.size
        self._mending.overtake(job, rate, (size if size is not None else 1 << 40) - there)
