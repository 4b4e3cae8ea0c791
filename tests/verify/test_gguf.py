"""GGUF models in llama.cpp itself, where it is installed; everything else is in `wrong/gguf.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.verify.probing import golden_differences, run_in_this_process
from tests.verify.wrong import gguf

pytest.importorskip("llama_cpp")


def test_it_answers_with_what_it_learnt(tmp_path: Path) -> None:
    found = run_in_this_process(gguf.whole(tmp_path / "m"))
    assert found.state == "passed", found.reason
    assert found.metrics["loss"] < 0.8 * np.log(gguf.WORDS)
    assert found.metrics["generated_tokens"] == 8
    assert {"m.gguf: logits", "m.gguf: scales"} == {one.name for one in found.fingerprints}


def test_parts_are_one_model(tmp_path: Path) -> None:
    right = run_in_this_process(gguf.whole(tmp_path / "m"))
    found = run_in_this_process(gguf._parts(tmp_path / "parts"))
    assert found.state == "passed", found.reason
    logits = [
        one for result in (right, found) for one in result.fingerprints if "logits" in one.name
    ]
    assert logits[0].samples == logits[1].samples


def test_one_that_learnt_nothing_is_seen(tmp_path: Path) -> None:
    source = np.random.default_rng(9)
    other = {"output.weight": source.normal(0, 0.3, (gguf.WORDS, gguf.WIDTH)).astype("float32")}
    made = gguf.held(lambda held: held.update(other))(tmp_path / "m")
    found = run_in_this_process(made)
    assert "a token, by chance 5.70" in found.reason


def test_another_order_of_tokens_is_seen(tmp_path: Path) -> None:
    (case,) = [one for one in gguf.CASES if one.what == "tokens in another order"]
    right = run_in_this_process(gguf.whole(tmp_path / "m"))
    found = run_in_this_process(case.make(tmp_path / "other"))
    assert found.state == "failed" or "m.gguf: logits" in golden_differences(right, found)
