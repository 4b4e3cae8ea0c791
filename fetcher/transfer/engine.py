"""The loop that moves all bytes: libcurl's multi interface in one thread.

A job has candidates in order of preference. What arrives is proven by the shelf; what is wrong,
cut off or refused is tried again or had from the next candidate, and each reason is kept.
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
from fetcher.network import (
    LONGEST_WAIT,
    MAX_REDIRECTS,
    TLS_ERRORS,
    UNREACHABLE,
    Network,
    backoff,
    explain,
    host_of,
    public_url,
    retry_after,
)
from fetcher.progress import Progress
from fetcher.sniff import page_complaint
from fetcher.sources.base import (
    DeferredCandidate,
    PathCandidate,
    UrlCandidate,
    WheelCandidate,
)
from fetcher.store import Part, Store
from fetcher.transfer.hashing import TailHasher
from fetcher.transfer.hosts import Hosts
from fetcher.transfer.jobs import MAX_TRIES, Arrived, Delivered, Job, Outcome
from fetcher.transfer.shelf import Shelf
from fetcher.transfer.slot import Slot
from fetcher.transfer.wheels import WheelRack

_MAX_HELD_BYTES = 64 << 20
_RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}


class Engine:
    """One run's transfers. Use as a context manager."""

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        on_batch: Callable[[list[Delivered]], None] = lambda _: None,
    ) -> None:
        settings = network.settings
        self.network = network
        self.store = store
        self.progress = progress
        self.outcome = Outcome()
        self.hosts = Hosts(network.unreachable, progress.say)
        self._on_batch = on_batch
        self._multi = pycurl.CurlMulti()
        self._hasher = TailHasher()
        rate = settings.limit_rate
        count = settings.jobs
        self._slots = [
            Slot(network, self._hasher, rate // count if rate else 0) for _ in range(count)
        ]
        self._by_curl = {id(slot.curl): slot for slot in self._slots}
        self._free = list(self._slots)
        self._busy = 0
        self._ready: deque[Job] = deque()
        self._delayed: list[tuple[float, int, Job]] = []
        self._order = itertools.count()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._elsewhere = 0  # jobs that a worker or the shelf has
        self._workers = ThreadPoolExecutor(2, thread_name_prefix="worker")
        self._rack = WheelRack(store)
        self._shelf = Shelf(store, self._shelved, self._refused)
        self._told: set[tuple[str, str]] = set()
        progress.live = lambda: sum(slot.written for slot in self._slots)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self._rack.close()
        self._workers.shutdown(wait=True, cancel_futures=True)
        try:
            self._shelf.close()
        finally:
            for slot in self._slots:
                slot.release()
                slot.curl.close()
            self._multi.close()
            self._hasher.close()
            self._drain_inbox()

    def run(self, jobs: Iterable[Job]) -> Outcome:
        """Get every job's content; returns when all are delivered or have failed."""
        self.store.prepare()
        self._ready.extend(jobs)
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

    def _later(self, job: Job, when: float) -> None:
        heapq.heappush(self._delayed, (when, next(self._order), job))

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
        else:
            self._to_worker(job, lambda: self._take_path(job, candidate))

    def _dispatch_url(self, job: Job, candidate: UrlCandidate) -> None:
        url = self.network.rewrite(candidate.url)
        host = self.hosts.get(host_of(url))
        if self.network.offline:
            raise Failure("offline", f"{host.name} is needed, but the network may not be used")
        if host.down:
            raise host.down
        if host.not_before > time.monotonic():
            self._later(job, host.not_before + backoff(1) * 0.2)
            return
        if not job.small and job.part is None:
            self._claim(job)
        slot = self._free.pop()
        slot.host = host.name
        try:
            slot.start(job, candidate, url)
        except Failure:
            slot.release()
            self._free.append(slot)
            raise
        if not job.small and slot.offset and slot.offset == job.file.size:
            self._body_done(slot)  # all there already: only the digest is left to prove
            slot.release()
            self._free.append(slot)
            return
        self._multi.add_handle(slot.curl)
        self._busy += 1

    def _claim(self, job: Job) -> None:
        key = job.file.key or f"{job.candidate.origin} {job.label} {self._url_of(job)}"
        try:
            job.part = self.store.claim_part(key)
        except OSError as error:
            raise from_os_error(error, f"writing into the store {self.store.root}") from error
        if not job.file.key:
            job.validator = _read_validator(job.part)

    @staticmethod
    def _url_of(job: Job) -> str:
        return job.candidate.url if isinstance(job.candidate, UrlCandidate) else ""

    # Work outside the loop

    def _to_worker(self, job: Job, work: Callable[[], Callable[[], None]]) -> None:
        self._elsewhere += 1

        def run() -> None:
            try:
                follow_up = work()
            except Failure as failure:
                reason = failure
                follow_up = lambda: self._give_up_candidate(job, reason)  # noqa: E731
            except OSError as error:
                trouble = from_os_error(error, f"getting {job.label}")
                follow_up = lambda: self._give_up_candidate(job, trouble)  # noqa: E731
            except Exception as error:
                broken = Failure("internal", f"{job.label}: {type(error).__name__}: {error}")
                follow_up = lambda: self._give_up_candidate(job, broken)  # noqa: E731
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
        from fetcher.files import copy, reflink

        path = self.store.temporary()
        try:
            if not reflink(candidate.path, path):
                copy(candidate.path, path)
        except FileNotFoundError as error:
            remove_quietly(path)
            raise Failure("not-found", f"{candidate.path} is not there") from error
        except OSError:
            remove_quietly(path)
            raise
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
                if item.job.part is not None:  # begun elsewhere before this place delivered
                    remove_quietly(item.job.part.path)
                    remove_quietly(item.job.part.path + ".etag")

        self._inbox.put(follow_up)

    def _refused(self, arrived: Arrived, failure: Failure) -> None:
        """In the shelf's thread: a body is not what was asked for."""
        self._inbox.put(lambda: self._back(lambda: self._disproved(arrived, failure)))

    def _disproved(self, arrived: Arrived, failure: Failure) -> None:
        job = arrived.job
        if arrived.path:
            remove_quietly(arrived.path)
            job.part = None
        if failure.problem.code in {"disk-space", "permission"}:
            self._fail(job, failure)
            return
        # A damaged transfer is mended by another try; a server that lies is not.
        if job.resumed or (not job.mismatched and isinstance(job.candidate, UrlCandidate)):
            job.mismatched = job.mismatched or not job.resumed
            job.resumed = False
            self._ready.append(job)
            return
        self._give_up_candidate(job, failure)

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
                self._inbox.get(timeout=0.05)()
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
        self._multi.remove_handle(curl)
        self._busy -= 1
        again = False
        try:
            again = self._judge(slot, number, message)
        except Failure as failure:
            assert slot.job is not None
            self._give_up_candidate(slot.job, failure)
        if again:
            self._multi.add_handle(curl)
            self._busy += 1
        else:
            slot.release()
            self._free.append(slot)

    def _judge(self, slot: Slot, number: int, message: str) -> bool:
        """Decide what an ended request means; True if the slot goes on with a redirect."""
        job = slot.job
        assert job is not None
        if slot.failure is not None:
            self._after_local_failure(slot, job, slot.failure)
            return False
        status = slot.status()
        if number and not (number == pycurl.E_FILESIZE_EXCEEDED and status >= 300):
            self._after_curl_error(slot, job, number, message)
            return False
        if slot.url.startswith("ftp"):
            status = 200
        if status in {301, 302, 303, 307, 308}:
            return self._redirect(slot, job)
        if status in {200, 206} and not (status == 206 and not slot.offset):
            self.hosts.answered(self.hosts.get(slot.host))
            self._body_done(slot)
            return False
        self._after_status(slot, job, status)
        return False

    def _redirect(self, slot: Slot, job: Job) -> bool:
        location = slot.curl.getinfo(pycurl.REDIRECT_URL)
        slot.hops += 1
        if not location or slot.hops > MAX_REDIRECTS:
            raise Failure("refused", f"{slot.host} redirects without end")
        candidate = job.candidate
        assert isinstance(candidate, UrlCandidate)
        if _is_login(location):
            raise self._login_failure(job, f"{slot.host} redirects to a sign-in page")
        url = self.network.redirected(slot.url, location)
        slot.host = host_of(url)
        if down := self.hosts.get(slot.host).down:
            raise down
        slot.aim(url, candidate)
        return True

    def _body_done(self, slot: Slot) -> None:
        job = slot.job
        assert job is not None
        origin = job.candidate.origin
        if job.small:
            data = b"".join(slot.chunks)
            job.received += len(data)
            encoding = slot.headers().get("content-encoding", "identity")
            if encoding != "identity" and not job.decode and len(data) != job.file.size:
                job.decode = True
                self._ready.append(job)
                return
            self._to_shelf(Arrived(job, origin, data=data))
            return
        if not slot.begun and slot.offset != job.file.size and not slot.begin():
            raise slot.failure or Failure("network", f"{slot.host}: no usable answer")
        if job.file.size is not None and slot.written < job.file.size:
            got, size = slot.written, job.file.size
            failure = Failure("network", f"{slot.host} sent {got:,} of {size:,} bytes")
            self._retry(slot, job, failure)
            return
        tail = slot.finish_file()
        part, job.part = job.part, None
        assert part is not None
        remove_quietly(part.path + ".etag")
        arrived = Arrived(job, origin, path=part.path)

        def prove() -> Callable[[], None]:
            arrived.digests = tail.digests()
            return lambda: self._to_shelf(arrived)

        self._to_worker(job, prove)

    # What went wrong

    def _after_local_failure(self, slot: Slot, job: Job, failure: Failure) -> None:
        if failure.problem.code in {"disk-space", "permission", "internal"}:
            self._fail(job, failure)
        elif "compressed" in failure.message:
            job.decode = True
            self._ready.append(job)
        else:
            self._retry(slot, job, failure)

    def _after_curl_error(self, slot: Slot, job: Job, number: int, message: str) -> None:
        failure = explain(number, message, slot.url)
        host = self.hosts.get(slot.host)
        if number == pycurl.E_FILESIZE_EXCEEDED:
            failure = Failure(
                "size-mismatch", f"{slot.host} delivers more than {job.file.size:,} bytes"
            )
            self._give_up_candidate(job, failure)
        elif number in UNREACHABLE or number in TLS_ERRORS or _never_connected(slot, number):
            alternative = job.index + 1 < len(job.candidates)
            if alternative or job.tries >= 2 or number in TLS_ERRORS:
                self.hosts.mark_down(host, failure)
                self._give_up_candidate(job, failure)
            else:
                self._retry(slot, job, failure)
        elif failure.problem.code != "network":
            self._give_up_candidate(job, failure)
        else:
            self._retry(slot, job, failure)

    def _retry(self, slot: Slot, job: Job, failure: Failure) -> None:
        """Another try of the same candidate after a pause; progress earns new tries."""
        if slot.written - slot.offset > 1 << 20:
            job.tries = 0
        job.tries += 1
        if job.tries >= MAX_TRIES:
            self._give_up_candidate(job, failure)
        else:
            job.deferred = None
            self._later(job, time.monotonic() + backoff(job.tries))

    def _after_status(self, slot: Slot, job: Job, status: int) -> None:
        answer = slot.answer()
        host = self.hosts.get(slot.host)
        asked = retry_after(answer.headers)
        if status in _RETRY_STATUS or (status == 403 and asked is not None):
            failure = Failure("network", f"{slot.host} answers HTTP {status}", "try again later")
            if asked is not None and asked > LONGEST_WAIT:
                raise Failure(
                    "network",
                    f"{slot.host} asks to wait {asked:.0f} s (HTTP {status})",
                    "run again later: what is there is kept",
                )
            if status == 429 or asked is not None:
                # Being told to wait is no failed try: only the time is shifted.
                self._later(job, self.hosts.ask_to_wait(host, asked, status) + backoff(1) * 0.2)
                job.deferred = None
                job.tries += 1 if asked is None else 0
                if job.tries >= 3 * MAX_TRIES:
                    raise failure
            else:
                self._retry(slot, job, failure)
            return
        if status == 416 and slot.offset:
            job.no_range = True
            self._retry(slot, job, Failure("network", f"{slot.host}: range refused"))
            return
        raise self._status_failure(slot, job, status, answer.headers, answer.head)

    def _status_failure(
        self, slot: Slot, job: Job, status: int, headers: dict[str, str], head: bytes
    ) -> Failure:
        where = public_url(job.candidate.url) if isinstance(job.candidate, UrlCandidate) else ""
        page = page_complaint(head, job.file.path)
        manual = self._manual_hint(job)
        if headers.get("x-error-code") == "GatedRepo":
            hint = "ask for access on the repository's page, then set HF_TOKEN"
            return Failure("gated", f"{where}: the repository is gated (HTTP {status})", hint)
        if status in {401, 403}:
            if manual and page:
                return self._login_failure(job, f"{slot.host} answers with a sign-in page")
            return Failure("auth", f"{where}: access denied (HTTP {status})", manual)
        if status in {404, 410}:
            code = "link-expired" if manual and page else "not-found"
            what = "the link has expired or is gone" if manual and page else "not there"
            return Failure(code, f"{where}: {what} (HTTP {status})", manual)
        return Failure("network", f"{where}: HTTP {status}")

    def _manual_hint(self, job: Job) -> str:
        candidate = job.candidate
        if isinstance(candidate, UrlCandidate):
            return candidate.manual_hint.replace("{artifact}", job.artifact)
        return ""

    def _login_failure(self, job: Job, message: str) -> Failure:
        return Failure("link-expired", message, self._manual_hint(job))

    def _give_up_candidate(self, job: Job, failure: Failure) -> None:
        old = job.candidate.origin if job.candidates else ""
        if failure.problem.code == "not-a-file" and not failure.hint:
            hint = self._manual_hint(job) if job.candidates else ""
            failure = Failure("not-a-file", failure.message, hint)
        if failure.problem.code in {"disk-space", "permission"} or not job.next_candidate(failure):
            self._fail(job, failure if failure not in job.reasons else None)
            return
        new = job.candidate.origin
        if (old, new) not in self._told and old != new:
            self._told.add((old, new))
            self.progress.say(f"{job.artifact}: {job.reasons[0].message}; taking it from {new}")
        self._ready.append(job)

    def _fail(self, job: Job, failure: Failure | None = None) -> None:
        if failure is not None:
            job.reasons.append(failure)
        self.outcome.failed.append((job, job.problem()))
        self.outcome.downloaded += job.received
        self.progress.file_failed(job.file)


def _never_connected(slot: Slot, number: int) -> bool:
    waited: float = slot.curl.getinfo(pycurl.CONNECT_TIME)
    return number == pycurl.E_OPERATION_TIMEDOUT and waited == 0


def _is_login(location: str) -> bool:
    lowered = location.lower()
    return any(
        mark in lowered
        for mark in ("login.microsoftonline.com", "/_layouts/15/authenticate", "/signin", "/login?")
    )


def _read_validator(part: Part) -> str:
    from pathlib import Path

    try:
        return Path(part.path + ".etag").read_text("latin-1")
    except OSError:
        return ""
