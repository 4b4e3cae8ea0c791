"""Work that the loop does not do itself: other threads and processes, which answer in one inbox."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fetcher.errors import Failure, from_os_error
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    ExtentsCandidate,
    PathCandidate,
    UrlCandidate,
    WheelCandidate,
    XetCandidate,
)
from fetcher.store.store import Store
from fetcher.transfer.body_hasher import Tail
from fetcher.transfer.body_writer import BodyWriter
from fetcher.transfer.committer import Committer
from fetcher.transfer.download import Arrived, Delivered, Download
from fetcher.transfer.inbox import (
    Addressed,
    Answer,
    AskedToWait,
    Committed,
    Fetched,
    Inbox,
    Lost,
    NotOffered,
    Refused,
    Returned,
)
from fetcher.transfer.worker_pool import FEWEST, PACKET, WorkerPool, can_be_used, eligible
from fetcher.transfer.worker_tasks import Asked
from fetcher.ui.meter import ASKING, CHECKING, DOWNLOADING, PLACING, WAITING, InFlight

if TYPE_CHECKING:  # few runs need these
    from fetcher.transfer.wheels import WheelCache
    from fetcher.transfer.xet import XetStorage


class _Handled:
    """What a thread does for a download that no connection brings: how far it is."""

    def __init__(self, state: str = ASKING) -> None:
        self.state = state
        self.path = ""  # the private file that it goes into

    @property
    def bytes(self) -> int:
        try:
            return os.stat(self.path).st_size if self.path else 0
        except OSError:
            return 0  # not made yet, or published

    def writes(self, path: str) -> None:
        """From now on its bytes come into this file."""
        self.path, self.state = path, DOWNLOADING


class Backends:
    """The helpers of one run. `on_batch` is called in the committer's thread."""

    def __init__(
        self,
        network: Network,
        store: Store,
        writer: BodyWriter,
        on_batch: Callable[[list[Delivered]], None],
        workers: WorkerPool | None = None,
    ) -> None:
        self.network = network
        self.store = store
        self.pending = 0  # downloads that somebody else has
        self._writer = writer
        self._inbox = Inbox()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="backend")
        self._wheels: WheelCache | None = None  # made with the first candidate that needs it
        self._xet: XetStorage | None = None
        self._committer = Committer(store, on_batch, self._inbox.put)
        self._workers = workers
        self._handled: dict[Download, _Handled] = {}

    def in_flight(self) -> list[InFlight]:
        """What threads bring, and what the committer has of it."""
        found = [self._look(*one) for one in self._handled.items()]
        return found if self._wheels is None else found + self._wheels.in_flight()

    def _look(self, download: Download, handled: _Handled) -> InFlight:
        size, state = download.file.size, handled.state
        expected = -1 if download.expected is None else download.expected
        found = InFlight(download.label, state, 0, size, download.received, expected=expected)
        if state in {CHECKING, PLACING}:
            there = handled.bytes if size is None else size
            return found._replace(
                state=PLACING if download.proven else CHECKING,
                bytes=there,
                size=there,
                received=found.received + download.copied,
            )
        candidate = download.candidate if download.candidates else None
        if isinstance(candidate, WheelCandidate) and self._wheels is not None:
            got = self._wheels.received(candidate.requirement)
            there = got if size is None else min(got, size)
            return found._replace(state=WAITING, host=candidate.requirement, bytes=there)
        if isinstance(candidate, XetCandidate) and self._xet is not None:
            got = self._xet.received_for(candidate.url)
            return found._replace(
                state=DOWNLOADING if got else ASKING, bytes=got, received=found.received + got
            )
        got = handled.bytes
        return found._replace(bytes=got, received=found.received + got)

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
                    if self._handled:
                        for item in batch:
                            self._handled.pop(item.download, None)
                case Fetched(arrived) | Refused(arrived, _):
                    self.pending -= 1
                    self._handled.pop(arrived.download, None)
                case Lost(download, _) | Addressed(download, _) | NotOffered(download, _):
                    self.pending -= 1
                    self._handled.pop(download, None)
            yield answer
        if self._committer.crash:
            raise self._committer.crash

    # Ending

    def end_work(self) -> None:
        """Bring nothing more; what arrived whole may still be committed."""
        if self._wheels is not None:
            self._wheels.close()
        if self._xet is not None:
            self._xet.stop()
        if self._workers is not None:
            self._workers.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._wheels is not None:
            self._wheels.remove()
        self._writer.close()

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
        self._workers.begin(self._committer.put_all, self._returned, self._asked)
        return self._workers

    def _returned(self, downloads: list[Download]) -> None:
        self._inbox.put(Returned(downloads))

    def _asked(self, asked: Asked) -> None:
        self._inbox.put(AskedToWait(*asked))

    def _send(self, workers: WorkerPool, downloads: list[Download]) -> None:
        self.pending += len(downloads)
        workers.send(downloads)

    def take(self, download: Download, candidate: Candidate) -> None:
        """Have a thread get what no URL leads to."""
        self.pending += 1
        handled = self._handled[download] = _Handled()
        if isinstance(candidate, WheelCandidate) and self._wheels is None:
            from fetcher.transfer.wheels import WheelCache

            self._wheels = WheelCache(self.store)
        if isinstance(candidate, XetCandidate) and self._xet is None:
            from fetcher.transfer.xet import XetStorage

            self._xet = XetStorage(self.network, self.store)
        network = self.network
        if download.refusals or download.single_use:  # what was listed before has run out
            network = network.renewing(download.addressed_at)
        self._threads.submit(self._work, download, candidate, network, handled)

    def commit(self, arrived: Arrived) -> None:
        """Hand a whole body to the committer."""
        self.pending += 1
        if arrived.path and arrived.digests is None:
            self._handled[arrived.download] = handled = _Handled(CHECKING)
            handled.path = arrived.path
        self._committer.put_all([arrived])

    def finish_digest(self, arrived: Arrived, tail: Tail, written: int) -> None:
        """Have a large body's last bytes hashed."""
        self.pending += 1
        self._writer.finish(tail, written, lambda: self._inbox.put(_hashed(arrived, tail)))

    # In other threads

    def _work(
        self, download: Download, candidate: Candidate, network: Network, handled: _Handled
    ) -> None:
        try:
            answer = self._get(download, candidate, network, handled)
        except Exception as error:
            answer = Lost(download, as_failure(error, download))
        self._inbox.put(answer)

    def _get(
        self, download: Download, candidate: Candidate, network: Network, handled: _Handled
    ) -> Answer:
        """Raises Failure, OSError."""
        from fetcher.transfer.local_copy import copy_of, copy_of_extents

        origin = candidate.origin
        match candidate:
            case DeferredCandidate():
                ready = candidate.prepare(network)
                download.addressed_at = time.monotonic()
                if isinstance(ready, UrlCandidate):
                    return Addressed(download, ready._replace(origin=origin))
                path = copy_of(ready.path, self.store, ready.link, handled.writes)
            case WheelCandidate(_, requirement, member):
                if self.network.offline:
                    raise Failure("offline", t("the package index may not be used"))
                assert self._wheels is not None
                return Fetched(self._wheels.take(download, origin, requirement, member))
            case XetCandidate():
                return self._from_xet(download, candidate)
            case ExtentsCandidate(_, extents):
                path = copy_of_extents(extents, self.store, handled.writes)
            case PathCandidate(_, source, link):
                path = copy_of(source, self.store, link, handled.writes)
            case _:
                raise TypeError(f"no backend for {type(candidate).__name__}")
        download.copied += handled.bytes
        return Fetched(Arrived(download, origin, path=path))

    def _from_xet(self, download: Download, candidate: XetCandidate) -> Answer:
        assert self._xet is not None
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
