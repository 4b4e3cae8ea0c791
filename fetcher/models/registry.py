"""Which class loads a model: one of ours by its loader, or what was registered by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from fetcher.errors import UsageError
from fetcher.models.base import BaseModel
from fetcher.models.chat import TransformersChatModel
from fetcher.models.compression import CodecModel
from fetcher.models.embedding import OnnxEmbeddingModel, SentenceTransformerModel
from fetcher.models.image_generation import DiffusersPipeline
from fetcher.models.spec import ModelSpec

LOADERS: dict[str, type[BaseModel]] = {
    "transformers": TransformersChatModel,
    "sentence-transformers": SentenceTransformerModel,
    "onnx": OnnxEmbeddingModel,
    "diffusers": DiffusersPipeline,
    "codec": CodecModel,
}
Maker = Callable[..., BaseModel]
REGISTERED: dict[str, Maker] = {}


def register_model(name: str, make: Maker) -> None:
    """Let `name` be loaded by a class of your own, or by what a function returns.

    `make` is called with the ModelSpec (whose `folder` is None where nothing of that name is
    there), or without arguments if it takes none. It also replaces the class of a laid-out model.
    Packages register through entry points in the group `fetcher.models`.
    """
    if not name or "@" in name:
        raise UsageError(f"{name!r} is no name for a model", "letters, digits, '-', '_', '.', '/'")
    if not callable(make):
        raise UsageError(f"{name}: {make!r} is neither a class nor a function")
    REGISTERED[name] = make


def maker_of(name: str) -> Maker | None:
    """What was registered for a name, its version left out."""
    found = REGISTERED.get(name) or REGISTERED.get(name.rpartition("@")[0])
    return found or _plugged_in(name)


def kind_of(make: Maker) -> str:
    """The kind of model that a class is; "other" where only calling it would tell."""
    return getattr(make, "kind", "other") if isinstance(make, type) else "other"


def call(make: Maker, spec: ModelSpec) -> BaseModel:
    """Make a model: with its spec, or without arguments if `make` takes none."""
    try:
        inspect.signature(make).bind(spec)
    except TypeError:
        return make()
    except ValueError:  # nothing is known of its arguments
        pass
    return make(spec)


def _plugged_in(name: str) -> Maker | None:
    point = _points().get(name)
    return point.load() if point is not None else None


@lru_cache(maxsize=1)
def _points() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group="fetcher.models")}
