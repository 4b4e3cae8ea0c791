"""What to do when a place does not deliver: try again, wait, take another place, or give up."""

from __future__ import annotations

import time
from collections.abc import Callable

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import remove_quietly
from fetcher.network.retry import backoff
from fetcher.network.session import Network
from fetcher.network.urls import host_of
from fetcher.sources.base import UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.connection import Slot
from fetcher.transfer.download import MAX_TRIES, Arrived, Job
from fetcher.transfer.hashing import TailHasher
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.local_copy import read_validator, spool
from fetcher.transfer.outcomes import Retry, Unreachable, Wait, manual_hint
from fetcher.transfer.partial_file import Body
from fetcher.transfer.queue import Agenda
from fetcher.ui.progress import Progress
from fetcher.ui.units import human_bytes

# A try that got this much further than any before it earns new tries.
_PROGRESS = 16 << 10
_FATAL_CODES = {"disk-space", "permission"}
# A place is overtaken if another one is known to be so much faster …
_MUCH_FASTER = 3.0
# … or not known at all, while this one is so slow (bytes a second) and has so long to go (s).
_SLOW = 256 << 10
_LONG = 10.0
_MOST_OVERTAKINGS = 3


class Mending:
    """Decides about jobs that went wrong. `cut` ends all requests of a job."""

    def __init__(
        self,
        network: Network,
        store: Store,
        progress: Progress,
        hosts: Hosts,
        agenda: Agenda,
        cut: Callable[[Job], None],
    ) -> None:
        self.network = network
        self.store = store
        self.progress = progress
        self.hosts = hosts
        self.agenda = agenda
        self.failed: list[tuple[Job, Problem]] = []
        self.begun: set[Job] = set()  # jobs that have a partial file
        self.cut = cut
        self._told: set[tuple[str, str]] = set()

    # Another try of the same place

    def retry(self, slot: Slot, job: Job, verdict: Retry) -> None:
        """Try the same candidate again after a pause; progress earns new tries."""
        if job.small and job.file.key and not slot.aside and not job.decode:
            self._keep_small(slot, job)
        if verdict.anew:
            self.cut(job)
            if job.body is not None and job.body.in_ranges:
                job.no_ranges = True
            else:
                job.anew = True
        now = time.monotonic()
        if now < job.retry_at:  # several requests of one body failed together: one try
            self.agenda.later(job, job.retry_at - now)
            return
        # Pages and compressed bodies count as nothing.
        got = 0 if slot.aside or job.decode else _got(slot, job)
        ahead = got >= job.furthest + _PROGRESS
        job.furthest = max(job.furthest, got)
        job.tries = 1 if ahead else job.tries + 1
        if job.tries >= MAX_TRIES:
            self.give_up_candidate(job, verdict.failure)
            return
        job.deferred, job.landed = None, ""
        pause = backoff(job.tries) * (0.2 if ahead else 1.0)
        job.retry_at = now + pause
        self.agenda.later(job, pause)

    def open_body(self, job: Job, hasher: TailHasher) -> Body:
        """The job's partial file, ready for the next request. Raises Failure."""
        if job.body is None:
            if job.part is None:
                self._claim(job)
            assert job.part is not None
            job.body = Body(job, job.part, hasher)
        body = job.body
        if not body.busy:
            body.prepare()
            # Bytes of another run or place: if the digest is wrong, they may be why.
            job.resumed = job.resumed or (body.got > 0 and not job.ranges)
        return body

    def _claim(self, job: Job) -> None:
        """Make the partial file, or take over what a dead process has left of it."""
        key = job.file.key
        if not key:  # only the very same address can mean the same bytes
            url = job.candidate.url if isinstance(job.candidate, UrlCandidate) else ""
            key = f"{job.candidate.origin} {job.label} {url}"
        self.begun.add(job)
        try:
            job.part = self.store.claim_part(key)
        except OSError as error:
            raise from_os_error(error, f"writing into the store {self.store.root}") from error
        if not job.file.key:
            job.validator = read_validator(job.part)

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

    def mismatched(self, job: Job, failure: Failure) -> None:
        """A damaged transfer is mended by another try; a server that lies is not."""
        self.cut(job)
        job.settled = False
        if job.mismatched or not isinstance(job.candidate, UrlCandidate):
            self.give_up_candidate(job, failure)
            return
        job.mismatched, job.deferred, job.landed = True, None, ""
        self.agenda.later(job, backoff(1) * 0.2)

    def disproved(self, arrived: Arrived, failure: Failure) -> None:
        """A whole body is not what was asked for, or could not be written."""
        job = arrived.job
        job.settled = False
        own_part = job.part is not None and arrived.path == job.part.path
        if failure.problem.code in _FATAL_CODES:
            if arrived.path and not own_part:  # a whole part is kept: the next run places it
                remove_quietly(arrived.path)
            self.fail(job, failure)
            return
        if arrived.path:
            remove_quietly(arrived.path)
        if own_part:
            self.drop_part(job)
        if job.resumed:  # the fault may lie in what was there before
            job.resumed = False
            self.agenda.add([job])
        else:
            self.mismatched(job, failure)

    def unreachable(self, host: Host, slot: Slot, job: Job, verdict: Unreachable) -> None:
        """A host cannot be reached: patience if it has delivered before, or nobody else can."""
        # A host that has delivered in this run is likelier to come back than one that never did.
        patience = MAX_TRIES - 1 if host.delivered else 2
        if job.index + 1 < len(job.candidates):
            patience = 2 if host.delivered else 0
        if verdict.final or job.tries >= patience:
            self.hosts.mark_down(host, verdict.failure)
            self.give_up_candidate(job, verdict.failure)
        else:
            self.retry(slot, job, Retry(verdict.failure))

    def wait(self, host: Host, job: Job, verdict: Wait) -> None:
        """Being told to wait is no failed try, as long as the host delivers now and then."""
        patient = self.hosts.ask_to_wait(host, verdict.seconds, verdict.status)
        job.deferred, job.landed = None, ""
        if verdict.seconds is None:
            job.tries += 1
            patient = patient and job.tries < MAX_TRIES * (3 if verdict.status == 429 else 2)
        if patient:
            self.agenda.later(job, host.not_before - time.monotonic() + backoff(1) * 0.2)
        else:
            self.give_up_candidate(job, verdict.failure)

    # Another place

    def give_up_candidate(self, job: Job, failure: Failure) -> None:
        """Take the next place that has the file, or fail."""
        self.cut(job)
        job.settled = False
        if failure.problem.code == "not-a-file" and not failure.hint and job.candidates:
            failure = Failure("not-a-file", failure.message, manual_hint(job))
        if failure.problem.code in _FATAL_CODES:
            self.fail(job, failure)
            return
        old = job.candidate.origin if job.candidates else ""
        if not job.file.key and job.part is not None:
            self.drop_part(job)  # another place's bytes cannot be put to these
        if not job.next_candidate(failure):
            self.fail(job)
            return
        new = job.candidate.origin
        told = (old, new) in self._told or self.network.offline
        if not told and old != new:
            self._told.add((old, new))
            why = job.reasons[0].message
            self.progress.say(f"{job.artifact}: {why}; taking it from {new}")
        self.agenda.add([job])

    def prefer_fastest(self, job: Job) -> None:
        """Before the first try: of places that are equally welcome, the one known as fastest."""
        here = self._host(job, job.index)
        if here is None or job.tries or job.reasons or not here.speed:
            return
        rank = _rank(job, job.index)
        best, fastest = job.index, here.speed * 1.5
        for index in range(job.index + 1, len(job.candidates)):
            host = self._host(job, index)
            if host is None or host.down or _rank(job, index) != rank:
                continue
            if host.speed > fastest:
                best, fastest = index, host.speed
            elif not host.speed and here.speed < _SLOW and host.tried < 2:
                best = index
                host.tried += 1
                break
        self._swap(job, best)

    def overtake(self, job: Job, rate: float, left: int) -> bool:
        """Go on from another place if this one is slow; True if so. `rate` in bytes a second."""
        here = self._host(job, job.index)
        if here is None or not job.file.key or job.overtaken >= _MOST_OVERTAKINGS:
            return False
        here.speed = min(here.speed or rate, rate)
        for index in range(job.index + 1, len(job.candidates)):
            host = self._host(job, index)
            if host is None or host.down or host is here:
                continue
            unknown = not host.speed and rate < _SLOW and left > rate * _LONG
            if unknown or (host.speed > rate * _MUCH_FASTER and left > rate * 2):
                self._pass(job, index, here, rate)
                return True
        return False

    def _pass(self, job: Job, index: int, here: Host, rate: float) -> None:
        self.cut(job)
        old = job.candidate.origin
        self._swap(job, index)
        job.overtaken += 1
        job.tries = job.furthest = 0
        job.forget_place()
        new = job.candidate.origin
        if (old, new) not in self._told:
            self._told.add((old, new))
            slow = f"{here.name} is slow ({human_bytes(rate)}/s)"
            self.progress.say(f"{job.artifact}: {slow}; going on from {new}")
        self.agenda.first(job)

    @staticmethod
    def _swap(job: Job, index: int) -> None:
        places, here = job.candidates, job.index
        if index != here:  # jobs may share one list
            new = list(places)
            new[here], new[index] = new[index], new[here]
            job.candidates = new

    def _host(self, job: Job, index: int) -> Host | None:
        candidate = job.candidates[index] if index < len(job.candidates) else None
        if not isinstance(candidate, UrlCandidate):
            return None
        try:
            return self.hosts.get(host_of(self.network.rewrite(candidate.url)))
        except Failure:
            return None

    # The end

    def fail(self, job: Job, failure: Failure | None = None) -> None:
        """No place has delivered."""
        self.cut(job)
        job.settled = True
        if job.body is not None:
            job.body.close()
            job.body = None
        if failure is not None:
            job.reasons += (failure,)
        problem = job.problem()
        self.failed.append((job, problem))
        self.progress.file_failed(job.artifact, job.file, problem)

    def drop_part(self, job: Job) -> None:
        """Remove the partial file."""
        if job.body is not None:
            job.body.close()
            job.body = None
        if job.part is not None:
            self.store.drop_part(job.part)
            self.begun.discard(job)
        job.part, job.validator = None, ""


def _rank(job: Job, index: int) -> int:
    candidate = job.candidates[index]
    return candidate.rank if isinstance(candidate, UrlCandidate) else -1


def _got(slot: Slot, job: Job) -> int:
    """How many bytes of a job are there."""
    return slot.received if not isinstance(job.body, Body) else job.body.got
