"""Runs one child process to its end, whatever that is: time, memory and output are bounded."""

from __future__ import annotations

import os
import selectors
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fetcher.verify.host import child_process
from fetcher.verify.host.memory_use import MemoryMeter

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.host.child_process import Child

Cause = Literal["exit", "timeout", "memory", "interrupted"]

_POLL = 0.02  # seconds: a process fills some 100 MB in that time
_POLL_CLOSED = 0.002  # seconds, once its output is closed: it is about to end
_LAST_WORDS = 1.0  # seconds for the stack dump of a process that hangs
_TAIL = 64 * 1024  # bytes of output that are kept


@dataclass(frozen=True)
class Limits:
    """Bounds of a process: `timeout` in seconds, `memory` in bytes or None."""

    timeout: float
    memory: int | None


@dataclass(frozen=True)
class Ending:
    """How a process ended: why it was stopped, or `exit` if it ended by itself.

    `status` is its exit status, negative for a signal; `peak_memory` in bytes; `output` the last
    of what it printed.
    """

    cause: Cause
    status: int
    seconds: float
    peak_memory: int
    output: str


def run_bounded(
    command: Sequence[str],
    *,
    stdin: Path,
    folder: Path,
    environ: Mapping[str, str],
    limits: Limits,
    stop: threading.Event,
) -> Ending:
    """Run `command` in `folder` until it ends, exceeds a limit, or `stop` is set.

    Its whole process group is gone on return, also if an exception is raised.
    Raises OSError if it cannot be started.
    """
    begun = time.monotonic()
    # A group of its own: killed as one, deaf to the Ctrl-C.
    child = child_process.start(command, folder=folder, environ=environ, stdin=stdin, session=True)
    watched = _Watched(child)
    try:
        cause = watched.wait(begun + limits.timeout, limits.memory, stop)
        if cause == "timeout":
            watched.last_words()
    finally:
        watched.end()
    return Ending(
        cause, child.returncode, time.monotonic() - begun, watched.meter.peak, watched.text()
    )


class _Watched:
    """A started child with the tail of its output."""

    def __init__(self, child: Child) -> None:
        assert child.stdout is not None
        self.meter = MemoryMeter(child.pid)
        self._child = child
        self._pipe = child.stdout
        self._tail = b""
        self._open = True
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        os.set_blocking(self._pipe.fileno(), False)

    def wait(self, deadline: float, memory: int | None, stop: threading.Event) -> Cause:
        while not self._has_ended():
            if stop.is_set():
                return "interrupted"
            if time.monotonic() >= deadline:
                return "timeout"
            if self.meter.over(memory):
                return "memory"
            self._read(min(_POLL, max(0.0, deadline - time.monotonic())))
        return "exit"

    def last_words(self) -> None:
        """Let faulthandler print the stacks, to show where it hangs."""
        self._signal(signal.SIGABRT, group=False)
        until = time.monotonic() + _LAST_WORDS
        while not self._has_ended() and time.monotonic() < until:
            self._read(_POLL)

    def end(self) -> None:
        # Not reaped before, so the number of the group cannot be another's by now.
        self._signal(signal.SIGKILL, group=True)
        self._child.wait()
        while self._open and self._read(0):
            pass
        self._selector.close()
        self._pipe.close()

    def text(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def _has_ended(self) -> bool:
        if hasattr(os, "waitid"):
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._child.pid, options) is not None
        return self._child.poll() is not None

    def _signal(self, number: int, *, group: bool) -> None:
        try:
            (os.killpg if group else os.kill)(self._child.pid, number)
        except (ProcessLookupError, PermissionError):  # gone; macOS says EPERM for a zombie
            pass

    def _read(self, seconds: float) -> bool:
        """Wait for output at most so long, keep its tail, and tell whether there was any."""
        if not self._open:
            time.sleep(min(seconds, _POLL_CLOSED))
            return False
        if not self._selector.select(seconds):
            return False
        data = self._pipe.read(_TAIL)
        if not data:
            self._open = data is None
            if not self._open:
                self._selector.unregister(self._pipe)
            return False
        self._tail = (self._tail + data)[-_TAIL:]
        return True
