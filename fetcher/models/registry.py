"""Which class of somebody's own loads a model: registered by name, or plugged in by a package."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast, overload

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models.model import BaseModel
from fetcher.models.spec import KINDS

Maker = Callable[..., BaseModel]
C = TypeVar("C", bound=Maker)

_LOCK = threading.Lock()
# By name, then by kind: one name may be a chat and an embedding model. "" is any kind: of what a
# function makes nothing is known.
_REGISTERED: dict[str, dict[str, Maker]] = {}


@dataclass(frozen=True)
class Registered:
    """A class or function that loads the model of a name; `kind` is "" where it may be any."""

    name: str
    kind: str
    make: Maker


@overload
def register_model(name: str, make: Maker) -> None: ...
@overload
def register_model(name: str) -> Callable[[C], C]: ...


def register_model(name: str, make: Maker | None = None) -> Callable[[C], C] | None:
    """Let `name` be loaded by a class of your own, or by what a function returns.

    It replaces what was registered for the name and kind before, and the class of a laid-out model:
    the next get_… unloads what is in memory, and loads by the new one. What is called with which
    arguments, `fetcher.models.loader.call` says. Without `make` this decorates a class. Packages
    register through entry points in the group `fetcher.models`. Raises UsageError.
    """
    if not isinstance(name, str) or not name or "@" in name:
        raise UsageError(
            t("{name!r} is no name for a model", name=name),
            t("letters, digits, '-', '_', '.', '/'"),
        )
    if make is None:

        def decorate(decorated: C) -> C:
            register_model(name, decorated)
            return decorated

        return decorate
    if isinstance(made := cast(object, make), BaseModel):  # it can be called, but makes none
        kind = type(made).__name__
        raise UsageError(
            t("{name}: this is a {kind}, not its class", name=name, kind=kind),
            t("register_model(…, {kind})", kind=kind),
        )
    if not callable(make):
        raise UsageError(
            t("{name}: {make!r} is neither a class nor a function", name=name, make=make)
        )
    kind = kind_of(make)
    with _LOCK:
        others = _REGISTERED.get(name, {}) if kind else {}
        _REGISTERED[name] = {**{k: one for k, one in others.items() if k}, kind: make}
    return None


def unregister_model(name: str) -> None:
    """Forget what was registered for a name; nothing happens if nothing was."""
    with _LOCK:
        _REGISTERED.pop(name, None)


def registered() -> list[Registered]:
    """What is registered in this process, packages' entry points not included."""
    with _LOCK:
        return [
            Registered(name, kind, make)
            for name, kinds in _REGISTERED.items()
            for kind, make in kinds.items()
        ]


def maker_of(name: str, kind: str) -> Maker | None:
    """What was registered for a name, its version left out, and a kind."""
    for called in (name, name.rpartition("@")[0]):
        with _LOCK:
            kinds = _REGISTERED.get(called, {})
            if (found := kinds.get(kind) or kinds.get("")) is not None:
                return found
    plugged = _plugged_in(name.partition("@")[0])
    return plugged if plugged is not None and kind_of(plugged) in {kind, ""} else None


def plugged_in(name: str) -> Registered | None:
    """What an entry point has for a name."""
    found = _plugged_in(name)
    return Registered(name, kind_of(found), found) if found is not None else None


def kind_of(make: Maker) -> str:
    """The kind of model that a class is; "" where only calling it would tell."""
    kind = getattr(make, "kind", "") if isinstance(make, type) else ""
    return kind if kind in KINDS else ""


def _plugged_in(name: str) -> Maker | None:
    point = _points().get(name)
    found: Any = point.load() if point is not None else None
    return found if callable(found) else None


@lru_cache(maxsize=1)
def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="fetcher.models")}
