"""Models in folders: what kind each is, by its files; and which lie below LOCAL_MODELS_DIR."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetcher.models.spec import ModelSpec
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import read_regular, read_regular_text
from fetcher.verify.loaders import onnx

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.ckpt")
# What shows that a folder holds a model, though nothing tells of which kind.
_FORMATS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".keras", ".pb", ".tflite"}
_FORMATS |= {
    ".onnx",
    ".gguf",
    ".ggml",
    ".msgpack",
    ".npz",
    ".joblib",
    ".pkl",
    ".mlmodel",
    ".engine",
}
_VERSION = re.compile(r"v?\d[\w.+-]*|[0-9a-f]{7,64}|main|latest")
_CACHED = "models--"  # how a Hugging Face cache names folders
_ENCODERS = {"bert", "roberta", "xlm-roberta", "mpnet", "distilbert", "albert", "electra"}
_ENCODERS |= {"deberta", "deberta-v2", "modernbert", "camembert", "nomic_bert", "new"}
_PART = re.compile(r"[^.\\/:\0][^\\/:\0]*")  # of a name: a folder, neither hidden nor above
_LARGEST = 16 * 1024 * 1024  # bytes: larger JSON is no configuration


MayRead = Callable[[Path], bool]  # whether links of a path lead where a project's may


def anywhere(_path: Path) -> bool:
    """Any path, for folders that are the person's own with their links."""
    return True


def read_json(path: Path, may_read: MayRead = anywhere) -> dict[str, Any]:
    """A JSON file's table, empty for anything else: it serves to tell kinds apart."""
    try:
        found = json_text.loads(read_regular(path, _LARGEST)) if may_read(path) else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Recognised:
    """What a folder's files tell of its model, in the words of ModelSpec."""

    kind: str
    loader: str
    options: Mapping[str, Any] = field(default_factory=dict)


def recognise(folder: Path, may_read: MayRead = anywhere) -> Recognised | None:
    """Tell the kind of a folder's model and what loads it; None if it is not known to hold one.

    What may not be read is not: the kind is then "other".
    """
    if not may_read(folder):
        return _UNKNOWN
    if (folder / "adapter_config.json").is_file():
        return Recognised("chat", "transformers")
    if (folder / "model_index.json").is_file():
        return Recognised("image", "diffusers")
    only_onnx = onnx.find(folder) is not None and not _has_weights(folder)
    if (folder / "modules.json").is_file():
        return Recognised("embedding", "onnx" if only_onnx else "sentence-transformers")
    if only_onnx and (folder / "tokenizer.json").is_file():
        return Recognised("embedding", "onnx")
    if not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json", may_read)
    architectures = [str(name) for name in config.get("architectures") or ()]
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        return Recognised("chat", "transformers")
    if config.get("model_type") in _ENCODERS and not _has_head(architectures):
        return Recognised("embedding", "sentence-transformers", {"pooling": "mean"})
    return Recognised("other", "")


_UNKNOWN = Recognised("other", "")


def _holds_model(folder: Path) -> bool:
    try:
        return any(path.suffix.lower() in _FORMATS for path in folder.iterdir() if path.is_file())
    except OSError:
        return False


def _has_head(architectures: list[str]) -> bool:
    return any("For" in name and "MaskedLM" not in name for name in architectures)


def _has_weights(folder: Path) -> bool:
    return any(True for pattern in _WEIGHTS for _ in folder.glob(pattern))


@dataclass(frozen=True)
class Scan:
    """Looks for models below a folder of the project at `root`; what `may_read` says no to is named
    and not looked into.
    """

    root: Path
    may_read: MayRead = anywhere

    def all_below(self, models: Path) -> list[ModelSpec]:
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
                found += self._versions(name, folder / "snapshots", self._current(folder))
            elif recognised := recognise(folder, self.may_read):
                found.append(self._spec(folder, folder.name, "", recognised))
            else:
                below = list(self._below(folder))
                if not below and _holds_model(folder):
                    below = [self._spec(folder, folder.name, "", _UNKNOWN)]
                found += below
        return found

    def named(self, models: Path, name: str) -> list[ModelSpec]:
        """The folder of a name below a folder, whatever its files are: for a class that knows them.

        Its sub-folders if they are versions and nothing stands beside them; empty if none is there.
        """
        parts = name.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            return []
        folder = models.joinpath(*parts)
        if not self.may_read(folder):
            return [self._spec(folder, name, "", _UNKNOWN)]
        try:
            children = [child for child in folder.iterdir() if not child.name.startswith(".")]
        except OSError:
            return []
        if children and all(
            child.is_dir() and _VERSION.fullmatch(child.name) for child in children
        ):
            ordered = sorted(children, key=lambda child: _natural(child.name))
            return [self._spec(child, name, child.name, _UNKNOWN) for child in ordered]
        return [self._spec(folder, name, "", _UNKNOWN)]

    def _below(self, folder: Path) -> Iterator[ModelSpec]:
        children = _children(folder)
        if any(_VERSION.fullmatch(c.name) and recognise(c, self.may_read) for c in children):
            yield from self._versions(folder.name, folder, "")
            return
        for child in children:
            name = f"{folder.name}/{child.name}"
            if recognised := recognise(child, self.may_read):
                yield self._spec(child, name, "", recognised)
            else:
                yield from self._versions(name, child, "")

    def _versions(self, name: str, folder: Path, current: str) -> Iterator[ModelSpec]:
        if not self.may_read(folder):
            yield self._spec(folder, name, "", _UNKNOWN)
            return
        children = [child for child in _children(folder) if _VERSION.fullmatch(child.name)]
        for child in sorted(children, key=lambda c: (c.name == current, _natural(c.name))):
            if recognised := recognise(child, self.may_read):
                yield self._spec(child, name, child.name, recognised)

    def _current(self, cached: Path) -> str:
        named = cached / "refs" / "main"
        try:
            return read_regular_text(named).strip() if self.may_read(named) else ""
        except (OSError, UnicodeDecodeError):
            return ""

    def _spec(self, folder: Path, name: str, version: str, recognised: Recognised) -> ModelSpec:
        seen = sorted(folder.rglob("*")) if self.may_read(folder) else []
        files = {
            path.relative_to(folder).as_posix(): path.absolute() for path in seen if path.is_file()
        }
        return ModelSpec(
            name,
            recognised.kind,
            recognised.loader,
            folder=folder.absolute(),
            version=version,
            files=files,
            aliases=(name.rpartition("/")[2],) if "/" in name else (),
            source=str(folder),
            size=sum(path.stat().st_size for path in files.values()),
            options=recognised.options,
            root=self.root,
        )


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(c for c in folder.iterdir() if c.is_dir() and not c.name.startswith("."))
    except OSError:
        return []


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts v10 after v9."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]
