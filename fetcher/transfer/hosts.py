"""What is known of each host in this run: how fast it is, how much it bears, when to come back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.retry import backoff

if TYPE_CHECKING:
    from fetcher.transfer.download import Download

# So many waits without one answer in between, and the host will not come back in this run.
MAX_WAITS = 30
_FEW = 4  # connections to begin with
_WINDOW_SECONDS = 0.5
_WORTH_IT = 1.08  # more connections stay if they make things this much faster
_HOLD_SECONDS = 5.0
_NEWEST = 0.3  # weight of the newest measurement in a host's speed
_NEAR_SECONDS = 0.001


@dataclass
class Pace:
    """How many connections to a host are worth having: more, while that makes things faster."""

    most: int
    limit: int = 0
    received: int = 0
    _since: float = 0.0
    _counted: int = 0
    _before: float = -1.0  # rate before the limit was raised; below 0 while none is on trial
    _hold: float = 0.0

    def __post_init__(self) -> None:
        self.limit = min(_FEW, self.most)

    def review(self, now: float, short: bool) -> None:
        """Look back at the last half second; `short` tells if more connections had work."""
        if now - self._since < _WINDOW_SECONDS:
            return
        # After a pause the window would be too long to mean anything.
        fresh = now - self._since < 4 * _WINDOW_SECONDS
        rate = (self.received - self._counted) / (now - self._since)
        self._since, self._counted = now, self.received
        if not fresh:
            self._before = -1.0
        elif self._before >= 0:
            if rate < self._before * _WORTH_IT:
                self.limit = max(1, self.limit // 2)
                self._hold = now + _HOLD_SECONDS
            self._before = -1.0
        elif short and self.limit < self.most and now >= self._hold:
            self._before = rate
            self.limit = min(self.most, self.limit * 2)

    def ease(self, now: float) -> None:
        """The host asked for patience: half as many from now on."""
        self.limit = max(1, self.limit // 2)
        self._before, self._hold = -1.0, now + 2 * _HOLD_SECONDS


@dataclass
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
    tried: int = 0  # downloads that were given to it to learn its speed
    queue: deque[Download] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it bears."""
        return self.active >= self.pace.limit

    def connected(self, seconds: float) -> None:
        """Learn from one connecting; other work of the loop can only have made it seem slow."""
        self.near = self.near or 0 < seconds < _NEAR_SECONDS

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
            while host.queue and host.active + len(found) < host.pace.limit:
                found.append(host.queue.popleft())
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

    def spent(self, host: Host, seconds: float) -> None:
        """The host's own count says that nothing is left for so long: better not to ask."""
        if time.monotonic() + seconds > host.not_before + 0.5:
            self._hold(host, seconds, t("its rate limit"))

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
