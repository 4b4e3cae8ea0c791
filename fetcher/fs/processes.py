"""Which process wrote something, and whether it still runs."""

from __future__ import annotations

import os
import re
import sys
import threading
from functools import lru_cache
from pathlib import Path


def host_name() -> str:
    """What this machine calls itself."""
    if hasattr(os, "uname"):  # a run with nothing to do needs no sockets: they cost 4 ms
        return os.uname().nodename
    import socket

    return socket.gethostname()


@lru_cache(maxsize=1)
def machine() -> str:
    """This machine, and on Linux the namespace in which process ids mean something."""
    name = host_name()[:40]
    try:
        name += "-" + os.readlink("/proc/self/ns/pid")
    except OSError:
        pass
    return re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-") or "host"


def _stat_of(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the name, [] where that cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def started(pid: int) -> str:
    """When a process of this machine began, in a form that only compares; "" if unknown."""
    fields = _stat_of(pid)
    return fields[19].decode("ascii", "replace") if len(fields) > 19 else ""


def alive(pid: int, began: str = "") -> bool:
    """Whether a process of this machine runs; with `began` (see `started`), whether it is that one.

    On Windows always true: there age alone decides.
    """
    if sys.platform == "win32":
        return True  # os.kill would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    # A container whose first process reaps nobody keeps the dead as zombies.
    fields = _stat_of(pid)
    if fields and fields[0] == b"Z":
        return False
    return not began or began == (started(pid) or began)


def may_fork() -> bool:
    """Whether this process may fork: on Linux, while no other thread runs."""
    return sys.platform == "linux" and threading.active_count() == 1


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
