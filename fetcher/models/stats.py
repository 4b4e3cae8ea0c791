"""What loading and calling models costs: kept per model, also as Prometheus reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fetcher.models import device_memory
from fetcher.reporting.prometheus import Metric, Sample, exposition


@dataclass
class ModelStats:
    """Counters of one model, and the memory that it takes.

    Seconds are wall-clock; bytes of GPU memory are torch's. `taken_…` is by how much the last load
    raised the process's memory, `peak_…` the most that was seen at the end of a call: of the whole
    process for resident memory.
    """

    name: str
    kind: str
    version: str = ""
    device: str = ""
    loaded: bool = False
    loads: int = 0
    unloads: int = 0
    load_failures: int = 0
    load_seconds: float = 0.0
    calls: int = 0
    call_failures: int = 0
    call_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    items: int = 0
    taken_resident_bytes: int = 0
    taken_gpu_bytes: int = 0
    peak_resident_bytes: int = 0
    peak_gpu_bytes: int = 0
    last_used: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens written per second of calls; 0 where none were."""
        return self.output_tokens / self.call_seconds if self.call_seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """As `manager.stats()` has it."""
        return {**asdict(self), "tokens_per_second": round(self.tokens_per_second, 3)}


@dataclass
class Call:
    """What one call adds to the counters besides its time."""

    input_tokens: int = 0
    output_tokens: int = 0
    items: int = 0


class Monitor:
    """The counters of one model; safe for threads."""

    def __init__(self, name: str, kind: str, version: str = "") -> None:
        self._stats = ModelStats(name, kind, version)
        self._lock = threading.Lock()

    def named(self, name: str, kind: str, version: str) -> None:
        """Note whose counters these are."""
        with self._lock:
            stats = self._stats
            stats.name, stats.kind, stats.version = name, kind, version

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Time a load, and measure by how much it raises the memory."""
        before, begun = device_memory.read(), time.perf_counter()
        try:
            yield
        except BaseException:
            with self._lock:
                self._stats.load_failures += 1
            raise
        spent, after = time.perf_counter() - begun, device_memory.read()
        with self._lock:
            stats = self._stats
            stats.loads, stats.loaded, stats.load_seconds = stats.loads + 1, True, spent
            stats.taken_resident_bytes = max(0, after.resident - before.resident)
            stats.taken_gpu_bytes = max(0, after.gpu - before.gpu)
            self._peak(after)

    @contextmanager
    def calling(self) -> Iterator[Call]:
        """Time a call; what it has done is told to the value."""
        call, begun, failed = Call(), time.perf_counter(), True
        try:
            yield call
            failed = False
        finally:
            spent, now = time.perf_counter() - begun, device_memory.read()
            with self._lock:
                stats = self._stats
                stats.calls += 1
                stats.call_failures += failed
                stats.call_seconds += spent
                stats.input_tokens += call.input_tokens
                stats.output_tokens += call.output_tokens
                stats.items += call.items
                stats.last_used = time.time()
                self._peak(now)

    def on_device(self, device: str) -> None:
        """Note where the model is."""
        with self._lock:
            self._stats.device = device

    def unloaded(self) -> None:
        """Note that the model is gone."""
        with self._lock:
            self._stats.unloads += 1
            self._stats.loaded = False

    def read(self) -> ModelStats:
        """The counters as they are now."""
        with self._lock:
            return ModelStats(**asdict(self._stats))

    def _peak(self, now: device_memory.Reading) -> None:
        stats = self._stats
        stats.peak_resident_bytes = max(stats.peak_resident_bytes, now.resident)
        stats.peak_gpu_bytes = max(stats.peak_gpu_bytes, now.gpu, device_memory.peak_gpu())


# Each metric, and the field of `ModelStats` that it shows.
_METRICS: Sequence[tuple[Metric, str]] = (
    (Metric("fetch_model_loaded", "gauge", "Whether the model is in memory."), "loaded"),
    (Metric("fetch_model_loads_total", "counter", "Loads that succeeded."), "loads"),
    (Metric("fetch_model_load_failures_total", "counter", "Loads that failed."), "load_failures"),
    (
        Metric("fetch_model_load_seconds", "gauge", "Seconds that the last load took."),
        "load_seconds",
    ),
    (Metric("fetch_model_calls_total", "counter", "Calls."), "calls"),
    (Metric("fetch_model_call_failures_total", "counter", "Calls that failed."), "call_failures"),
    (
        Metric("fetch_model_call_seconds_total", "counter", "Seconds spent in calls."),
        "call_seconds",
    ),
    (Metric("fetch_model_input_tokens_total", "counter", "Tokens read."), "input_tokens"),
    (Metric("fetch_model_output_tokens_total", "counter", "Tokens written."), "output_tokens"),
    (
        Metric("fetch_model_items_total", "counter", "Texts embedded, pictures drawn or coded."),
        "items",
    ),
    (
        Metric("fetch_model_tokens_per_second", "gauge", "Tokens written per second of calls."),
        "tokens_per_second",
    ),
    (
        Metric(
            "fetch_model_resident_bytes", "gauge", "By how much loading raised resident memory."
        ),
        "taken_resident_bytes",
    ),
    (
        Metric("fetch_model_gpu_bytes", "gauge", "By how much loading raised GPU memory."),
        "taken_gpu_bytes",
    ),
    (Metric("fetch_model_peak_gpu_bytes", "gauge", "Most GPU memory seen."), "peak_gpu_bytes"),
)


def render(found: Sequence[Mapping[str, object]]) -> str:
    """What `manager.stats()` returned, in the text format that Prometheus reads."""
    return exposition(
        (metric, [Sample(_number(stats.get(name)), _labels(stats)) for stats in found])
        for metric, name in _METRICS
    )


def _labels(stats: Mapping[str, object]) -> dict[str, str]:
    return {
        "model": str(stats.get("name", "")),
        "kind": str(stats.get("kind", "")),
        "version": str(stats.get("version", "")),
    }


def _number(value: object) -> float:
    """A figure; 0 for what is none, which another process may have left."""
    return value if isinstance(value, int | float) else 0


def prometheus_text() -> str:
    """The counters of all models that this process has loaded; "" if there are none.

    For a server's own metrics: its text and this one may be joined, as no name is in both.
    """
    import sys

    manager = sys.modules.get("fetcher.models.manager")
    if manager is None:
        return ""
    found: list[dict[str, Any]] = []
    for one in manager.all_managers():
        found += one.stats()
    return render(found)


def saved_text(tree: Path) -> str:
    """What `manager.save_stats()` left in a tree, possibly by another process; "" if nothing is
    there. Whatever lies there is only data.
    """
    from fetcher.reporting import saved

    results = saved.read(saved.folder_of(tree) / "models.json").results
    return render([result.values for result in results])
