"""Weights that a folder holds twice, as safetensors and as pickles, and whether they are the same.

Libraries read the safetensors alone; whoever converts, trains on, or has an older release, reads
the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.context import describe
from fetcher.verify.contract.pickles import refused_globals
from fetcher.verify.contract.releases import SAFE_TORCH, version
from fetcher.verify.weights.fileformat import TORCH_ZIP, identify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.contract.foreign import Tensors
    from fetcher.verify.weights.safetensors_header import TensorEntry

    Headers = Mapping[Path, Mapping[str, TensorEntry]]

_RUN = 64  # values at each of three places of a tensor
_READ_WHOLE = 256 << 20  # bytes: older pickles cannot be mapped
# Two conversions of one value differ by rounding to the coarser type alone.
_ROUNDING = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 1e-6}
_SHOWN = 3


def warn_of_twins(safe: Headers, pickles: Sequence[tuple[str, Path]], context: Context) -> str:
    """Warn where pickled weights hold other values than the safetensors beside them.

    A few values of each tensor are compared, and the files mapped, not read. Returns in words what
    was compared; '' if nothing could be.
    """
    if not context.has("torch") or version(context.require("torch")) < SAFE_TORCH:
        return ""
    torch = context.require("torch")
    here = {name: (path, entry) for path, held in safe.items() for name, entry in held.items()}
    compared = 0
    for name, path in pickles:
        tensors, why = _open(torch, name, path)
        if why:
            context.warn("weights beside the safetensors", f"{name} was not compared: {why}")
            continue
        common = sorted(tensors.keys() & here.keys())
        other = [one for one in common if not _same(torch, *here[one], tensors[one])]
        compared += len(common)
        if other:
            context.warn(
                "weights beside the safetensors",
                f"{name} holds others: {len(other)} of {len(common)} tensors differ, such as "
                f"{', '.join(other[:_SHOWN])}; the safetensors were used",
                "leave it out of the artifact's `files`, or fetch both from one revision",
            )
    return f"compared in {compared:,} tensors" if compared else ""


def _open(torch: Any, name: str, path: Path) -> tuple[Tensors, str]:
    """Return a pickle's tensors, or why they cannot be had."""
    try:
        kind = identify(path, name)
        if kind != TORCH_ZIP and path.stat().st_size > _READ_WHOLE:
            return {}, "of its old format, so large a one is not read"
        refused = refused_globals(path)
        if refused:
            return {}, f"beside tensors it asks for {', '.join(refused[:_SHOWN])}"
        content = torch.load(
            str(path), map_location="cpu", weights_only=True, mmap=kind == TORCH_ZIP or None
        )
    except Exception as error:  # nobody reads it where safetensors are
        return {}, describe(error)
    if not isinstance(content, dict):
        return {}, "it holds no table of tensors"
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}, ""


def _same(torch: Any, path: Path, entry: TensorEntry, other: Any) -> bool:
    if tuple(other.shape) != entry.shape:
        return False
    dtype = getattr(torch, entry.dtype, None)
    if dtype is None or not other.numel() or not other.is_contiguous():
        return True
    size = torch.empty(0, dtype=dtype).element_size()
    flat = other.detach().reshape(-1)
    allowed = max(_ROUNDING.get(str(t).replace("torch.", ""), 0.0) for t in (dtype, other.dtype))
    with path.open("rb") as stream:
        for start in sorted({0, max(0, len(flat) // 2 - _RUN), max(0, len(flat) - _RUN)}):
            stream.seek(entry.begin + start * size)
            raw = bytearray(stream.read(min(_RUN, len(flat) - start) * size))
            one = torch.frombuffer(raw, dtype=dtype).double()
            two = flat[start : start + len(one)].double()
            scale = torch.maximum(one.abs(), two.abs())
            if bool(((one - two).abs() > allowed * scale + 1e-7).any()):
                return False
    return True
