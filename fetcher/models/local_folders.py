"""Models in folders: what kind each is, by its files; and which lie below LOCAL_MODELS_DIR."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fetcher.models.spec import ModelSpec
from fetcher.verify.loaders import onnx

_MARKERS = ("adapter_config.json", "model_index.json", "modules.json", "config.json")
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.ckpt")
_VERSION = re.compile(r"v?\d[\w.+-]*|[0-9a-f]{7,64}|main|latest")
_CACHED = "models--"  # how a Hugging Face cache names folders
_ENCODERS = {"bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "albert", "electra"}
_ENCODERS |= {"deberta", "deberta-v2", "modernbert", "camembert", "nomic_bert", "new"}
_LARGEST = 16 * 1024 * 1024  # bytes: larger JSON is no configuration


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's table, empty for anything else: it serves to tell kinds apart."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def kind_of(folder: Path) -> tuple[str, str, dict[str, Any]] | None:
    """The kind, the loader and loading options of a folder's model; None if it holds none."""
    if (folder / "adapter_config.json").is_file():
        return "chat", "transformers", {}
    if (folder / "model_index.json").is_file():
        return "image", "diffusers", {}
    only_onnx = onnx.find(folder) is not None and not _has_weights(folder)
    if (folder / "modules.json").is_file():
        return "embedding", "onnx" if only_onnx else "sentence-transformers", {}
    if only_onnx and (folder / "tokenizer.json").is_file():
        return "embedding", "onnx", {}
    if not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json")
    architectures = [str(name) for name in config.get("architectures") or ()]
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        return "chat", "transformers", {}
    if config.get("model_type") in _ENCODERS and not _has_head(architectures):
        return "embedding", "sentence-transformers", {"pooling": "mean"}
    return "other", "", {}


def _has_head(architectures: list[str]) -> bool:
    return any("For" in name and "MaskedLM" not in name for name in architectures)


def _has_weights(folder: Path) -> bool:
    return any(True for pattern in _WEIGHTS for _ in folder.glob(pattern))


def scan(root: Path, models: Path) -> list[ModelSpec]:
    """The models below a folder: `name/`, `owner/name/`, `name/version/`, and a Hugging Face
    cache's `models--owner--name/snapshots/revision/`. Versions of a name stand in their order.
    """
    found: list[ModelSpec] = []
    whole = {models.resolve(), *models.resolve().parents}
    for folder in _children(models):
        if folder.resolve() in whole:
            continue  # a link that leads back
        if folder.name.startswith(_CACHED):
            name = folder.name.removeprefix(_CACHED).replace("--", "/")
            found += _versions(root, name, folder / "snapshots", _current(folder))
        elif spec := _spec(root, folder, folder.name, ""):
            found.append(spec)
        else:
            found += _below(root, folder)
    return found


def _below(root: Path, folder: Path) -> Iterator[ModelSpec]:
    children = _children(folder)
    if any(_VERSION.fullmatch(child.name) and kind_of(child) for child in children):
        yield from _versions(root, folder.name, folder, "")
        return
    for child in children:
        name = f"{folder.name}/{child.name}"
        spec = _spec(root, child, name, "")
        yield from [spec] if spec else _versions(root, name, child, "")


def _versions(root: Path, name: str, folder: Path, current: str) -> Iterator[ModelSpec]:
    children = [child for child in _children(folder) if _VERSION.fullmatch(child.name)]
    for child in sorted(children, key=lambda c: (c.name == current, _natural(c.name))):
        if spec := _spec(root, child, name, child.name):
            yield spec


def _spec(root: Path, folder: Path, name: str, version: str) -> ModelSpec | None:
    kind = kind_of(folder)
    if kind is None:
        return None
    files = {
        path.relative_to(folder).as_posix(): path.absolute()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return ModelSpec(
        name,
        *kind[:2],
        folder=folder.absolute(),
        version=version,
        files=files,
        aliases=(name.rpartition("/")[2],) if "/" in name else (),
        source=str(folder),
        size=sum(path.stat().st_size for path in files.values()),
        options=kind[2],
        root=root,
    )


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(c for c in folder.iterdir() if c.is_dir() and not c.name.startswith("."))
    except OSError:
        return []


def _current(cached: Path) -> str:
    try:
        return (cached / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts v10 after v9."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
