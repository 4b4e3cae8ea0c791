"""Models of true shapes with random weights, for the rows of docs/tried.md that want a GPU.

Nothing is downloaded: the libraries that save real ones make them. Large: a GPT-NeoX of
Polyglot-Ko 1.3B's shape in float16, a LoRA adapter of rank 128 for it, a sentence encoder of
RoBERTa-base's shape, a StyleGAN 256 in GenForce's format, and an SDXL of some 580 million
parameters; 4.8 GB. Small: the same in a few kilobytes.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.verify import stylegan_files, textmodels, visionmodels

Maker = Callable[[Path, bool], None]


def language_model(folder: Path, small: bool) -> None:
    """GPT-NeoX, 1.33 billion parameters, made as float16 to need less memory."""
    import torch

    if small:
        textmodels.gpt_neox(folder)
        return
    torch.set_default_dtype(torch.float16)
    try:
        textmodels.gpt_neox(
            folder, layers=24, hidden=2048, inner=8192, vocabulary=30_080, heads=16, shards="1GB"
        )
    finally:
        torch.set_default_dtype(torch.float32)


def adapter(folder: Path, small: bool) -> None:
    """LoRA on every query_key_value; B is not zero, as after training."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    layers, hidden, rank = (2, 64, 8) if small else (24, 2048, 128)
    torch.manual_seed(1)
    tensors = {}
    for layer in range(layers):
        name = f"base_model.model.gpt_neox.layers.{layer}.attention.query_key_value"
        tensors[f"{name}.lora_A.weight"] = torch.randn(rank, hidden) / math.sqrt(hidden)
        tensors[f"{name}.lora_B.weight"] = torch.randn(3 * hidden, rank) / math.sqrt(rank)
    LoraConfig(
        r=rank,
        lora_alpha=16,
        target_modules=["query_key_value"],
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(folder.parent / "language-model"),
        inference_mode=True,
    ).save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    textmodels.byte_tokenizer(folder)


def sentence_encoder(folder: Path, small: bool) -> None:
    """RoBERTa-base with mean pooling."""
    if small:
        textmodels.sbert(folder)
    else:
        textmodels.sbert(folder, hidden=768, layers=12, heads=12, inner=3072, vocabulary=32_000)


def stylegan(folder: Path, small: bool) -> None:
    """GenForce's three state dicts at 256 x 256 (small: 32 x 32), in one file."""
    import torch

    folder.mkdir()
    resolution, widest = (32, 16) if small else (256, 512)
    generator = stylegan_files.generator(torch, resolution, widest)
    content = {
        "generator": generator,
        "discriminator": stylegan_files.discriminator(torch, resolution, widest),
        "generator_smooth": generator,
    }
    torch.save(content, folder / "stylegan_model.pth")


def pipeline(folder: Path, small: bool) -> None:
    """Stable Diffusion XL's parts, as float16; its U-Net is seven tenths of it."""
    import torch

    torch.set_default_dtype(torch.float32 if small else torch.float16)
    try:
        visionmodels.sdxl(folder, wide=1 if small else 40)
    finally:
        torch.set_default_dtype(torch.float32)


MAKERS: Mapping[str, Maker] = {
    "language-model": language_model,
    "adapter": adapter,
    "sentence-encoder": sentence_encoder,
    "stylegan": stylegan,
    "pipeline": pipeline,
}


def make(root: Path, small: bool) -> None:
    """Make in `root`/models what is not there yet. An interrupted one is made anew."""
    for name in MAKERS:
        make_one(name, root, small)


def make_one(name: str, root: Path, small: bool) -> None:
    """Make one of them, unless it is there."""
    folder = root / "models"
    folder.mkdir(parents=True, exist_ok=True)
    done, other = (folder / f".{name}-{size}" for size in ("small", "large")[:: 1 if small else -1])
    if not done.exists():
        shutil.rmtree(folder / name, ignore_errors=True)
        other.unlink(missing_ok=True)
        MAKERS[name](folder / name, small)
        done.touch()


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
