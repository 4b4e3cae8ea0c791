"""The configuration of Stable Diffusion's nets, read from the shapes of their tensors.

Single files carry none. What shapes do not tell is as the published models have it: 8 heads where
projections are convolutions, else heads of 64. Syntax of Python 3.8.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from fetcher.verify.weights.diffusion_names import Shapes

    Config = dict[str, Any]

_HEAD = 64
_HEADS = 8
_TIME = 256 * 6  # numbers for sizes and crops, beside the text's, that SDXL is given


class UnknownShapesError(ValueError):
    """The tensors are not those of a net that is known here."""


def unet(shapes: Shapes) -> Config:
    """Return the parameters of a net's `unet_config`; names are those without a prefix.

    Raises UnknownShapesError, and ProbeError for one that is not whole.
    """
    first = _of(shapes, "input_blocks.0.0.weight", family=True)
    widths, attended, depths = _blocks(shapes)
    model = first[0]
    middle = re.compile(r"middle_block\.1\.transformer_blocks\.(\d+)\.")
    depths[-1] = depths[-1] or 1 + max(
        (int(m[1]) for n in shapes if (m := middle.match(n))), default=0
    )
    found: Config = {
        "in_channels": first[1],
        "out_channels": shapes.get("out.2.weight", (4,))[0],
        "model_channels": model,
        "num_res_blocks": 2,
        "channel_mult": [width // model for width in widths],
        "attention_resolutions": [2**n for n, attends in enumerate(attended) if attends],
        "transformer_depth": depths,
        "context_dim": next(
            (shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None
        ),
    }
    projections = [shape for name, shape in shapes.items() if name.endswith("1.proj_in.weight")]
    if projections and len(projections[0]) == 2:
        found.update(use_linear_in_transformer=True, num_head_channels=min(_HEAD, model))
    else:
        found["num_heads"] = _HEADS
    if "label_emb.0.0.weight" in shapes:
        found.update(num_classes="sequential", adm_in_channels=shapes["label_emb.0.0.weight"][1])
    return found


def _blocks(shapes: Shapes) -> tuple[list[int], list[bool], list[int]]:
    """Return width, whether there is attention, and its depth, for each size of the picture."""
    widths, attended, depths = [0], [False], [0]
    numbers = sorted({int(m[1]) for n in shapes if (m := re.match(r"input_blocks\.(\d+)\.", n))})
    if numbers != list(range(len(numbers))):
        lost = min(set(range(numbers[-1])) - set(numbers))
        raise ProbeError(f"input_blocks.{lost} is missing", "the file is not whole: fetch it again")
    for number in numbers[1:]:
        if f"input_blocks.{number}.0.op.weight" in shapes:
            widths.append(0)
            attended.append(False)
            depths.append(0)
            continue
        widths[-1] = _of(shapes, f"input_blocks.{number}.0.out_layers.3.weight")[0]
        blocks = {
            int(m[1])
            for name in shapes
            if (m := re.match(rf"input_blocks\.{number}\.1\.transformer_blocks\.(\d+)\.", name))
        }
        if blocks:
            attended[-1], depths[-1] = True, len(blocks)
    if not all(widths):
        raise ProbeError(
            f"input_blocks.{len(numbers)} is missing", "the file is not whole: fetch it again"
        )
    return widths, attended, depths


def vae(shapes: Shapes) -> Config:
    """Return the configuration of an autoencoder as diffusers has it; names without a prefix.

    Raises UnknownShapesError, and ProbeError for one that is not whole.
    """
    ch = _of(shapes, "encoder.conv_in.weight", family=True)
    numbers = [int(m[1]) for n in shapes if (m := re.match(r"encoder\.down\.(\d+)\.", n))]
    levels = 1 + max(numbers, default=-1)
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": ch[1],
        "out_channels": _of(shapes, "decoder.conv_out.weight")[0],
        "latent_channels": _of(shapes, "decoder.conv_in.weight")[1],
        "block_out_channels": [
            _of(shapes, f"encoder.down.{n}.block.0.conv2.weight")[0] for n in range(levels)
        ],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": "quant_conv.weight" in shapes,
        "use_post_quant_conv": "post_quant_conv.weight" in shapes,
        "layers_per_block": 1
        + max(int(m[1]) for n in shapes if (m := re.match(r"encoder\.down\.0\.block\.(\d+)\.", n))),
    }


def text_width(adm: int) -> int:
    """Return how wide the pooled text is that a net of SDXL's kind is given."""
    return adm - _TIME


def control(shapes: Shapes) -> Config:
    """Return the configuration of a ControlNet as diffusers has it. Raises UnknownShapesError."""
    found = unet(shapes)
    widths = [found["model_channels"] * factor for factor in found["channel_mult"]]
    attended = {2**n for n in range(len(widths))} & set(found["attention_resolutions"])
    linear = "num_head_channels" in found
    hints = [shapes[f"input_hint_block.{n}.weight"] for n in (0, 4, 8, 12) if _hint(n, shapes)]
    pooled = found.get("adm_in_channels")
    large = found["context_dim"] in (1280, 2048)
    return {
        "_class_name": "ControlNetModel",
        "in_channels": found["in_channels"],
        "conditioning_channels": hints[0][1] if hints else 3,
        "conditioning_embedding_out_channels": [shape[0] for shape in hints],
        "block_out_channels": widths,
        "down_block_types": [
            "CrossAttnDownBlock2D" if 2**n in attended else "DownBlock2D"
            for n in range(len(widths))
        ],
        "layers_per_block": found["num_res_blocks"],
        "cross_attention_dim": found["context_dim"],
        "attention_head_dim": [max(1, one // _HEAD) for one in widths] if linear else _HEADS,
        "use_linear_projection": linear,
        "transformer_layers_per_block": found["transformer_depth"],
        "class_embed_type": "projection" if pooled and not large else None,
        "addition_embed_type": "text_time" if pooled and large else None,
        "addition_time_embed_dim": 256 if pooled and large else None,
        "projection_class_embeddings_input_dim": pooled,
    }


def _hint(number: int, shapes: Shapes) -> bool:
    return len(shapes.get(f"input_hint_block.{number}.weight", ())) == 4


def original(shapes: Shapes) -> Config:
    """Return what diffusers takes as the original configuration of a U-Net.

    Raises UnknownShapesError.
    """
    inner: Config = {
        "unet_config": {"params": unet(shapes)},
        "first_stage_config": {"params": {"ddconfig": {"ch_mult": [1, 2, 4, 4]}}},
    }
    return {"model": {"params": inner}}


def _of(shapes: Shapes, name: str, family: bool = False) -> tuple[int, ...]:
    """Return the shape of a convolution, which the net must have; by some its family is known."""
    if len(shapes.get(name, ())) != 4:
        if family:
            raise UnknownShapesError(f"it has no {name} of four dimensions")
        raise ProbeError(f"{name} is missing", "the file is not whole: fetch it again")
    return shapes[name]
