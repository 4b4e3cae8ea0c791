"""The loop that moves all bytes: libcurl's multi interface in one thread.

A download has candidates in order of preference. What arrives is proven by the committer; what
is wrong, cut off or refused is tried again or had from the next candidate, and each reason is kept.
`outcomes` says what an answer means, `recovery` what to do about one that is not what was asked
for; here is what begins when, and over which connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pycurl

from fetcher.errors import Failure, Problem
from fetcher.network.session import MAX_REDIRECTS, Network, backoff, host_of, retry_after
from fetcher.sources.base import UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.backends import Backends
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import Arrived, Delivered, Download
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.outcomes import (
    Decode,
    Fatal,
    GiveUp,
    Mismatch,
    Redirect,
    RequestOutcome,
    Retry,
    Unreachable,
    Wait,
    Whole,
    is_sign_in,
    manual_hint,
    outcome_of,
)
from fetcher.transfer.partial_file import PartialFile, Segment
from fetcher.transfer.queue import DownloadQueue
from fetcher.transfer.recovery import Recovery
from fetcher.transfer.worker_pool import WorkerPool
from fetcher.ui.progress import Progress

_MAX_HELD_BYTES = 64 << 20
_REVIEW_SECONDS = 0.5
# A transfer this young says nothing of how fast its host is.
_YOUNG_SECONDS = 3.0


class Engine:
    """One run's transfers. Use as a context manager.

    `workers`: processes that were started for it; else it starts its own where it can.
    """

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        on_batch: Callable[[list[Delivered]], None] = lambda _: None,
        workers: WorkerPool | None = None,
    ) -> None:
        self.network = network
        self.store = store
        self.progress = progress
        self.hosts = Hosts(network.unreachable, progress.say, network.settings.jobs)
        self._rate = network.settings.limit_rate
        self._multi = pycurl.CurlMulti()
        self._connections = [Connection(network) for _ in range(network.settings.jobs)]
        self._by_curl = {id(connection.curl): connection for connection in self._connections}
        self._free = list(self._connections)
        self._busy: dict[Connection, Host] = {}
        # Bodies with ranges that more connections could get.
        self._spread: dict[Download, None] = {}
        self._queue = DownloadQueue()
        self._recovery = Recovery(network, store, progress, self.hosts, self._queue, self._cut)
        self._backends = Backends(
            network,
            store,
            on_batch,
            workers,
            on_ready=lambda download: self._queue.add([download]),
            on_lost=self._recovery.give_up_candidate,
            on_delivered=self._delivered,
            on_refused=self._recovery.disproved,
        )
        self._reviewed = time.monotonic()
        progress.live = self._live

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.network.interrupt()
        try:
            self._backends.stop()
        finally:
            for connection in self._connections:
                connection.release()
                connection.curl.close()
            self._multi.close()
            for download in self._recovery.begun:
                if download.partial is not None:
                    download.partial.close()
                if download.part is not None:
                    self.store.leave_part(download.part)

    def run(self, downloads: Iterable[Download]) -> list[tuple[Download, Problem]]:
        """Get every job's content; returns those that failed, when no other is left.

        What is delivered goes to `on_batch`.
        """
        self.store.prepare()
        self._queue.add(self._backends.send_to_workers(downloads))
        del downloads  # what is delivered need not be kept
        while self._queue or self._busy or self._backends.pending or self.hosts.queued():
            self._queue.wake()
            self._fill()
            self._turn()
            self._backends.drain()
            self._review()
            self.progress.tick(self.hosts.waiting)
        return self._recovery.failed

    def _live(self) -> int:
        """Bytes that are there of bodies that are not whole yet."""
        there = {
            connection.download: connection.partial.got
            for connection in self._busy
            if connection.segment is not None
        }
        return sum(there.values()) + sum(s.received for s in self._busy if s.segment is None)

    # Beginning

    def _fill(self) -> None:
        for download in self.hosts.released():
            self._queue.first(download)
        while self._free and self._backends.held_bytes < _MAX_HELD_BYTES:
            following = self._next_download()
            if following is None:
                return
            try:
                self._dispatch(following)
            except Failure as failure:
                self._recovery.give_up_candidate(following, failure)

    def _next_download(self) -> Download | None:
        """A download to begin; else one whose body comes in ranges, and that has one to spare."""
        if self._queue.ready:
            return self._queue.ready.popleft()
        now = time.monotonic()
        for download in list(self._spread):
            partial = download.partial
            if partial is None or not partial.in_ranges:
                del self._spread[download]
            elif (
                now >= download.retry_at and partial.has_next() and not self._host_of(download).full
            ):
                return download
        return None

    def _host_of(self, download: Download) -> Host:
        candidate = download.candidate
        assert isinstance(candidate, UrlCandidate)
        return self.hosts.get(host_of(download.landed or self.network.rewrite(candidate.url)))

    def _dispatch(self, download: Download) -> None:
        if download.settled:
            return  # one of its ranges was to be tried again, and others have brought it
        if not download.candidates:
            self._recovery.fail(download)
            return
        self._recovery.prefer_fastest(download)
        candidate = download.candidate
        if isinstance(candidate, UrlCandidate):
            self._dispatch_url(download, candidate)
        else:
            self._backends.take(download, candidate)

    def _dispatch_url(self, download: Download, candidate: UrlCandidate) -> None:
        url = download.landed or self.network.rewrite(candidate.url)
        host = self.hosts.get(host_of(url))
        if self.network.offline:
            raise Failure("offline", f"{host.name} is needed, but the network may not be used")
        self.hosts.check(host)
        wait = max(host.not_before, download.retry_at) - time.monotonic()
        if wait > 0:
            self._queue.later(download, wait + backoff(1) * 0.2)
            return
        if host.full:
            host.queue.append(download)
            return
        segment = None
        if not download.small:
            partial = self._recovery.open_partial(download, self._backends.hasher)
            if partial.complete:  # all there already: only the digest is left to prove
                self._body_whole(download, partial)
                return
            segment = partial.next_segment()
            if segment is None:
                return  # other connections fetch all that is missing
        self._begin(download, candidate, url, segment)

    def _begin(
        self, download: Download, candidate: UrlCandidate, url: str, segment: Segment | None
    ) -> None:
        connection = self._free.pop()
        connection.host = host_of(url)
        try:
            connection.start(download, candidate, url, self._share_of_rate(), segment)
            self._add(connection)
        except BaseException:
            connection.release()
            self._free.append(connection)
            raise

    def _add(self, connection: Connection) -> None:
        host = self.hosts.get(connection.host)
        self._multi.add_handle(connection.curl)
        self._busy[connection] = host
        host.active += 1

    def _remove(self, connection: Connection) -> None:
        host = self._busy.pop(connection)
        self._multi.remove_handle(connection.curl)
        host.active -= 1
        if connection.received and not connection.aside:
            host.measured(connection.received, time.monotonic() - connection.began)

    def _share_of_rate(self) -> int:
        """One connection's part of the limit, by how many there will be."""
        wanted = 1 + len(self._busy) + len(self._queue) + self.hosts.queued()
        return max(1, self._rate // min(wanted, len(self._connections))) if self._rate else 0

    # The loop's own part

    def _turn(self) -> None:
        if self._busy:
            self._perform()
            if self._busy:
                pause = 0.02 if self._backends.pending or self._queue.delayed else 0.2
                self._multi.select(pause)
                self._perform()
        elif self._backends.pending or self._queue.delayed:
            self._backends.wait(0.02)

    def _perform(self) -> None:
        self._multi.perform()
        for connection in list(self._busy):
            if connection.chunks and connection in self._busy:
                self._flush(connection)
        while True:
            left, succeeded, failed = self._multi.info_read(64)
            for curl in succeeded:
                self._ended(self._by_curl[id(curl)], 0, "")
            for curl, number, message in failed:
                self._ended(self._by_curl[id(curl)], number, message)
            if not left:
                return

    def _flush(self, connection: Connection) -> None:
        """Write what came of a large body; end a transfer that brings something else."""
        if connection.segment is None:
            return
        host = self._busy[connection]
        if not connection.begun:
            host.connected(connection.connected_in())
            if host.near:
                connection.bound_buffer()
            if connection.restarts():
                self._cut(connection.download, but=connection)
        before = connection.received
        if not connection.flush():
            self._ended(connection, pycurl.E_WRITE_ERROR, "")
            return
        download = connection.download
        assert download is not None
        host.pace.received += connection.received - before
        if connection.begun and not connection.aside:
            if connection.hops and not download.landed:
                download.landed = connection.url
            if connection.ranged and self.network.settings.jobs > 1 and not download.ranges:
                download.ranges = True
                self._spread[download] = None

    def _ended(self, connection: Connection, number: int, message: str) -> None:
        download = connection.download
        if download is None or connection not in self._busy:
            return  # cut off meanwhile
        self._remove(connection)
        if connection.segment is None:
            self.hosts.get(connection.host).pace.received += connection.received
        again = False
        try:
            outcome = outcome_of(connection, number, message)
            again = isinstance(outcome, Redirect) and self._redirect(
                connection, download, outcome.location
            )
            if not again:
                self._act(connection, download, outcome)
        except Failure as failure:
            self._recovery.give_up_candidate(download, failure)
        if again:
            self._add(connection)
        else:
            connection.release()
            self._free.append(connection)

    def _redirect(self, connection: Connection, download: Download, location: str) -> bool:
        candidate = download.candidate
        assert isinstance(candidate, UrlCandidate)
        connection.hops += 1
        if not location or connection.hops > MAX_REDIRECTS:
            raise Failure("refused", f"{connection.host} redirects without end")
        if is_sign_in(location):
            text = f"{connection.host} redirects to a sign-in page"
            raise Failure("link-expired", text, manual_hint(download))
        url = self.network.redirected(connection.url, location)
        connection.host = host_of(url)
        self.hosts.check(self.hosts.get(connection.host))
        connection.aim(url, candidate)
        return True

    def _act(self, connection: Connection, download: Download, outcome: RequestOutcome) -> None:
        """Do what the end of a request asks for."""
        host = self.hosts.get(connection.host)
        match outcome:
            case Whole():
                self.hosts.answered(host)
                self._heed_limit(connection, host)
                self._body_done(connection, download)
            case Decode():
                self._cut(download)
                download.decode = True
                self._queue.add([download])
            case Retry():
                self._recovery.retry(connection, download, outcome)
            case Mismatch(failure):
                self._recovery.mismatched(download, failure)
            case Wait():
                self._recovery.wait(host, download, outcome)
            case Unreachable():
                self._recovery.unreachable(host, connection, download, outcome)
            case GiveUp(failure):
                self._recovery.give_up_candidate(download, failure)
            case Fatal(failure):
                self._recovery.fail(download, failure)

    def _heed_limit(self, connection: Connection, host: Host) -> None:
        """A host that counts requests tells with the last one allowed when the next ones are."""
        headers = connection.headers()
        if "ratelimit" in headers or "x-ratelimit-remaining" in headers:
            seconds = retry_after(headers)
            if seconds is not None:
                self.hosts.spent(host, seconds)

    def _cut(self, download: Download | None, but: Connection | None = None) -> None:
        """End all requests of a download; what they have brought stays."""
        for connection in [
            connection
            for connection in self._busy
            if connection.download is download and connection is not but
        ]:
            self._remove(connection)
            connection.release()
            self._free.append(connection)

    # Bodies

    def _body_done(self, connection: Connection, download: Download) -> None:
        if connection.segment is None:
            self._small_body_done(connection, download)
            return
        partial, segment = connection.partial, connection.segment
        if not connection.begun and segment.at != download.file.size:  # an empty body
            connection.begin()
            if connection.stopped is not None:
                self._act(connection, download, connection.stopped)
                return
        if segment.stop is not None and not segment.whole:
            got, wanted = connection.received, segment.stop - connection.offset
            text = f"{connection.host} sent {got:,} of {wanted:,} bytes"
            self._recovery.retry(connection, download, Retry(Failure("network", text)))
        elif segment.stop is None or partial.complete:
            self._body_whole(download, partial)
        else:
            self._queue.first(download)  # the connection is free for the next range

    def _body_whole(self, download: Download, partial: PartialFile) -> None:
        self._cut(download)  # others may have brought their last bytes in the same turn
        self._spread.pop(download, None)
        download.settled = True
        written = partial.frontier
        arrived = Arrived(download, download.candidate.origin, path=partial.part.path)
        download.partial = None
        self._backends.finish_digest(arrived, partial.finish(), written)

    def _small_body_done(self, connection: Connection, download: Download) -> None:
        data = b"".join(connection.chunks)
        download.received += len(data)
        encoded = connection.headers().get("content-encoding", "identity") != "identity"
        if encoded and not download.decode and len(data) != download.file.size:
            self._act(connection, download, Decode())
        else:
            self._backends.commit(Arrived(download, download.candidate.origin, data=data))

    def _delivered(self, batch: list[Delivered]) -> None:
        """A batch is in the store, and placed."""
        for item in batch:
            self.progress.file_done(
                item.download.artifact, item.download.file, item.downloaded, item.origin
            )
            self._recovery.drop_part(item.download)

    # Looking around

    def _review(self) -> None:
        """Now and then: are more connections worth having, is a place too slow?"""
        now = time.monotonic()
        if now - self._reviewed < _REVIEW_SECONDS:
            return
        self._reviewed = now
        spare = {
            self._host_of(download).name
            for download in self._spread
            if download.partial and download.partial.has_next()
        }
        self.hosts.review(lambda host: host.name in spare)
        for download in {connection.download for connection in self._busy}:
            assert download is not None
            if download.index + 1 < len(download.candidates):
                self._consider_overtaking(download, now)

    def _consider_overtaking(self, download: Download, now: float) -> None:
        connections = [connection for connection in self._busy if connection.download is download]
        if any(
            now - connection.began < _YOUNG_SECONDS or connection.aside
            for connection in connections
        ):
            return
        rate = sum(connection.received / (now - connection.began) for connection in connections)
        there = download.partial.got if download.partial is not None else connections[0].received
        size = download.file.size
        self._recovery.overtake(download, rate, (size if size is not None else 1 << 40) - there)
