"""The loop that has all bytes moved: by libcurl, in its own thread, and by helpers.

A download has candidates in order of preference. What arrives is proven by the committer; what
is wrong, cut off or refused is tried again or had from the next candidate, and each reason is kept.
Each turn begins what can begin, receives what is there, and hears what the backends answer.
`outcomes` says what the end of a request means, `recovery` what to do about one that did not bring
what was asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from fetcher.errors import Failure, Problem
from fetcher.i18n import t
from fetcher.network.content_encoding import can_unpack, codings
from fetcher.network.error_text import error_text
from fetcher.network.rate_limit import allowance
from fetcher.network.retry import MAX_REDIRECTS, backoff
from fetcher.network.session import Network
from fetcher.network.urls import host_of, public_url
from fetcher.sources.base import DeferredCandidate, UrlCandidate
from fetcher.store.runs import Runs
from fetcher.store.store import Store
from fetcher.store.wrong_bytes import WrongBytes
from fetcher.transfer.backends import Backends
from fetcher.transfer.body_writer import BodyWriter
from fetcher.transfer.connection import Connection
from fetcher.transfer.connections import Connections, Ended
from fetcher.transfer.download import Arrived, Delivered, Download
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.in_flight import in_flight
from fetcher.transfer.inbox import (
    Addressed,
    Answer,
    AskedToWait,
    Committed,
    Fetched,
    Lost,
    NotOffered,
    Refused,
    Returned,
)
from fetcher.transfer.openings import without_coding
from fetcher.transfer.outcomes import (
    Mismatch,
    NextPart,
    Redirect,
    RequestOutcome,
    Retry,
    TakeRaw,
    Whole,
    WithoutRange,
    damaged,
    outcome_of,
)
from fetcher.transfer.partial_file import PartialFile, Segment
from fetcher.transfer.queue import DownloadQueue
from fetcher.transfer.recovery import Again, Decision, Failed, Recovery
from fetcher.transfer.resume import WORTHWHILE, PartialFiles
from fetcher.transfer.sharing import Sharing
from fetcher.transfer.stragglers import Stragglers
from fetcher.transfer.worker_pool import WorkerPool
from fetcher.ui.meter import InFlight
from fetcher.ui.progress import Progress
from fetcher.ui.units import human_bytes

_log = logging.getLogger(__name__)

_MAX_HELD_BYTES = 64 << 20
_REVIEW_SECONDS = 0.5
# A transfer this young says nothing of how fast its host is.
_YOUNG_SECONDS = 3.0


class Engine:
    """One run's transfers. Use as a context manager.

    `workers`: processes that were started for it; else it starts its own where it can. `runs`: this
    run among others on the store, if it has entered before.
    """

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        on_batch: Callable[[list[Delivered]], None] = lambda _: None,
        workers: WorkerPool | None = None,
        runs: Runs | None = None,
    ) -> None:
        self.network = network
        self.store = store
        self.progress = progress
        self.hosts = Hosts(network.unreachable, progress.say, network.settings.jobs)
        self.failed: list[tuple[Download, Problem]] = []
        writer = BodyWriter(store.durable)
        for name, told in network.allowances.items():
            self.hosts.allowed(self.hosts.get(name), told)
        self._queue = DownloadQueue()
        self._connections = Connections(network, self.hosts)
        self._partials = PartialFiles(store, writer)
        self._wrong = WrongBytes(store.root, 60.0 * network.settings.wrong_bytes_minutes)
        self._recovery = Recovery(network, self.hosts, self._partials, progress.say, self._wrong)
        self._backends = Backends(network, store, writer, on_batch, workers)
        self._own_runs = Runs(store.root, progress.say, network.settings.locks)
        self._runs = runs or self._own_runs
        self._sharing = Sharing(store, self._runs, progress.say)
        self._stragglers = Stragglers()
        self._reviewed = time.monotonic()
        self._debug = _log.isEnabledFor(logging.DEBUG)
        progress.watch(self._in_flight)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.network.interrupt()
        try:
            self._backends.end_work()
            self._hear(self._backends.answers())
            self._backends.end_commits()
            self._hear(self._backends.answers())
        finally:
            self.progress.watch(list)
            self._connections.close()
            self._partials.leave()
            self._own_runs.leave()

    def run(self, downloads: Iterable[Download]) -> list[tuple[Download, Problem]]:
        """Get every download's content; returns those that failed, when no other is left.

        What is delivered goes to `on_batch`.
        """
        self.store.prepare()
        self._runs.enter()
        stored: list[Arrived] = []
        ours = self._sharing.sift(downloads, stored)
        self._queue.add(self._backends.send_to_workers(self._not_wrong(ours)))
        del downloads, ours  # what is delivered need not be kept
        for arrived in stored:
            self._backends.commit(arrived)
        self.progress.start()
        while self._unfinished():
            self._begin_all()
            self._receive()
            self._hear(self._backends.answers())
            self._share()
            self._review()
            self.progress.tick(self._waiting)
        return self.failed

    def _not_wrong(self, downloads: Iterable[Download]) -> Iterator[Download]:
        """Those whose places are not known to give wrong bytes; the others wait their turn."""
        for download in downloads:
            if self._wrong and self._recovery.is_remembered(download):
                self._queue.add([download])
            else:
                yield download

    def _unfinished(self) -> bool:
        busy, queued, waiting = self._connections.busy, self.hosts.queued(), self._sharing.waiting
        return bool(self._queue or busy or self._backends.pending or queued or waiting)

    def _waiting(self) -> list[str]:
        """Whom the run waits for."""
        return self.hosts.waiting() + self._sharing.shown()

    def _in_flight(self) -> list[InFlight]:
        failed = {download for download, _ in self.failed}
        ours = [one for one in self._partials.begun if one not in self._sharing.waiting]
        found = in_flight(ours, failed, self._connections.busy, self._place_of)
        return [*found, *self._backends.in_flight(), *self._sharing.in_flight()]

    def _place_of(self, download: Download) -> Host | None:
        there = bool(download.candidates) and isinstance(download.candidate, UrlCandidate)
        return self._host_of(download) if there else None

    # Beginning

    def _begin_all(self) -> None:
        """Begin what can begin."""
        self._queue.wake()
        for download in self.hosts.released():
            self._queue.first(download)
        while self._connections.free and self._backends.held_bytes < _MAX_HELD_BYTES:
            following = self._next_download()
            if following is None:
                return
            try:
                self._dispatch(following)
            except Failure as failure:
                self._decide(following, self._recovery.give_up_candidate(following, failure))

    def _next_download(self) -> Download | None:
        """A download to begin; else one whose body comes in ranges, and that has one to spare."""
        if self._queue.ready:
            return self._queue.ready.popleft()
        now = time.monotonic()
        for download in list(self._connections.ranged):
            partial = download.partial
            if partial is None or not partial.in_ranges:
                del self._connections.ranged[download]
            elif now < download.retry_at or not partial.has_next():
                continue
            elif download.renewing or download.addressing:
                continue  # one asks for a link, which the others will use
            elif (place := self._place_of(download)) is None or not place.full:
                return download
        return None

    def _host_of(self, download: Download) -> Host:
        candidate = download.candidate
        assert isinstance(candidate, UrlCandidate)
        return self.hosts.get(host_of(download.landed or self.network.rewrite(candidate.url)))

    def _dispatch(self, download: Download) -> None:
        """Begin a download, or the next range of it. Raises Failure."""
        if download.settled:
            return  # one of its ranges was to be tried again, and others have brought it
        if download.renewing and any(one.renews for one in self._connections.of(download)):
            return  # what it brings serves this range too
        if not download.candidates:
            self._decide(download, self._recovery.fail(download))
            return
        self._recovery.prefer_fastest(download)
        remembered = self._recovery.remembered(download)
        if remembered is not None:
            self._decide(download, remembered)
            return
        candidate = download.candidate
        if isinstance(candidate, UrlCandidate):
            self._dispatch_url(download, candidate)
        elif not download.addressing:
            if self._debug:
                _log.debug("%s: from %s", download.label, candidate.origin)
            download.addressing = isinstance(candidate, DeferredCandidate)
            self._backends.take(download, candidate)

    def _dispatch_url(self, download: Download, candidate: UrlCandidate) -> None:
        url = download.landed or self.network.rewrite(candidate.url)
        host = self.hosts.get(host_of(url))
        if self.network.offline:
            raise Failure(
                "offline", t("{host} is needed, but the network may not be used", host=host.name)
            )
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
            if host.plain:
                download.plain = download.no_ranges = True
            partial = self._partials.open(download)
            if partial.complete:  # all there already: only the digest is left to prove
                self._complete(download, partial)
                return
            segment = partial.next_segment()
            if segment is None:
                return  # other connections fetch all that is missing
        self._request(download, candidate, url, segment)

    def _request(
        self, download: Download, candidate: UrlCandidate, url: str, segment: Segment | None
    ) -> None:
        if self._debug:
            at = f", from byte {segment.at:,}" if segment is not None and segment.at else ""
            shown = public_url(url)
            _log.debug("%s: %s from %s%s", download.label, shown, candidate.origin, at)
        waiting = len(self._queue) + self.hosts.queued()
        self._connections.begin(download, candidate, url, segment, waiting)
        if download.single_use:
            download.deferred = None

    # Receiving

    def _receive(self) -> None:
        """Receive what is there; wait a moment if that is nothing."""
        connections = self._connections
        if connections.busy:
            self._end_all(connections.perform())
            if connections.busy:
                connections.wait(0.02 if self._expecting() else 0.2)
                self._end_all(connections.perform())
            connections.tell_followers()
        elif self._expecting():
            self._hear(self._backends.answers(0.02))

    def _expecting(self) -> bool:
        """Whether something comes without a request."""
        return bool(self._backends.pending or self._queue.delayed or self._sharing.waiting)

    def _end_all(self, ended: list[Ended]) -> None:
        for connection, number, message in ended:
            if connection in self._connections.busy:  # else cut off meanwhile
                self._end(connection, number, message)

    def _end(self, connection: Connection, number: int, message: str) -> None:
        download = connection.download
        assert download is not None
        self._connections.remove(connection)
        if connection.segment is None:
            self.hosts.get(connection.host).pace.received += connection.received
        again = False
        try:
            outcome = outcome_of(connection, number, message)
            self._heed_limit(connection)
            if self._debug:
                self._log_outcome(connection, download, outcome)
            if isinstance(outcome, Redirect):
                again = self._redirect(connection, download, outcome.location)
            else:
                self._act(connection, download, outcome)
        except Failure as failure:
            self._decide(download, self._recovery.give_up_candidate(download, failure))
        if again:
            self._connections.resume(connection)
        else:
            self._connections.release(connection)

    def _log_outcome(
        self, connection: Connection, download: Download, outcome: RequestOutcome
    ) -> None:
        status, verdict = connection.status(), type(outcome).__name__
        shown = f"{connection.host} {status or ''}".rstrip()
        told = error_text(connection.headers(), connection.head()) if status >= 400 else ""
        said = f", it says {told!r}" if told else ""
        _log.debug("%s: %s: %s%s", download.label, shown, verdict, said)

    def _redirect(self, connection: Connection, download: Download, location: str) -> bool:
        """Set the connection up for the address that it was sent to. Raises Failure."""
        candidate = connection.candidate
        assert candidate is not None
        connection.hops += 1
        if not location:
            text = t("{host} redirects without saying where", host=connection.host)
            raise Failure("refused", text)
        if connection.hops > MAX_REDIRECTS:
            raise Failure("refused", t("{host} redirects without end", host=connection.host))
        url = self.network.redirected(connection.url, location)
        connection.host = host_of(url)
        if self._debug:
            _log.debug("%s: redirected to %s", download.label, public_url(url))
        self.hosts.check(self.hosts.get(connection.host))
        connection.aim(url, candidate)
        return True

    def _act(self, connection: Connection, download: Download, outcome: RequestOutcome) -> None:
        """Do what the end of a request asks for."""
        match outcome:
            case Whole():
                host = self.hosts.get(connection.host)
                self.hosts.answered(host)
                if flow := connection.flow():
                    self._stragglers.ended(flow)
                self._body_done(connection, download)
            case NextPart():
                self._queue.first(download)
            case _:
                self._decide(download, self._recovery.decide(connection, download, outcome))

    def _decide(self, download: Download, decision: Decision) -> None:
        """Do what recovery has decided."""
        match decision:
            case Again(seconds, cut, first):
                if cut:
                    self._connections.cut(download)
                if first:
                    self._queue.first(download)
                elif seconds > 0:
                    self._queue.later(download, seconds)
                else:
                    self._queue.add([download])
            case Failed(problem):
                self._connections.cut(download)
                self.failed.append((download, problem))
                self._sharing.failed(download)
                _log.info("%s: failed: %s", download.label, problem.message)
                if download.elsewhere:
                    self.progress.elsewhere(download.expected)
                else:
                    self.progress.file_failed(download.artifact, download.file, problem)

    def _heed_limit(self, connection: Connection) -> None:
        """A host that counts requests tells with each answer how many more there may be."""
        found = allowance(connection.headers())
        if found is not None:
            self.hosts.allowed(self.hosts.get(connection.host), found)

    # Bodies

    def _body_done(self, connection: Connection, download: Download) -> None:
        segment = connection.segment
        if segment is None:
            self._small_body_done(connection, download)
            return
        partial = connection.partial
        if not connection.begun and segment.at != download.file.size:  # an empty body
            connection.begin()
            if connection.stopped is not None or connection.aside:
                self._act(connection, download, outcome_of(connection, 0, ""))
                return
        if segment.stop is not None and not segment.whole:
            self._act(connection, download, self._too_short(connection, download, segment))
        elif connection.unpacker is not None and not connection.unpacker.whole:
            self._act(connection, download, TakeRaw(damaged(connection.host)))
        elif segment.stop is None or partial.complete:
            self._complete(download, partial)
        else:
            self._queue.first(download)  # the connection is free for the next range

    @staticmethod
    def _too_short(connection: Connection, download: Download, segment: Segment) -> RequestOutcome:
        """What it means that an answer has ended before all was there that was asked for."""
        got, wanted = connection.received, (segment.stop or 0) - connection.offset
        text = t(
            "{host} sent {got:,} of {wanted:,} bytes",
            host=connection.host,
            got=got,
            wanted=wanted,
        )
        failure = Failure("network", text)
        if download.unmeasured is not None:
            return Mismatch(download.unmeasured)
        if connection.promised == segment.at:  # a part of the range, and said to be
            return NextPart() if got >= WORTHWHILE else WithoutRange(failure)
        return Retry(failure)

    def _small_body_done(self, connection: Connection, download: Download) -> None:
        data = b"".join(connection.chunks)
        download.received += len(data)
        headers = connection.headers()
        download.declared = headers.get("content-type", "")
        coded = codings(headers) if download.decode != "libcurl" else ()
        if coded:
            data = without_coding(download.file, data, coded)
            download.coded = () if can_unpack(coded) else coded
        self._backends.commit(Arrived(download, download.candidate.origin, data=data))

    def _complete(self, download: Download, partial: PartialFile) -> None:
        """Every byte of a large body is there: what is left is its digest."""
        self._connections.cut(download)  # others may have brought their last bytes in this turn
        self._connections.ranged.pop(download, None)
        download.settled, download.proven, download.came = True, False, partial.got
        written = partial.frontier
        arrived = Arrived(download, download.candidate.origin, path=partial.part.path)
        try:
            tail = partial.finish()
        except Failure as failure:
            self._decide(download, self._recovery.fail(download, failure))
            return
        download.partial = None
        self._backends.finish_digest(arrived, tail, written)

    # Hearing

    def _hear(self, answers: Iterable[Answer]) -> None:
        """Deal with what the backends answer."""
        for answer in answers:
            match answer:
                case Addressed(download, candidate):
                    download.deferred, download.addressing = candidate, False
                    self._queue.add([download])
                case Fetched(arrived):
                    arrived.download.addressing = False
                    self._backends.commit(arrived)
                case Lost(download, failure):
                    download.addressing = False
                    if download.settled:  # others have brought all of it, or it has failed
                        _log.debug("%s: not needed any more: %s", download.label, failure.message)
                        continue
                    self._decide(download, self._recovery.give_up_candidate(download, failure))
                case NotOffered(download, candidate):
                    others = [one for one in download.candidates if one != candidate]
                    download.candidates = others
                    self._queue.add([download])
                case Returned(downloads):
                    self._queue.add(downloads)
                case AskedToWait(host, seconds, status):
                    self._recovery.asked_to_wait(host, seconds, status)
                case Committed(batch):
                    self._committed(batch)
                case Refused(arrived, failure):
                    self._decide(arrived.download, self._recovery.refused(arrived, failure))

    def _committed(self, batch: list[Delivered]) -> None:
        """A batch is in the store, and placed."""
        self._sharing.committed(batch)
        for item in batch:
            download = item.download
            if self._debug:
                _log.debug("%s: %d bytes from %s", download.label, item.size, item.origin)
            self.progress.file_done(
                download.artifact,
                download.file,
                item.downloaded,
                item.origin,
                download.expected,
                item.size,
                download.copied,
            )
            if download.part is not None or download.partial is not None:
                self._partials.drop(download)
            # Begun before its digest was known, and not gone on with.
            if download.key and self.store.has_left:
                self.store.drop_left(download.place_key)

    # Looking around

    def _share(self) -> None:
        """Take what other runs have brought, and what they let go of."""
        arrived, free = self._sharing.look()
        for item in arrived:
            self._backends.commit(item)
        self._queue.add(free)
        for download in self._sharing.lost(self._partials.begun):
            _log.info("%s: another run has taken it over", download.label)
            self._connections.cut(download)
            self._partials.close(download)
            download.settled = True

    def _review(self) -> None:
        """Now and then: are more connections worth having, is a place too slow?"""
        now = time.monotonic()
        if now - self._reviewed < _REVIEW_SECONDS:
            return
        self._reviewed = now
        spare = {
            place.name
            for download in self._connections.ranged
            if download.partial and download.partial.has_next()
            if (place := self._place_of(download)) is not None
        }
        self.hosts.review(lambda host: host.name in spare)
        self._ask_again(now)
        for download in {connection.download for connection in self._connections.busy}:
            assert download is not None
            if download.index + 1 < len(download.candidates):
                self._consider_overtaking(download, now)

    def _ask_again(self, now: float) -> None:
        """Ask for what comes far too slowly on another connection; what came is kept."""
        flows = {one: flow for one in self._connections.busy if (flow := one.flow())}
        by_key = {flow.key: one for one, flow in flows.items()}
        for slow in self._stragglers.find(flows.values()):
            connection = by_key[slow.key]
            download, host = connection.download, self._connections.busy.get(connection)
            if download is None or host is None:  # cut off meanwhile
                continue
            if host.down or max(host.not_before, download.retry_at) > now or download.renewing:
                continue
            _log.info(
                "%s: %s/s from %s, where %s/s is usual: once more on another connection",
                download.label,
                human_bytes(slow.rate),
                host.name,
                human_bytes(slow.usual) if slow.usual else "?",
            )
            self._connections.remove(connection)
            try:
                try:
                    self._partials.keep(connection, download)
                finally:
                    self._connections.release(connection)
                download.fresh = True
                self._dispatch(download)
            except Failure as failure:
                self._decide(download, self._recovery.give_up_candidate(download, failure))

    def _consider_overtaking(self, download: Download, now: float) -> None:
        found = self._connections.of(download)
        if any(now - one.began < _YOUNG_SECONDS or one.aside for one in found):
            return
        rate = sum(one.received / (now - one.began) for one in found)
        there = download.partial.got if download.partial is not None else found[0].received
        size = download.file.size
        left = (size if size is not None else 1 << 40) - there
        decision = self._recovery.overtake(download, rate, left)
        if decision is not None:
            self._decide(download, decision)
