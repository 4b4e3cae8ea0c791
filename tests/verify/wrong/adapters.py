"""Adapters as trainers save them and as people spoil them, beside those of causal_lm.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.verify.wrong import Case, Make, causal_lm
from tests.verify.wrong.causal_lm import adapter, lora, method, on_base, settings

CONFIG = "adapter_config.json"
_NEOX = ("query_key_value",)
_NEW = ("peft", "0.15")
_NO_FIT = "does not go on this base"


def _tensors(alter: Any) -> causal_lm.Spoil:
    return lambda folder: causal_lm.change(folder, alter)


def _renamed(old: str, new: str) -> causal_lm.Spoil:
    def alter(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.replace(old, new)] = tensors.pop(name)

    return _tensors(alter)


def _halves_exchanged(tensors: dict[str, torch.Tensor]) -> None:
    for one in [name for name in tensors if "lora_A" in name]:
        other = one.replace("lora_A", "lora_B")
        tensors[one], tensors[other] = tensors[other].T.contiguous(), tensors[one].T.contiguous()


def _layers_exchanged(tensors: dict[str, torch.Tensor]) -> None:
    for one in [name for name in tensors if "layers.0." in name]:
        other = one.replace("layers.0.", "layers.1.")
        tensors[one], tensors[other] = tensors[other], tensors[one]


def _negative(tensors: dict[str, torch.Tensor]) -> None:
    for name, one in tensors.items():
        if "lora_B" in name:
            tensors[name] = -one


def _one_layer(tensors: dict[str, torch.Tensor]) -> None:
    for name, one in tensors.items():
        if "layers.0." in name and "lora_B" in name:
            tensors[name] = torch.zeros_like(one)


def _first_halves_zero(tensors: dict[str, torch.Tensor]) -> None:
    for name, one in tensors.items():
        if "lora_A" in name:
            tensors[name] = torch.zeros_like(one)


def _merged_twice(folder: Path) -> None:
    causal_lm.merged(folder)
    causal_lm.merged(folder)


def _case(what: str, make: Make, says: str = "", **more: Any) -> Case:
    return Case("causal-lm", what, make, None if says else causal_lm.lora(), says, **more)


def _right(what: str, make: Make, **more: Any) -> Case:
    return Case("causal-lm", what, make, **more)


CASES = [
    _right("a LoRA of the embedding", lora(target_modules=("query_key_value", "embed_in"))),
    _right("a LoRA of all linear layers", lora(target_modules="all-linear")),
    _right("a LoRA of modules that match a pattern", lora(target_modules=".*query_key_value")),
    _right("a LoRA of stabilised ranks", lora(use_rslora=True)),
    _right(
        "a LoRA in float16", lora(_tensors(lambda t: t.update({k: v.half() for k, v in t.items()})))
    ),
    _right(
        "an adapter of words that are not in the prompt",
        lambda folder: on_base(folder, adapter("TrainableTokensConfig", token_indices=(317, 318))),
        needs=_NEW,
    ),
    _right(
        "prompt tuning for several tasks",
        method("MultitaskPromptTuningConfig", num_virtual_tokens=4, num_tasks=2),
    ),
    _right("a mixture of LoRAs for tasks (Poly)", method("PolyConfig", target_modules=_NEOX)),
    *(
        _right(f"PEFT's {name}", method(f"{name}Config", **how), needs=_NEW)
        for name, how in (
            ("BOFT", {"target_modules": _NEOX, "boft_block_size": 4}),
            ("LNTuning", {"target_modules": ("input_layernorm",)}),
            ("FourierFT", {"target_modules": _NEOX, "n_frequency": 10}),
            ("HRA", {"target_modules": _NEOX}),
        )
    ),
    _case(
        "a LoRA whose halves are exchanged", lora(_tensors(_halves_exchanged)), "size mismatch for"
    ),
    _case(
        "a LoRA without the prefix of its names",
        lora(_renamed("base_model.model.", "")),
        "(no base_model.model.)",
    ),
    _case(
        "a LoRA with the names that it has in memory",
        lora(_renamed("lora_A.weight", "lora_A.default.weight")),
        "named as in memory",
    ),
    _case(
        "a LoRA with another model's names",
        lora(_renamed("gpt_neox", "model")),
        "another kind of model",
    ),
    _case(
        "a LoRA of ranks that it has not",
        lora(settings(CONFIG, rank_pattern={"query_key_value": 2})),
        "size mismatch for",
    ),
    _case(
        "a LoRA whose first halves are zero", lora(_tensors(_first_halves_zero)), "the adapter acts"
    ),
    _case("a LoRA with lora_alpha 0", lora(settings(CONFIG, lora_alpha=0)), "the adapter acts"),
    _case("a LoRA taken for a LoHa", lora(settings(CONFIG, peft_type="LOHA")), "the adapter"),
    _case(
        "a method that PEFT has not",
        lora(settings(CONFIG, peft_type="NEXT")),
        "has no method 'NEXT'",
    ),
    _case("a LoRA without one layer", lora(causal_lm.without("layers.1.")), "has no tensors for"),
    _case("a LoRA with two layers exchanged", lora(_tensors(_layers_exchanged))),
    _case("a LoRA with the sign of its change turned", lora(_tensors(_negative))),
    _case("a LoRA that acts in one layer of two", lora(_tensors(_one_layer))),
    _case("a LoRA with other stabilised ranks", lora(settings(CONFIG, use_rslora=True))),
    _case("a LoRA of another task", lora(settings(CONFIG, task_type="SEQ_CLS"))),
    _case("a LoRA merged twice into its base", lora(base=_merged_twice)),
]
