"""How much memory this process holds, and how it is given back."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from typing import Any

from fetcher.hardware.process_memory import resident_bytes


@dataclass(frozen=True)
class Reading:
    """Bytes: resident memory of the process (0 where unknown), and what torch holds on GPUs."""

    resident: int
    gpu: int


def read() -> Reading:
    """Measure now."""
    return Reading(resident_bytes(), _on_gpus("memory_allocated"))


def peak_gpu() -> int:
    """The most that torch has held on GPUs since `reset_peak`."""
    return _on_gpus("max_memory_allocated")


def reset_peak() -> None:
    """Begin a new peak."""
    if (torch := _cuda()) is not None:
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


def release() -> None:
    """Collect garbage and hand free memory back: the GPU's to the driver, the host's to the
    system.
    """
    gc.collect()
    if (torch := _cuda()) is not None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.ipc_collect()
    _release_mps(sys.modules.get("torch"))
    _trim()


def _release_mps(torch: Any) -> None:
    mps = getattr(getattr(torch, "backends", None), "mps", None)
    if mps is not None and mps.is_available():
        torch.mps.empty_cache()


def _trim() -> None:
    """glibc keeps freed blocks for later; this gives them back."""
    if sys.platform != "linux":
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _cuda() -> Any:
    """torch, if it is imported and has begun to use a GPU."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return torch if cuda is not None and cuda.is_available() and cuda.is_initialized() else None


def _on_gpus(measure: str) -> int:
    torch = _cuda()
    if torch is None:
        return 0
    return sum(int(getattr(torch.cuda, measure)(n)) for n in range(torch.cuda.device_count()))
