"""How many probes run at once, and what they are thought to need."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeRequest, run_probes
from fetcher.verify.host import budget, estimate
from fetcher.verify.host.budget import Budget

from .conftest import misbehaving
from .makers import safetensors, zeros


def request(files: dict[str, Path], kind: str = "causal-lm", **changes: Any) -> ProbeRequest:
    return ProbeRequest("a", kind, Path("/"), files, **changes)


def test_the_need_is_that_of_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(safetensors({"w": zeros("F16", 1000, 1000)}))
    torch = tmp_path / "pytorch_model.bin"
    torch.write_bytes(bytes(3_000_000))
    page = tmp_path / "broken.safetensors"
    page.write_bytes(b"<html>")

    def extra(*args: Any, **changes: Any) -> int:
        return estimate.memory_needed(request(*args, **changes)) - estimate.LIBRARIES

    assert 2_500_000 <= extra({"m": weights, "model.safetensors": weights}) < 2_501_000
    both = {"model.safetensors": weights, "pytorch_model.bin": torch}
    assert 2_500_000 <= extra(both) < 2_501_000, "safetensors go first"
    assert extra({"pytorch_model.bin": torch}) == 3_750_000
    assert 5_000_000 <= extra({"model.safetensors": weights}, dtype="float32") < 5_001_000
    assert 5_000_000 <= extra({"model.safetensors": weights}, options={"dtype": "fp32"}) < 5_001_000
    assert 5_000_000 <= extra(both, related={"base": both}) < 5_001_000
    assert extra({"model.safetensors": weights}, kind="state-dict") < 300_000, "it maps them"
    assert extra({"model.safetensors": page}, dtype="float32") == 0
    assert extra({"model.safetensors": tmp_path / "none", "x.jpg": torch}) == 0


def test_memory_is_known_here() -> None:
    found = estimate.memory_available()
    assert found is not None and found > 1 << 20


def test_a_container_s_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"/sys/fs/cgroup/memory.max": "1000000", "/sys/fs/cgroup/memory.current": "400000"}

    def path(name: str) -> Path:
        found = tmp_path / name.replace("/", "_")
        if name in files:
            found.write_text(files[name])
        return found if name in files else Path(name)

    monkeypatch.setattr(estimate, "Path", path)
    assert estimate.memory_available() == 600_000
    files["/sys/fs/cgroup/memory.max"] = "max"
    there = estimate.memory_available()
    assert there is not None and there > 600_000


@pytest.mark.parametrize(
    ("told", "device", "free"),
    [
        ("40000\n20000\n", "auto", 40_000 << 20),
        ("40000\n20000\n", "cuda:1", 20_000 << 20),
        ("40000\n", "cuda:1", None),
        ("[N/A]\n", "auto", None),
        ("40000\n", "cpu", 0),
        ("", "mps", None),
    ],
)
def test_free_memory_of_a_gpu(
    told: str, device: str, free: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{told}END\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(["nvidia0"]))
    assert estimate.gpu_memory_available(device) == free


def test_without_a_gpu_none_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([]))
    assert estimate.gpu_memory_available("auto") == 0
    assert estimate.gpu_memory_available("cuda:0") is None


def test_what_fits_runs_together_and_what_does_not_waits() -> None:
    shared, stop, gate = Budget(100), threading.Event(), threading.Event()
    inside: list[str] = []
    all_started = threading.Barrier(3)

    def hold(name: str, size: int) -> None:
        with shared.hold(size, 0, stop):
            inside.append(name)
            if name in "ab":
                all_started.wait(10)
                gate.wait(10)
            inside.append(name.upper())

    threads = [threading.Thread(target=hold, args=pair) for pair in (("a", 60), ("b", 40))]
    for thread in threads:
        thread.start()
    all_started.wait(10)
    late = threading.Thread(target=hold, args=("c", 30))
    late.start()
    late.join(0.3)
    assert "c" not in inside, "no room for it yet"
    gate.set()
    for thread in [*threads, late]:
        thread.join(10)
    assert sorted(inside[:2]) == ["a", "b"]
    assert inside.index("c") > min(inside.index("A"), inside.index("B")), "one has made room"


def test_one_that_is_too_large_runs_alone_and_a_stop_wakes_all() -> None:
    shared, stop = Budget(100, 50), threading.Event()
    with shared.hold(1000, 1000, stop):
        waiting = threading.Thread(target=lambda: shared.hold(1, 1, stop).__enter__())
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        stop.set()
        waiting.join(10)
        assert not waiting.is_alive()


@pytest.mark.usefixtures("plugins")
def test_probes_wait_for_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three at once would do, but there is memory for one: they never overlap."""
    monkeypatch.setattr("fetcher.verify.host.runner.os.cpu_count", lambda: 3)
    monkeypatch.setattr("fetcher.verify.host.runner.memory_available", lambda: 1000)
    monkeypatch.setattr(budget, "_LOOK_AGAIN", 0.01)
    doing: list[int] = []
    results = run_probes(
        [misbehaving("passes") for _ in range(3)],
        python=sys.executable,
        on_tick=lambda running: doing.append(len(running)),
    )
    assert [result.state for result in results] == ["passed"] * 3
    assert max(doing) <= 1


@pytest.mark.usefixtures("plugins")
def test_what_runs_is_told_with_its_stage() -> None:
    seen: set[str] = set()
    run_probes(
        [misbehaving("hangs", timeout=1.5)],
        python=sys.executable,
        on_tick=lambda running: seen.update(running.values()),
    )
    assert "waiting for nothing" in seen
