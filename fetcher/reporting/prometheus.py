"""Metrics in the text format that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Metric:
    """A metric's name, with its unit at the end, its kind, and what it counts."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str


@dataclass(frozen=True)
class Sample:
    """One value of a metric, told from its others by labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def exposition(metrics: Iterable[tuple[Metric, Sequence[Sample]]]) -> str:
    """The text of metrics with their samples; one without samples is left out, "" if all are."""
    lines: list[str] = []
    for metric, samples in metrics:
        if not samples:
            continue
        lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines += [_line(metric.name, sample) for sample in samples]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, sample: Sample) -> str:
    pairs = [f'{key}="{_quoted(text)}"' for key, text in sample.labels.items()]
    labels = f"{{{','.join(pairs)}}}" if pairs else ""
    return f"{name}{labels} {_number(sample.value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    """A label's value as it stands between quotes."""
    return _escaped(text).replace('"', r"\"")


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))  # True is 1
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(round(value, 6))
