"""What the server counts, and what it shows to Prometheus."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection

from fetcher import __version__
from fetcher.hardware.process_memory import resident_bytes
from fetcher.reporting.prometheus import Metric, Sample, exposition

_METRICS = {
    metric.name: metric
    for metric in (
        Metric("fetch_info", "gauge", "The version that serves."),
        Metric(
            "fetch_start_time_seconds", "gauge", "When the server started, in seconds since 1970."
        ),
        Metric(
            "fetch_requests_total", "counter", "Requests by part of the server, method and status."
        ),
        Metric(
            "fetch_response_bytes_total", "counter", "Bytes of bodies that were begun to be sent."
        ),
        Metric("fetch_denied_tokens_total", "counter", "Requests with a token that nobody has."),
        Metric("fetch_artifacts", "gauge", "Artifacts held."),
        Metric("fetch_files", "gauge", "Files of these."),
        Metric("fetch_held_bytes", "gauge", "Bytes of these."),
        Metric(
            "fetch_damaged_contents_total",
            "counter",
            "Contents found to be other than their digest.",
        ),
        Metric("fetch_upstream_requests_total", "counter", "Files had from upstream, by outcome."),
        Metric("fetch_upstream_bytes_total", "counter", "Bytes received from upstream."),
        Metric("process_resident_memory_bytes", "gauge", "Memory of the process."),
    )
}
# These grow by the size of each file that somebody gets.
BYTE_COUNTERS = ("fetch_response_bytes_total", "fetch_upstream_bytes_total")
_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.started = time.time()
        self._counts: defaultdict[tuple[str, _Labels], float] = defaultdict(int)

    def add(self, name: str, value: float = 1, **labels: str) -> None:
        """Count."""
        assert name in _METRICS, name
        self._counts[name, tuple(labels.items())] += value

    def text(self, without: Collection[str] = (), **gauges: float) -> str:
        """All of it; `gauges` are values of this moment, by their name without `fetch_`."""
        now = {key: value for key, value in self._counts.items() if key[0] not in without}
        now["fetch_info", (("version", __version__),)] = 1
        now["fetch_start_time_seconds", ()] = round(self.started, 3)
        for name, value in gauges.items():
            now[f"fetch_{name}", ()] = value
        if memory := resident_bytes():
            now["process_resident_memory_bytes", ()] = memory
        samples: dict[str, list[Sample]] = {}
        for (name, labels), value in sorted(now.items()):
            samples.setdefault(name, []).append(Sample(value, dict(labels)))
        return exposition((_METRICS[name], found) for name, found in samples.items())
