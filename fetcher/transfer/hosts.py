"""What is known of each host in this run: how fast it is, how much it bears, when to come back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fetcher.errors import Failure
from fetcher.fs.processes import processors
from fetcher.i18n import t
from fetcher.network.retry import backoff

if TYPE_CHECKING:
    from fetcher.network.rate_limit import Allowance
    from fetcher.transfer.download import Download

# So many waits without one answer in between, and the host will not come back in this run.
MAX_WAITS = 30
_FEW = 4  # connections to begin with
_WINDOW_SECONDS = 0.5
_WORTH_IT = 1.08  # more connections stay if they make things this much faster
_HOLD_SECONDS = 5.0
_NEWEST = 0.3  # weight of the newest measurement in a host's speed
_NEAR_SECONDS = 0.001
_SOME = 16  # connections to a host that is far
FAR_SECONDS = 0.01
_TOO_ODD = 3
_ROUND_TRIPS = 8  # for a new connection to show its speed: TCP, TLS, the request, slow start


@dataclass(eq=False, repr=False)
class Pace:
    """How many connections to a host are worth having: more, while that makes things faster.

    `distance` is the shortest time that an answer took, in seconds, 0 while it is not known.
    """

    most: int
    limit: int = 0
    received: int = 0
    distance: float = 0.0
    _since: float = 0.0
    _counted: int = 0
    _before: float = -1.0  # rate before the limit was raised; below 0 while none is on trial
    _hold: float = 0.0
    _far: bool = False
    _settled: float = 0.0  # from then on what was raised last can show what it brings

    def __post_init__(self) -> None:
        self.limit = min(_FEW, self.most)

    def answered_in(self, seconds: float) -> None:
        """Learn how far the host is: where most of the time is waiting, more can wait at once."""
        if seconds <= 0:
            return
        unknown = not self.distance
        self.distance = min(seconds, self.distance or seconds)
        if unknown and self.distance >= FAR_SECONDS and self._hold == 0.0:
            self._far = True

    def bounded_here(self) -> None:
        """Nothing is waited for: begin with no more than there are processors for what comes."""
        if self.limit == _FEW:
            self.limit = min(_FEW, max(2, processors()))

    def review(self, now: float, short: bool) -> None:
        """Look back at the last half second; `short` tells if more connections had work."""
        if self._far:  # not with the first answer: the few that follow it show if its link holds
            self._far = False
            self.limit = max(self.limit, min(_SOME, self.most))
            self._settled = now + _ROUND_TRIPS * self.distance
        if now < self._settled:
            self._since, self._counted = now, self.received
            return
        if now - self._since < _WINDOW_SECONDS:
            return
        # After a pause the window would be too long to mean anything.
        fresh = now - self._since < 4 * _WINDOW_SECONDS
        rate = (self.received - self._counted) / (now - self._since)
        self._since, self._counted = now, self.received
        if not fresh:
            self._before = -1.0
            self._settled = now + _ROUND_TRIPS * self.distance
            return
        if self._before >= 0 and rate < self._before * _WORTH_IT:
            self.limit = max(1, self.limit // 2)
            self._hold = now + _HOLD_SECONDS
            self._before = -1.0
            return
        self._before = -1.0
        if short and self.limit < self.most and now >= self._hold:
            self._before = rate
            self.limit = min(self.most, self.limit * 2)
            self._settled = now + _ROUND_TRIPS * self.distance

    def cap(self, most: int) -> None:
        """The host refuses more connections than these, at least for now."""
        self.limit = max(1, min(self.limit, most))
        self._before, self._hold = -1.0, time.monotonic() + 2 * _HOLD_SECONDS

    def ease(self, now: float) -> None:
        """The host asked for patience: half as many from now on."""
        self.limit = max(1, self.limit // 2)
        self._before, self._hold = -1.0, now + 2 * _HOLD_SECONDS


@dataclass(eq=False, repr=False)
class Host:
    """One host's standing. `not_before` is a time.monotonic() value, `speed` in bytes a second."""

    name: str
    pace: Pace
    not_before: float = 0.0
    why: str = ""
    waits: int = 0
    down: Failure | None = None
    delivered: bool = False
    speed: float = 0.0
    active: int = 0
    near: bool = False  # a round trip takes next to no time
    wrong: set[str] = field(default_factory=set)  # contents that it gave wrong bytes for
    ranges: bool = False  # it was seen to serve them
    plain: bool = False  # it refuses them for what it gives as a whole
    as_expected: bool = False  # large bodies begin as they were asked for
    redirects: bool = False  # what it was asked for lies elsewhere
    odd: int = 0  # requests of receivers that it did not answer with just what was asked for
    tried: int = 0  # downloads that were given to it to learn its speed
    allows: int | None = None  # requests, up to `allows_until`, a time.monotonic() value
    allows_until: float = 0.0
    queue: deque[Download] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it bears."""
        return self.active >= self.most()

    def may_be_received(self, ranged: bool) -> bool:
        """Whether receivers may ask it for large bodies, or ranges of them, in place of libcurl."""
        served = self.ranges if ranged else self.as_expected
        return self.near and served and self.odd < _TOO_ODD

    def was_odd(self, for_good: bool) -> None:
        """A receiver did not get what it asked for; `for_good`: so it will be again."""
        self.odd += _TOO_ODD if for_good else 1

    def most(self) -> int:
        """How many connections it bears now: no more than it still allows requests."""
        if self.allows is None or time.monotonic() >= self.allows_until:
            return self.pace.limit
        # (Once nothing is left, `not_before` holds all.)
        return min(self.pace.limit, max(1, self.allows))

    def connected(self, seconds: float) -> None:
        """Learn from one connecting; other work of the loop can only have made it seem slow."""
        if not self.near and 0 < seconds < _NEAR_SECONDS:
            self.near = True
            self.pace.bounded_here()

    def answered_in(self, seconds: float) -> None:
        """Learn from the time that one answer took."""
        self.pace.answered_in(seconds)

    def measured(self, received: int, seconds: float) -> None:
        """Learn from one transfer."""
        if received and seconds > 0:
            rate = received / seconds
            known = self.speed
            self.speed = rate if not known else known + _NEWEST * (rate - known)


class Hosts:
    """Standing of every host that a run talks to."""

    def __init__(
        self, unreachable: dict[str, Failure], say: Callable[[str], None], most: int
    ) -> None:
        self._hosts: dict[str, Host] = {}
        self._unreachable = unreachable
        self._say = say
        self._most = most

    def get(self, name: str) -> Host:
        """The host's standing; one that metadata requests found unreachable is down."""
        host = self._hosts.get(name)
        if host is None:
            down = self._unreachable.get(name)
            host = self._hosts[name] = Host(name, Pace(self._most), down=down)
        return host

    def check(self, host: Host) -> None:
        """Raise why a host is not worth asking, if it is not."""
        if host.down:
            # One object is raised by many: it must not gather all their tracebacks.
            raise host.down.with_traceback(None)

    def released(self) -> list[Download]:
        """Downloads that waited for a connection, as far as their hosts bear more now."""
        found: list[Download] = []
        for host in self._hosts.values():
            begun: list[Download] = []
            most = host.most() if host.queue else 0
            while host.queue and host.active + len(begun) < most:
                begun.append(host.queue.popleft())
            found += begun
        return found

    def queued(self) -> int:
        """How many downloads wait for a connection."""
        return sum(len(host.queue) for host in self._hosts.values())

    def review(self, short: Callable[[Host], bool]) -> None:
        """Let every host's pace learn from what came."""
        now = time.monotonic()
        for host in self._hosts.values():
            host.pace.review(now, bool(host.queue) or short(host))

    def ask_to_wait(self, host: Host, seconds: float | None, status: int) -> bool:
        """The host asked to slow down; False if it has asked too often without delivering."""
        now = time.monotonic()
        # Many answers of one storm come together: the first moves the time, and counts.
        if host.not_before <= now:
            host.waits += 1
            host.pace.ease(now)
            wait = max(seconds or 0.0, backoff(host.waits))
        else:
            wait = seconds or 0.0
        if now + wait > host.not_before + 0.5:
            self._hold(host, wait, f"HTTP {status}")
        return host.waits <= MAX_WAITS

    def allowed(self, host: Host, told: Allowance) -> None:
        """The host's own count says how many requests are left: better not to ask for more."""
        now = time.monotonic()
        ends = now + told.seconds + 1
        same = now < host.allows_until and ends < host.allows_until + 2
        if same and host.allows is not None:  # answers come in any order
            host.allows = min(host.allows, told.left)
        else:
            host.allows, host.allows_until = told.left, ends
        if host.allows == 0 and host.allows_until > host.not_before + 0.5:
            self._hold(host, host.allows_until - now, t("its rate limit"))

    def _hold(self, host: Host, wait: float, why: str) -> None:
        if wait >= 2:
            self._say(
                t("{host} asks to wait {wait:.0f} s ({why})", host=host.name, wait=wait, why=why)
            )
        host.not_before = time.monotonic() + wait
        host.why = why

    def answered(self, host: Host) -> None:
        """The host delivered: its next wait starts small again."""
        host.waits = 0
        host.delivered = True

    def mark_down(self, host: Host, failure: Failure) -> None:
        """Nobody else needs to find out that this host cannot be reached."""
        host.down = failure
        self._unreachable[host.name] = failure

    def waiting(self) -> list[str]:
        """Hosts that we wait for, with the seconds left and the reason."""
        now = time.monotonic()
        return [
            t(
                "{host} ({left:.0f} s, {why})",
                host=host.name,
                left=host.not_before - now,
                why=host.why,
            )
            for host in self._hosts.values()
            if host.not_before > now + 1
        ]
