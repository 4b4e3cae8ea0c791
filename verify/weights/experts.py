"""Keeps some numbers of experts: a text is read by a few of them, and the others show nowhere.

They are taken from the files, as releases put them together in other ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.weights.safetensors_header import TensorEntry

_WORD = ".experts."
_RUN = 16  # numbers, from the middle of each tensor
_APART = 2e-4  # of their spread


def keep(headers: Mapping[Path, Mapping[str, TensorEntry]], context: Context) -> None:
    """Keep a few numbers of each tensor that is of one expert, where files have such."""
    places = {
        name: (path, entry)
        for path, held in headers.items()
        for name, entry in held.items()
        if _WORD in name and entry.dtype in ("float16", "bfloat16", "float32", "float64")
    }
    if not places or not context.has("torch"):
        return
    torch = context.require("torch")
    kept = [_middle(torch, *places[name]) for name in sorted(places)]
    context.fingerprint("experts", torch.stack(kept), _APART)


def _middle(torch: Any, path: Path, entry: TensorEntry) -> Any:
    """Return numbers from the middle of a tensor, float32 of shape (16,)."""
    dtype = getattr(torch, entry.dtype)
    size = torch.empty(0, dtype=dtype).element_size()
    count = (entry.end - entry.begin) // size
    taken = min(_RUN, count)
    found = torch.zeros(_RUN)
    if taken:
        with path.open("rb") as stream:
            stream.seek(entry.begin + (count - taken) // 2 * size)
            found[:taken] = torch.frombuffer(bytearray(stream.read(taken * size)), dtype=dtype)
    return found.nan_to_num(0.0, 0.0, 0.0)
