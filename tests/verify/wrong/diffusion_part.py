"""Single files of diffusion models, which the `diffusion-part` probe reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import save_file

from tests.verify import diffusionfiles as made
from tests.verify.probing import request
from tests.verify.wrong import Case

Tensors = dict[str, torch.Tensor]
Make = Callable[[Path], ProbeRequest]


def _saved(
    tensors: Tensors, folder: Path, base: Tensors | None = None, **options: Any
) -> ProbeRequest:
    folder.mkdir()
    save_file({name: one.contiguous() for name, one in tensors.items()}, folder / "m.safetensors")
    if base is None:
        found = request("diffusion-part", folder)
        return dataclasses.replace(found, options=options)
    file = folder.parent / f"{folder.name}-base.safetensors"
    save_file({name: one.contiguous() for name, one in base.items()}, file)
    options["_related"] = {"base": {file.name: file}}
    return request("diffusion-part", folder, base="base", **options)


def unet(folder: Path) -> ProbeRequest:
    return _saved(made.unet(), folder)


def checkpoint(folder: Path) -> ProbeRequest:
    return _saved(made.checkpoint(), folder)


def vae(folder: Path) -> ProbeRequest:
    return _saved(made.vae(), folder)


def controlnet(folder: Path) -> ProbeRequest:
    return _saved(made.controlnet(), folder)


def lora(folder: Path) -> ProbeRequest:
    return _saved(made.lora(), folder, made.checkpoint())


def _but(tensors: Tensors, **changes: Any) -> Tensors:
    """The same tensors, those whose names end so replaced, or left out."""
    found = dict(tensors)
    for ending, change in changes.items():
        name = next(n for n in tensors if n.endswith(ending.replace("__", ".")))
        if change is None:
            del found[name]
        else:
            found[name] = change(found[name])
    return found


def _nan(values: torch.Tensor) -> torch.Tensor:
    other = values.clone()
    other.view(-1)[5] = float("nan")
    return other


def _case(what: str, make: Make, right: Make, says: str = "") -> Case:
    return Case("diffusion-part", what, make, right, says)


def _right(what: str, make: Make) -> Case:
    return Case("diffusion-part", what, make)


_HADA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")


def _products(*factors: str, zero: str = "") -> Tensors:
    """What other methods than LoRA's keep of each module."""
    source = torch.Generator().manual_seed(3)
    return {
        f"lora_unet_mid_block_attentions_{n}_proj_in.{factor}": torch.randn(
            8, 8, 8, generator=source
        )
        * (factor != zero)
        for n in range(3)
        for factor in factors
    }


