"""State dicts in CompVis' VQGAN format: of any sizes without training, or wired to give pictures
back, which takes no training.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from fetcher.verify.nets.vqgan_sizes import VqganSizes

Tensors = dict[str, torch.Tensor]
_LIFT = 6.0  # where SiLU is nearly a straight line
_BESIDE = 4.0  # constant channels, by which a normalisation keeps the mean and the spread
_GRID = 8  # levels of each colour in the codebook


def sizes(**other: Any) -> VqganSizes:
    """A small one, f=4, that attends at its coarsest level."""
    given: dict[str, Any] = {
        "inputs": 3,
        "outputs": 3,
        "first": 64,
        "widths": (64, 64, 128),
        "blocks": 1,
        "attends": (False, False, True),
        "middle_attends": True,
        "resamples": True,
        "wide_shortcuts": False,
        "z": 3,
        "embedding": 3,
        "codes": _GRID**3,
        "gumbel": False,
    }
    return VqganSizes(**{**given, **other})


def filled(made: VqganSizes, seed: int = 0) -> Tensors:
    """As the constructor of the model leaves it, without training."""
    source = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in made.table().items():
        if name.startswith("quantize.emb"):
            found[name] = (torch.rand(shape, generator=source) * 2 - 1) / shape[0]
        elif len(shape) == 1:
            normal = ".norm" in name and name.endswith("weight")
            found[name] = torch.full(shape, float(normal))
        else:
            into = shape[1] * shape[2] * shape[3]
            found[name] = (torch.rand(shape, generator=source) * 2 - 1) / into**0.5
    return found


@lru_cache
def wired(made: VqganSizes | None = None, seed: int = 0) -> Tensors:
    """One that gives pictures back: each place's code is the mean colour of its pixels.

    Blocks and attention add a little noise of their own, as `seed` says. `made` has the widths of
    `sizes()`.
    """
    made = made or sizes()
    found = filled(made, seed)
    for name in found:
        if name.endswith((".conv2.weight", ".proj_out.weight")):
            found[name] *= 0.02
    colours, wide = made.inputs, {g: [(4 * g, 1.0), (4 * g + 1, -1.0)] for g in range(made.inputs)}
    pairs = {g: [(2 * g, 1.0), (2 * g + 1, -1.0)] for g in range(colours)}
    plain = {g: [(g, 1.0)] for g in range(64)}
    _wire(found, "encoder.conv_in", plain, colours)
    for level in (0, 1):
        _wire(found, f"encoder.down.{level}.downsample.conv", plain, 64, shrinks=True)
    _wire(found, "encoder.down.2.block.0.nin_shortcut", wide, colours)
    for g in range(colours):
        found["encoder.down.2.block.0.nin_shortcut.bias"][4 * g + 2] = _BESIDE
        found["encoder.down.2.block.0.nin_shortcut.bias"][4 * g + 3] = -_BESIDE
    found["encoder.norm_out.weight"].fill_(_BESIDE / 2**0.5)
    found["encoder.norm_out.bias"].fill_(_LIFT)
    _wire(found, "encoder.conv_out", {4 * g: [(g, 1.0)] for g in range(colours)}, 128, -_LIFT)
    _wire(found, "quant_conv", plain, made.moments * made.z)
    _wire(found, "post_quant_conv", plain, made.z)
    _wire(found, "decoder.conv_in", plain, made.z)
    _wire(found, "decoder.up.2.upsample.conv", plain, 64)
    _wire(found, "decoder.up.1.block.0.nin_shortcut", pairs, colours)
    _wire(found, "decoder.up.1.upsample.conv", plain, 64)
    found["decoder.norm_out.weight"].fill_(0.5)
    found["decoder.norm_out.bias"].fill_(_LIFT)
    _wire(found, "decoder.conv_out", {2 * g: [(g, 1.0)] for g in range(colours)}, 64, -_LIFT)
    if made.codes:
        _codebook(found, made)
    return found


def _wire(
    found: Tensors,
    name: str,
    to: dict[int, list[tuple[int, float]]],
    inputs: int,
    bias: float = 0.0,
    shrinks: bool = False,
) -> None:
    """Lead each channel, at the middle of the kernel or averaged over 2 x 2, to others."""
    weight = torch.zeros_like(found[f"{name}.weight"])
    middle = weight.shape[-1] // 2
    for channel, places in to.items():
        for place, gain in places:
            if channel < min(inputs, weight.shape[1]) and place < weight.shape[0]:
                if shrinks:
                    weight[place, channel, :2, :2] = gain / 4
                else:
                    weight[place, channel, middle, middle] = gain
    found[f"{name}.weight"] = weight
    found[f"{name}.bias"] = torch.full_like(found[f"{name}.bias"], bias)


def _codebook(found: Tensors, made: VqganSizes) -> None:
    line = torch.linspace(-1, 1, round(made.codes ** (1 / made.embedding)))
    book = torch.cartesian_prod(*[line] * made.embedding).view(made.codes, made.embedding)
    name = "quantize.embed.weight" if made.gumbel else "quantize.embedding.weight"
    found[name] = book
    if made.gumbel:  # a code scores as it is near
        found["quantize.proj.weight"] = 20 * book[:, :, None, None]
        found["quantize.proj.bias"] = -10 * book.square().sum(dim=1)
