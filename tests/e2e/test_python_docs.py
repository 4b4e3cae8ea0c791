"""docs/python.md and examples/fetch.ipynb: run as written, in order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import fetcher
from tests.conftest import write_project
from tests.servers.hub import HubServer

ROOT = Path(fetcher.__file__).parent.parent
PAGE = (ROOT / "docs/python.md").read_text("utf-8")
NOTEBOOK = ROOT / "examples/fetch.ipynb"
CONFIG = b'{"hidden_size": 384}'


@pytest.fixture
def here(tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose artifacts have the names of the examples, the current folder."""
    hub.add_repo("o/minilm", {"config.json": CONFIG, "model.safetensors": b"w" * 5000})
    hub.add_repo("o/big", {"big.bin": b"b" * 3000})
    write_project(
        tmp_path,
        "quickstart",
        "artifacts:\n"
        "  minilm: {source: 'hf:o/minilm', aliases: [all-minilm-l6-v2]}\n"
        "  big: {source: 'hf:o/big'}\n",
        "tree: {models/minilm/: minilm, big/: big}\n",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_s_examples_run_as_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(examples) == 6
    names: dict[str, Any] = {"__name__": "example"}
    told = []
    for number, body in enumerate(examples):
        if number == 3:  # from here on one artifact cannot be had
            with (here / "manifests/quickstart.yaml").open("a") as manifest:
                manifest.write("  gone: {source: 'hf:o/gone'}\n")
            with (here / "layouts/quickstart.yaml").open("w") as layout:
                layout.write(
                    "layout: quickstart\ntree: {models/minilm/: minilm, big/: big, gone/: gone}\n"
                )
        exec(compile(body, "docs/python.md", "exec"), names)
        told.append(capsys.readouterr().out)
    folder = here / "models/minilm"
    assert told[0] == f"{folder} ['config.json', 'model.safetensors']\n"
    assert told[1] == f"{folder}/config.json {{'hidden_size': 384}}\n"
    assert told[2].startswith("True 3 3000\nminilm complete ")
    assert "  big.bin big/big.bin 3000 " in told[2]
    assert told[3].startswith("gone ") and told[3].count("\n") == 1
    assert told[4].startswith("gone: ") and told[4].endswith(" 1\n")
    assert told[5].startswith("0 0 ") and "gone missing\n" in told[5]


def test_what_the_page_names_is_public() -> None:
    for name in re.findall(r"fetcher\.([A-Za-z]+)", PAGE):
        assert hasattr(fetcher, name) or name in {"sources", "models"}, name


def test_the_notebook_runs_as_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["nbformat"] == 4 and all("id" in cell for cell in notebook["cells"])
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            lines = [x for x in "".join(cell["source"]).splitlines() if not x.startswith("%pip")]
            exec(compile("\n".join(lines), str(NOTEBOOK), "exec"), names)
    folder = here / "models/minilm"
    assert capsys.readouterr().out.splitlines() == [
        str(folder),
        "384",
        "minilm complete",
        "big missing",
        "as locked: True",
        "1 files, 3000 bytes",
    ]
