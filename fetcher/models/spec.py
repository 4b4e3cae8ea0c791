"""What is known of a model before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from fetcher.verify.contract.consent import CodeConsent

KINDS = ("chat", "embedding", "image", "compression")


class _Found(TypedDict):
    name: str
    kind: str
    loader: str
    version: str
    origin: str
    folder: str | None
    source: str
    size_bytes: int
    aliases: list[str]
    base: str | None


class ModelRecord(_Found, total=False):
    """The metadata of a model, as `json` can write it: what was found, whether it is in memory,
    and what its manifest says of it.
    """

    loaded: bool
    task: str
    license: str
    parameters: int | str
    framework: str
    owner: str
    tags: list[str]
    description: str


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be loaded, and with what.

    `kind` is one of KINDS, or "other" for what no class here loads. `loader` names the class:
    transformers, sentence-transformers, onnx, diffusers, codec, `custom` for one that was
    registered, "" for none. `origin` is `tree` (laid out), `folder` or `registered`. `version` is
    the lock's revision, or the name of a plain folder's sub-folder. `files` maps the model's own
    paths to where they stand. `base` is the model that an adapter acts on. `info` is the catalog
    record, `options` what the manifest's probe says of loading it. `artifact` is the full name of
    the artifact that was laid out. `trust_code`: the person lets its code run, and `pickles` has
    what pickles may use besides tensors, by a file's sha256.
    """

    name: str
    kind: str
    loader: str
    origin: str = "folder"
    folder: Path | None = None
    version: str = ""
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
    artifact: str = ""
    trust_code: bool = False
    pickles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def consent(self) -> CodeConsent:
        """The person's word on the model's code."""
        return CodeConsent(self.name, self.trust_code)

    @property
    def consent_names(self) -> tuple[str, ...]:
        """The names that a person's word on its code may have; no alias, which anybody may give."""
        return (self.name, self.artifact) if self.artifact else (self.name,)

    @property
    def key(self) -> str:
        """The name with its version."""
        return f"{self.name}@{self.version}" if self.version else self.name

    def answers_to(self, name: str) -> bool:
        """Whether the model is called that, its version left out."""
        return name == self.name or name in self.aliases

    def to_json(self) -> ModelRecord:
        """The metadata."""
        found = ModelRecord(
            name=self.name,
            kind=self.kind,
            loader=self.loader,
            version=self.version,
            origin=self.origin,
            folder=str(self.folder) if self.folder else None,
            source=self.source,
            size_bytes=self.size,
            aliases=list(self.aliases),
            base=self.base.key if self.base else None,
        )
        for key in ModelRecord.__optional_keys__:
            if (value := self.info.get(key)) is not None:
                found[key] = list(value) if isinstance(value, tuple) else value  # type: ignore[literal-required]
        return found
