"""Which device a probe runs on, and whether it is enough. Runs in the child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.protocol import ProbeError, ProbeSkipped

if TYPE_CHECKING:
    from fetcher.verify.child.context import Context
    from fetcher.verify.contract.protocol import ProbeRequest


def choose(torch: Any, wanted: str) -> str:
    """Return `cpu`, `cuda:N` or `mps` for the device asked for; `torch` may be None for auto.

    Raises ProbeError if the device is not there.
    """
    gpus = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    mps = torch is not None and _has_mps(torch)
    if wanted == "auto":
        return "cuda:0" if gpus else "mps" if mps else "cpu"
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        if number >= gpus:
            found = f"{gpus} GPUs" if gpus != 1 else "one GPU, cuda:0"
            raise ProbeError(
                f"device {wanted} is not there: torch {torch.__version__} sees {found}",
                "use --device auto or cpu, or install a torch built for this GPU's driver",
            )
        return f"cuda:{number}"
    if wanted == "mps" and not mps:
        raise ProbeError("device mps is not there", "use --device auto or cpu")
    return wanted


def skip_if_unfit(request: ProbeRequest, context: Context) -> None:
    """Raise ProbeSkipped where the artifact asks for a GPU, or more GPU memory, than there is."""
    if not request.gpu_only and not request.min_vram:
        return
    device = context.device()
    if request.gpu_only and device == "cpu":
        raise ProbeSkipped("the model needs a GPU and the device is cpu", "run on a GPU machine")
    if request.min_vram and device.startswith("cuda"):
        torch = context.require("torch")
        there = torch.cuda.get_device_properties(device).total_memory
        if there < request.min_vram:
            raise ProbeSkipped(
                f"the model needs {_gib(request.min_vram)} of GPU memory, {device} has "
                f"{_gib(there)}"
            )


def _has_mps(torch: Any) -> bool:
    backend = getattr(torch.backends, "mps", None)
    return backend is not None and bool(backend.is_available())


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
