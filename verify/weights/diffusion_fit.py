"""Whether a part of a diffusion model is whole by itself, and whether it fits a base, by shapes.

Functions return complaints in words, none if all is well. Syntax of Python 3.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetcher.verify.weights.diffusion_names import CONTROL, UNET, canonical, lora_modules

if TYPE_CHECKING:
    from fetcher.verify.weights.diffusion_names import Shapes

_SHOWN = 3
_TEXT = ("text_model", "token_embedding", "embeddings_token_embedding")
_OTHER_NAMING = ("double_blocks", "single_blocks", "joint_blocks")


def lora(shapes: Shapes) -> list[str]:
    """Complain of a LoRA whose halves do not belong together."""
    told = []
    for name, one in lora_modules(shapes).items():
        if set(one.others) - {"alpha", "dora_scale", "diff", "diff_b"}:
            continue  # of another method, whose parts are not halves
        if one.down is None and one.up is None:
            if not {"diff", "diff_b"} & set(one.others):
                told.append(f"{name} has neither half")
        elif one.down is None or one.up is None:
            told.append(f"{name} has only its {'up' if one.down is None else 'down'} half")
        elif len(one.down) < 2 or len(one.up) < 2 or one.down[0] != one.up[1]:
            told.append(f"{name} has halves of {list(one.down)} and {list(one.up)}")
    return told


def against(kind: str, shapes: Shapes, base: Shapes) -> tuple[list[str], str]:
    """Complain of tensors that do not fit the weights of a base; also what was compared.

    `base` are the names of a checkpoint, or of a pipeline's parts behind their folders' names.
    """
    known = {canonical(name): shape for name, shape in base.items() if name.endswith(".weight")}
    if kind == "lora":
        return _lora_against(shapes, known)
    if kind == "ip-adapter":
        return _ip_adapter_against(shapes, known)
    if kind == "textual-inversion":
        return _words_against(shapes, known)
    return _shapes_against(shapes, known)


def _lora_against(shapes: Shapes, known: Shapes) -> tuple[list[str], str]:
    lost, wrong, fitting = [], [], 0
    for name, one in lora_modules(shapes).items():
        if one.down is None or one.up is None:
            continue
        weight = known.get(canonical(name))
        if weight is None:
            lost.append(name)
        elif (one.down[1], one.up[0]) != (weight[1] if len(weight) > 1 else 1, weight[0]):
            wrong.append(
                f"{name} is for {one.up[0]} x {one.down[1]}, the base has {_sides(weight)}"
            )
        else:
            fitting += 1
    told = wrong[:_SHOWN]
    # A text encoder that the base holds under other names says nothing.
    strange = [name for name in lost if not _elsewhere(name, known)]
    if strange:
        listed = ", ".join(strange[:_SHOWN])
        told.append(f"{len(strange)} modules are not in the base: {listed}")
    return told, f"{fitting} modules fit, {len(lost) - len(strange)} could not be compared"


def _elsewhere(name: str, known: Shapes) -> bool:
    """Tell whether a base has no part, or another naming for it, that a module could be of."""
    part, _, inside = canonical(name).partition(" ")
    if inside.startswith(_OTHER_NAMING) or not part:
        return not any(other.partition(" ")[2].startswith(_OTHER_NAMING) for other in known)
    same = [other for other in known if other.startswith(part + " ")]
    if part.startswith("text_encoder"):
        return not any("_self_attn_" in other for other in same)
    return not same


def _ip_adapter_against(shapes: Shapes, known: Shapes) -> tuple[list[str], str]:
    own = sorted(shape for name, shape in shapes.items() if name.endswith("to_k_ip.weight"))
    theirs = sorted(shape for name, shape in known.items() if name.endswith("_attn2_to_k"))
    if not own or not theirs:
        return [], "nothing to compare"
    if [one[0] for one in own] == [one[0] for one in theirs]:
        return [], f"{len(own)} attentions fit"
    told = f"it is for {len(own)} attentions of {_widths(own)}"
    return [f"{told}, the base has {len(theirs)} of {_widths(theirs)}"], ""


def _words_against(shapes: Shapes, known: Shapes) -> tuple[list[str], str]:
    widths = {shape[-1] for name, shape in known.items() if name.endswith("token_embedding")}
    own = {shape[-1] for name, shape in shapes.items() if shape}
    if not widths:
        return [], "nothing to compare"
    lost = sorted(own - widths)
    return [
        f"its words are {lost[0]} wide, the base's {sorted(widths)}"
    ] if lost else [], f"{sorted(own)} wide"


def _shapes_against(shapes: Shapes, known: Shapes) -> tuple[list[str], str]:
    wrong, fitting = [], 0
    for name, shape in shapes.items():
        bare = name[len(CONTROL) :] if name.startswith(CONTROL) else name
        bare = bare if bare.startswith((UNET, "model.")) else UNET + bare
        weight = known.get(canonical(bare)) if name.endswith(".weight") else None
        # A base for inpainting takes more channels than what is used with it.
        if weight is None or name.endswith(("input_blocks.0.0.weight", "conv_in.weight")):
            continue
        if weight == shape:
            fitting += 1
        else:
            wrong.append(f"{name} is {list(shape)}, the base's {list(weight)}")
    return wrong[:_SHOWN], f"{fitting} shapes are those of the base"


def _sides(weight: tuple[int, ...]) -> str:
    return f"{weight[0]} x {weight[1]}" if len(weight) > 1 else str(weight[0])


def _widths(shapes: list[tuple[int, ...]]) -> str:
    return "/".join(map(str, sorted({one[0] for one in shapes})))
