"""Whole processes, measured from outside: wall time, processor time, peak memory."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What one command cost. `seconds` is wall time, `cpu` user and system time."""

    seconds: float
    cpu: float


class CommandFailed(Exception):
    """A command that should be measured ended with an error."""


def run(argv: Sequence[str], environ: Mapping[str, str], folder: Path) -> Cost:
    """Run one command to its end. Raises CommandFailed with its last words."""
    log = folder / "output.log"
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=folder, env=dict(environ), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text("utf-8", "replace")[-2000:]
        raise CommandFailed(f"{argv[0]} ended with {process.returncode}:\n{tail}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime)


def have_memory(folder: Path, size: int) -> None:
    """Have memory at hand for `size` bytes that are written next.

    What is free, a virtual machine may have lent back: whoever uses it next would wait for it.
    """
    path = folder / "memory"
    block = bytes(1 << 20)
    with path.open("wb", buffering=0) as stream:
        for _ in range((size >> 20) + 1024):
            stream.write(block)
    path.unlink()


def peak_memory(argv: Sequence[str], environ: Mapping[str, str], folder: Path) -> int:
    """Peak of the memory of a command and all its processes together, in bytes.

    Shared pages are counted once (proportional set size, sampled), so this run is not timed.
    """
    process = subprocess.Popen(
        argv,
        cwd=folder,
        env=dict(environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_share, _session(process.pid))))
        time.sleep(0.02)
    if process.returncode:
        raise CommandFailed(f"{argv[0]} ended with {process.returncode}")
    return peak


def _session(leader: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            if os.getsid(int(path.name)) == leader:
                found.append(int(path.name))
    return found


def _share(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def median(costs: Sequence[Cost]) -> float:
    """The median of the wall times."""
    return statistics.median(cost.seconds for cost in costs)


def machine() -> dict[str, object]:
    """This machine in a few words, and how busy it is."""
    model = "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
