"""Which model an application uses, and why: the chain of `runtime:` in fetch.yaml.

Nothing here loads a model: `first_usable` walks the chain with whatever the caller does to obtain
one, and keeps the reason for each that was passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

from fetcher.config.settings import Settings
from fetcher.errors import FetchError, Problem, UsageError
from fetcher.fs.nearest import nearest
from fetcher.hardware import memory_estimate
from fetcher.i18n import join, t
from fetcher.project import names
from fetcher.project.manifest import Artifact
from fetcher.project.names import Pair
from fetcher.ui.units import human_bytes

T = TypeVar("T")

# The class behind each pipeline type, as module.Class; others are added by fetch.yaml
# (`runtime: pipelines:`), by the entry-point group `fetcher.pipelines`, or by `register_pipeline`.
_BUILT_IN = {
    "sdxl": "diffusers.StableDiffusionXLPipeline",
    "flux": "diffusers.FluxPipeline",
    "playground": "diffusers.DiffusionPipeline",
    "sd": "diffusers.StableDiffusionPipeline",
    "sd3": "diffusers.StableDiffusion3Pipeline",
    "auto": "diffusers.DiffusionPipeline",
}
_REGISTERED: dict[str, str] = {}
_OF_DIFFUSERS = re.compile(r"diffusers[.:][A-Z]\w*", re.ASCII)
# What a chain ends with where a project names none: it is open, and needs no account.
LAST_RESORT = ("sdxl",)

# Why a model was passed over: the code that the JSON report has for each reason.
REASONS = {
    "unknown": "usage",
    "missing": "missing",
    "gated": "gated",
    "does-not-fit": "memory",
    "load-failed": "probe",
}


def register_pipeline(kind: str, class_path: str) -> None:
    """Add a pipeline type for this process: `class_path` is module.Class."""
    _REGISTERED[kind] = class_path


@lru_cache(maxsize=1)
def _plugged_in() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group="fetcher.pipelines")}


def is_installed_pipeline(class_path: str) -> bool:
    """Whether a class is of diffusers, of an installed plug-in, or registered by the application:
    and not one that a project's files alone name.
    """
    own = {*_plugged_in().values(), *_REGISTERED.values()}
    return class_path in own or _OF_DIFFUSERS.fullmatch(class_path) is not None


def pipeline_type_of(class_name: str) -> dict[str, str]:
    """How a record names a diffusers pipeline: by its type where that is known, else its class."""
    full = f"diffusers.{class_name}"
    kind = next((kind for kind, known in _BUILT_IN.items() if known == full), "")
    if class_name == "DiffusionPipeline":
        kind = "auto"
    return {"type": kind} if kind else {"type": "auto", "class_path": full}


@dataclass(frozen=True)
class MemorySettings:
    """The switches of `runtime: memory:`, by the names that they have there."""

    enable_cpu_offload: bool = False
    enable_attention_slicing: bool = False
    enable_vae_slicing: bool = False
    enable_vae_tiling: bool = False
    use_8bit: bool = False


@dataclass(frozen=True)
class PromptSettings:
    """`runtime: prompt_optimization:`; limits in tokens by model, or whether records' count."""

    enabled: bool = True
    translate_korean: bool = False
    max_length_by_model: Mapping[str, int] | bool = True


@dataclass(frozen=True)
class Runtime:
    """The settings of `runtime:`, with PRIMARY_MODEL and ENABLE_FALLBACK applied."""

    primary_model: str = ""
    fallback_models: tuple[str, ...] = ()
    enable_fallback: bool = True
    memory: MemorySettings = MemorySettings()
    prompt_optimization: PromptSettings = PromptSettings()
    pipelines: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, object] = field(default_factory=dict)
    openai_api_key: str = field(default="", repr=False)  # for prompt hooks alone

    @property
    def chain(self) -> tuple[str, ...]:
        """The models to try, in order, each once."""
        rest = self.fallback_models if self.enable_fallback else ()
        return tuple(dict.fromkeys(filter(None, (self.primary_model, *rest))))

    @property
    def dtype(self) -> str:
        """The number type that the estimate of memory goes by."""
        return "int8" if self.memory.use_8bit else "float16"

    def pipeline_class(self, artifact: Artifact) -> str:
        """The class that loads an artifact: its `class_path`, else that of its `type`.

        Raises UsageError for a type that nobody has registered.
        """
        if named := artifact.info.get("class_path"):
            return str(named)
        kind = str(artifact.info.get("type", "auto"))
        known = {**_BUILT_IN, **_plugged_in(), **_REGISTERED, **self.pipelines}
        if kind not in known:
            close = nearest(kind, known)
            raise UsageError(
                t("{id}: no pipeline type {kind!r}", id=artifact.id, kind=kind),
                t("did you mean {close!r}?", close=close)
                if close
                else t(
                    "name its class in fetch.yaml: runtime: pipelines: ({kind}: module.Class)",
                    kind=kind,
                ),
            )
        return known[kind]

    def prompt_limit(self, artifact: Artifact) -> int | None:
        """The longest prompt for a model in tokens: `max_length_by_model`, else its record."""
        limits = self.prompt_optimization.max_length_by_model
        if not self.prompt_optimization.enabled or limits is False:
            return None
        if limits is True:
            limits = {}
        own = [artifact.id, artifact.full_name, *artifact.info.get("aliases", ())]
        for name in [*own, str(artifact.info.get("type", "")), "default"]:
            if name in limits:
                return int(limits[name])
        stated = artifact.info.get("params", {}).get("max_tokens")
        return int(stated) if stated else None

    def shortened(
        self, prompt: str, artifact: Artifact, count: Callable[[str], int] | None = None
    ) -> str:
        """The prompt within the model's limit, cut at the end of a word.

        `count` tells how many tokens a text has (the model's tokenizer); without it, words and
        punctuation marks count one each.
        """
        limit = self.prompt_limit(artifact)
        count = count or _words
        if limit is None or count(prompt) <= limit:
            return prompt
        ends = [found.end() for found in re.finditer(r"\S+", prompt)]
        low, high = 0, len(ends)
        while low < high:  # the most words whose tokens fit
            middle = (low + high + 1) // 2
            fits = count(prompt[: ends[middle - 1]]) <= limit
            low, high = (middle, high) if fits else (low, middle - 1)
        return prompt[: ends[low - 1]].rstrip(" ,;") if low else ""


