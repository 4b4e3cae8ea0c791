"""Pipelines of diffusers: small ones, with an autoencoder that gives back what it is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from fetcher.verify import ProbeRequest
from safetensors.torch import load_file, save_file

from tests.verify import diffusionfiles, visionmodels
from tests.verify.probing import request
from tests.verify.wrong import Case, made_once

KIND = "diffusion"
VAE, UNET = "vae/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.safetensors"
TEXT, WORDS = "text_encoder/model.safetensors", "tokenizer"
BACK = "vae: a photograph comes back"
Tensors = dict[str, torch.Tensor]


@cache
def _made() -> Path:
    """Stable Diffusion XL to scale, but for its autoencoder, which is of a usable size."""
    folder = made_once("diffusion-sdxl")
    torch.manual_seed(0)
    visionmodels.sdxl(folder)
    shutil.rmtree(folder / "vae")
    diffusionfiles.faithful_vae().save_pretrained(folder / "vae")
    return folder


def right(folder: Path) -> ProbeRequest:
    shutil.copytree(_made(), folder)
    return request(KIND, folder, size=[32, 32], steps=1)


def weights(file: str, change: Callable[[Tensors], object], folder: Path) -> ProbeRequest:
    """With other tensors in one of the files."""
    made = right(folder)
    tensors = load_file(folder / file)
    change(tensors)
    kept = {name: one.contiguous() for name, one in tensors.items()}
    save_file(kept, folder / file, {"format": "pt"})
    return made


def settings(file: str, folder: Path, **values: Any) -> ProbeRequest:
    made = right(folder)
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return made


def _random(*parts: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        source = torch.Generator().manual_seed(2)
        for name, one in tensors.items():
            if name.startswith(parts) and one.dim() > 1:
                tensors[name] = torch.randn(one.shape, generator=source) * one[0].numel() ** -0.5

    return change


def _red_and_blue(tensors: Tensors) -> None:
    for part in ("weight", "bias"):
        tensors[f"decoder.conv_out.{part}"] = tensors[f"decoder.conv_out.{part}"].flip(0)


def _negative(tensors: Tensors) -> None:
    for part in ("weight", "bias"):
        tensors[f"decoder.conv_out.{part}"] = -tensors[f"decoder.conv_out.{part}"]


def _zero_latents(tensors: Tensors) -> None:
    tensors["quant_conv.weight"] = torch.zeros_like(tensors["quant_conv.weight"])


def _noisy(tensors: Tensors) -> None:
    source = torch.Generator().manual_seed(4)
    for name, one in tensors.items():
        if one.dim() > 1:
            tensors[name] = one + 0.005 * one.std() * torch.randn(one.shape, generator=source)


def _late_words(tensors: Tensors) -> None:
    name = next(name for name in tensors if name.endswith("token_embedding.weight"))
    order = torch.arange(len(tensors[name]))
    order[[-1, -2]] = order[[-2, -1]]  # letters that are in no prompt
    tensors[name] = tensors[name][order]


def other_encoder(folder: Path) -> ProbeRequest:
    """The two text encoders in each other's place; both are of one width."""
    made = right(folder)
    one, other = folder / TEXT, folder / TEXT.replace("encoder", "encoder_2")
    tensors, others = load_file(one), load_file(other)
    for name in sorted(tensors):
        # One of them may have the model's name before each tensor's.
        there = next(n for n in others if f".{n}".endswith(f".{name}") or name.endswith(f".{n}"))
        tensors[name], others[there] = others[there], tensors[name]
    save_file(tensors, one, {"format": "pt"})
    save_file(others, other, {"format": "pt"})
    return made


def merges(folder: Path) -> ProbeRequest:
    """A tokenizer that puts letters together which no prompt here has beside each other."""
    made = right(folder)
    path = folder / WORDS / "tokenizer.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        found["model"]["end_of_word_suffix"] = "</x>"
        path.write_text(json.dumps(found))
    else:
        (folder / WORDS / "merges.txt").write_text("#version: 0.2\nq z\n")
    return made


def _golden(what: str, make: Callable[[Path], ProbeRequest]) -> Case:
    return Case(KIND, what, make, right)


def _fails(what: str, change: Callable[[Tensors], object], says: str = BACK) -> Case:
    return Case(KIND, what, partial(weights, VAE, change), right, says)


_EPSILON = "scheduler/scheduler_config.json"

CASES = [
    Case(KIND, "a pipeline whose autoencoder gives back what it is shown", right),
    _fails("an autoencoder without training", _random("encoder", "decoder")),
    _fails("a decoder without training", _random("decoder")),
    _fails("an encoder without training", _random("encoder")),
    _fails("red and blue swapped in the decoder", _red_and_blue, "with red and blue swapped"),
    _fails("an autoencoder that gives negatives", _negative),
    _fails("an autoencoder whose latents are zero", _zero_latents),
    _golden("noise on the autoencoder", partial(weights, VAE, _noisy)),
    _golden("another U-Net", partial(weights, UNET, _random(""))),
    _golden("another text encoder", partial(weights, TEXT, _random(""))),
    _golden("text encoders in each other's place", other_encoder),
    _golden("vectors exchanged of words in no prompt", partial(weights, TEXT, _late_words)),
    _golden("another tokenizer", merges),
    _golden(
        "a scheduler for another prediction",
        partial(settings, _EPSILON, prediction_type="v_prediction"),
    ),
    _golden(
        "another scaling of the latents", partial(settings, "vae/config.json", scaling_factor=0.18)
    ),
]
