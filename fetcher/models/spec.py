"""What is known of a model before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("chat", "embedding", "image", "compression")


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be loaded, and with what.

    `kind` is one of KINDS, or "other" for what no class here loads. `loader` names the class:
    transformers, sentence-transformers, onnx, diffusers, codec, or `custom`. `version` is the
    lock's revision, or the name of a plain folder's sub-folder. `files` maps the model's own paths
    to where they stand. `base` is the model that an adapter acts on. `info` is the catalog record,
    `options` what the manifest's probe says of loading it.
    """

    name: str
    kind: str
    loader: str
    folder: Path | None = None
    version: str = ""
    origin: str = "folder"
    files: Mapping[str, Path] = field(default_factory=dict)
    base: ModelSpec | None = None
    aliases: tuple[str, ...] = ()
    source: str = ""
    size: int = 0
    info: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    root: Path = field(default_factory=Path)
    device: str = "auto"
    dtype: str = "auto"

    @property
    def key(self) -> str:
        """The name with its version."""
        return f"{self.name}@{self.version}" if self.version else self.name

    def answers_to(self, name: str) -> bool:
        """Whether the model is called that, its version left out."""
        return name == self.name or name in self.aliases

    def to_json(self) -> dict[str, Any]:
        """The metadata, as `json` can write it."""
        shown = ("task", "license", "parameters", "framework", "owner", "tags", "description")
        return {
            "name": self.name,
            "kind": self.kind,
            "loader": self.loader,
            "version": self.version,
            "origin": self.origin,
            "folder": str(self.folder) if self.folder else None,
            "source": self.source,
            "size_bytes": self.size,
            "aliases": list(self.aliases),
            "base": self.base.key if self.base else None,
            **{
                key: list(value) if isinstance(value, tuple) else value
                for key in shown
                if (value := self.info.get(key)) is not None
            },
        }
