"""How much memory a probe will need, told from its weights before it is started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.verify.contract.dtypes import CODES, SHORT_NAMES
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.host import child_process
from fetcher.verify.weights.fileformat import ARRAY_SUFFIXES, SUFFIXES
from fetcher.verify.weights.safetensors_header import read_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fetcher.verify.contract.protocol import ProbeRequest

LIBRARIES = 600 * 1000 * 1000  # bytes: an interpreter with torch and transformers imported
_WORKING = 1.25  # activations, and copies while loading
_WIDTHS = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_MAPPED = frozenset(["state-dict", "gguf"])  # these map their files and hold a piece at a time


def memory_needed(request: ProbeRequest) -> int:
    """Return the bytes that the probe will hold at its peak, roughly."""
    sets = [request.files, *request.related.values()]
    weights = sum(_weights(files, request.dtype or request.options.get("dtype")) for files in sets)
    return LIBRARIES + int(weights * (0.1 if request.type in _MAPPED else _WORKING))


def _weights(files: Mapping[str, Path], dtype: object) -> int:
    """Return the bytes of one artifact's weights in memory; safetensors go before other formats."""
    paths = [path for name, path in files.items() if name.endswith(SUFFIXES + ARRAY_SUFFIXES)]
    safe = [path for path in paths if path.suffix == ".safetensors"]
    width = _WIDTHS.get(SHORT_NAMES.get(dtype, dtype)) if isinstance(dtype, str) else None
    return sum(_loaded(path, width) for path in safe or paths)


def _loaded(path: Path, width: int | None) -> int:
    try:
        size = path.stat().st_size
        if width is None or path.suffix != ".safetensors":
            return size
        stored = [CODES[entry.code][1] // 8 for entry in read_header(path).values()]
    except (OSError, ProbeError):
        return 0
    return size * width // max(stored, default=width) if max(stored, default=0) else size


def memory_available() -> int | None:
    """Return the bytes that new processes can have without swapping, None if unknown.

    A container's own limit counts where it is lower than the machine's.
    """
    found = [_meminfo(), _cgroup_room()]
    known = [size for size in found if size is not None]
    return min(known) if known else None


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:  # elsewhere: half of what is installed
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return None


def _cgroup_room() -> int | None:
    pairs = (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    )
    for limit, used in pairs:
        try:
            most, now = Path(limit).read_text().strip(), Path(used).read_text().strip()
        except OSError:
            continue
        if most.isdigit() and now.isdigit():
            return max(0, int(most) - int(now))
    return None


def gpu_memory_available(device: str) -> int | None:
    """Return the bytes that are free on the GPU that `device` means; 0 if none will be used.

    None if there is a GPU, but nobody can say how much of it is free.
    """
    if device == "cpu":
        return 0
    if device == "mps":
        return None
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0 if device == "auto" else None
    number = int(device.partition(":")[2] or 0)
    try:
        done = child_process.run(
            ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"], timeout=10
        )
        return int(done.out.split()[number]) * 1024 * 1024 if done.status == 0 else None
    except (OSError, ValueError, IndexError):
        return None
