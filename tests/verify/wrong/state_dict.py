"""Weight files, which the `state-dict` probe reads."""

from __future__ import annotations

from pathlib import Path

import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import save_file

from tests.verify.probing import request
from tests.verify.wrong import Case


def _weights() -> dict[str, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    return {f"layer.{n}.weight": torch.randn(8, 8, generator=source) for n in range(4)}


def whole(folder: Path) -> ProbeRequest:
    folder.mkdir()
    save_file(_weights(), folder / "w.safetensors")
    return request("state-dict", folder)


def with_nan(folder: Path) -> ProbeRequest:
    made = whole(folder)
    tensors = _weights()
    tensors["layer.1.weight"][2, 3] = float("nan")
    save_file(tensors, folder / "w.safetensors")
    return made


CASES = [
    Case("state-dict", "plain safetensors", whole),
    Case("state-dict", "a tensor that holds NaN", with_nan, whole, "layer.1.weight"),
]
