"""Which device a model runs on. Runs in the child."""

from __future__ import annotations

from typing import Any

from fetcher.verify.contract.probe_errors import ProbeError


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


def _has_mps(torch: Any) -> bool:
    backend = getattr(torch.backends, "mps", None)
    return backend is not None and bool(backend.is_available())
