"""The life of a model: loaded once, called by one thread at a time, unloaded after its calls."""

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fetcher.errors import PROBE, FetchError, Problem
from fetcher.models import device_memory
from fetcher.models.spec import ModelSpec
from fetcher.models.stats import Call, Monitor
from fetcher.verify.contract import devices, dtypes
from fetcher.verify.contract.errors import ProbeError
from fetcher.verify.loaders import first_line, is_memory

M = TypeVar("M", bound="BaseModel")


class ModelError(FetchError):
    """A model cannot be loaded or used."""

    exit_code = PROBE

    def problems(self) -> list[Problem]:
        """The one problem."""
        return [Problem("probe", self.message, self.hint)]


class NotLoaded(ModelError):
    """The model was called before it was loaded, or after it was unloaded."""


@dataclass(frozen=True)
class Freed:
    """Bytes that unloading gave back, and that the loads before had taken.

    GPU memory is what torch has allocated. Resident memory is the whole process's: libraries
    loaded meanwhile and memory that Python keeps for itself count against it.
    """

    models: tuple[str, ...] = ()
    gpu_taken: int = 0
    gpu_freed: int = 0
    resident_taken: int = 0
    resident_freed: int = 0

    def __add__(self, other: Freed) -> Freed:
        return Freed(
            self.models + other.models,
            self.gpu_taken + other.gpu_taken,
            self.gpu_freed + other.gpu_freed,
            self.resident_taken + other.resident_taken,
            self.resident_freed + other.resident_freed,
        )


class BaseModel:
    """A model of one kind. Subclasses have `_load`, which returns whatever calls then work with.

    Safe for threads: `load` loads once; calls wait for one another; `unload` waits for the calls
    that have begun, and later calls raise NotLoaded.
    """

    kind = "other"
    # Imported before memory is measured: (import name, name to install, extra of this package).
    libraries: tuple[tuple[str, str, str], ...] = ()

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = spec or ModelSpec(type(self).__name__, self.kind, "custom", origin="registered")
        self.monitor = Monitor(self.spec.name, self.kind, self.spec.version)
        self._engine: Any = None
        self._loading = threading.Lock()
        self._state = threading.Condition()
        self._users: list[int] = []  # threads in a call, or waiting for their turn
        self._closing = False
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.key}{'' if self.loaded else ', not loaded'}>"

    @property
    def name(self) -> str:
        """The name that the manager knows it by."""
        return self.spec.name

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return self._engine is not None

    def load(self: M) -> M:
        """Load the model unless it is loaded; returns itself. Raises ModelError."""
        with self._loading:
            if self._engine is not None:
                return self
            for module, install, extra in self.libraries:
                require(module, install, extra)
            device_memory.reset_peak()
            failure: ModelError | None = None
            try:
                with self.monitor.loading():
                    engine = self._load()
            except Exception as error:
                failure = _in_our_words(self.spec, error)
                failure.__cause__ = error
                _let_go(error)
            if failure is not None:
                device_memory.release()
                raise failure
            with self._state:
                self._engine = engine
        return self

    def unload(self, timeout: float | None = None) -> Freed:
        """Wait for calls that have begun, at most `timeout` seconds, and free the memory.

        Raises ModelError if calls take longer, or if this thread is within a call itself.
        """
        with self._loading:
            with self._state:
                if self._engine is None:
                    return Freed()
                if threading.get_ident() in self._users:
                    raise ModelError(f"{self.name} is unloaded from within a call of its own")
                self._closing = True
                self._stop()
                done = self._state.wait_for(lambda: not self._users, timeout)
                self._closing = False
                if not done:
                    self._go_on()
                    raise ModelError(f"{self.name} is still in use after {timeout} seconds")
                engine, self._engine = self._engine, None
            before, stats = device_memory.read(), self.monitor.read()
            self._unload(engine)
            del engine
            device_memory.release()
            after = device_memory.read()
            self.monitor.unloaded()
        return Freed(
            (self.spec.key,),
            stats.taken_gpu_bytes,
            before.gpu - after.gpu,
            stats.taken_resident_bytes,
            before.resident - after.resident,
        )

    @contextmanager
    def in_use(self) -> Iterator[tuple[Any, Call]]:
        """What `_load` returned, for one call at a time; the value beside it counts what is done.

        Drop it (`del`) at the end of the block: `unload` in another thread frees it right after.
        Raises NotLoaded.
        """
        me = threading.get_ident()
        with self._state:
            if self._engine is None or self._closing:
                raise NotLoaded(
                    f"{self.name} is not loaded",
                    "call load(), or get it from the manager again",
                )
            if me in self._users:
                raise ModelError(f"{self.name} is called from within a call of its own")
            self._users.append(me)
            engine = self._engine
        try:
            with self._turn, self.monitor.calling() as call:
                yield engine, call
        finally:
            del engine
            with self._state:
                self._users.remove(me)
                self._state.notify_all()

    # For subclasses

    def _load(self) -> Any:
        raise NotImplementedError

    def _unload(self, engine: Any) -> None:
        """Undo what dropping the last reference does not."""

    def _stop(self) -> None:
        """Ask calls that could go on for long to end."""

    def _go_on(self) -> None:
        """Take `_stop` back: calls were not done in time."""

    def _device(self) -> str:
        """`cpu`, `cuda:N` or `mps`, as the settings say and the machine has."""
        found = devices.choose(sys.modules.get("torch"), self.spec.device)
        self.monitor.on_device(found)
        return found

    def _dtype(self, default: Any) -> Any:
        """torch's number type that the settings name, or `default`."""
        if self.spec.dtype == "auto":
            return default
        return dtypes.of_torch(sys.modules["torch"], self.spec.dtype)


def require(module: str, install: str, extra: str) -> None:
    """Import a library. Raises ModelError that says how to install it."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        told = "is not installed" if absent else f"cannot be imported: {first_line(error)}"
        raise ModelError(
            f"{module} {told}",
            f"pip install {install}, or fetcher[{extra}]" if absent else f"reinstall {install}",
        ) from error


def _let_go(error: BaseException | None) -> None:
    """Clear the frames of an exception and of its causes: they hold what was loaded so far."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _in_our_words(spec: ModelSpec, error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    if isinstance(error, ProbeError):
        return ModelError(f"{spec.name}: {error.reason}", error.hint or "are all its files there?")
    if is_memory(error):
        return ModelError(
            f"{spec.name}: memory ran out while it was loaded",
            "unload others first, or choose a smaller number type (MODEL_DTYPE)",
        )
    return ModelError(f"{spec.name} cannot be loaded: {first_line(error)}")
