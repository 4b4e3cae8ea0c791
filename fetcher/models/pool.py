"""The models in memory: each loaded by one thread while others wait, and dropped again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from fetcher.errors import UsageError
from fetcher.models import device_memory, registry
from fetcher.models.base import BaseModel, Freed, ModelError
from fetcher.models.discovery import matching
from fetcher.models.spec import ModelSpec

M = TypeVar("M", bound=BaseModel)
Prepare = Callable[[BaseModel], None]


class _Entry:
    """A model that is loaded, or that a thread is loading."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.model: BaseModel | None = None
        self.dropped = False


# What tells models in memory apart: kind, name@version, loader, device, dtype.
Key = tuple[str, str, str, str, str]
# What was asked for: kind, name, backend, device, dtype.
Asked = tuple[str, str, str, str, str]


class Pool:
    """Models by what tells them apart; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry] = {}
        self._known: dict[Asked, ModelSpec] = {}
        self._history: dict[tuple[str, str, str], BaseModel] = {}

    def known(self, asked: Asked) -> ModelSpec | None:
        """What a name means while its model is in memory."""
        with self._lock:
            return self._known.get(asked)

    def remember(self, asked: Asked, spec: ModelSpec) -> None:
        """Keep what a name means until the model is dropped."""
        with self._lock:
            self._known[asked] = spec

    def history(self) -> list[BaseModel]:
        """Every model that was in memory once, with its counters."""
        with self._lock:
            return list(self._history.values())

    def loaded(self) -> set[tuple[str, str]]:
        """The kinds and the names with versions of what is in memory."""
        with self._lock:
            return {key[:2] for key, entry in self._entries.items() if entry.model is not None}

    def keys(self, name: str | None = None) -> list[Key]:
        """The keys of what is in memory, or of what of it is called so."""
        with self._lock:
            return [
                key
                for key, entry in self._entries.items()
                if name is None
                or (entry.model and matching([entry.model.spec], name))
                or name in {key[1], key[1].partition("@")[0]}
            ]

    def get(self, spec: ModelSpec, base: type[M], prepare: Prepare) -> M:
        """The model of a spec: loaded by one thread, while others that want it wait."""
        key = (spec.kind, spec.key, spec.loader, spec.device, spec.dtype)
        while True:
            with self._lock:
                entry = self._entries.setdefault(key, _Entry())
            with entry.lock:
                if entry.dropped:
                    continue  # unloaded in between: begin again
                if entry.model is None or not _in_memory(entry.model):
                    try:
                        entry.model = self._make(spec, base, prepare)
                    except BaseException:
                        entry.dropped = True
                        with self._lock:
                            self._entries.pop(key, None)
                        raise
                found = entry.model
                assert isinstance(found, base)
                return found

    def _make(self, spec: ModelSpec, base: type[M], prepare: Prepare) -> M:
        make = registry.maker_of(spec.name) or registry.LOADERS.get(spec.loader)
        if make is None:
            raise ModelError(f"{spec.name}: no class here loads it", "register_model(name, Class)")
        with self._lock:
            model = self._history.get((spec.kind, spec.key, spec.loader))
        if model is None or model.spec != spec:
            before, model = model, registry.call(make, spec)
            if not isinstance(model, base):
                raise UsageError(
                    f"{spec.name} was registered as a {type(model).__name__}, which is no "
                    f"{base.__name__}",
                    f"let it inherit from fetcher.models.{base.__name__}",
                )
            if not hasattr(model, "monitor"):  # its own __init__ did not call ours
                BaseModel.__init__(model, spec)
            if before is not None:
                model.monitor = before.monitor
        prepare(model)
        with self._lock:
            self._history[spec.kind, spec.key, spec.loader] = model
        model.load()
        assert isinstance(model, base)
        return model

    def drop(self, keys: list[Key], timeout: float | None) -> Freed:
        """Unload models, all that can be; raises ModelError for the first still in use."""
        freed, failures = Freed(), []
        for key in keys:
            try:
                freed += self._drop_one(key, timeout)
            except ModelError as error:  # still in use: the others are unloaded first
                failures.append(error)
        device_memory.release()
        if failures:
            raise failures[0]
        return freed

    def _drop_one(self, key: Key, timeout: float | None) -> Freed:
        freed = Freed()
        with self._lock:
            entry = self._entries.get(key)
        if entry is None:
            return freed
        with entry.lock:
            if entry.dropped:
                return freed
            if entry.model is not None:
                freed = _unload(entry.model, timeout)
            entry.dropped, entry.model = True, None
            with self._lock:
                self._entries.pop(key, None)
                self._known = {k: spec for k, spec in self._known.items() if spec.key != key[1]}
        return freed


def as_is(model: BaseModel) -> None:
    """What is to be done with a model before it is loaded: nothing."""


def _in_memory(model: BaseModel) -> bool:
    """Whether a model is loaded; classes that load in a way of their own are believed."""
    return type(model).load is not BaseModel.load or model.loaded


def _unload(model: BaseModel, timeout: float | None) -> Freed:
    """Unload; a class that does so in a way of its own need not know of timeouts."""
    if type(model).unload is BaseModel.unload:
        return model.unload(timeout)
    before = device_memory.read()
    model.unload()
    device_memory.release()
    after = device_memory.read()
    gone = before.gpu - after.gpu, before.resident - after.resident
    return Freed((model.spec.key,), gone[0], gone[0], gone[1], gone[1])
