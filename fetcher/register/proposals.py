"""What a task comes with: the benchmarks, metrics and the probe that are proposed for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from fetcher.verify.contract.built_in_probes import NONE
from fetcher.verify.contract.built_in_probes import TASKS as TRANSFORMERS_TASKS
from fetcher.verify.weights.fileformat import ARRAY_SUFFIXES, SUFFIXES

# What is measured of these is what they give back.
COMPRESSION = ("image-compression", "generative-reconstruction")


@dataclass(frozen=True)
class Proposal:
    """What is proposed for a task: `probe` is the type of `fetch verify`'s probe."""

    benchmarks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    probe: str = ""


# What weight files say without a task; a state dict needs no code of the model.
_STATE_DICT = (*SUFFIXES, *ARRAY_SUFFIXES)
_OF_THEMSELVES = (".gguf", ".onnx")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif")
# What is written where no probe fits: whoever reads the manifest sees that it was thought of.
_DATA_SET = "a data set; its digests are checked"
_NO_WEIGHTS = "none of its files are weights that a probe reads"
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


def probe_for(draft: Draft, hub: bool, files: Sequence[str] = ()) -> dict[str, Any]:
    """The probe that can prove it: {"type": "none", "reason": …} where there is none.

    That of a codec takes its class; those of tasks load whole repositories of the Hub (`hub`).
    Where none fits, the kind of its `files` decides; where nobody knows them (empty) it is that of
    weights, which says so if there are none.
    """
    suffixes = [PurePosixPath(name.lower()).suffix for name in files]
    if draft.values.get("kind", "model") != "model":
        if any(suffix in _PICTURES for suffix in suffixes):
            return {"type": "image-dataset"}
        return _nothing(_DATA_SET)
    return _of_task(draft, hub, files) or _of_files(suffixes)


def _nothing(reason: str) -> dict[str, Any]:
    return {"type": NONE, "reason": reason}


def _of_files(suffixes: Sequence[str]) -> dict[str, Any]:
    if not suffixes or any(suffix in _STATE_DICT for suffix in suffixes):
        return {"type": "state-dict"}
    for suffix in _OF_THEMSELVES:
        if suffix in suffixes:
            return {"type": suffix[1:]}
    return _nothing(_NO_WEIGHTS)


def _of_task(draft: Draft, hub: bool, files: Sequence[str]) -> dict[str, Any] | None:
    task = str(draft.values.get("task", ""))
    kind = for_task(task).probe
    if kind == "compression" and draft.values.get("class_path"):
        if str(draft.values["class_path"]).startswith(_VQGAN):
            return {"type": "vqgan"}
        # Its code runs only for those who say --trust-project-code.
        return {"type": kind, "trust": "project"}
    names = [name.lower() for name in files]
    weights = {PurePosixPath(name).suffix for name in names} & {*_STATE_DICT, *_OF_THEMSELVES}
    if len(weights) == 1 and weights <= {*_OF_THEMSELVES}:
        return {"type": weights.pop()[1:]}
    if hub and draft.values.get("framework", "pytorch") == "pytorch":
        if kind and kind != "compression":
            return {"type": kind}
        if task in TRANSFORMERS_TASKS and (not names or "config.json" in names):
            return {"type": "transformers", "task": task}
    return None


def apply(draft: Draft, hub: bool, files: Sequence[str] = ()) -> list[str]:
    """Fill what was left out and not declined; returns a line about it, if any."""
    task = str(draft.values.get("task", ""))
    is_model = draft.values.get("kind", "model") == "model"
    wanted = for_task(task) if is_model else Proposal()
    found: dict[str, Any] = {
        "benchmarks": list(wanted.benchmarks),
        "metrics": list(wanted.metrics),
        "probe": probe_for(draft, hub, files),
    }
    told = []
    for key, value in found.items():
        if value and key not in {*draft.values, *draft.errors, *draft.declined}:
            draft.set_value(key, value)
            told.append(f"{key} {_said(value) if key == 'probe' else ', '.join(value)}")
    if not told:
        return []
    values = "; ".join(told)
    if not (task and is_model):
        return [t("proposed by its files: {values}", values=values)]
    return [t("proposed for {task}: {values}", task=task, values=values)]


def _said(probe: Mapping[str, Any]) -> str:
    reason = probe.get("reason")
    return f"{probe['type']} ({reason})" if reason else str(probe["type"])


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