def _words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def load(settings: Settings) -> Runtime:
    """The runtime settings of a project, overridden by its .env and by the environment."""
    values = dict(settings.runtime)
    values.pop("primary_model", None)
    values.pop("enable_fallback", None)
    return Runtime(
        primary_model=settings.text("primary_model").strip(),
        fallback_models=values.pop("fallback_models", LAST_RESORT),
        enable_fallback=settings.enable_fallback,
        memory=MemorySettings(**values.pop("memory", {})),
        prompt_optimization=PromptSettings(**values.pop("prompt_optimization", {})),
        openai_api_key=settings.text("openai_api_key").strip(),
        **values,
    )


class NotUsable(FetchError):
    """One model cannot be used; `reason` is a key of REASONS."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


@dataclass(frozen=True)
class Passed:
    """A model of the chain that was passed over, and why."""

    model: str
    reason: str
    message: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """As the reports have it."""
        return {"model": self.model, "reason": self.reason, "message": self.message}


_OPEN_MODEL = t("PRIMARY_MODEL=sdxl takes the model that needs no account")


class NoneUsable(FetchError):
    """No model of the chain can be used; `passed` has the reason of each."""

    def __init__(self, passed: Sequence[Passed]) -> None:
        self.passed = tuple(passed)
        gated = any(item.reason == "gated" for item in passed)
        told = join((join((item.model, item.message), ": ") for item in passed), "; ")
        super().__init__(
            t("the image pipeline is not initialised, no model can be used: {told}", told=told)
            if passed
            else t("no primary model is set"),
            join(filter(None, [passed[0].hint, _OPEN_MODEL if gated else ""]), "; ")
            if passed
            else t("set PRIMARY_MODEL, or `runtime: {primary_model: …}` in fetch.yaml"),
        )

    def problems(self) -> list[Problem]:
        """One problem a model."""
        return [
            Problem(REASONS[item.reason], item.message, item.hint, item.model)
            for item in self.passed
        ] or [Problem("usage", self.message, self.hint)]


@dataclass(frozen=True)
class Used(Generic[T]):
    """The model that is used, what it was obtained as, and those passed over before it."""

    model: str
    value: T
    passed: tuple[Passed, ...] = ()


def first_usable(
    chain: Sequence[str], obtain: Callable[[str], T], say: Callable[[str], None] = lambda _: None
) -> Used[T]:
    """Obtain the first model of the chain that can be had.

    `obtain` raises NotUsable, or whatever loading raises; the next one is then tried, and the
    reason kept. Raises NoneUsable.
    """
    passed: list[Passed] = []
    for name in chain:
        try:
            return Used(name, obtain(name), tuple(passed))
        except NotUsable as refusal:
            passed.append(Passed(name, refusal.reason, refusal.message, refusal.hint))
        except Exception as error:  # whatever a framework raises while it loads
            told = (str(error).splitlines() or [""])[0]
            text = t("failed to load: {kind}: {told}", kind=type(error).__name__, told=told)
            passed.append(Passed(name, "load-failed", text))
        say(t("{name} is passed over: {message}", name=name, message=passed[-1].message))
    raise NoneUsable(passed)


def find(pairs: Sequence[Pair], name: str) -> Pair:
    """The artifact of a name in the chain. Raises NotUsable."""
    if not names.matching(pairs, name)[0]:
        of_kind = [pair for pair in pairs if pair[1].info.get("task") == "image-generation"]
        unknown = names.unknown(name, of_kind or pairs)
        raise NotUsable("unknown", unknown.message, unknown.hint)
    try:
        return names.one(pairs, name)[0]
    except UsageError as error:
        raise NotUsable("unknown", error.message, error.hint) from error


def check_fits(artifact: Artifact, runtime: Runtime, memory: int | None) -> None:
    """Raise NotUsable if the estimate says that a model is too large for `memory` bytes.

    Nothing is refused where the memory is not known, the record tells no size, or idle parts go
    to the machine's own memory (`enable_cpu_offload`).
    """
    count = memory_estimate.parameters_of(artifact.info)
    if memory is None or count is None or runtime.memory.enable_cpu_offload:
        return
    need = memory_estimate.needed([count], runtime.dtype)
    if need > memory:
        how = memory_estimate.explained(count, runtime.dtype)
        raise NotUsable(
            "does-not-fit",
            t(
                "needs {need} of GPU memory ({how}), {memory} are there",
                need=human_bytes(need),
                how=how,
                memory=human_bytes(memory),
            ),
            t(
                "set `runtime: memory: {use_8bit: true}` (half the memory) or "
                "`enable_cpu_offload: true` (slower), or take a smaller model such as sdxl or "
                "playground"
            ),
        )
