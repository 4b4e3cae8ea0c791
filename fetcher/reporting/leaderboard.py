"""What has been measured, ranked: the reports that `fetch verify` leaves, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from fetcher.i18n import t
from fetcher.project.manifest import Artifact
from fetcher.project.names import Pair, visibility_of
from fetcher.reporting import saved
from fetcher.yamldoc.json_fields import JsonFields

VISIBILITIES = ("public", "organization", "private")
# Metrics of quality and what is better; of cost, less is better. Others: more is better.
_QUALITY = ("psnr", "ssim", "lpips", "bpp", "fid", "accuracy", "recall", "perplexity")
_LESS = {"lpips", "bpp", "fid", "rfid", "perplexity", "loss", "mse", "mae", "wer"}
_COST = ("infer_seconds", "load_seconds", "peak_memory_bytes", "peak_gpu_memory_bytes")
_NO_METRIC = {"parameters", "tensors", "files", "seconds", "seed", "peak_resident_bytes"}


@dataclass(frozen=True)
class Measurement:
    """One artifact on one benchmark: its record and figures."""

    artifact: Artifact
    benchmark: str
    metrics: Mapping[str, float]
    device: str = ""
    dtype: str = ""
    time: str = ""

    @property
    def visibility(self) -> str:
        """Who may see it."""
        return visibility_of(self.artifact)


@dataclass(frozen=True)
class Ranking:
    """One ranking: rows of (rank or None, measurement), best first."""

    task: str
    benchmark: str
    metric: str
    rows: tuple[tuple[int | None, Measurement], ...]
    metrics: tuple[str, ...]


@dataclass
class Leaderboard:
    """All tables, and how many artifacts were left out because of who may see them."""

    tables: list[Ranking] = field(default_factory=list)
    hidden: int = 0
    seen: int = 0


def less_is_better(metric: str) -> bool:
    """Whether a lower value of a metric ranks higher."""
    return metric in _LESS or metric.endswith(("seconds", "bytes", "loss", "error"))


def measurements(tree: Path, pairs: Sequence[Pair]) -> list[Measurement]:
    """Every passed measurement of a known artifact; the latest of each artifact and benchmark."""
    by_id: dict[str, list[Artifact]] = {}
    for _, artifact in pairs:
        by_id.setdefault(artifact.id, []).append(artifact)
    found: dict[tuple[str, str], Measurement] = {}
    for path in sorted(saved.folder_of(tree).glob("verify*.json"), key=_age):
        for result in saved.read(path).results:
            for measured in _measured(result, by_id):
                found[measured.artifact.full_name, measured.benchmark] = measured
    return list(found.values())


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _measured(result: JsonFields, by_id: Mapping[str, Sequence[Artifact]]) -> Iterator[Measurement]:
    """What one result says; anything that does not look like one says nothing."""
    name, metrics = result.get("artifact") or result.get("id"), result.get("metrics")
    if result.get("state") not in ("passed", "ok", None):
        return
    if not isinstance(name, str) or not isinstance(metrics, Mapping):
        return
    manifest, _, short = name.rpartition("/")
    manifest = manifest or result.text("manifest")
    named = by_id.get(short, ())
    artifact = next((a for a in named if manifest in {"", a.manifest}), None)
    if artifact is None:
        return
    found = JsonFields(metrics)
    about = found.text("device"), found.text("dtype"), result.text("time")
    own, several = _numbers(found), found.object("benchmarks")
    if several.values:
        cost = {name: value for name, value in own.items() if name in _COST}
        for benchmark in several.values:
            if numbers := _numbers(several.object(benchmark)):
                yield Measurement(artifact, str(benchmark), {**cost, **numbers}, *about)
    elif own:
        dataset = (artifact.probe or {}).get("dataset")
        named_data = result.get("benchmark") or found.get("benchmark") or dataset
        yield Measurement(artifact, _shown_name(named_data), own, *about)


def _shown_name(benchmark: object) -> str:
    """One data set's name, or those of several."""
    if isinstance(benchmark, list | tuple):
        return ", ".join(map(str, benchmark))
    return str(benchmark or "")


