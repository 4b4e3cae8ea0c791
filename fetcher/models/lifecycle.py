"""The life of a model: loaded once, called by one thread at a time, unloaded after its calls."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fetcher.i18n import t
from fetcher.models import device_memory
from fetcher.models.model_errors import ModelError, NotLoaded
from fetcher.models.stats import Call, Monitor
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.loaders import first_line, is_memory


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


class Lifecycle:
    """What one model's threads agree on. `engine` is whatever calls work with, None while the
    model is not in memory; `closing` is true while an unload waits for calls.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.monitor = Monitor(name, "other")
        self.engine: Any = None
        self.pending: Any = None  # what a class's own load has got from its base's
        self.closing = False
        self._loading = threading.Lock()
        self._working: int | None = None  # the thread that loads or unloads
        self._state = threading.Condition()
        self._users: dict[int, Call | None] = {}  # threads in a call, or waiting for their turn
        self._turn = threading.Lock()

    @property
    def working(self) -> bool:
        """Whether this thread is within the model's load or unload."""
        return self._working == threading.get_ident()

    @property
    def in_call(self) -> bool:
        """Whether this thread is within a call of the model."""
        return threading.get_ident() in self._users

    def load(self, make: Callable[[], Any]) -> None:
        """Keep what `make` returns, unless there is one. Raises ModelError."""
        with self._alone():
            if self.engine is not None:
                return
            device_memory.reset_peak()
            failure: ModelError | None = None
            try:
                with self.monitor.loading():
                    engine = make()
            except Exception as error:
                failure = _in_our_words(self.name, error)
                failure.__cause__ = error
                _let_go(error)
            if failure is not None:
                device_memory.release()
                raise failure
            with self._state:
                self.engine = engine

    def unload(self, key: str, free: Callable[[Any], object], timeout: float | None) -> Freed:
        """Wait for calls that have begun, at most `timeout` seconds, and let `free` undo the load.

        Raises ModelError if calls take longer, if this thread is within one of them, or if `free`
        fails; the model is gone then too.
        """
        with self._alone():
            if self.engine is None:
                return Freed()
            engine = self._taken_back(timeout)
            before, stats = device_memory.read(), self.monitor.read()
            try:
                free(engine)
            except Exception as error:
                told = t(
                    "{name} failed while it was unloaded: {error}",
                    name=self.name,
                    error=first_line(error),
                )
                raise ModelError(
                    told, t("its memory may be held until this process ends")
                ) from error
            finally:
                del engine
                device_memory.release()
                after = device_memory.read()
                self.monitor.unloaded()
        return Freed(
            (key,),
            stats.taken_gpu_bytes,
            before.gpu - after.gpu,
            stats.taken_resident_bytes,
            before.resident - after.resident,
        )

    @contextmanager
    def in_use(self) -> Iterator[tuple[Any, Call]]:
        """The engine for one call at a time, and what the call counts.

        A call within a call is part of it. Raises NotLoaded.
        """
        me = threading.get_ident()
        if (outer := self._users.get(me)) is not None:
            yield self.engine, outer
            return
        with self._state:
            if self.engine is None or self.closing:
                raise NotLoaded(
                    t("{name} is not loaded", name=self.name),
                    t("call load(), or get it from the manager again"),
                )
            self._users[me] = None
            engine = self.engine
        try:
            with self._turn, self.monitor.calling() as call:
                self._users[me] = call
                yield engine, call
        finally:
            del engine
            with self._state:
                del self._users[me]
                self._state.notify_all()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self.working:
            raise ModelError(
                t("{name} is loaded from within its own load or unload", name=self.name)
            )
        with self._loading:
            self._working = threading.get_ident()
            try:
                yield
            finally:
                self._working = None

    def _taken_back(self, timeout: float | None) -> Any:
        """The engine, once no call uses it."""
        with self._state:
            if self.in_call:
                raise ModelError(
                    t("{name} is unloaded from within a call of its own", name=self.name)
                )
            self.closing = True
            done = self._state.wait_for(lambda: not self._users, timeout)
            self.closing = False
            if not done:
                raise ModelError(
                    t(
                        "{name} is still in use after {timeout} seconds",
                        name=self.name,
                        timeout=timeout,
                    )
                )
            engine, self.engine = self.engine, None
            return engine


def _let_go(error: BaseException | None) -> None:
    """Clear the frames of an exception and of its causes: they hold what was loaded so far."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _in_our_words(name: str, error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    if isinstance(error, ProbeError):
        return ModelError(
            t("{name}: {reason}", name=name, reason=error.reason),
            error.hint or t("are all its files there?"),
        )
    if is_memory(error):
        return ModelError(
            t("{name}: memory ran out while it was loaded", name=name),
            t("unload others first, or choose a smaller number type (MODEL_DTYPE)"),
        )
    return ModelError(t("{name} cannot be loaded: {error}", name=name, error=first_line(error)))
