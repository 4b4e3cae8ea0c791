"""The models in memory: each loaded by one thread while others wait, and dropped again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fetcher.i18n import t
from fetcher.models import device_memory, loader
from fetcher.models.discovery import matching
from fetcher.models.lifecycle import Freed
from fetcher.models.model import BaseModel
from fetcher.models.model_errors import ModelError
from fetcher.models.registry import Maker
from fetcher.models.spec import ModelSpec
from fetcher.models.stats import Monitor

M = TypeVar("M", bound=BaseModel)
Prepare = Callable[[BaseModel], None]


class _Entry:
    """A model that is loaded, or that a thread is loading, and what makes it."""

    def __init__(self, spec: ModelSpec, make: Maker) -> None:
        self.spec = spec
        self.make = make
        self.lock = threading.Lock()
        self.model: BaseModel | None = None
        self.dropped = False


@dataclass
class _Past:
    """A model that was in memory once: itself unless its load failed, and its counters."""

    make: Maker
    monitor: Monitor
    model: BaseModel | None = None


# What tells models in memory apart: kind, name@version, loader, device, dtype.
Key = tuple[str, str, str, str, str]
# What was asked for: kind, name, backend, device, dtype.
Asked = tuple[str, str, str, str, str]


class Pool:
    """Models by what tells them apart; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry] = {}
        self._known: dict[Asked, tuple[ModelSpec, Maker | None]] = {}
        self._history: dict[tuple[str, str, str], _Past] = {}

    def known(self, asked: Asked) -> ModelSpec | None:
        """What a name means while its model is in memory, and loaded by what it was."""
        with self._lock:
            spec, make = self._known.get(asked, (None, None))
        return spec if spec is not None and loader.maker_of(spec) is make else None

    def remember(self, asked: Asked, spec: ModelSpec) -> None:
        """Keep what a name means until the model is dropped."""
        with self._lock:
            self._known[asked] = spec, loader.maker_of(spec)

    def history(self) -> list[Monitor]:
        """The counters of every model that was in memory once."""
        with self._lock:
            return [past.monitor for past in self._history.values()]

    def loaded(self) -> set[tuple[str, str]]:
        """The kinds and the names with versions of what is in memory."""
        with self._lock:
            return {key[:2] for key, one in self._entries.items() if one.model and one.model.loaded}

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
        """The model of a spec: loaded by one thread, while others that want it wait. What was
        loaded by a class that is replaced meanwhile is unloaded first.
        """
        key = (spec.kind, spec.key, spec.loader, spec.device, spec.dtype)
        while True:
            make = loader.maker_of(spec)
            if make is None:
                raise ModelError(
                    t("{name}: no class here loads it", name=spec.name), _write_one(spec)
                )
            self._drop_replaced(spec)
            with self._lock:
                entry = self._entries.setdefault(key, _Entry(spec, make))
            with entry.lock:
                if entry.dropped or entry.make is not make:
                    continue  # unloaded or registered anew in between: begin again
                if entry.model is None or not entry.model.loaded:
                    try:
                        entry.model = self._make(spec, make, base, prepare)
                    except BaseException:
                        entry.dropped = True
                        with self._lock:
                            self._entries.pop(key, None)
                        raise
                found = entry.model
                assert isinstance(found, base)
                return found

    def _make(self, spec: ModelSpec, make: Maker, base: type[M], prepare: Prepare) -> M:
        with self._lock:
            past = self._history.get((spec.kind, spec.key, spec.loader))
        known = past.model if past is not None and past.make is make else None
        model = known if isinstance(known, base) and known.spec == spec else None
        if model is None:
            model = loader.make_model(make, spec, base)
            if past is not None:
                model.monitor = past.monitor
        prepare(model)
        now = _Past(make, model.monitor)
        with self._lock:
            self._history[spec.kind, spec.key, spec.loader] = now
        model.load()
        now.model = model
        return model

    def _drop_replaced(self, spec: ModelSpec) -> None:
        """Unload what was loaded under a spec's name by what loads it no longer; its counters go
        on with what replaces it.
        """
        with self._lock:
            entries = [(key, one) for key, one in self._entries.items() if key[1] == spec.key]
        gone = [key for key, one in entries if loader.maker_of(one.spec) is not one.make]
        self.drop(gone, None)
        with self._lock:
            for kind, name, backend, *_ in gone:
                past = self._history.pop((kind, name, backend), None)
                if past is not None and kind == spec.kind:
                    past.model = None
                    self._history[kind, name, spec.loader] = past

    def drop(self, keys: list[Key], timeout: float | None) -> Freed:
        """Unload models, all that can be; raises ModelError for the first still in use."""
        freed, failures = Freed(), []
        for key in keys:
            try:
                freed += self._drop_one(key, timeout)
            except ModelError as error:  # still in use: the others are unloaded first
                failures.append(error)
        if keys:
            device_memory.release()
        if failures:
            raise failures[0]
        return freed

    def _drop_one(self, key: Key, timeout: float | None) -> Freed:
        with self._lock:
            entry = self._entries.get(key)
        if entry is None:
            return Freed()
        with entry.lock:
            if entry.dropped:
                return Freed()
            try:
                return entry.model.unload(timeout) if entry.model is not None else Freed()
            finally:
                if entry.model is None or not entry.model.loaded:
                    entry.dropped, entry.model = True, None
                    with self._lock:
                        self._entries.pop(key, None)
                        known = self._known.items()
                        self._known = {k: one for k, one in known if one[0].key != key[1]}


def as_is(model: BaseModel) -> None:
    """What is to be done with a model before it is loaded: nothing."""


def _write_one(spec: ModelSpec) -> str:
    return t("write a class for it, and register_model({name!r}, MyModel)", name=spec.name)
