"""ModelManager: each model of a project loaded once, whatever thread asks, and given back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fetcher.catalog import fallback
from fetcher.catalog.fallback import NotUsable, Runtime
from fetcher.config.settings import Settings
from fetcher.errors import UsageError
from fetcher.hardware import gpu
from fetcher.models import stats
from fetcher.models.base import BaseModel, Freed, ModelError
from fetcher.models.chat import BaseLLMModel
from fetcher.models.compression import BaseCompressionModel
from fetcher.models.discovery import Library, matching
from fetcher.models.embedding import (
    BaseEmbeddingModel,
)
from fetcher.models.image_generation import BaseImagePipeline
from fetcher.models.pool import Pool, as_is
from fetcher.models.registry import REGISTERED, kind_of, maker_of, register_model
from fetcher.models.spec import ModelSpec
from fetcher.operations import ensure
from fetcher.project import names as naming
from fetcher.project.names import Pair
from fetcher.project.project import find_root
from fetcher.reporting import saved
from fetcher.reporting.envelope import Answer

M = TypeVar("M", bound=BaseModel)


class ModelManager:
    """The models of one project in this process; safe for threads.

    `ModelManager()` is the one that was made first, else that of the project around the current
    folder; `ModelManager(root)` the one of that project. `tree` is the folder that layouts are
    relative to, if another (`fetch all --into`).
    """

    _made: dict[Path, ModelManager] = {}  # noqa: RUF012
    _making = threading.Lock()

    def __new__(
        cls, root: Path | str | None = None, tree: Path | str | None = None
    ) -> ModelManager:
        """Return the manager that there is, or make it. Raises UsageError for no folder."""
        with cls._making:
            if root is None and cls._made:
                return next(iter(cls._made.values()))
            where = find_root(Path.cwd()) if root is None else Path(root)
            where = where.resolve()
            if not where.is_dir():
                raise UsageError(f"{where} is no folder", "name the project's root")
            if where not in cls._made:
                made = super().__new__(cls)
                made._start(where, Path(tree).absolute() if tree is not None else where)
                cls._made[where] = made
            return cls._made[where]

    def _start(self, root: Path, tree: Path) -> None:
        self.root = root
        self._library = Library(root, tree)
        self._pool = Pool()

    register = staticmethod(register_model)

    # What there is

    def list_available_models(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The metadata of every model that can be loaded, of one kind if given, without loading."""
        known = self._pool.loaded()
        specs = [*self._library.specs(), *self._custom()]
        return [
            {**spec.to_json(), "loaded": (spec.kind, spec.key) in known}
            for spec in specs
            if kind is None or spec.kind == kind
        ]

    def info(self, name: str) -> dict[str, Any]:
        """The metadata of one model. Raises UsageError."""
        found = matching([*self._library.specs(), *self._custom()], name)
        if not found:
            raise UsageError(f"no model {name!r}", "see list_available_models()")
        return found[-1].to_json()

    def versions(self, name: str) -> list[str]:
        """The versions of a model that are there; the last is the one that its name alone means."""
        return [spec.version for spec in matching(self._library.specs(), name)]

    # Getting

    def get_chat_model(self, name: str | None = None) -> BaseLLMModel:
        """The chat model, loaded; without a name DEFAULT_CHAT_MODEL, or the only one there is.

        Raises UsageError, ModelError.
        """
        return self._get(name, "chat", BaseLLMModel)

    def get_embedding_model(
        self, name: str | None = None, *, backend: str | None = None
    ) -> BaseEmbeddingModel:
        """The embedding model, loaded; without a name DEFAULT_EMBEDDING_MODEL, or the only one.

        `backend` is `sentence-transformers` or `onnx`, for a folder that has both.
        """
        if backend not in {None, "sentence-transformers", "onnx"}:
            raise UsageError(f"no backend {backend!r}", "sentence-transformers or onnx")
        return self._get(name, "embedding", BaseEmbeddingModel, backend)

    def get_compression_model(self, name: str, *, trust_code: bool = False) -> BaseCompressionModel:
        """A codec, loaded. Its class is the project's own code: it is imported only if the manifest
        says `trust: project` and the caller `trust_code=True`.
        """
        if not trust_code and maker_of(name) is None:
            raise UsageError(
                f"{name} is loaded by the project's own code",
                "get_compression_model(name, trust_code=True) if you trust it",
            )
        return self._get(name, "compression", BaseCompressionModel)

    def get_image_pipeline(
        self, name: str | None = None, *, fetch: bool = False
    ) -> BaseImagePipeline:
        """An image pipeline, loaded: the first of the project's chain (`runtime:`) that can be had.

        Those passed over, and why, are its `passed`. With a name it is that one alone. `fetch`
        downloads what is not in the tree. Raises NoneUsable with the reason of each.
        """
        settings = self._library.settings()
        _check_name(name)
        config = fallback.load(settings)
        chain = config.chain if name is None else (name,)

        def obtain_one(one: str) -> BaseImagePipeline:
            try:
                return self._image(one, config, settings, fetch)
            except ModelError as error:
                raise NotUsable("load-failed", error.message, error.hint) from None

        used = fallback.first_usable(chain, obtain_one)
        used.value.passed = used.passed
        return used.value

    # Giving back

    def unload(self, name: str, timeout: float | None = None) -> Freed:
        """Unload a model, all its versions unless one is named; waits for calls that have begun.

        Returns what that gave back: nothing if it was not loaded. Raises ModelError if calls take
        longer than `timeout` seconds.
        """
        return self._pool.drop(self._pool.keys(name), timeout)

    def unload_all(self, timeout: float | None = None) -> Freed:
        """Unload every model and hand their memory back to the GPU's driver and the system."""
        return self._pool.drop(self._pool.keys(), timeout)

    def close(self) -> Freed:
        """Unload everything; the next ModelManager of this project is a new one."""
        freed = self.unload_all()
        with self._making:
            if self._made.get(self.root) is self:
                del self._made[self.root]
        return freed

    # What it costs

    def stats(self) -> list[dict[str, Any]]:
        """The counters of each model that was loaded so far; see ModelStats."""
        return [model.monitor.read().to_json() for model in self._pool.history()]

    def metrics_text(self) -> str:
        """The same, as Prometheus reads it."""
        return stats.render(self.stats())

    def save_stats(self) -> None:
        """Leave the counters in .fetch/reports/models.json, for a server of another process:
        `fetcher.models.stats.saved_text(tree)` renders them. Raises OSError.
        """
        saved.save(self._library.tree, "models", Answer(results=self.stats()))

    # Within

    def _get(self, name: str | None, kind: str, base: type[M], backend: str | None = None) -> M:
        settings = self._library.settings()
        _check_name(name)
        named = name or settings.text(f"default_{kind}_model").strip()
        asked = (kind, named, backend or "", settings.model_device, settings.model_dtype)
        spec = self._pool.known(asked) if named else None
        if spec is None:
            spec = self._spec(named or self._only(kind, settings), kind, settings)
            spec = replace(spec, loader=backend) if backend is not None else spec
        found = self._pool.get(spec, base, as_is)
        self._pool.remember(asked, spec)
        return found

    def _spec(self, name: str, kind: str, settings: Settings) -> ModelSpec:
        if maker_of(name) is None:
            return self._library.find(name, kind, settings)
        there = matching(self._library.specs(settings), name)
        found = there[-1] if there else ModelSpec(name, kind, "custom", root=self.root)
        device, dtype = settings.model_device, settings.model_dtype
        return replace(
            found, kind=kind, loader="custom", origin="registered", device=device, dtype=dtype
        )

    def _only(self, kind: str, settings: Settings) -> str:
        """The one model of a kind. Raises UsageError if there are more, or none."""
        names = {spec.name for spec in self._library.specs(settings) if spec.kind == kind}
        if len(names) == 1:
            return names.pop()
        told = f"there are: {', '.join(sorted(names))}" if names else "there is none yet"
        raise UsageError(f"no {kind} model is named", f"set DEFAULT_{kind.upper()}_MODEL; {told}")

    def _image(
        self, name: str, config: Runtime, settings: Settings, fetch: bool
    ) -> BaseImagePipeline:
        """One model of the chain, loaded. Raises NotUsable, ModelError."""
        asked = ("image", name, "", settings.model_device, settings.model_dtype)
        spec = self._pool.known(asked)
        if spec is not None:
            return self._pool.get(spec, BaseImagePipeline, as_is)
        if maker_of(name) is None:
            self._ensure(name, config, settings, fetch)
        try:
            spec = self._spec(name, "image", settings)
        except UsageError as error:
            raise NotUsable("missing", error.message, error.hint) from error

        def prepare(model: BaseModel) -> None:
            if isinstance(model, BaseImagePipeline):
                model.runtime = config

        found = self._pool.get(spec, BaseImagePipeline, prepare)
        self._pool.remember(asked, spec)
        return found

    def _ensure(self, name: str, config: Runtime, settings: Settings, fetch: bool) -> None:
        """See that an artifact can be used, and fetch it if wanted. Raises NotUsable."""
        there = matching(self._library.specs(settings), name)
        pairs = self._library.pairs(everything=not there)
        if there and not naming.matching(pairs, name)[0]:
            return  # in a folder of its own, which no manifest knows
        pair = fallback.find(pairs, name)
        try:
            config.pipeline_class(pair[1])
        except UsageError as error:
            raise NotUsable("unknown", error.message, error.hint) from error
        fallback.check_fits(pair[1], config, self._gpu_memory(settings))
        if there:
            return
        if not fetch:
            raise self._missing(pair)
        ensure.fetch(self._library.project, pair, settings, self._library.tree)

    def _missing(self, pair: Pair) -> NotUsable:
        gated = " (its repository is gated)" if pair[1].info.get("requires_auth") else ""
        hint = f"fetch all {pair[1].id}, or get_image_pipeline(fetch=True)"
        return NotUsable("missing", f"is not in the tree{gated}", hint)

    def _gpu_memory(self, settings: Settings) -> int | None:
        """Bytes of the GPU that models are loaded to; None on a CPU, or where it is not known."""
        if settings.model_device in {"cpu", "mps"}:
            return None
        cards = gpu.detect(ask_torch=False)
        return cards[0].memory if cards else None

    def _custom(self) -> list[ModelSpec]:
        """Registered models of which nothing lies in a folder."""
        there = self._library.specs()
        return [
            ModelSpec(name, kind_of(make), "custom", origin="registered", root=self.root)
            for name, make in REGISTERED.items()
            if not matching(there, name)
        ]


def all_managers() -> list[ModelManager]:
    """Every manager of this process."""
    return list(ModelManager._made.values())


def _check_name(name: Any) -> None:
    if name is not None and not isinstance(name, str):
        raise UsageError(f"a model's name is a text, not a {type(name).__name__}")