def _numbers(metrics: JsonFields) -> dict[str, float]:
    return {
        str(key): float(value)
        for key, value in metrics.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def board(
    measured: Iterable[Measurement], *, widest: str = "public", metric: str = "", task: str = ""
) -> Leaderboard:
    """Rank what may be seen; one table for each task and benchmark."""
    visible = VISIBILITIES[: VISIBILITIES.index(widest) + 1]
    result = Leaderboard()
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for item in measured:
        kind = str(item.artifact.info.get("task") or "other")
        if task and kind != task:
            continue
        result.seen += 1
        if item.visibility not in visible:
            result.hidden += 1
        else:
            groups.setdefault((kind, item.benchmark), []).append(item)
    for (kind, benchmark), items in sorted(groups.items()):
        chosen = metric or _metric_for(items)
        if chosen:
            result.tables.append(_ranked(kind, benchmark, chosen, items))
    return result


def _metric_for(items: Sequence[Measurement]) -> str:
    """What to rank by: the first metric that a record names and that was measured."""
    there = {name for item in items for name in item.metrics}
    named = [str(name) for item in items for name in item.artifact.info.get("metrics", ())]
    choices = (*named, *_QUALITY, *_COST, *sorted(there - _NO_METRIC))
    return next((name for name in choices if name in there), "")


def _ranked(task: str, benchmark: str, metric: str, items: Sequence[Measurement]) -> Ranking:
    sign = 1 if less_is_better(metric) else -1
    with_value = [item for item in items if metric in item.metrics]
    with_value.sort(key=lambda item: (sign * item.metrics[metric], item.artifact.full_name))
    rows: list[tuple[int | None, Measurement]] = []
    for index, item in enumerate(with_value):
        tied = index and with_value[index - 1].metrics[metric] == item.metrics[metric]
        rows.append((rows[-1][0] if tied else index + 1, item))
    rows += [(None, item) for item in items if metric not in item.metrics]
    return Ranking(task, benchmark, metric, tuple(rows), _columns(metric, items))


def _columns(metric: str, items: Sequence[Measurement]) -> tuple[str, ...]:
    """The metrics to show: the ranking one first, then quality, then cost."""
    there = {name for item in items for name in item.metrics} - _NO_METRIC
    known = [name for name in (*_QUALITY, *_COST) if name in there]
    other = sorted(there - {*_QUALITY, *_COST})
    return tuple(dict.fromkeys([metric, *known, *other]))[:7]


class RankedJson(TypedDict):
    """A row of a ranking in the JSON report; `rank` is None for what has no such value."""

    task: str
    benchmark: str | None
    metric: str
    less_is_better: bool
    rank: int | None
    id: str
    manifest: str
    name: str
    owner: str | None
    visibility: str
    value: float | None
    metrics: dict[str, float]
    device: str | None
    dtype: str | None
    time: str | None


def to_json(found: Leaderboard) -> list[RankedJson]:
    """The rows of all tables, for the JSON report's `results`."""
    return [
        {
            "task": table.task,
            "benchmark": table.benchmark or None,
            "metric": table.metric,
            "less_is_better": less_is_better(table.metric),
            "rank": rank,
            "id": item.artifact.id,
            "manifest": item.artifact.manifest,
            "name": item.artifact.name,
            "owner": item.artifact.info.get("owner"),
            "visibility": item.visibility,
            "value": item.metrics.get(table.metric),
            "metrics": dict(item.metrics),
            "device": item.device or None,
            "dtype": item.dtype or None,
            "time": item.time or None,
        }
        for table in found.tables
        for rank, item in table.rows
    ]


def shown(metric: str, value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "-"
    if metric.endswith("bytes"):
        return f"{value / 1e9:.2f} GB"
    if metric.endswith("seconds"):
        return f"{value:.3g} s"
    return f"{value:.4g}"


def title_of(table: Ranking) -> str:
    """A heading: what is ranked, on what, by what."""
    where = t(" on {benchmark}", benchmark=table.benchmark) if table.benchmark else ""
    order = t("lower is better") if less_is_better(table.metric) else t("higher is better")
    return t(
        "{task}{where}, by {metric} ({order})",
        task=table.task,
        where=where,
        metric=table.metric,
        order=order,
    )
