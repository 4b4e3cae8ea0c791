"""docs/models.md: its examples are run as written, in order, in one process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import fetcher
from fetcher.models import ModelManager
from tests.models.conftest import (
    Place,
    built,
    minilm,
    nothing_left,
    pictures,
    place,
    quiet_libraries,
)

__all__ = ["built", "minilm", "nothing_left", "pictures", "place", "quiet_libraries"]

PAGE = (Path(fetcher.__file__).parent.parent / "docs/models.md").read_text("utf-8")


@pytest.mark.heavy
def test_the_examples_run_as_written(
    built: Path,
    minilm: Path,
    pictures: Path,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("langchain_core", reason="langchain-core is not installed")
    place(built / "tiny")
    place(minilm, "minilm")
    place(pictures / "sdxl", "mine")
    (tmp_path / "fetch.yaml").write_text(
        "runtime: {primary_model: flux-dev, fallback_models: [mine]}\n"
    )
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(examples) == 8
    names: dict[str, Any] = {"__name__": "example"}
    for body in examples:
        exec(compile(body, "docs/models.md", "exec"), names)
    assert isinstance(names["manager"], ModelManager) and names["manager"].root == tmp_path
    told = capsys.readouterr().out
    assert "minilm embedding" in told and "tiny chat" in told
    assert "flux-dev missing is not in the tree (its repository is gated)" in told
    assert 'fetch_model_loads_total{model="tiny",kind="chat",version=""} 2' in told
    assert (tmp_path / "lighthouse.png").stat().st_size > 1000
    assert "True" in told and f" {tmp_path / 'models/tiny'}\n" in told, "by a class of one's own"
    assert "[3.0, 1.0]" in told and "['v1', 'v2'] v2" in told
    assert f"chat transformers {tmp_path / 'models/bot/v1'}" in told
    assert told.rstrip().endswith("False"), "bot@v1 is not in memory"
