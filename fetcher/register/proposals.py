"""What a task comes with: the benchmarks, metrics and the probe that are proposed for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.project.names import Pair
from fetcher.project.spellings import (
    BENCHMARKS,
    LICENSES,
    METRICS,
    TASKS,
    known_as,
)
from fetcher.register.draft import Draft
from fetcher.verify.contract.built_in_probes import TASKS as TRANSFORMERS_TASKS

# What is measured of these is what they give back.
COMPRESSION = ("image-compression", "generative-reconstruction")


@dataclass(frozen=True)
class Proposal:
    """What is proposed for a task: `probe` is the type of `fetch verify`'s probe."""

    benchmarks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    probe: str = ""


# What weight files say without a task; a state dict needs no code of the model.
_OF_THEMSELVES = {".gguf", ".onnx"}
_BY_SUFFIX = {
    ".gguf": "gguf",
    ".onnx": "onnx",
    **dict.fromkeys((".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz"), "state-dict"),
}
# Classes whose checkpoints the probe `vqgan` computes by itself.
_VQGAN = ("taming.models.vqgan.", "ldm.models.autoencoder.")
_CODEC = Proposal(BENCHMARKS, METRICS[:4], "compression")
PROPOSALS: dict[str, Proposal] = {
    **dict.fromkeys(COMPRESSION, _CODEC),
    "retrieval-embedding": Proposal(probe="sentence-transformer"),
    "text-generation": Proposal(metrics=("perplexity",), probe="causal-lm"),
    "image-generation": Proposal(metrics=("fid",), probe="diffusion"),
    "vision-encoder": Proposal(probe="vision-encoder"),
    "vision-language": Proposal(probe="vision-language"),
}


def for_task(task: str) -> Proposal:
    """What is proposed for a task; nothing for one that is not known."""
    return PROPOSALS.get(task, Proposal())


def probe_for(draft: Draft, hub: bool, files: Sequence[str] = ()) -> dict[str, Any] | None:
    """The probe that can prove the model, None if there is none.

    That of a codec takes its class; those of tasks load whole repositories of the Hub (`hub`).
    Where none fits, the kind of its `files` decides, as far as they are known.
    """
    task = str(draft.values.get("task", ""))
    kind = for_task(task).probe
    if kind == "compression" and draft.values.get("class_path"):
        if str(draft.values["class_path"]).startswith(_VQGAN):
            return {"type": "vqgan"}
        # Its code runs only for those who say --trust-project-code.
        return {"type": kind, "trust": "project"}
    names = [name.lower() for name in files]
    weights = {PurePosixPath(name).suffix for name in names} & {*_BY_SUFFIX}
    if len(weights) == 1 and weights <= _OF_THEMSELVES:
        return {"type": _BY_SUFFIX[weights.pop()]}
    if hub and draft.values.get("framework", "pytorch") == "pytorch":
        if kind and kind != "compression":
            return {"type": kind}
        if task in TRANSFORMERS_TASKS and (not names or "config.json" in names):
            return {"type": "transformers", "task": task}
    return {"type": "state-dict"} if weights and weights.isdisjoint(_OF_THEMSELVES) else None


def apply(draft: Draft, hub: bool, files: Sequence[str] = ()) -> list[str]:
    """Fill what was left out and not declined; returns a line about it, if any."""
    task = str(draft.values.get("task", ""))
    if draft.values.get("kind", "model") != "model":
        return []
    wanted = for_task(task)
    found: dict[str, Any] = {
        "benchmarks": list(wanted.benchmarks),
        "metrics": list(wanted.metrics),
        "probe": probe_for(draft, hub, files),
    }
    told = []
    for key, value in found.items():
        if value and key not in {*draft.values, *draft.errors, *draft.declined}:
            draft.set_value(key, value)
            told.append(f"{key} {value['type'] if key == 'probe' else ', '.join(value)}")
    if not told:
        return []
    values = "; ".join(told)
    if not task:
        return [t("proposed by its files: {values}", values=values)]
    return [t("proposed for {task}: {values}", task=task, values=values)]


def settle_benchmarks(draft: Draft, pairs: Iterable[Pair]) -> None:
    """Call benchmarks by the ids of the data sets that are named so."""
    named = draft.values.get("benchmarks")
    if not named:
        return
    ids: dict[str, str] = {}
    for _, artifact in pairs:
        if artifact.info.get("kind") == "dataset":
            for name in (artifact.id, artifact.name, *artifact.info.get("aliases", ())):
                ids.setdefault(str(name), artifact.id)
    found = [ids.get(known_as(name, ids) or "", name) for name in named]
    draft.values["benchmarks"] = list(dict.fromkeys(found))


def unknown(draft: Draft, pairs: Iterable[Pair]) -> list[str]:
    """A line about each task, metric, benchmark and licence that nobody here knows."""
    known = list(pairs)
    datasets = [a.id for _, a in known if a.info.get("kind") == "dataset"]
    lines = []
    for key, names in (
        ("task", TASKS),
        ("metrics", METRICS),
        ("benchmarks", (*BENCHMARKS, *datasets)),
        ("license", LICENSES),
    ):
        used = {str(a.info[key]) for _, a in known if key in {"task", "license"} and key in a.info}
        value = draft.values.get(key) or ()
        for name in [value] if isinstance(value, str) else value:
            if name not in {*names, *used}:
                close = nearest(name, names)
                hint = t("; did you mean {close!r}?", close=close) if close else ""
                lines.append(_line(key, name, hint))
    return lines


def _line(key: str, name: str, hint: str) -> str:
    if key == "task":
        return t("the task {name!r} is not known here{hint}", name=name, hint=hint)
    if key == "metrics":
        return t("the metric {name!r} is not known here{hint}", name=name, hint=hint)
    if key == "benchmarks":
        return t("the benchmark {name!r} is not known here{hint}", name=name, hint=hint)
    return t("the licence {name!r} is not known here{hint}", name=name, hint=hint)
