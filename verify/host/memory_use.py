"""How much memory a process and its descendants hold, read from outside."""

from __future__ import annotations

import time
from pathlib import Path

from fetcher.verify.host import child_process

_STATUS_FIELDS = ("RssAnon:", "RssShmem:", "VmSwap:")
_SHARE_FIELDS = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
_LOOK_FOR_CHILDREN_EVERY = 1.0  # seconds
_PS_EVERY = 1.0  # seconds
_PS_SECONDS = 10.0


class MemoryMeter:
    """Measures the memory of one process tree in bytes.

    Pages of mapped files do not count: the kernel drops them when it needs the space, and a model
    of 100 GB may be mapped on a small machine. A limit inside the child would be RLIMIT_AS or
    RLIMIT_DATA, and both count address space that torch and CUDA reserve and never touch, or
    that maps a checkpoint; so the parent measures and kills.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tree = [pid]
        self._looked = time.monotonic()
        self._has_proc = Path("/proc/self/status").exists()
        self._last = (0.0, 0)
        self.peak = 0

    def over(self, limit: int | None) -> bool:
        """Measure now, keep the peak, and tell whether it is above `limit` bytes."""
        used = self._read_proc() if self._has_proc else self._read_ps()
        if limit is not None and used > limit and len(self._tree) > 1 and self._has_proc:
            # Forked workers share pages, which the quick sum counts once for each.
            used = sum(_kilobytes(pid, "smaps_rollup", _SHARE_FIELDS) for pid in self._tree)
        self.peak = max(self.peak, used)
        return limit is not None and used > limit

    def _read_proc(self) -> int:
        now = time.monotonic()
        if now - self._looked > _LOOK_FOR_CHILDREN_EVERY:
            self._tree = _descendants(self._pid)
            self._looked = now
        return sum(_kilobytes(pid, "status", _STATUS_FIELDS) for pid in self._tree)

    def _read_ps(self) -> int:
        # Elsewhere only the whole resident size of the process itself is easy to get.
        now = time.monotonic()
        if now - self._last[0] > _PS_EVERY:
            command = ["ps", "-o", "rss=", "-p", str(self._pid)]
            try:
                shown = child_process.run(command, timeout=_PS_SECONDS).out.strip()
            except OSError:
                shown = ""
            self._last = (now, int(shown) * 1024 if shown.isdigit() else 0)
        return self._last[1]


def _kilobytes(pid: int, file: str, fields: tuple[str, ...]) -> int:
    """Return the sum of some fields of a /proc file in bytes; 0 for a process that is gone."""
    try:
        lines = Path("/proc", str(pid), file).read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(fields))


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for children in Path("/proc", str(each), "task").glob("*/children"):
            try:
                found.extend(int(child) for child in children.read_text().split())
            except OSError:
                pass
    return found
