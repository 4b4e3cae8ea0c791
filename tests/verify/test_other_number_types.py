"""Right weights, saved anew in another number type, are those that were stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import load_file, save_file

from tests.verify.probing import golden_differences, run_in_this_process
from tests.verify.wrong import diffusion_part, mtcnn, state_dict, stylegan

_RIGHT = {
    "state-dict": state_dict.whole,
    "stylegan": stylegan.labelled,
    "mtcnn": mtcnn.all_three,
    "diffusion-part": diffusion_part.checkpoint,
}
_TYPES = (torch.float16, torch.bfloat16, torch.float64)


def _converted(made: ProbeRequest, dtype: torch.dtype) -> ProbeRequest:
    for path in made.files.values():
        safe = path.suffix == ".safetensors"
        tensors = load_file(path) if safe else torch.load(path, weights_only=True)
        other = {k: t.to(dtype) if t.is_floating_point() else t for k, t in tensors.items()}
        save_file(other, path) if safe else torch.save(other, path)
    return made


@pytest.mark.parametrize("dtype", _TYPES, ids=str)
@pytest.mark.parametrize("kind", _RIGHT)
def test_the_same_weights_in_another_type(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    make: Callable[[Path], ProbeRequest] = _RIGHT[kind]
    stored = run_in_this_process(make(tmp_path / "stored"))
    made = _converted(make(tmp_path / "m"), dtype)
    found = run_in_this_process(made)
    assert found.state == "passed", found.reason
    assert golden_differences(stored, found) == {}


def test_bits_are_compared_within_their_type(tmp_path: Path) -> None:
    stored = run_in_this_process(state_dict.codes(tmp_path / "stored"))
    kept = {one.name for one in stored.facts}
    assert {"w.safetensors: bits of integers", "w.safetensors: bits of float8_e4m3fn"} < kept
    made = state_dict.codes(tmp_path / "m")
    (path,) = made.files.values()
    tensors = load_file(path)
    eight = tensors["eight.weight"]
    save_file(
        {**tensors, "eight.weight": eight.bfloat16(), "counts": tensors["counts"].int()}, path
    )
    found = run_in_this_process(made)
    assert golden_differences(stored, found) == {}, "the same numbers, in other types"
    assert golden_differences(replace(stored, facts=()), found) == {}, "of an earlier release"
    save_file({**tensors, "eight.weight": eight.bfloat16().flip(0)}, path)
    assert golden_differences(stored, run_in_this_process(made))
    del tensors["bnb.weight"], tensors["layer.qweight"], tensors["layer.g_idx"]
    del tensors["attn.bias"], tensors["counts"]
    save_file(tensors, path)
    told = golden_differences(stored, run_in_this_process(made))
    assert told["w.safetensors: bits of integers"] == "it was not found"
