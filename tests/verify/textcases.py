"""Language models, adapters and encoders, each broken in one way, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .makers import RunsCode

Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A probe of a copy of `start` after `spoil`; `base` is a model's name for an adapter.

    The probe passes if `reason` is empty, else fails with it; `told` stands in some check.
    """

    name: str
    start: str
    reason: str = ""
    hint: str = ""
    spoil: Spoil = lambda folder: None
    base: str = ""
    told: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    without: str = ""

    @property
    def kind(self) -> str:
        return "sentence-transformer" if "sbert" in self.start else "causal-lm"


# What the models are made from, for textmodels.py.
MODELS: list[tuple[str, str, dict[str, Any]]] = [
    ("gpt_neox", "base", {"steps": 60}),
    ("gpt_neox", "more-layers", {"layers": 3}),
    ("gpt_neox", "fewer-layers", {"layers": 1}),
    ("gpt_neox", "wider", {"hidden": 96}),
    ("gpt2", "gpt2", {}),
    ("gpt_neox", "small-vocabulary", {"vocabulary": 300}),
    ("adapter", "adapter", {"base": "base"}),
    ("adapter", "adapter-of-zeros", {"base": "base", "noise": 0}),
    ("adapter", "adapter-by-id", {"base": "base", "named": "EleutherAI/polyglot-ko-1.3b"}),
    ("sbert", "sbert", {}),
    ("sbert", "sbert-unit", {"normalise": True}),
]


def _tensors(file: str, change: Callable[[dict[str, Any]], None]) -> Spoil:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / file
        tensors = load_file(path)
        change(tensors)
        path.unlink()
        save_file(tensors, path, {"format": "pt"})

    return spoil


def _nan(tensors: dict[str, Any]) -> None:
    first = next(name for name, tensor in sorted(tensors.items()) if tensor.is_floating_point())
    tensors[first].view(-1)[0] = float("nan")


