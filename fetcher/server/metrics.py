"""Counters in the text format that Prometheus reads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fetcher import __version__
from fetcher.hardware.process_memory import escaped, resident_bytes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HELP = {
    "fetch_info": ("gauge", "The version that serves."),
    "fetch_start_time_seconds": ("gauge", "When the server started, in seconds since 1970."),
    "fetch_requests_total": ("counter", "Requests by part of the server, method and status."),
    "fetch_response_bytes_total": ("counter", "Bytes of bodies that were begun to be sent."),
    "fetch_denied_tokens_total": ("counter", "Requests with a token that nobody has."),
    "fetch_artifacts": ("gauge", "Artifacts held."),
    "fetch_files": ("gauge", "Files of these."),
    "fetch_held_bytes": ("gauge", "Bytes of these."),
    "fetch_damaged_contents_total": ("counter", "Contents found to be other than their digest."),
    "fetch_upstream_requests_total": ("counter", "Files had from upstream, by outcome."),
    "fetch_upstream_bytes_total": ("counter", "Bytes received from upstream."),
    "process_resident_memory_bytes": ("gauge", "Memory of the process."),
}


class Metrics:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.started = time.time()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        """Count."""
        assert name in _HELP, name
        self._counts[name, tuple(labels.items())] += value  # type: ignore[assignment]

    def text(self, **gauges: float) -> str:
        """All of it; `gauges` are values of this moment, by their name without `fetch_`."""
        now: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = dict(self._counts)
        now["fetch_info", (("version", __version__),)] = 1
        now["fetch_start_time_seconds", ()] = round(self.started, 3)
        for name, value in gauges.items():
            now[f"fetch_{name}", ()] = value
        if memory := resident_bytes():
            now["process_resident_memory_bytes", ()] = memory
        return "\n".join(_lines(now)) + "\n"


def _lines(values: dict[tuple[str, tuple[tuple[str, str], ...]], Any]) -> Iterator[str]:
    told = ""
    for (name, labels), value in sorted(values.items()):
        if name != told:
            told = name
            kind, text = _HELP[name]
            yield f"# HELP {name} {text}"
            yield f"# TYPE {name} {kind}"
        shown = ",".join(f'{key}="{escaped(text)}"' for key, text in labels)
        yield f"{name}{{{shown}}} {value}" if shown else f"{name} {value}"
