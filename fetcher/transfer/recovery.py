"""What to do when a place does not deliver: try again, wait, take another place, or give up."""

from __future__ import annotations

import time
from collections.abc import Callable

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import remove_quietly
from fetcher.network.session import Network, backoff, host_of
from fetcher.sources.base import UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import MAX_TRIES, Arrived, Download
from fetcher.transfer.hashing import TailHasher
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.local_copy import read_validator, spool
from fetcher.transfer.outcomes import Retry, Unreachable, Wait, manual_hint
from fetcher.transfer.partial_file import PartialFile
from fetcher.transfer.queue import DownloadQueue
from fetcher.ui.progress import Progress, human_bytes

# A try that got this much further than any before it earns new tries.
_PROGRESS = 16 << 10
_FATAL_CODES = {"disk-space", "permission"}
# A place is overtaken if another one is known to be so much faster …
_MUCH_FASTER = 3.0
# … or not known at all, while this one is so slow (bytes a second) and has so long to go (s).
_SLOW = 256 << 10
_LONG = 10.0
_MOST_OVERTAKINGS = 3


class Recovery:
    """Decides about downloads that went wrong. `cut` ends all requests of a download."""

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        hosts: Hosts,
        queue: DownloadQueue,
        cut: Callable[[Download], None],
    ) -> None:
        self.network = network
        self.store = store
        self.progress = progress
        self.hosts = hosts
        self.queue = queue
        self.failed: list[tuple[Download, Problem]] = []
        self.begun: set[Download] = set()  # downloads that have a partial file
        self.cut = cut
        self._told: set[tuple[str, str]] = set()

    # Another try of the same place

    def retry(self, connection: Connection, download: Download, outcome: Retry) -> None:
        """Try the same candidate again after a pause; progress earns new tries."""
        if download.small and download.file.key and not connection.aside and not download.decode:
            self._keep_small(connection, download)
        if outcome.anew:
            self.cut(download)
            if download.partial is not None and download.partial.in_ranges:
                download.no_ranges = True
            else:
                download.anew = True
        now = time.monotonic()
        if now < download.retry_at:  # several requests of one body failed together: one try
            self.queue.later(download, download.retry_at - now)
            return
        # Pages and compressed bodies count as nothing.
        got = 0 if connection.aside or download.decode else _got(connection, download)
        ahead = got >= download.furthest + _PROGRESS
        download.furthest = max(download.furthest, got)
        download.tries = 1 if ahead else download.tries + 1
        if download.tries >= MAX_TRIES:
            self.give_up_candidate(download, outcome.failure)
            return
        download.deferred, download.landed = None, ""
        pause = backoff(download.tries) * (0.2 if ahead else 1.0)
        download.retry_at = now + pause
        self.queue.later(download, pause)

    def open_partial(self, download: Download, hasher: TailHasher) -> PartialFile:
        """The job's partial file, ready for the next request. Raises Failure."""
        if download.partial is None:
            if download.part is None:
                self._claim(download)
            assert download.part is not None
            download.partial = PartialFile(download, download.part, hasher)
        partial = download.partial
        if not partial.busy:
            partial.prepare()
            # Bytes of another run or place: if the digest is wrong, they may be why.
            download.resumed = download.resumed or (partial.got > 0 and not download.ranges)
        return partial

    def _claim(self, download: Download) -> None:
        """Make the partial file, or take over what a dead process has left of it."""
        key = download.file.key
        if not key:  # only the very same address can mean the same bytes
            url = download.candidate.url if isinstance(download.candidate, UrlCandidate) else ""
            key = f"{download.candidate.origin} {download.label} {url}"
        self.begun.add(download)
        try:
            download.part = self.store.claim_part(key)
        except OSError as error:
            raise from_os_error(error, f"writing into the store {self.store.root}") from error
        if not download.file.key:
            download.validator = read_validator(download.part)

    def _keep_small(self, connection: Connection, download: Download) -> None:
        """Keep what came of a small body that was cut off, if it is worth a request."""
        data = b"".join(connection.chunks)
        if len(data) < _PROGRESS or connection.status() not in {200, 206}:
            return
        if connection.headers().get("content-encoding", "identity") != "identity":
            return
        self._claim(download)
        assert download.part is not None
        download.received += len(data)
        spool(download.part, data)
        download.spooled = True

    def mismatched(self, download: Download, failure: Failure) -> None:
        """A damaged transfer is mended by another try; a server that lies is not."""
        self.cut(download)
        download.settled = False
        if download.mismatched or not isinstance(download.candidate, UrlCandidate):
            self.give_up_candidate(download, failure)
            return
        download.mismatched, download.deferred, download.landed = True, None, ""
        self.queue.later(download, backoff(1) * 0.2)

    def disproved(self, arrived: Arrived, failure: Failure) -> None:
        """A whole body is not what was asked for, or could not be written."""
        download = arrived.download
        download.settled = False
        own_part = download.part is not None and arrived.path == download.part.path
        if failure.problem.code in _FATAL_CODES:
            if arrived.path and not own_part:  # a whole part is kept: the next run places it
                remove_quietly(arrived.path)
            self.fail(download, failure)
            return
        if arrived.path:
            remove_quietly(arrived.path)
        if own_part:
            self.drop_part(download)
        if download.resumed:  # the fault may lie in what was there before
            download.resumed = False
            self.queue.add([download])
        else:
            self.mismatched(download, failure)

    def unreachable(
        self, host: Host, connection: Connection, download: Download, outcome: Unreachable
    ) -> None:
        """A host cannot be reached: patience if it has delivered before, or nobody else can."""
        # A host that has delivered in this run is likelier to come back than one that never did.
        patience = MAX_TRIES - 1 if host.delivered else 2
        if download.index + 1 < len(download.candidates):
            patience = 2 if host.delivered else 0
        if outcome.final or download.tries >= patience:
            self.hosts.mark_down(host, outcome.failure)
            self.give_up_candidate(download, outcome.failure)
        else:
            self.retry(connection, download, Retry(outcome.failure))

    def wait(self, host: Host, download: Download, outcome: Wait) -> None:
        """Being told to wait is no failed try, as long as the host delivers now and then."""
        patient = self.hosts.ask_to_wait(host, outcome.seconds, outcome.status)
        download.deferred, download.landed = None, ""
        if outcome.seconds is None:
            download.tries += 1
            patient = patient and download.tries < MAX_TRIES * (3 if outcome.status == 429 else 2)
        if patient:
            self.queue.later(download, host.not_before - time.monotonic() + backoff(1) * 0.2)
        else:
            self.give_up_candidate(download, outcome.failure)

    # Another place

    def give_up_candidate(self, download: Download, failure: Failure) -> None:
        """Take the next place that has the file, or fail."""
        self.cut(download)
        download.settled = False
        if failure.problem.code == "not-a-file" and not failure.hint and download.candidates:
            failure = Failure("not-a-file", failure.message, manual_hint(download))
        if failure.problem.code in _FATAL_CODES:
            self.fail(download, failure)
            return
        old = download.candidate.origin if download.candidates else ""
        if not download.file.key and download.part is not None:
            self.drop_part(download)  # another place's bytes cannot be put to these
        if not download.next_candidate(failure):
            self.fail(download)
            return
        new = download.candidate.origin
        told = (old, new) in self._told or self.network.offline
        if not told and old != new:
            self._told.add((old, new))
            why = download.reasons[0].message
            self.progress.say(f"{download.artifact}: {why}; taking it from {new}")
        self.queue.add([download])

    def prefer_fastest(self, download: Download) -> None:
        """Before the first try: of places that are equally welcome, the one known as fastest."""
        here = self._host(download, download.index)
        if here is None or download.tries or download.reasons or not here.speed:
            return
        rank = _rank(download, download.index)
        best, fastest = download.index, here.speed * 1.5
        for index in range(download.index + 1, len(download.candidates)):
            host = self._host(download, index)
            if host is None or host.down or _rank(download, index) != rank:
                continue
            if host.speed > fastest:
                best, fastest = index, host.speed
            elif not host.speed and here.speed < _SLOW and host.tried < 2:
                best = index
                host.tried += 1
                break
        self._swap(download, best)

    def overtake(self, download: Download, rate: float, left: int) -> bool:
        """Go on from another place if this one is slow; True if so. `rate` in bytes a second."""
        here = self._host(download, download.index)
        if here is None or not download.file.key or download.overtaken >= _MOST_OVERTAKINGS:
            return False
        here.speed = min(here.speed or rate, rate)
        for index in range(download.index + 1, len(download.candidates)):
            host = self._host(download, index)
            if host is None or host.down or host is here:
                continue
            unknown = not host.speed and rate < _SLOW and left > rate * _LONG
            if unknown or (host.speed > rate * _MUCH_FASTER and left > rate * 2):
                self._pass(download, index, here, rate)
                return True
        return False

    def _pass(self, download: Download, index: int, here: Host, rate: float) -> None:
        self.cut(download)
        old = download.candidate.origin
        self._swap(download, index)
        download.overtaken += 1
        download.tries = download.furthest = 0
        download.forget_place()
        new = download.candidate.origin
        if (old, new) not in self._told:
            self._told.add((old, new))
            slow = f"{here.name} is slow ({human_bytes(rate)}/s)"
            self.progress.say(f"{download.artifact}: {slow}; going on from {new}")
        self.queue.first(download)

    @staticmethod
    def _swap(download: Download, index: int) -> None:
        places, here = download.candidates, download.index
        if index != here:  # downloads may share one list
            new = list(places)
            new[here], new[index] = new[index], new[here]
            download.candidates = new

    def _host(self, download: Download, index: int) -> Host | None:
        candidate = download.candidates[index] if index < len(download.candidates) else None
        if not isinstance(candidate, UrlCandidate):
            return None
        try:
            return self.hosts.get(host_of(self.network.rewrite(candidate.url)))
        except Failure:
            return None

    # The end

    def fail(self, download: Download, failure: Failure | None = None) -> None:
        """No place has delivered."""
        self.cut(download)
        download.settled = True
        if download.partial is not None:
            download.partial.close()
            download.partial = None
        if failure is not None:
            download.reasons += (failure,)
        problem = download.problem()
        self.failed.append((download, problem))
        self.progress.file_failed(download.artifact, download.file, problem)

    def drop_part(self, download: Download) -> None:
        """Remove the partial file."""
        if download.partial is not None:
            download.partial.close()
            download.partial = None
        if download.part is not None:
            self.store.drop_part(download.part)
            self.begun.discard(download)
        download.part, download.validator = None, ""


def _rank(download: Download, index: int) -> int:
    candidate = download.candidates[index]
    return candidate.rank if isinstance(candidate, UrlCandidate) else -1


def _got(connection: Connection, download: Download) -> int:
    """How many bytes of a download are there."""
    return (
        connection.received
        if not isinstance(download.partial, PartialFile)
        else download.partial.got
    )
