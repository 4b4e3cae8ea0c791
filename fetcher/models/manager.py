"""ModelManager: each model of a project loaded once, whatever thread asks, and given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fetcher.catalog import fallback
from fetcher.catalog.fallback import NotUsable, Runtime
from fetcher.config.settings import Settings
from fetcher.errors import UsageError
from fetcher.hardware import gpu
from fetcher.i18n import t
from fetcher.models import loader, registry, stats
from fetcher.models.base import BaseEmbeddingModel, BaseLLMModel
from fetcher.models.compression import BaseCompressionModel
from fetcher.models.discovery import Discovery, matching
from fetcher.models.image_generation import BaseImagePipeline
from fetcher.models.lifecycle import Freed
from fetcher.models.model import BaseModel
from fetcher.models.model_errors import ModelError
from fetcher.models.pool import Pool, as_is
from fetcher.models.registry import register_model, unregister_model
from fetcher.models.spec import ModelRecord, ModelSpec
from fetcher.operations import ensure
from fetcher.project import names as naming
from fetcher.project.names import Pair
from fetcher.project.project import find_root
from fetcher.reporting import saved
from fetcher.reporting.envelope import Answer

M = TypeVar("M", bound=BaseModel)
_DEFAULTS = ("chat", "embedding")  # the kinds of which a setting names one


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
        """Return the manager that there is, or make it.

        Raises UsageError for no folder, and for another `tree` than the manager that there is has.
        """
        with cls._making:
            if root is None and cls._made:
                found = next(iter(cls._made.values()))
            else:
                where = (find_root(Path.cwd()) if root is None else Path(root)).resolve()
                if not where.is_dir():
                    raise UsageError(
                        t("{where} is no folder", where=where), t("name the project's root")
                    )
                if where not in cls._made:
                    made = super().__new__(cls)
                    made._start(where, Path(tree).absolute() if tree is not None else where)
                    cls._made[where] = made
                found = cls._made[where]
            if tree is not None and Path(tree).absolute() != found.tree:
                raise UsageError(
                    t(
                        "the manager of {root} has its models in {tree}, not in {other}",
                        root=found.root,
                        tree=found.tree,
                        other=tree,
                    ),
                    t("close() it first, or name another root"),
                )
            return found

    def _start(self, root: Path, tree: Path) -> None:
        self.root = root
        self.tree = tree
        self._discovery = Discovery(root, tree)
        self._pool = Pool()

    register = staticmethod(register_model)
    unregister = staticmethod(unregister_model)

    @classmethod
    def reset(cls) -> None:
        """Close every manager of this process and forget what was registered, as tests want it."""
        for one in all_managers():
            one.close()
        for made in registry.registered():
            unregister_model(made.name)

    # What there is

    def list_available_models(self, kind: str | None = None) -> list[ModelRecord]:
        """The metadata of every model that is there, of one kind if given, without loading it.

        A model with an empty `loader` needs a class of yours: get_chat_model(name, MyModel).
        """
        return [
            self._record(spec)
            for spec in self._discovery.known()
            if kind is None or spec.kind == kind
        ]

    def info(self, name: str) -> ModelRecord:
        """The metadata of one model. Raises UsageError."""
        return self._record(self._discovery.one(name))

    def versions(self, name: str) -> list[str]:
        """The versions of a model that are there; the last is the one that its name alone means.

        Raises UsageError.
        """
        self._discovery.one(name)
        return [spec.version for spec in matching(self._discovery.known(name=name), name)]

    # Getting

    def get_chat_model(
        self, name: str | None = None, model_class: Callable[..., BaseLLMModel] | None = None
    ) -> BaseLLMModel:
        """The chat model, loaded; without a name DEFAULT_CHAT_MODEL, or the only one there is.

        `model_class` loads it from now on, as if it had been registered for the name.
        Raises UsageError, ModelError.
        """
        return self._get(name, "chat", BaseLLMModel, model_class)

    def get_embedding_model(
        self,
        name: str | None = None,
        model_class: Callable[..., BaseEmbeddingModel] | None = None,
        *,
        backend: str | None = None,
    ) -> BaseEmbeddingModel:
        """The embedding model, loaded; without a name DEFAULT_EMBEDDING_MODEL, or the only one.

        `model_class` loads it from now on, as if it had been registered for the name. `backend` is
        `sentence-transformers` or `onnx`, for a folder that has both.
        """
        if backend not in {None, "sentence-transformers", "onnx"}:
            raise UsageError(
                t("no backend {backend!r}", backend=backend), t("sentence-transformers or onnx")
            )
        return self._get(name, "embedding", BaseEmbeddingModel, model_class, backend)

    def get_compression_model(
        self,
        name: str,
        model_class: Callable[..., BaseCompressionModel] | None = None,
        *,
        trust_code: bool = False,
    ) -> BaseCompressionModel:
        """A codec, loaded. Its class is the project's own code: it is imported only if the manifest
        says `trust: project`, and the caller `trust_code=True` or the person's own settings that
        it may run; or it is `model_class`.
        """
        _check_name(name)
        own = model_class is not None or registry.maker_of(name, "compression") is not None
        if not own:
            self._discovery.find(name, "compression")  # a name that is none needs no trust
        if not own and not trust_code and not self._discovery.may_run(name):
            raise UsageError(
                t("{name} is loaded by the project's own code", name=name),
                t(
                    "if you trust it: get_compression_model(name, trust_code=True), or "
                    "fetch config allow code {name}",
                    name=name,
                ),
            )
        return self._get(name, "compression", BaseCompressionModel, model_class)

    def get_image_pipeline(
        self, name: str | None = None, *, fetch: bool = False
    ) -> BaseImagePipeline:
        """An image pipeline, loaded: the first of the project's chain (`runtime:`) that can be had.

        Those passed over, and why, are its `passed`. With a name it is that one alone. `fetch`
        downloads what is not in the tree. Raises NoneUsable with the reason of each.
        """
        settings = self._discovery.settings()
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
        return [monitor.read().to_json() for monitor in self._pool.history()]

    def metrics_text(self) -> str:
        """The same, as Prometheus reads it."""
        return stats.render(self.stats())

    def save_stats(self) -> None:
        """Leave the counters in .fetch/reports/models.json, for a server of another process:
        `fetcher.models.stats.saved_text(tree)` renders them. Raises OSError.
        """
        saved.save(self._discovery.tree, "models", Answer(results=self.stats()))

    # Within

    def _get(
        self,
        name: str | None,
        kind: str,
        base: type[M],
        model_class: Callable[..., M] | None,
        backend: str | None = None,
    ) -> M:
        settings = self._discovery.settings()
        _check_name(name)
        setting = f"default_{kind}_model"
        default = settings.text(setting).strip() if name is None and kind in _DEFAULTS else ""
        named = name or default
        if model_class is not None:
            _register(named, model_class, base)
        asked = (kind, named, backend or "", settings.model_device, settings.model_dtype)
        spec = self._pool.known(asked) if named else None
        if spec is None:
            try:
                spec = self._discovery.find(named or self._only(kind, settings), kind, settings)
            except UsageError as error:
                if not default:
                    raise
                raise UsageError(
                    t("{setting}: {message}", setting=setting.upper(), message=error.message),
                    error.hint,
                ) from None
            if backend is not None and spec.loader != "custom":
                spec = replace(spec, loader=backend)
        found = self._pool.get(spec, base, as_is)
        self._pool.remember(asked, spec)
        return found

    def _record(self, spec: ModelSpec) -> ModelRecord:
        return {**spec.to_json(), "loaded": (spec.kind, spec.key) in self._pool.loaded()}

    def _only(self, kind: str, settings: Settings) -> str:
        """The one model of a kind. Raises UsageError if there are more, or none."""
        names = {spec.name for spec in self._discovery.known(settings) if spec.kind == kind}
        if len(names) == 1:
            return names.pop()
        told = (
            t("there are: {names}", names=", ".join(sorted(names)))
            if names
            else t("there is none yet")
        )
        raise UsageError(
            t("no {kind} model is named", kind=kind),
            t("set DEFAULT_{kind}_MODEL; {told}", kind=kind.upper(), told=told),
        )

    def _image(
        self, name: str, config: Runtime, settings: Settings, fetch: bool
    ) -> BaseImagePipeline:
        """One model of the chain, loaded. Raises NotUsable, ModelError."""
        asked = ("image", name, "", settings.model_device, settings.model_dtype)
        spec = self._pool.known(asked)
        if spec is not None:
            return self._pool.get(spec, BaseImagePipeline, as_is)
        if registry.maker_of(name, "image") is None:
            self._ensure(name, config, settings, fetch)
        try:
            spec = self._discovery.find(name, "image", settings)
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
        there = matching(self._discovery.specs(settings), name)
        pairs = self._discovery.pairs(everything=not there)
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
        ensure.fetch(self._discovery.project, pair, settings, self._discovery.tree)

    def _missing(self, pair: Pair) -> NotUsable:
        gated = pair[1].info.get("requires_auth")
        hint = t("fetch all {id}, or get_image_pipeline(fetch=True)", id=pair[1].id)
        told = (
            t("is not in the tree (its repository is gated)") if gated else t("is not in the tree")
        )
        return NotUsable("missing", told, hint)

    def _gpu_memory(self, settings: Settings) -> int | None:
        """Bytes of the GPU that models are loaded to; None on a CPU, or where it is not known."""
        if settings.model_device in {"cpu", "mps"}:
            return None
        cards = gpu.detect(ask_torch=False)
        return cards[0].memory if cards else None


def all_managers() -> list[ModelManager]:
    """Every manager of this process."""
    return list(ModelManager._made.values())


def _check_name(name: Any) -> None:
    if name is not None and not isinstance(name, str):
        raise UsageError(t("a model's name is a text, not a {kind}", kind=type(name).__name__))


def _register(name: str, model_class: Callable[..., M], base: type[M]) -> None:
    """Register a class for a name. Raises UsageError, ModelError for one that cannot be used."""
    if not name:
        raise UsageError(
            t(
                "no name is given for {given!r}",
                given=getattr(model_class, "__name__", model_class),
            ),
            t("name the model: get_{kind}_model('my-model', …)", kind=base.kind),
        )
    if isinstance(model_class, type):
        loader.check_class(model_class, base, name)
    register_model(name.partition("@")[0], model_class)
