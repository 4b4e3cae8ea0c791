"""The script for GPUs: on a CPU with small models, and what it judges of a card that is played."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify import ProbeResult
from fetcher.verify.contract.exhibits import Fingerprint
from fetcher.verify.loaders import LoadError
from fetcher.verify.loaders.diffusion import MemorySwitches

from benchmarks import gpu
from benchmarks.gpu import FAILED, NOT_TRIED, PASSED, Card, Row

torch = pytest.importorskip("torch")


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")  # of libraries: it is a program of its own
def test_the_same_way_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("diffusers", "peft", "sentence_transformers"):
        pytest.importorskip(name)
    probes = {name: gpu.PROBES[name] for name in ("stylegan",)}
    monkeypatch.setattr(gpu, "PROBES", probes)
    monkeypatch.setenv("MODEL_DEVICE", "")  # put back afterwards
    argv = ["gpu", "--small", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    assert gpu.main() == 0
    shown = capsys.readouterr().out
    assert (tmp_path / "gpu.md").read_text("utf-8").strip() == shown.strip()
    report = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    states = {(row["model"], row["trial"]): row["state"] for row in report["rows"]}
    assert states.pop(("pipeline", "8 bits")) == NOT_TRIED
    assert states.pop(("pipeline", "a card too small, offload")) == NOT_TRIED
    assert len(states) == 7 and set(states.values()) == {PASSED}
    compared = [row for row in report["rows"] if row["trial"] == "probe, as on the CPU"]
    assert all(row["note"].endswith("fingerprints agree") for row in compared)
    measured = [row for row in report["rows"] if row["state"] == PASSED]
    assert all(row["load_seconds"] is not None and row["first_seconds"] for row in measured)
    assert shown.count("\n| ") == 2 + len(report["rows"]) - 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 3
    told = capsys.readouterr().err
    assert "torch" in told and "`--device cpu`" in told
    monkeypatch.setattr(gpu, "LIBRARIES", ("torch", "nothing_of_this_name"))
    assert gpu.main() == 2
    assert "nothing_of_this_name; pip install" in capsys.readouterr().err


def test_a_difference_between_two_devices_is_named() -> None:
    first = Fingerprint("logits", (2, 3), 0.5, 2.0, -3.0, 4.0, (1.0, -1.0), sketch=(0.3, 0.2))
    found = ProbeResult("m", "causal-lm", "passed", metrics={"dtype": "float16"})
    then = replace(found, fingerprints=(first, replace(first, name="loss")))
    near = replace(first, mean=first.mean + 0.002)
    assert gpu.differences(then, replace(then, fingerprints=(near, then.fingerprints[1]))) == []
    far = replace(first, samples=(1.0, 3.0))
    (told,) = gpu.differences(then, replace(then, fingerprints=(far, then.fingerprints[1])))
    assert told.startswith("logits: the values differ by")
    (told,) = gpu.differences(found, found)
    assert "no comparison" in told


class Played(Card):
    """A GPU whose memory is as it is told."""

    def __init__(self, held: Iterator[int], peaks: Iterator[int]) -> None:
        super().__init__("cpu")
        self.is_gpu = True
        self._held, self._peaks = held, peaks

    def begin(self) -> None:
        """There is nothing to let go of."""

    @property
    def held(self) -> int:
        return next(self._held)

    @property
    def peak(self) -> int | None:
        return next(self._peaks)

    def timed(self, act: Any) -> tuple[float, Any]:
        return 0.0, act()


class Manager:
    """Has whatever is asked for."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **more: self


@pytest.mark.parametrize(("left", "state"), [(0, PASSED), (4, PASSED), (30, FAILED), (100, FAILED)])
def test_memory_that_stays_is_a_failure(left: int, state: str) -> None:
    card = Played(iter([7, 107, 7 + left]), iter([200]))
    manager: Any = Manager()
    row = gpu._application(manager, "adapter", card)
    assert row.state == state and row.peak_bytes == 200
    assert gpu._application(manager, "adapter", Played(iter([7, 7, 7]), iter([7]))).state == FAILED


def _drawn(peaks: dict[str, int], refuses: set[str]) -> Any:
    def drawn(row: Row, root: Path, card: Card, switches: MemorySwitches | None = None) -> Row:
        chosen = switches or MemorySwitches()
        way = chosen.quantize or chosen.cpu_offload or "plain"
        if card.limited and way in refuses:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("CUDA out of memory")
        if way not in peaks:
            raise LoadError("8-bit weights need bitsandbytes", "pip install bitsandbytes")
        row.peak_bytes = peaks[way]
        return row

    return drawn


@pytest.mark.parametrize(
    ("peaks", "refuses", "bits", "offloaded"),
    [
        ({"plain": 100, "8bit": 60, "model": 70}, {"plain"}, PASSED, PASSED),
        ({"plain": 100, "8bit": 100, "model": 70}, {"plain", "model"}, FAILED, FAILED),
        ({"plain": 100, "model": 70}, set(), NOT_TRIED, NOT_TRIED),
    ],
)
def test_what_a_small_card_shows(
    monkeypatch: pytest.MonkeyPatch,
    peaks: dict[str, int],
    refuses: set[str],
    bits: str,
    offloaded: str,
) -> None:
    card: Any = Played(iter([]), iter([]))
    card.limited = False
    limits: list[float] = []

    def limit(share: float, device: str) -> None:
        limits.append(share)
        card.limited = share < 1

    class Sized:
        total_memory = 1000

    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limit)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Sized)
    monkeypatch.setattr(gpu, "_drawn", _drawn(peaks, refuses))
    whole, eight = gpu.eight_bits(Path(), card)
    assert (whole.state, eight.state) == (PASSED, bits)
    (row,) = gpu.offload(Path(), card)
    assert row.state == offloaded and limits == [0.09, 1.0]


def test_a_trial_that_fails_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(root: Path, card: Card) -> Iterator[Row]:
        yield from ()
        raise RuntimeError("no\nluck | here")

    monkeypatch.setattr(gpu, "TRIALS", (broken, gpu.offload))
    one, two = gpu.rows(Path(), Card("cpu"))
    assert (one.state, one.note) == (FAILED, "RuntimeError: no luck | here")
    assert two.state == NOT_TRIED
    assert "no luck \\| here" in gpu.table([one, two])
