"""Which models of the catalog fit a GPU, which to use together, and why the others do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypedDict

from fetcher.hardware import memory_estimate
from fetcher.i18n import t
from fetcher.project.manifest import Artifact
from fetcher.project.names import Pair
from fetcher.project.project import Unit
from fetcher.ui.units import human_bytes

# Drivers tell a little less than the name of a card does.
_TOLERANCE = 0.94


class FitResult(TypedDict):
    """One model in the `results` of `fetch recommend`; sizes in bytes, None where not known."""

    id: str
    manifest: str
    task: str | None
    parameters: int | None
    needed_bytes: int | None
    fits: bool
    reason: str
    requires_auth: bool
    recommended: bool


@dataclass(frozen=True)
class Fit:
    """Whether one model fits: bytes needed, and the reason in words."""

    artifact: Artifact
    parameters: int | None
    needed: int | None
    fits: bool
    reason: str

    def to_json(self, recommended: bool) -> FitResult:
        """One entry of the JSON report's `results`."""
        return {
            "id": self.artifact.id,
            "manifest": self.artifact.manifest,
            "task": self.artifact.info.get("task"),
            "parameters": self.parameters,
            "needed_bytes": self.needed,
            "fits": self.fits,
            "reason": self.reason,
            "requires_auth": bool(self.artifact.info.get("requires_auth")),
            "recommended": recommended,
        }


@dataclass(frozen=True)
class Choice:
    """What to use together: `origin` is 'listed' or 'estimate', `reason` a line about it."""

    artifacts: tuple[Artifact, ...]
    origin: str
    reason: str


def fit(artifact: Artifact, memory: int, dtype: str) -> Fit | None:
    """Whether a model fits into `memory` bytes; None if its record does not tell its size."""
    count = memory_estimate.parameters_of(artifact.info)
    stated = memory_estimate.bytes_of(str(artifact.info.get("min_vram", "")))
    if count is None and stated is None:
        return None
    if count is None:
        need, how = stated or 0, t("as its record states")
    else:
        need, how = memory_estimate.needed([count], dtype), memory_estimate.explained(count, dtype)
    if need <= memory:
        return Fit(
            artifact, count, need, True, t("{need} ({how})", need=human_bytes(need), how=how)
        )
    short = t(
        "needs {need} ({how}), {need2} more than there is",
        need=human_bytes(need),
        how=how,
        need2=human_bytes(need - memory),
    )
    if count is not None and (smaller := _smaller(count, memory, dtype)):
        short = t("{short}; fits as {smaller}", short=short, smaller=smaller)
    return Fit(artifact, count, need, False, short)


def _smaller(count: int, memory: int, dtype: str) -> str:
    """The widest number type below `dtype` in which it would fit, "" if there is none."""
    for name in ("float16", "int8", "int4"):
        if (
            memory_estimate.BYTES[name] < memory_estimate.BYTES[dtype]
            and memory_estimate.needed([count], name) <= memory
        ):
            return name
    return ""


def fits(pairs: Sequence[Pair], memory: int, dtype: str) -> list[Fit]:
    """Every model whose size is known, in catalog order."""
    models = [artifact for _, artifact in pairs if artifact.info.get("kind", "model") == "model"]
    return [found for artifact in models if (found := fit(artifact, memory, dtype))]


def choose(units: Sequence[Unit], name: str, memory: int, dtype: str) -> Choice | None:
    """What to use together on this card: the listed combination, else the largest that fits."""
    best: Choice | None = None
    for unit in units:
        if unit.manifest.combinations:
            found = _listed(unit, name, memory, dtype) or _largest(unit, memory, dtype)
            if found and (best is None or (best.origin != "listed" and found.origin == "listed")):
                best = found
    return best


def _combinations(unit: Unit) -> Iterator[tuple[str, int, tuple[Artifact, ...]]]:
    for item in unit.manifest.combinations:
        artifacts = unit.manifest.artifacts
        chosen = tuple(artifacts[i] for i in item["artifacts"] if i in artifacts)
        yield item["gpu"], memory_estimate.bytes_of(item["vram"]) or 0, chosen


def _listed(unit: Unit, name: str, memory: int, dtype: str) -> Choice | None:
    """The combination that the catalog lists for this card, or for one with as much memory."""
    if memory_estimate.BYTES[dtype] != memory_estimate.BYTES["float16"]:
        return None  # the lists are made for two bytes a number
    alike = [
        (gpu, size, artifacts)
        for gpu, size, artifacts in _combinations(unit)
        if size * _TOLERANCE <= memory < size * 1.12
    ]
    own = [item for item in alike if name and memory_estimate.same_card(name, item[0])]
    for gpu, size, artifacts in own or alike:
        what = (
            t("this card")
            if own
            else t("cards of {size} such as {gpu}", size=human_bytes(size), gpu=gpu)
        )
        return Choice(
            artifacts,
            "listed",
            t("listed in {name} for {what}", name=unit.manifest.name, what=what),
        )
    return None


def _largest(unit: Unit, memory: int, dtype: str) -> Choice | None:
    """One model for each task of the listed combinations: the largest that fit together.

    The last task's model (the language model) is made as large as it can be first.
    """
    tasks = next((tuple(a.info.get("task") for a in chosen) for *_, chosen in _combinations(unit)))
    candidates = [
        [
            (count, artifact)
            for artifact in unit.manifest.artifacts.values()
            if artifact.info.get("task") == task
            and (count := memory_estimate.parameters_of(artifact.info)) is not None
        ]
        for task in tasks
    ]
    possible = [
        combination
        for combination in product(*candidates)
        if memory_estimate.needed([count for count, _ in combination], dtype) <= memory
    ]
    if not possible:
        return None
    best = max(possible, key=lambda chosen: [count for count, _ in reversed(chosen)])
    need = memory_estimate.needed([count for count, _ in best], dtype)
    reason = t("the largest that fit together: {need} by the estimate", need=human_bytes(need))
    return Choice(tuple(artifact for _, artifact in best), "estimate", reason)
