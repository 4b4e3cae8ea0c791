"""Whether the device is enough for what an artifact asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetcher.verify.contract.probe_errors import ProbeSkipped

if TYPE_CHECKING:
    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.protocol import ProbeRequest


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


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
