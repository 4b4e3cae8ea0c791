"""What the tensors of parts of diffusion models are called, and which part it is by them.

Two namings are in use: that of the first Stable Diffusion (`input_blocks.1.0 …`), and diffusers'
(`down_blocks.0 …`). Syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Shape = tuple[int, ...]
    Shapes = Mapping[str, Shape]

UNET, VAE, CONTROL = "model.diffusion_model.", "first_stage_model.", "control_model."

_LORA = re.compile(
    r"(?P<module>.+?)\.(lora(?:_linear_layer)?[._])?"
    r"(?P<part>up|down|lora_A|lora_B|A|B|alpha|dora_scale|hada_\w+|lokr_\w+|diff|diff_b|oft_\w+)"
    r"(\.default)?(\.weight)?"
)
_DOWN, _UP = ("down", "lora_A", "A"), ("up", "lora_B", "B")
_TRANSFORMERS = ("double_blocks.", "joint_blocks.", "transformer_blocks.", "single_blocks.")
# Places in the first Stable Diffusion's net where each block holds a residual part and attention.
_INPUT = re.compile(r"input_blocks[._](\d+)[._]1[._](.+)")
_OUTPUT = re.compile(r"output_blocks[._](\d+)[._]1[._](.+)")
_MIDDLE = re.compile(r"middle_block[._]1[._](.+)")
_LAYERS = 3  # of an input block: two, and what halves the size; of an output block: three


class Module(NamedTuple):
    """What a LoRA changes: the shapes of its halves, None where one is missing; others' names."""

    down: Shape | None
    up: Shape | None
    others: tuple[str, ...]


def kind_of(names: Iterable[str]) -> str:
    """Return the kind of part that tensors of these names are, '' if none is known."""
    held = set(names)

    def begins(*words: str) -> bool:
        return any(name.startswith(words) for name in held)

    if begins("image_proj.") and begins("ip_adapter."):
        return "ip-adapter"
    if lora_modules(dict.fromkeys(held, ())):
        return "lora"
    if begins(
        CONTROL,
        "input_hint_block.",
        "controlnet_cond_embedding.",
        "zero_convs.",
        "controlnet_blocks.",
    ):
        return "controlnet"
    if begins(UNET):
        whole = begins(VAE, "cond_stage_model.", "conditioner.", "text_encoders.", "vae.")
        return (
            "checkpoint" if whole else "unet" if begins(UNET + "input_blocks.") else "transformer"
        )
    if begins("adapter.body.", "adapter.conv_in.", "body.0.") and "body.0.weight" not in held:
        return "t2i-adapter"
    if begins(VAE) or (begins("decoder.conv_in.") and begins("encoder.conv_in.", "decoder.")):
        return "vae"
    if begins("input_blocks.") or (begins("down_blocks.") and begins("up_blocks.", "conv_out.")):
        return "unet"
    if begins(*_TRANSFORMERS):
        return "transformer"
    if begins("conv_first.", "params_ema.", "params.", "model.1.sub.", "body.0."):
        return "upscaler"
    if held & {"emb_params", "clip_l", "clip_g"} or begins("string_to_param."):
        return "textual-inversion"
    return "textual-inversion" if len(held) == 1 else ""


def lora_modules(shapes: Shapes) -> dict[str, Module]:
    """Return what a LoRA changes, by name; empty for what is none."""
    halves: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        match = _LORA.fullmatch(name)
        if match is not None and (_is_half(match)):
            halves.setdefault(match["module"], {})[match["part"]] = shape
    found = {}
    for module, parts in halves.items():
        down = next((parts[part] for part in _DOWN if part in parts), None)
        up = next((parts[part] for part in _UP if part in parts), None)
        others = tuple(part for part in parts if part not in (*_DOWN, *_UP))
        found[module] = Module(down, up, others)
    useful = [
        one
        for one in found.values()
        if one.down is not None or one.up is not None or set(one.others) - {"alpha"}
    ]
    return found if useful else {}


def _is_half(match: re.Match[str]) -> bool:
    """Tell whether a name is a LoRA's: old ones of diffusers end in `_lora.up.weight`."""
    old = match["module"].endswith("_lora")
    return bool(match[2]) or old or match["part"].startswith(_MARKS)


_MARKS = ("lora_", "alpha", "dora_", "hada_", "lokr_", "diff", "oft_")


def factors(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the tensors of each module of a LoRA that its change is the product of.

    Where one of them is zero, so is the change.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        match = _LORA.fullmatch(name)
        if match and _is_half(match) and match["part"] not in ("alpha", "dora_scale", "diff_b"):
            found.setdefault(match["module"], []).append(name)
    return found


def canonical(name: str) -> str:
    """Return the place that a LoRA's module, or a base's weight, has in diffusers' naming.

    Dots are underscores, and what part of the pipeline it is of stands first: `unet`,
    `text_encoder`, `text_encoder_2` or `transformer`.
    """
    name = name[: -len(".weight")] if name.endswith(".weight") else name
    name = name.replace(".processor.", ".")
    name = name[: -len("_lora")] if name.endswith("_lora") else name
    flat = name.replace(".", "_")
    for begin, part in _PARTS:
        if flat.startswith(begin):
            inside = flat[len(begin) :]
            return f"{part} {_of_unet(inside) if part == 'unet' else inside}"
    return f" {_of_unet(flat)}"


# The longest first. LoRA's names, then those of checkpoints.
_PARTS = (
    ("lora_unet_", "unet"), ("lora_te1_", "text_encoder"), ("lora_te2_", "text_encoder_2"),
    ("lora_te3_", "text_encoder_3"), ("lora_te_", "text_encoder"),
    ("lora_transformer_", "transformer"),
    ("base_model_model_", ""), ("unet_", "unet"), ("text_encoder_2_", "text_encoder_2"),
    ("text_encoder_3_", "text_encoder_3"), ("text_encoder_", "text_encoder"),
    ("transformer_transformer_blocks", "transformer transformer_blocks"),
    ("transformer_single_transformer_blocks", "transformer single_transformer_blocks"),
    ("diffusion_model_", "unet"), ("model_diffusion_model_", "unet"),
    ("cond_stage_model_transformer_", "text_encoder"),
    ("conditioner_embedders_0_transformer_", "text_encoder"),
    ("conditioner_embedders_1_model_", "text_encoder_2"),
)  # fmt: skip


def _of_unet(flat: str) -> str:
    match = _INPUT.fullmatch(flat)
    if match:
        number = int(match[1]) - 1
        return f"down_blocks_{number // _LAYERS}_attentions_{number % _LAYERS}_{match[2]}"
    match = _OUTPUT.fullmatch(flat)
    if match:
        number = int(match[1])
        return f"up_blocks_{number // _LAYERS}_attentions_{number % _LAYERS}_{match[2]}"
    match = _MIDDLE.fullmatch(flat)
    return f"mid_block_attentions_0_{match[1]}" if match else flat
