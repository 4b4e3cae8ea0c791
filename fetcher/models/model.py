"""What all models are: a description, a life, and methods that a class may write itself."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.models.lifecycle import Freed, Lifecycle
from fetcher.models.model_errors import ModelError
from fetcher.models.spec import ModelSpec
from fetcher.models.stats import Call, Monitor
from fetcher.verify.contract import devices, dtypes
from fetcher.verify.contract.consent import CodeConsent
from fetcher.verify.loaders import first_line

M = TypeVar("M", bound="BaseModel")
_KEPT = "_fetch_kept"  # marks a method that is run within the model's life already


class BaseModel:
    """A model of one kind. A class has either `_load`, which returns whatever its calls work with,
    or `load` and `unload`, which keep that on the model itself.

    Safe for threads either way: `load` loads once; calls wait for one another; `unload` waits for
    the calls that have begun, and later ones raise NotLoaded. What a class writes itself of `load`,
    `unload` and the methods in `calls` is run within this, and counted.
    """

    kind = "other"
    # Imported before memory is measured: (import name, name to install, extra of this package).
    libraries: tuple[tuple[str, str, str], ...] = ()
    # The public methods that use the model. The class that names them looks after them itself.
    calls: ClassVar[tuple[str, ...]] = ()
    # Of which methods a class needs at least one, besides `_load` or `load`.
    needs: ClassVar[tuple[str, ...]] = ()

    _spec: ModelSpec | None = None
    _own_name: str | None = None
    _own_path: Path | None = None
    _is_loaded: bool | None = None  # what a class that loads by itself may say

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        ours = [one for one in cls.__mro__ if one is BaseModel or "calls" in vars(one)]
        for name in ("load", "unload", *cls.calls):
            written = inspect.getattr_static(cls, name, None)  # a base beside ours may have it too
            if not inspect.isfunction(written) or hasattr(written, _KEPT):
                continue
            if not any(vars(one).get(name) is written for one in ours):
                kept = cls._kept(name, written)
                setattr(kept, _KEPT, True)
                setattr(cls, name, kept)

    def __new__(cls, *args: Any, **more: Any) -> Any:  # a class need not call our __init__
        """Make a model, which is not loaded yet."""
        made = super().__new__(cls)
        made._life = Lifecycle(cls.__name__)
        made._life.monitor.named(cls.__name__, cls.kind, "")
        return made

    _life: Lifecycle

    def __init__(self, spec: ModelSpec | Path | str | None = None) -> None:
        """Describe the model: by the manager's ModelSpec, or by its folder alone."""
        if isinstance(spec, (str, Path)):
            folder = Path(spec).absolute()
            spec = ModelSpec(folder.name, self.kind, "custom", folder=folder)
        if spec is not None:
            self.spec = spec

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.spec.key}{'' if self.loaded else ', not loaded'}>"

    @property
    def spec(self) -> ModelSpec:
        """What is known of it: name, folder, files, record, settings."""
        return self._spec or ModelSpec(type(self).__name__, self.kind, "custom", "registered")

    @spec.setter
    def spec(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._life.name = spec.name
        self.monitor.named(spec.name, self.kind, spec.version)

    @property
    def monitor(self) -> Monitor:
        """Its counters."""
        return self._life.monitor

    @monitor.setter
    def monitor(self, monitor: Monitor) -> None:
        self._life.monitor = monitor

    @property
    def name(self) -> str:
        """The name that the manager knows it by, unless the class has set another."""
        return self._own_name or self.spec.name

    @name.setter
    def name(self, name: str) -> None:
        self._own_name = name

    @property
    def model_path(self) -> Path:
        """The folder with its files, unless the class has set another.

        Raises ModelError if there is none.
        """
        if self._own_path is not None:
            return self._own_path
        if self.spec.folder is None:
            raise ModelError(
                t("{name} has no folder", name=self.name),
                t(
                    "put its files into {folder} (setting LOCAL_MODELS_DIR)",
                    folder=Path("models") / self.name,
                ),
            )
        return self.spec.folder

    @model_path.setter
    def model_path(self, folder: Path | str) -> None:
        self._own_path = Path(folder)

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._life.engine is not None and self._is_loaded is not False

    @property
    def loaded(self) -> bool:
        """The same as `is_loaded`."""
        return self.is_loaded

    def load(self: M) -> M:
        """Load the model unless it is loaded; returns itself. Raises ModelError."""
        if self._life.working:  # a class's own load calls this one
            self._life.pending = self._load()
        else:
            self._load_once(self._load)
        return self

    def unload(self, timeout: float | None = None) -> Freed:
        """Wait for calls that have begun, at most `timeout` seconds, and free the memory.

        Raises ModelError if calls take longer, or if this thread is within a call itself.
        """
        if self._life.working:  # a class's own unload calls this one
            return Freed()
        return self._life.unload(self.spec.key, self._unload, timeout)

    def in_use(self) -> AbstractContextManager[tuple[Any, Call]]:
        """What `_load` returned, for one call at a time; the value beside it counts what is done.

        Drop it (`del`) at the end of the block: `unload` in another thread frees it right after.
        A call within a call is part of it. Raises NotLoaded.
        """
        return self._life.in_use()

    @classmethod
    def missing(cls) -> tuple[str, str] | None:
        """What a class still has to write, and how: a sentence and a hint. None if nothing."""
        who = f"{cls.__name__} ({cls.__module__})"
        own_load, own_unload = (_writes(cls, BaseModel, name) for name in ("load", "unload"))
        if not own_load and not _writes(cls, BaseModel, "_load"):
            return (
                t("{who} has no method {method}", who=who, method="load"),
                t("def load(self): …, and unload, which undoes it"),
            )
        if own_load and not own_unload and not _writes(cls, BaseModel, "_load"):
            return (
                t("{who} has a method load, and none that undoes it", who=who),
                t("def unload(self): …, which drops what load has set, such as self._model = None"),
            )
        base = next(one for one in cls.__mro__ if "needs" in vars(one))
        if cls.needs and not any(_writes(cls, base, name) for name in cls.needs):
            return (
                t("{who} has no method {method}", who=who, method=cls.needs[0]),
                f"def {cls.needs[0]}(self, …): …",
            )
        return None

    # For subclasses

    def _load(self) -> Any:
        raise self._absent("load")

    def _unload(self, engine: Any) -> None:
        """Undo what dropping the last reference does not."""

    def _consent(self) -> CodeConsent:
        """The person's word on the code of the model; a class that was given a folder alone asks
        for that of the project that it is used in.
        """
        if self.spec.trust_code or self.spec.root != Path():
            return self.spec.consent
        from fetcher.config import settings
        from fetcher.project.project import find_root

        root = find_root(Path.cwd())
        given = settings.load(root).allowed.may_run(root, self.spec.name)
        return CodeConsent(self.spec.name, given)

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

    def _count(self, call: Call, given: tuple[Any, ...], answer: Any) -> None:
        """Tell what a call of a method that a class wrote itself has done."""
        call.items = call.items or 1

    @classmethod
    def _kept(cls, name: str, written: Callable[..., Any]) -> Callable[..., Any]:
        """A method that a class writes itself, run within the model's life."""
        if name in {"load", "unload"}:
            return _kept_load(written) if name == "load" else _kept_unload(written)

        @functools.wraps(written)
        def call(self: BaseModel, *given: Any, **options: Any) -> Any:
            check_options(self, name, written, options)
            with self.in_use() as (_, counted):
                answer = written(self, *given, **options)
                self._count(counted, given, answer)
            return answer

        return call

    def _load_once(self, make: Callable[[], Any]) -> None:
        if self.loaded:
            return
        for module, install, extra in self.libraries:
            require(module, install, extra)
        if self._is_loaded is False:
            self._life.engine = None  # a class that says so itself is believed
        self._life.load(make)

    def _absent(self, method: str) -> ModelError:
        """What to say of a method that the class should have written."""
        missing = self.missing() or (
            t("{who} has no method {method}", who=type(self).__name__, method=method),
            "",
        )
        return ModelError(*missing)


def _kept_load(written: Callable[..., Any]) -> Callable[..., Any]:
    """A load that a class writes itself, run once."""

    @functools.wraps(written)
    def load(self: M, *given: Any, **more: Any) -> M:
        def make() -> Any:
            written(self, *given, **more)
            if self._is_loaded is False:
                self._is_loaded = True
            engine, self._life.pending = self._life.pending, None
            return engine if engine is not None else True

        if self._life.working:  # super().load() of a class in between
            written(self, *given, **more)
        else:
            self._load_once(make)
        return self

    return load


def _kept_unload(written: Callable[..., Any]) -> Callable[..., Any]:
    """An unload that a class writes itself, run after the model's calls."""

    @functools.wraps(written)
    def unload(self: BaseModel, timeout: float | None = None) -> Freed:
        def free(engine: Any) -> None:
            self._unload(engine)
            del engine
            written(self)
            if self._is_loaded:
                self._is_loaded = False

        if self._life.working:  # super().unload() of a class in between
            written(self)
            return Freed()
        return self._life.unload(self.spec.key, free, timeout)

    return unload


def check_options(
    model: BaseModel, name: str, written: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """Raise UsageError for an option that a method, as a class wrote it, does not take."""
    if not options:
        return
    known = inspect.signature(written).parameters
    if any(one.kind is one.VAR_KEYWORD for one in known.values()):
        return
    for option in options:
        if option not in known:
            raise UsageError(
                t(
                    "{method} takes no option {option!r}",
                    method=f"{type(model).__name__}.{name}",
                    option=option,
                ),
                t(
                    "add {option} (or **options) to its parameters, or leave the option out",
                    option=option,
                ),
            )


def _writes(cls: type, base: type, name: str) -> bool:
    """Whether a class has a method of its own in place of a base's."""
    return getattr(cls, name, None) is not getattr(base, name, None)


def require(module: str, install: str, extra: str) -> None:
    """Import a library. Raises ModelError that says how to install it."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        from fetcher.installation.commands import install_extra

        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        told = (
            t("{module} is not installed", module=module)
            if absent
            else t("{module} cannot be imported: {error}", module=module, error=first_line(error))
        )
        raise ModelError(
            told,
            t("install it: {command}", command=install_extra(extra, install))
            if absent
            else t("reinstall {install}", install=install),
        ) from error
