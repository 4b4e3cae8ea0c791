"""Makes the model of a spec: by what was registered for its name, else by one of our classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models import registry
from fetcher.models.chat import TransformersChatModel
from fetcher.models.compression import CodecModel
from fetcher.models.embedding import OnnxEmbeddingModel, SentenceTransformerModel
from fetcher.models.image_generation import DiffusersPipeline
from fetcher.models.model import BaseModel
from fetcher.models.model_errors import ModelError
from fetcher.models.registry import Maker
from fetcher.models.spec import ModelSpec

M = TypeVar("M", bound=BaseModel)

LOADERS: dict[str, type[BaseModel]] = {
    "transformers": TransformersChatModel,
    "sentence-transformers": SentenceTransformerModel,
    "onnx": OnnxEmbeddingModel,
    "diffusers": DiffusersPipeline,
    "codec": CodecModel,
}

# What a class may call the parameters of its __init__, besides one that takes the whole spec.
_GIVEN: dict[str, Callable[[ModelSpec], Any]] = {
    "spec": lambda spec: spec,
    "name": lambda spec: spec.name,
    "model_name": lambda spec: spec.name,
    "model_path": lambda spec: spec.folder,
    "device": lambda spec: spec.device,
    "dtype": lambda spec: spec.dtype,
}


def maker_of(spec: ModelSpec) -> Maker | None:
    """What makes the model of a spec now."""
    return registry.maker_of(spec.name, spec.kind) or LOADERS.get(spec.loader)


def make_model(make: Maker, spec: ModelSpec, base: type[M]) -> M:
    """A model that is not loaded. Raises UsageError, ModelError for a class that cannot be one."""
    if isinstance(make, type):
        check_class(make, base, spec.name)
    model = call(make, spec)
    if not isinstance(model, type):
        check_class(type(model), base, spec.name)
    if not isinstance(model, base):
        raise UsageError(
            t(
                "{name}: {make!r} returned {model!r}, expected a {base}",
                name=spec.name,
                make=make,
                model=model,
                base=base.__name__,
            )
        )
    if model._spec is None:
        model.spec = spec
    return model


def check_class(kind: type, base: type[BaseModel], name: str) -> None:
    """Raise UsageError for a class that is no `base`, ModelError for one that lacks a method."""
    if not issubclass(kind, base):
        raise UsageError(
            t(
                "{name} was registered as a {kind}, which is no {base}",
                name=name,
                kind=kind.__name__,
                base=base.__name__,
            ),
            t("let it inherit from fetcher.models.{base}", base=base.__name__),
        )
    if missing := kind.missing():
        raise ModelError(*missing)


def call(make: Maker, spec: ModelSpec) -> BaseModel:
    """Call a class or function with what its parameters are named after (spec, name, model_path,
    device, dtype), else with the spec as its first argument, else without any.

    Raises UsageError if it wants more than that.
    """
    try:
        signature = inspect.signature(make)
    except ValueError:  # nothing is known of its parameters
        return make(spec)
    named = {name: give(spec) for name, give in _GIVEN.items() if name in signature.parameters}
    ways: list[tuple[tuple[Any, ...], dict[str, Any]]] = [((spec,), {}), ((), {})]
    for given, more in [((), named), *ways] if named else ways:
        try:
            signature.bind(*given, **more)
        except TypeError:
            continue
        return make(*given, **more)
    wanted = [
        name
        for name, one in signature.parameters.items()
        if one.default is one.empty and name not in _GIVEN
    ]
    who = getattr(make, "__name__", repr(make))
    raise UsageError(
        t(
            "{name}: {who} wants {wanted}, which fetch does not know",
            name=spec.name,
            who=who,
            wanted=", ".join(wanted),
        ),
        t(
            "register_model({name!r}, lambda spec: {who}(…)), or give {wanted} a default",
            name=spec.name,
            who=who,
            wanted=wanted[0],
        ),
    )
