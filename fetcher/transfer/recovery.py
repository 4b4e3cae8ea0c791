"""What to do when a place does not deliver: try again, wait, take another place, or give up.

Decides, and corrects what the download knows of its place; the engine does what is decided.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from fetcher.errors import Failure, Problem
from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import t
from fetcher.network.content_encoding import can_unpack, codings
from fetcher.network.retry import LONGEST_WAIT, backoff
from fetcher.network.session import Network
from fetcher.network.signed_links import ends_at
from fetcher.network.urls import host_of, public_url
from fetcher.sources.base import UrlCandidate
from fetcher.store.wrong_bytes import WrongBytes
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import MAX_RENEWALS, MAX_TRIES, Arrived, Download
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.links import Renew
from fetcher.transfer.outcomes import (
    Decode,
    Fatal,
    GiveUp,
    Mismatch,
    RequestOutcome,
    Retry,
    TakeRaw,
    Unreachable,
    Wait,
    WithoutRange,
)
from fetcher.transfer.resume import WORTHWHILE, PartialFiles
from fetcher.ui.units import human_bytes

_log = logging.getLogger(__name__)

_FATAL_CODES = {"disk-space", "permission"}
# A place is overtaken if another one is known to be so much faster …
_MUCH_FASTER = 3.0
# … or not known at all, while this one is so slow (bytes a second) and has so long to go (s).
_SLOW = 256 << 10
_LONG = 10.0
_MOST_OVERTAKINGS = 3
# Links that end sooner after they were given are like those that serve one request.
_YOUNG_LINK_SECONDS = 10.0
_LIES = {"digest-mismatch", "size-mismatch"}
# So much is received to see whether the length that a server tells is wrong, or its file.
_FEW_BYTES = 64 << 20


class Again(NamedTuple):
    """Begin the download again in so many seconds.

    `cut`: what is still asked for it ends first. `first`: it goes before all others.
    """

    seconds: float = 0.0
    cut: bool = True
    first: bool = False


class Failed(NamedTuple):
    """No place has delivered."""

    problem: Problem


Decision = Again | Failed


class Recovery:
    """Decides about downloads that went wrong."""

    def __init__(
        self,
        network: Network,
        hosts: Hosts,
        partials: PartialFiles,
        say: Callable[[str], None],
        wrong: WrongBytes,
    ) -> None:
        self.network = network
        self.wrong = wrong
        self.hosts = hosts
        self.partials = partials
        self._say = say
        self._told: set[tuple[str, str]] = set()

    # Another try of the same place

    def decide(
        self, connection: Connection, download: Download, outcome: RequestOutcome
    ) -> Decision:
        """What a request that did not bring what was asked for leads to."""
        match outcome:
            case Decode():
                return self.decode(connection, download)
            case TakeRaw(failure):
                return self.take_raw(download, failure)
            case WithoutRange():
                return self.without_range(connection, download, outcome)
            case Retry():
                return self.retry(connection, download, outcome)
            case Mismatch(failure):
                return self.mismatched(download, failure)
            case Wait():
                return self.wait(self.hosts.get(connection.host), download, outcome)
            case Unreachable():
                return self.unreachable(connection, download, outcome)
            case Renew(failure):
                return self.renew(connection, download, failure)
            case GiveUp(failure):
                return self.give_up_candidate(download, failure)
            case Fatal(failure):
                return self.fail(download, failure)
            case _:
                raise TypeError(f"nothing is to be recovered from {type(outcome).__name__}")

    def retry(self, connection: Connection, download: Download, outcome: Retry) -> Decision:
        """Try the same candidate again after a pause; progress earns new tries."""
        self._doubt_plain(download)
        host = self.hosts.get(connection.host)
        if host.active and not connection.status():  # no answer at all: it may bear no more
            host.pace.cap(host.active)
        aside = connection.aside
        self.partials.keep(connection, download)
        if outcome.anew:
            if download.partial is not None and download.partial.in_ranges:
                download.no_ranges = True
            else:
                download.anew = True
        now = time.monotonic()
        if now < download.retry_at:  # several requests of one body failed together: one try
            return Again(download.retry_at - now, cut=outcome.anew)
        # Pages and compressed bodies count as nothing.
        got = 0 if aside or download.decode else _got(connection, download)
        ahead = got >= download.furthest + WORTHWHILE
        download.furthest = max(download.furthest, got)
        download.tries = 1 if ahead else download.tries + 1
        if download.tries >= MAX_TRIES:
            return self.give_up_candidate(download, outcome.failure)
        if not ahead:
            download.forget_link()
        pause = backoff(download.tries) * (0.2 if ahead else 1.0)
        download.retry_at = now + pause
        why = outcome.failure.message
        _log.info("%s: %s; try %d in %.1f s", download.label, why, download.tries + 1, pause)
        return Again(pause, cut=outcome.anew)

    def without_range(
        self, connection: Connection, download: Download, outcome: WithoutRange
    ) -> Decision:
        """Ask for less at a time: one range, which goes on from what is there; then the whole."""
        otherwise = outcome.otherwise
        if otherwise is not None and not self._is_refusal(connection, download):
            if isinstance(otherwise, Wait):
                return self.wait(self.hosts.get(connection.host), download, otherwise)
            return self.retry(connection, download, otherwise)
        partial = download.partial
        if partial is None or not (partial.in_ranges and download.ranges):
            download.plain, download.plain_doubtful = True, otherwise is not None
        download.no_ranges = True
        download.tries += otherwise is not None
        download.forget_link()
        how = "as a whole" if download.plain else "in one stream"
        _log.info("%s: %s; asking %s", download.label, outcome.failure.message, how)
        return Again()

    @staticmethod
    def _is_refusal(connection: Connection, download: Download) -> bool:
        """Whether a fault that may pass has come so often that it is about the range."""
        if connection.began > download.range_refused_at:  # else of the same moment as others
            download.range_refusals += 1
            download.range_refused_at = time.monotonic()
        there = download.partial is not None and download.partial.got
        few = connection.status() and not there  # nothing is lost by trying
        return download.range_refusals >= (2 if few else MAX_TRIES - 2)

    @staticmethod
    def _doubt_plain(download: Download) -> None:
        """The whole is refused as the range was: what is there is gone on with."""
        if download.plain and download.plain_doubtful:
            download.plain = download.plain_doubtful = False
            download.range_refusals = 0

    def decode(self, connection: Connection, download: Download) -> Decision:
        """Once more, and the compression undone."""
        here = can_unpack(codings(connection.headers()))
        download.decode = "here" if here else "libcurl"
        return Again()

    def take_raw(self, download: Download, failure: Failure) -> Decision:
        """Once more, as the bytes come, unless that was wrong already."""
        if download.coded or download.undecodable:
            return self.mismatched(download, failure)
        download.decode, download.undecodable, download.anew = "", True, True
        return Again()

    def mismatched(self, download: Download, failure: Failure) -> Decision:
        """A damaged transfer is mended by another try; a server that lies is not.

        What the source itself has at a commit is what the file is: no mirror is asked for another.
        """
        download.settled = False
        place = download.candidate
        if download.coded and not download.decode and isinstance(place, UrlCandidate):
            download.decode = "here" if can_unpack(download.coded) else "libcurl"
            return Again()
        failure = download.unmeasured or failure
        if download.mismatched and isinstance(place, UrlCandidate):
            self._remember_wrong(download, place, failure)
        if download.mismatched and isinstance(place, UrlCandidate) and place.pinned:
            return self.fail(download, _contradicted(place, failure))
        if download.mismatched or not isinstance(place, UrlCandidate):
            return self.give_up_candidate(download, failure)
        _log.info("%s: %s; once more", download.label, failure.message)
        download.mismatched = True
        download.forget_link()
        size = download.file.size
        doubtful = failure.problem.code != "digest-mismatch" and not download.lengths_count
        if doubtful and download.key and size is not None and size <= _FEW_BYTES:
            download.unmeasured = failure
        return Again(backoff(1) * 0.2)

    def _remember_wrong(self, download: Download, place: UrlCandidate, failure: Failure) -> None:
        if download.key and failure.problem.code in _LIES:
            with suppress(Failure):
                self.hosts.get(host_of(self.network.rewrite(place.url))).wrong.add(download.key)
            self.wrong.keep(public_url(place.url), download.key)

    def is_remembered(self, download: Download) -> bool:
        """Whether the place to ask gave wrong bytes for this a while ago."""
        return bool(download.candidates) and self._wrong_ago(download) is not None

    def _wrong_ago(self, download: Download) -> float | None:
        place = download.candidate
        if not self.wrong or not download.key or not isinstance(place, UrlCandidate):
            return None
        return self.wrong.ago(public_url(place.url), download.key)

    def remembered(self, download: Download) -> Decision | None:
        """What to do instead of asking a place that gave wrong bytes for this a while ago."""
        place = download.candidate
        if not download.key or download.mismatched or not isinstance(place, UrlCandidate):
            return None
        ago = self._wrong_ago(download)
        if ago is None:
            host = self._host(download, download.index)
            # Another address of a host that has lied is believed after one try, or not at all.
            download.mismatched = host is not None and download.key in host.wrong
            return None
        text = t(
            "{url} gave wrong bytes for it {ago:.0f} s ago, and is not asked again so soon",
            url=public_url(place.url),
            ago=max(0.0, ago),
        )
        hint = t(
            "name another source or a mirror, wait {minutes} minutes, or ask it at once with "
            "FETCH_WRONG_BYTES_MINUTES=0",
            minutes=self.network.settings.wrong_bytes_minutes,
        )
        failure = Failure("digest-mismatch", text, hint)
        if place.pinned:
            return self.fail(download, failure)
        return self.give_up_candidate(download, failure)

    def refused(self, arrived: Arrived, failure: Failure) -> Decision:
        """A whole body is not what was asked for, or could not be written."""
        download = arrived.download
        download.settled = False
        own_part = download.part is not None and arrived.path == download.part.path
        fatal = failure.problem.code in _FATAL_CODES
        if own_part and not fatal:  # a whole part is kept: the next run places it
            download.restarts += 1
            self.partials.drop(download)
        elif arrived.path and not own_part:
            remove_quietly(arrived.path)
        if fatal:
            return self.fail(download, failure)
        if download.resumed:  # the fault may lie in what was there before
            download.resumed, download.no_parts = False, True
            return Again()
        return self.mismatched(download, failure)

    def unreachable(
        self, connection: Connection, download: Download, outcome: Unreachable
    ) -> Decision:
        """A host cannot be reached: patience if it has delivered before, or nobody else can."""
        host = self.hosts.get(connection.host)
        if host.active and not outcome.final:  # it bears the others, and no more
            host.pace.cap(host.active)
            return Again(backoff(1) * 0.2, cut=False)
        # A host that has delivered in this run is likelier to come back than one that never did.
        patience = MAX_TRIES - 1 if host.delivered else 2
        if download.index + 1 < len(download.candidates):
            patience = 2 if host.delivered else 0
        if outcome.final or download.tries >= patience:
            self.hosts.mark_down(host, outcome.failure)
            return self.give_up_candidate(download, outcome.failure)
        return self.retry(connection, download, Retry(outcome.failure))

    def renew(self, connection: Connection, download: Download, failure: Failure) -> Decision:
        """Ask for another link, as often as bytes come: one request asks, the others use it."""
        if not download.single_use and connection.link != download.link:  # another has seen to it
            return Again(cut=False)
        now = time.monotonic()
        if now < download.retry_at:
            return Again(download.retry_at - now, cut=False)
        got = download.partial.got if download.partial is not None else 0
        if got >= download.renewed_at + WORTHWHILE:
            download.refusals, download.renewed_at = 0, got
        download.refusals += 1
        if download.refusals > MAX_RENEWALS:
            if connection.ranged:  # it may be the range that is refused, by any link
                return self.without_range(connection, download, WithoutRange(failure))
            return self.give_up_candidate(download, failure)
        # One that served nobody else is for one request, unless its time may be over.
        young = connection.began - download.addressed_at < _YOUNG_LINK_SECONDS
        over = (ends_at(connection.url) or math.inf) <= time.time()
        alone = download.link_uses == 1 and young and not over
        download.single_use = download.single_use or alone
        download.renewing = not download.single_use
        first = download.refusals == 1
        download.forget_link()
        _log.info("%s: %s; asking for another link", download.label, failure.message)
        if first:
            return Again(cut=False, first=True)
        pause = backoff(download.refusals - 1)
        download.retry_at = now + pause
        return Again(pause, cut=False)

    def wait(self, host: Host, download: Download, outcome: Wait) -> Decision:
        """Being told to wait is no failed try, as long as the host delivers now and then."""
        self._doubt_plain(download)
        patient = self.hosts.ask_to_wait(host, outcome.seconds, outcome.status)
        if outcome.seconds is None:
            download.tries += 1
            tries = MAX_TRIES * (3 if outcome.status == 429 else 2)
            patient = patient and download.tries < tries
        if not patient:
            return self.give_up_candidate(download, outcome.failure)
        pause = host.not_before - time.monotonic() + backoff(1) * 0.2
        _log.info("%s: %s; again in %.1f s", download.label, outcome.failure.message, pause)
        return Again(pause, cut=False)

    def asked_to_wait(self, host: str, seconds: float | None, status: int) -> None:
        """A host asked whoever else asked it; one that asks for too long says so again."""
        if seconds is None or seconds <= LONGEST_WAIT:
            self.hosts.ask_to_wait(self.hosts.get(host), seconds, status)

    # Another place

    def give_up_candidate(self, download: Download, failure: Failure) -> Decision:
        """Take the next place that has the file, or fail."""
        download.settled = False
        if failure.problem.code in _FATAL_CODES:
            return self.fail(download, failure)
        old = download.candidate.origin if download.candidates else ""
        _log.info("%s: %s given up: %s", download.label, old or "it is", failure.message)
        if not download.key and download.part is not None:
            download.restarts += 1
            self.partials.drop(download)  # another place's bytes cannot be put to these
        if not download.next_candidate(failure):
            return self.fail(download)
        new = download.candidate.origin
        if old != new and not self.network.offline:
            self._tell(
                download,
                old,
                new,
                t("{message}; taking it from {new}", message=download.reasons[0].message, new=new),
            )
        return Again()

    def _tell(self, download: Download, old: str, new: str, text: str) -> None:
        """Say once that one place is left for another."""
        if (old, new) not in self._told:
            self._told.add((old, new))
            self._say(t("{artifact}: {text}", artifact=download.artifact, text=text))

    def prefer_fastest(self, download: Download) -> None:
        """Before the first try: of places that are equally welcome, the one known as fastest."""
        here = self._host(download, download.index)
        if here is None or download.tries or download.reasons or not here.speed:
            return
        if download.mismatched:  # the same place shows whether it lies or was damaged on the way
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
        _swap(download, best)

    def overtake(self, download: Download, rate: float, left: int) -> Decision | None:
        """Go on from another place if this one is slow; `rate` in bytes a second, `left` bytes."""
        here = self._host(download, download.index)
        if here is None or not download.key or download.overtaken >= _MOST_OVERTAKINGS:
            return None
        here.speed = min(here.speed or rate, rate)
        for index in range(download.index + 1, len(download.candidates)):
            host = self._host(download, index)
            if host is None or host.down or host is here:
                continue
            unknown = not host.speed and rate < _SLOW and left > rate * _LONG
            if unknown or (host.speed > rate * _MUCH_FASTER and left > rate * 2):
                return self._pass(
                    download,
                    index,
                    t("{host} is slow ({rate}/s)", host=here.name, rate=human_bytes(rate)),
                )
        return None

    def _pass(self, download: Download, index: int, slow: str) -> Decision:
        old = download.candidate.origin
        _swap(download, index)
        download.overtaken += 1
        download.tries = download.furthest = 0
        download.forget_place()
        new = download.candidate.origin
        _log.info("%s: %s; going on from %s", download.label, slow, new)
        self._tell(download, old, new, t("{slow}; going on from {new}", slow=slow, new=new))
        return Again(first=True)

    def _host(self, download: Download, index: int) -> Host | None:
        candidates = download.candidates
        candidate = candidates[index] if index < len(candidates) else None
        if not isinstance(candidate, UrlCandidate):
            return None
        try:
            return self.hosts.get(host_of(self.network.rewrite(candidate.url)))
        except Failure:
            return None

    # The end

    def fail(self, download: Download, failure: Failure | None = None) -> Failed:
        """No place has delivered."""
        download.settled = True
        self.partials.close(download)
        if failure is not None:
            download.reasons += (failure,)
        return Failed(download.problem())


def _contradicted(place: UrlCandidate, failure: Failure) -> Failure:
    if failure.problem.code not in {"digest-mismatch", "size-mismatch"}:
        return failure
    text = t(
        "{message}: so says {url} itself, twice, and a commit does not change",
        message=failure.message,
        url=public_url(place.url),
    )
    hint = t(
        "what the manifest or fetch.lock states is wrong, or a proxy changes what passes: do not "
        "trust it; an old mistake is corrected in the manifest, then `fetch lock --update NAME`"
    )
    return Failure(failure.problem.code, text, hint)


def _swap(download: Download, index: int) -> None:
    places, here = download.candidates, download.index
    if index != here:  # downloads may share one list
        new = list(places)
        new[here], new[index] = new[index], new[here]
        download.candidates = new


def _rank(download: Download, index: int) -> int:
    candidate = download.candidates[index]
    return candidate.rank if isinstance(candidate, UrlCandidate) else -1


def _got(connection: Connection, download: Download) -> int:
    """How many bytes of a download are there."""
    return connection.received if download.partial is None else download.partial.got
