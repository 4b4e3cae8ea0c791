"""What is known of each host in this run: unreachable, or asked us to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fetcher.errors import Failure
from fetcher.network import backoff

# So many waits without one answer in between, and the host will not come back in this run.
MAX_WAITS = 30


@dataclass
class Host:
    """One host's standing. `not_before` is a time.monotonic() value."""

    name: str
    not_before: float = 0.0
    waits: int = 0
    down: Failure | None = None
    delivered: bool = False


class Hosts:
    """Standing of every host that a run talks to."""

    def __init__(self, unreachable: dict[str, Failure], say: Callable[[str], None]) -> None:
        self._hosts: dict[str, Host] = {}
        self._unreachable = unreachable
        self._say = say

    def get(self, name: str) -> Host:
        """The host's standing; one that metadata requests found unreachable is down."""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(name, down=self._unreachable.get(name))
        return host

    def check(self, host: Host) -> None:
        """Raise why a host is not worth asking, if it is not."""
        if host.down:
            # One object is raised by many: it must not gather all their tracebacks.
            raise host.down.with_traceback(None)

    def ask_to_wait(self, host: Host, seconds: float | None, status: int) -> bool:
        """The host asked to slow down; False if it has asked too often without delivering."""
        now = time.monotonic()
        # Many answers of one storm come together: the first moves the time, and counts.
        if host.not_before <= now:
            host.waits += 1
            wait = max(seconds or 0.0, backoff(host.waits))
        else:
            wait = seconds or 0.0
        if now + wait > host.not_before + 0.5:
            if wait >= 2:
                self._say(f"{host.name} asks to wait {wait:.0f} s (HTTP {status})")
            host.not_before = now + wait
        return host.waits <= MAX_WAITS

    def answered(self, host: Host) -> None:
        """The host delivered: its next wait starts small again."""
        host.waits = 0
        host.delivered = True

    def mark_down(self, host: Host, failure: Failure) -> None:
        """Nobody else needs to find out that this host cannot be reached."""
        host.down = failure
        self._unreachable[host.name] = failure

    def waiting(self) -> list[str]:
        """Hosts that we wait for, with the seconds left."""
        now = time.monotonic()
        return [
            f"{host.name} ({host.not_before - now:.0f} s)"
            for host in self._hosts.values()
            if host.not_before > now + 1
        ]