def _set(file: str, **values: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / file
        config = json.loads(path.read_text())
        config.update(values)
        path.write_text(json.dumps(config))

    return spoil


def _remove(*names: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def _cut(file: str, size: int) -> Spoil:
    return lambda folder: os.truncate(folder / file, size)


def _write(file: str, content: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return spoil


def _bom(folder: Path) -> None:
    path = folder / "adapter_config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def _as_pickle(folder: Path) -> None:
    import torch

    for path in folder.glob("model*"):
        path.unlink()
    trap = {"w": torch.zeros(2), "trap": RunsCode(folder.parent / "marker")}
    torch.save(trap, folder / "pytorch_model.bin")


def _swap_shards(folder: Path) -> None:
    one, two = (folder / f"model-0000{n}-of-00003.safetensors" for n in (1, 2))
    one.rename(folder / "aside")
    two.rename(one)
    (folder / "aside").rename(two)


def _flatten(folder: Path) -> None:
    shutil.copy(folder / "1_Pooling/config.json", folder / "config.json")


SHARD = "model-00001-of-00003.safetensors"
ADAPTER = "adapter_model.safetensors"
LORA = {"base": "base"}
PAIRS = {
    "similar": [["abc abc abc.", "abc abc abc abc."]],
    "dissimilar": [["abc abc abc.", "xyz? zyx? yxz?"]],
}
CASES = [
    Case("a language model", "base", told="28 tensors in 3 shards"),
    Case("Korean text", "base", options={"prompt": "안녕하세요. 오늘은?"}),
    Case("a truncated shard", "base", "truncated", "fetch it again", _cut(SHARD, 50_000)),
    Case(
        "a web page", "base", f"{SHARD}: a web page", "expired", _write(SHARD, b"<!doctype html>")
    ),
    Case(
        "an LFS pointer",
        "base",
        "a Git LFS pointer",
        spoil=_write(SHARD, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ),
    Case("a shard is missing", "base", "00002-of-00003", spoil=_remove(SHARD.replace("1-", "2-"))),
    Case(
        "no index",
        "base",
        "no index beside it",
        "model.safetensors.index.json",
        _remove("model.safetensors.index.json"),
    ),
    Case("swapped shards", "base", "not in the shard that the index names", spoil=_swap_shards),
    Case("NaN", "base", "weights are finite: NaN", spoil=_tensors(SHARD, _nan)),
    Case("a pickle that runs code", "base", "refused", "nothing of it was run", _as_pickle),
    Case(
        "another width in config.json",
        "base",
        "do not fit its configuration",
        "different models",
        _set("config.json", hidden_size=96),
    ),
    Case(
        "more layers in config.json",
        "base",
        "in no file, so they are random",
        spoil=_set("config.json", num_hidden_layers=3),
    ),
    Case(
        "fewer layers in config.json",
        "base",
        "config.json describes fewer layers than the files have",
        spoil=_set("config.json", num_hidden_layers=1),
    ),
    Case(
        "an unknown kind of model",
        "base",
        "does not know the model",
        "upgrade transformers",
        _set("config.json", model_type="from_the_future"),
    ),
    Case(
        "code of the repository",
        "base",
        "auto_map is",
        "fetch config allow code",
        _set("config.json", model_type="of_its_own", auto_map={"AutoModel": "code.Model"}),
    ),
    Case(
        "no tokenizer_config.json",
        "base",
        "tokenizer_config.json is not laid out",
        spoil=_remove("tokenizer_config.json"),
    ),
    Case(
        "no tokenizer",
        "base",
        "no tokenizer is laid out",
        spoil=_remove("tokenizer.json"),
    ),
    Case(
        "a tokenizer of another model",
        "small-vocabulary",
        "the tokenizer does not fit the model",
        "different models",
        options={"prompt": "brown fox jumps over the lazy dog"},
    ),
    Case("not as many parameters", "base", "parameters: 132,608", options={"parameters": 7}),
    Case("an adapter", "adapter", base="base", told="path on its author's machine"),
    Case("an adapter of a repository", "adapter-by-id", base="base", told="is a repository"),
    Case(
        "the base's path mended",
        "adapter",
        base="base",
        told="it is the laid-out base",
        spoil=lambda folder: _set(
            "adapter_config.json", base_model_name_or_path=str(folder.parent / "base")
        )(folder),
    ),
    Case(
        "no base's path",
        "adapter",
        base="base",
        told="names none",
        spoil=_set("adapter_config.json", base_model_name_or_path=None),
    ),
    Case(
        "a relative path",
        "adapter",
        base="base",
        told="is a relative path",
        spoil=_set("adapter_config.json", base_model_name_or_path="base"),
    ),
    Case("an adapter of zeros", "adapter-of-zeros", "lora_B tensors are zero", base="base"),
    Case("a base with fewer layers", "adapter", "this one has 1", base="fewer-layers"),
    Case("a base with more layers", "adapter", "has no tensors for 2", base="more-layers"),
    Case("a wider base", "adapter", "base of another width", base="wider"),
    Case("another family as base", "adapter", "another kind of model", base="gpt2"),
    Case("no base named", "adapter", "does not say of which base", "base: ID"),
    Case("the base is not there", "adapter", "'nowhere' is not laid out", base="nowhere"),
    Case(
        "no peft",
        "adapter",
        "peft is not installed",
        "pip install peft",
        base="base",
        without="peft",
    ),
    Case("a byte order mark", "adapter", "byte order mark", "without BOM", _bom, base="base"),
    Case("no weights", "adapter", "no adapter_model", spoil=_remove(ADAPTER), base="base"),
    Case("a truncated adapter", "adapter", "truncated", spoil=_cut(ADAPTER, 9_000), base="base"),
    Case("NaN in it", "adapter", "lora", spoil=_tensors(ADAPTER, _nan), base="base"),
    Case(
        "half an adapter",
        "adapter",
        "only one of lora_A and lora_B",
        spoil=_tensors(ADAPTER, lambda t: t.pop(sorted(t)[0])),
        base="base",
    ),
    Case(
        "another rank",
        "adapter",
        "says rank 4",
        spoil=_set("adapter_config.json", r=4),
        base="base",
    ),
    Case("an encoder", "sbert", options={"pairs": PAIRS, "dimension": 32}),
    Case("pooling by hand", "sbert", options={"pairs": False, "pooling": "mean"}),
    Case("unit norms", "sbert-unit", options={"pairs": False}, told="1.0000 to 1.0000"),
    Case(
        "another dimension", "sbert", "32, expected 768", options={"pairs": False, "dimension": 768}
    ),
    Case(
        "pairs that do not rank",
        "sbert",
        "should be more alike",
        options={"pairs": {"similar": PAIRS["dissimilar"], "dissimilar": PAIRS["similar"]}},
    ),
    Case("a flattened configuration", "sbert", "is the pooling layer's", spoil=_flatten),
    Case("no pooling", "sbert", "wants a module Pooling in 1_Pooling", spoil=_remove("1_Pooling")),
    Case("no modules.json", "sbert", "guess how to pool", spoil=_remove("modules.json")),
    Case("a truncated encoder", "sbert", "truncated", spoil=_cut("model.safetensors", 9_000)),
    Case("NaN in an encoder", "sbert", "NaN", spoil=_tensors("model.safetensors", _nan)),
    Case(
        "an encoder's tokenizer_config.json",
        "sbert",
        told="newer releases then encode differently",
        spoil=_remove("tokenizer_config.json"),
        options={"pairs": False},
    ),
    Case(
        "weights of another kind in an encoder",
        "sbert",
        "in no file, so they are random",
        spoil=lambda folder: shutil.copy(
            folder.parent / "adapter" / ADAPTER, folder / "model.safetensors"
        ),
        options={"pairs": False},
    ),
]


def files_of(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
