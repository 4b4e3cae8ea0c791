"""Models of ultralytics itself, where it can be imported; others: `wrong/ultralytics_models.py`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from fetcher.verify.contract import pickles

from tests.verify.probing import probe

try:
    from ultralytics.nn import tasks
except ImportError:
    pytest.skip("ultralytics is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def model() -> Any:
    made = tasks.DetectionModel("yolov8n.yaml", nc=4, verbose=False)
    with torch.no_grad():
        made.train()(torch.rand(2, 3, 64, 64))
    return made.half()


def test_it_runs_by_the_persons_word_alone(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "yolo.pt"
    torch.save({"epoch": -1, "model": model, "train_args": {}}, file)
    refused = probe("ultralytics", tmp_path)
    assert "refused: the pickle is a whole network" in refused.reason
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"fetch config allow pickles {digest} ultralytics.nn" in refused.hint
    names = [n for n in pickles.refused_globals(file) if n.startswith("ultralytics.")]
    assert f"{digest} {' '.join(names)}" in refused.hint
    found = probe("ultralytics", tmp_path, _pickles={digest: names})
    assert found.state == "passed", found.reason
    assert found.metrics["parameters"] > 3_000_000
    assert found.fingerprints
