"""What a task comes with: the benchmarks, metrics and the probe that are proposed for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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

# What is measured of these is what they give back.
COMPRESSION = ("image-compression", "generative-reconstruction")


@dataclass(frozen=True)
class Proposal:
    """What is proposed for a task: `probe` is the type of `fetch verify`'s probe."""

    benchmarks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    probe: str = ""


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


def probe_for(draft: Draft, hub: bool) -> dict[str, Any] | None:
    """The probe that can prove the model, None if there is none.

    That of a codec takes its class; the others load whole repositories of the Hub (`hub`).
    """
    kind = for_task(str(draft.values.get("task", ""))).probe
    if kind == "compression":
        if str(draft.values.get("class_path", "")).startswith(_VQGAN):
            return {"type": "vqgan"}
        # Its code runs only for those who say --trust-project-code.
        return {"type": kind, "trust": "project"} if draft.values.get("class_path") else None
    other = draft.values.get("framework", "pytorch") != "pytorch"
    return {"type": kind} if kind and hub and not other else None


def apply(draft: Draft, hub: bool) -> list[str]:
    """Fill what was left out and not declined; returns a line about it, if any."""
    task = str(draft.values.get("task", ""))
    if draft.values.get("kind", "model") != "model":
        return []
    wanted = for_task(task)
    found: dict[str, Any] = {
        "benchmarks": list(wanted.benchmarks),
        "metrics": list(wanted.metrics),
        "probe": probe_for(draft, hub),
    }
    told = []
    for key, value in found.items():
        if value and key not in {*draft.values, *draft.errors, *draft.declined}:
            draft.set_value(key, value)
            told.append(f"{key} {value['type'] if key == 'probe' else ', '.join(value)}")
    return [t("proposed for {task}: {values}", task=task, values="; ".join(told))] if told else []


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
