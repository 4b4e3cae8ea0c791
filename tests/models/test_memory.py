"""What is given back: measured in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from fetcher.models import device_memory

CYCLES = """
import json, sys
from fetcher.models import ModelManager, device_memory as memory
manager = ModelManager(sys.argv[1])
found = []
for _ in range(3):
    before = memory.read()
    manager.get_chat_model("large").invoke("hello", max_new_tokens=2)
    used = memory.read()
    freed = manager.unload_all()
    after = memory.read()
    found.append([before.resident, used.resident, after.resident])
    assert freed.models == ("large",) and manager.stats()[0]["loaded"] is False
print(json.dumps(found))
"""
START = """
import sys
import fetcher.models
from fetcher.models import ModelManager, register_model, BaseLLMModel, prometheus_text
heavy = {"torch", "numpy", "transformers", "diffusers", "sentence_transformers", "onnxruntime",
         "peft", "langchain_core", "PIL", "huggingface_hub", "requests"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
manager = ModelManager(sys.argv[1])
assert manager.list_available_models() and manager.stats() == []
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def run(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_unloading_gives_resident_memory_back(built: Path, tmp_path: Path) -> None:
    from tests.verify import textmodels

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        textmodels.gpt_neox(tmp_path / "models/large", 4, 512, inner=2048, half=False, shards="1GB")
    first, *later = json.loads(run(CYCLES, tmp_path))
    size = 40 * 1024 * 1024
    assert first[1] - first[2] > size, "the weights are gone; libraries stay, the first time"
    for before, used, after in later:
        assert used - before > size
        assert (used - after) / (used - before) >= 0.95


def test_importing_and_listing_loads_no_framework(built: Path) -> None:
    (built / "models").mkdir(exist_ok=True)
    if not (built / "models/tiny").exists():
        (built / "models/tiny").symlink_to(built / "tiny")
    run(START, built)


class Cuda:
    """As torch.cuda on a machine with two GPUs."""

    def __init__(self) -> None:
        self.emptied = 0

    def is_available(self) -> bool:
        return True

    is_initialized = is_available

    def device_count(self) -> int:
        return 2

    def memory_allocated(self, index: int) -> int:
        return 100 + index

    def max_memory_allocated(self, index: int) -> int:
        return 200 + index

    def synchronize(self) -> None:
        pass

    ipc_collect = synchronize

    def reset_peak_memory_stats(self, index: int) -> None:
        pass

    def empty_cache(self) -> None:
        self.emptied += 1


def test_memory_of_all_gpus_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch:
        cuda = Cuda()

    monkeypatch.setitem(sys.modules, "torch", Torch)
    assert device_memory.read().gpu == 201 and device_memory.peak_gpu() == 401
    device_memory.reset_peak()
    device_memory.release()
    assert Torch.cuda.emptied == 1
