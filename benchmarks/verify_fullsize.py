"""Probes on models of full size with random weights: times, memory, and devices against each other.

    python -m benchmarks.verify_fullsize FOLDER [--device cpu --device cuda:0] [--dtype float16]

FOLDER is filled with some 3.5 GB: a GPT-NeoX of Polyglot-Ko 1.3B's shape in three float16 shards,
a LoRA adapter of rank 128 for it, a sentence encoder of RoBERTa-base's shape, and a StyleGAN 256 in
GenForce's format. Several devices are compared by the fingerprints of their outputs. Needs what the
probes load models with (the extra `verify`).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fetcher.verify import ProbeRequest, ProbeResult, run_probes
from fetcher.verify.contract.fingerprints import difference

from tests.verify import stylegan_files, textmodels

HIDDEN, LAYERS, RANK = 2048, 24, 128


def language_model(folder: Path) -> None:
    """GPT-NeoX, 1.43 billion parameters, made as float16 to need less memory."""
    import torch

    torch.set_default_dtype(torch.float16)
    try:
        textmodels.gpt_neox(
            folder,
            layers=LAYERS,
            hidden=HIDDEN,
            inner=4 * HIDDEN,
            vocabulary=30_080,
            heads=16,
            shards="1GB",
        )
    finally:
        torch.set_default_dtype(torch.float32)


def adapter(folder: Path) -> None:
    """LoRA on every query_key_value; B is not zero, as after training."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    torch.manual_seed(1)
    tensors = {}
    for layer in range(LAYERS):
        name = f"base_model.model.gpt_neox.layers.{layer}.attention.query_key_value"
        tensors[f"{name}.lora_A.weight"] = torch.randn(RANK, HIDDEN) / math.sqrt(HIDDEN)
        tensors[f"{name}.lora_B.weight"] = torch.randn(3 * HIDDEN, RANK) / math.sqrt(RANK)
    LoraConfig(
        r=RANK,
        lora_alpha=16,
        target_modules=["query_key_value"],
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(folder.parent / "language-model"),
        inference_mode=True,
    ).save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    textmodels.byte_tokenizer(folder)


def sentence_encoder(folder: Path) -> None:
    """RoBERTa-base with mean pooling."""
    textmodels.sbert(folder, hidden=768, layers=12, heads=12, inner=3072, vocabulary=32_000)


def stylegan(folder: Path) -> None:
    """GenForce's three state dicts at 256 x 256, in one file."""
    import torch

    folder.mkdir()
    generator = stylegan_files.generator(torch, 256, 512)
    content = {
        "generator": generator,
        "discriminator": stylegan_files.discriminator(torch, 256, 512),
        "generator_smooth": generator,
    }
    torch.save(content, folder / "stylegan_model.pth")


MODELS: dict[str, tuple[str, Callable[[Path], None], Mapping[str, Any]]] = {
    "language-model": ("causal-lm", language_model, {"max_loss": False}),
    "adapter": ("causal-lm", adapter, {"base": "language-model", "max_loss": False}),
    "sentence-encoder": ("sentence-transformer", sentence_encoder, {"pairs": False}),
    "stylegan": ("stylegan", stylegan, {}),
}
METRICS = (
    *("parameters", "load_seconds", "infer_seconds", "seconds", "peak_memory_bytes"),
    *("peak_resident_bytes", "peak_gpu_memory_bytes", "device", "dtype"),
)


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def probe(root: Path, name: str, device: str, dtype: str | None) -> ProbeResult:
    """Run one model's probe."""
    kind, _, options = MODELS[name]
    related = {other: files_of(root / other) for key, other in options.items() if key == "base"}
    request = ProbeRequest(
        name,
        kind,
        root,
        files_of(root / name),
        options,
        device=device,
        dtype=dtype,
        timeout=1800,
        related=related,
    )
    return run_probes([request], python=sys.executable)[0]


def main() -> None:
    """Make what is missing, probe, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", action="append")
    parser.add_argument("--dtype")
    parser.add_argument("--only", action="append", choices=MODELS)
    options = parser.parse_args()
    root = options.folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for name in options.only or MODELS:
        if not (root / name).exists():
            MODELS[name][1](root / name)
    for name in options.only or MODELS:
        first: ProbeResult | None = None
        for device in options.device or ["auto"]:
            result = probe(root, name, device, options.dtype)
            told: dict[str, Any] = {"model": name, "state": result.state}
            told |= {"reason": result.reason} if result.reason else {}
            told |= {key: result.metrics[key] for key in METRICS}
            if first is None:
                first = result
            else:
                told["against"] = first.metrics["device"]
                told["differs"] = _differences(first, result)
            print(json.dumps(told), flush=True)


def _differences(first: ProbeResult, other: ProbeResult) -> list[str]:
    """How the outputs of one model differ between two devices."""
    dtype = first.metrics["dtype"]
    pairs = zip(first.fingerprints, other.fingerprints, strict=True)
    found = [f"{one.name}: {difference(one, two, dtype)}" for one, two in pairs]
    return [told for told in found if not told.endswith(": ")]


if __name__ == "__main__":
    main()