def _as(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    return {name: one.to(dtype) for name, one in tensors.items()}


def _noisy(tensors: Tensors) -> Tensors:
    source = torch.Generator().manual_seed(5)
    return {
        name: one + 0.03 * one.std(correction=0) * torch.randn(one.shape, generator=source)
        for name, one in tensors.items()
    }


def _rows_exchanged(tensors: Tensors) -> Tensors:
    name = next(name for name in tensors if name.endswith("lora_up.weight"))
    order = [1, 0, *range(2, len(tensors[name]))]
    return {**tensors, name: tensors[name][order]}


def _zeros_behind(folder: Path) -> ProbeRequest:
    found = unet(folder)
    data = bytearray((folder / "m.safetensors").read_bytes())
    data[-140_001:] = bytes(140_001)
    (folder / "m.safetensors").write_bytes(data)
    return found


_IP = {
    f"ip_adapter.{n}.to_{p}_ip.weight": torch.randn(w, made.CONTEXT)
    for n, w in ((1, 32), (3, 64))
    for p in "kv"
}
_IP = {"image_proj.proj.weight": torch.randn(64, 16), **_IP}

CASES = [
    _right("a U-Net", unet),
    _right("a checkpoint of U-Net, autoencoder and text encoder", checkpoint),
    _right("an autoencoder", vae),
    _right(
        "the same without the names in front",
        lambda f: _saved({n[18:]: t for n, t in made.vae().items()}, f),
    ),
    _right(
        "a ControlNet, with its base", lambda f: _saved(made.controlnet(), f, made.checkpoint())
    ),
    _right("kohya's LoRA, with its base", lora),
    _right(
        "PEFT's LoRA, with its base",
        lambda f: _saved(made.lora(naming="peft"), f, made.checkpoint()),
    ),
    _right(
        "diffusers' old LoRA, with its base",
        lambda f: _saved(made.lora(naming="old"), f, made.checkpoint()),
    ),
    _right("a LoRA in float16", lambda f: _saved({n: t.half() for n, t in made.lora().items()}, f)),
    _right(
        "LoHa",
        lambda f: _saved(
            {
                f"lora_unet_mid_block_x.hada_w{n}_{s}": torch.randn(8, 9)
                for n in (1, 2)
                for s in "ab"
            },
            f,
        ),
    ),
    _right(
        "words of a textual inversion, with their base",
        lambda f: _saved({"emb_params": torch.randn(3, made.CONTEXT)}, f, made.checkpoint()),
    ),
    _right("an IP-Adapter", lambda f: _saved(_IP, f)),
    _right(
        "a T2I-Adapter",
        lambda f: _saved({"adapter.body.0.resnets.0.block1.weight": torch.randn(8, 8, 3, 3)}, f),
    ),
    _right(
        "an upscaler",
        lambda f: _saved(
            {
                "conv_first.weight": torch.randn(8, 3, 3, 3),
                "conv_last.weight": torch.randn(3, 8, 3, 3),
            },
            f,
        ),
    ),
    _case(
        "NaN in a LoRA", lambda f: _saved(_but(made.lora(), lora_up__weight=_nan), f), lora, "NaN"
    ),
    _case(
        "a LoRA that was never trained",
        lambda f: _saved(made.lora(trained=False), f),
        lora,
        "it was trained",
    ),
    _case(
        "a LoRA with one half missing",
        lambda f: _saved(_but(made.lora(), lora_up__weight=None), f),
        lora,
        "only its down half",
    ),
    _case(
        "a LoRA with halves of two ranks",
        lambda f: _saved(_but(made.lora(), lora_up__weight=lambda t: t[:, :1]), f),
        lora,
        "has halves of",
    ),
    _case(
        "a LoRA for another family",
        lambda f: _saved(made.lora(context=24), f, made.checkpoint()),
        lora,
        "is for 32 x 24",
    ),
    _case(
        "a LoRA of modules that the base has not",
        lambda f: _saved(
            {n.replace("down_blocks_0", "down_blocks_7"): t for n, t in made.lora().items()},
            f,
            made.checkpoint(),
        ),
        lora,
        "not in the base",
    ),
    _case(
        "a ControlNet for another family",
        lambda f: _saved(made.controlnet(context=24), f, made.checkpoint()),
        controlnet,
        "the base's",
    ),
    _case(
        "a ControlNet that was never trained",
        lambda f: _saved(made.controlnet(trained=False), f),
        controlnet,
        "zero still",
    ),
    _case(
        "words for another text encoder",
        lambda f: _saved({"emb_params": torch.randn(3, 24)}, f, made.checkpoint()),
        lora,
        "24 wide",
    ),
    _case(
        "an IP-Adapter for another family",
        lambda f: _saved(_IP, f, made.checkpoint()),
        lora,
        "attentions",
    ),
    _case(
        "a U-Net without a size",
        lambda f: _saved(
            {
                n: t
                for n, t in made.unet().items()
                if not n[22:].startswith(("input_blocks.4", "input_blocks.5"))
            },
            f,
        ),
        unet,
        "missing",
    ),
    _case(
        "a U-Net without one of its first blocks",
        lambda f: _saved({n: t for n, t in made.unet().items() if "input_blocks.4" not in n}, f),
        unet,
        "input_blocks.4 is missing",
    ),
    _case(
        "a U-Net without a block",
        lambda f: _saved({n: t for n, t in made.unet().items() if "output_blocks.4" not in n}, f),
        unet,
        "missing",
    ),
    _case(
        "a U-Net without one bias",
        lambda f: _saved(_but(made.unet(), middle_block__0__emb_layers__1__bias=None), f),
        unet,
        "missing",
    ),
    _case(
        "a U-Net of zeros",
        lambda f: _saved({n: torch.zeros_like(t) for n, t in made.unet().items()}, f),
        unet,
        "nothing but zeros",
    ),
    _case(
        "an autoencoder without its decoder",
        lambda f: _saved({n: t for n, t in made.vae().items() if ".decoder." not in n}, f),
        vae,
        "decoder.conv_out.weight is missing",
    ),
    _case(
        "a U-Net where a LoRA is expected",
        lambda f: _saved(made.unet(), f, kind="lora"),
        lora,
        "expected lora",
    ),
    _case(
        "tensors of something else",
        lambda f: _saved(
            {"layer.0.weight": torch.ones(4, 4), "layer.1.weight": torch.ones(4, 4)}, f
        ),
        unet,
        "none that is known",
    ),
    _case("another U-Net", lambda f: _saved(made.unet(1), f), unet),
    _case("a U-Net with two tensors exchanged", lambda f: _saved(_exchanged(), f), unet),
    _case(
        "another autoencoder in the checkpoint",
        lambda f: _saved({**made.checkpoint(), **made.vae(1)}, f),
        checkpoint,
    ),
    _case("another ControlNet", lambda f: _saved(made.controlnet(1), f), controlnet),
    _case(
        "a LoRA with another sign",
        lambda f: _saved({n: -t if "up" in n[-10:] else t for n, t in made.lora().items()}, f),
        lora,
    ),
    _case(
        "a LoRA of another alpha",
        lambda f: _saved(_but(made.lora(), alpha=lambda t: t * 8), f),
        lora,
    ),
]


def _exchanged() -> Tensors:
    found = dict(made.unet())
    one, other = (
        f"model.diffusion_model.input_blocks.{n}.1.transformer_blocks.0.attn2.to_k.weight"
        for n in (1, 2)
    )
    found[one], found[other] = found[other], found[one]
    return found


CASES += [
    _right("LoKr", lambda f: _saved(_products("lokr_w1", "lokr_w2"), f)),
    _right("OFT", lambda f: _saved(_products("oft_blocks"), f)),
    _right("whole differences", lambda f: _saved(_products("diff"), f)),
    _right("a U-Net in float8", lambda f: _saved(_as(made.unet(), torch.float8_e4m3fn), f)),
    _right("a U-Net in bfloat16", lambda f: _saved(_as(made.unet(), torch.bfloat16), f)),
    _right(
        "a small upscaler",
        lambda f: _saved(
            {f"body.{n}.weight": torch.randn(8, 8, 3, 3) for n in (0, 2, 4)}, f, kind="upscaler"
        ),
    ),
    *(
        Case("diffusion-part", what, partial(_saved, tensors), None, "it was trained")
        for what, tensors in (
            ("LyCORIS's LoHa that was never trained", _products(*_HADA, zero="hada_w2_a")),
            ("PEFT's LoHa that was never trained", _products(*_HADA, zero="hada_w2_b")),
            ("LoKr that was never trained", _products("lokr_w1", "lokr_w2", zero="lokr_w2")),
            ("OFT that was never trained", _products("oft_blocks", zero="oft_blocks")),
            ("differences of zero", _products("diff", zero="diff")),
        )
    ),
    _case("a U-Net that ends in zeros", _zeros_behind, unet, "not whole"),
    _case(
        "a LoRA with two rows exchanged, in float16",
        lambda f: _saved(_as(_rows_exchanged(made.lora()), torch.float16), f, made.checkpoint()),
        lora,
    ),
    _case(
        "a checkpoint with 3 % noise, in bfloat16",
        lambda f: _saved(_as(_noisy(made.checkpoint()), torch.bfloat16), f),
        checkpoint,
    ),
]
