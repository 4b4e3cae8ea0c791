"""The example notebook: its cells run in order, with and without Colab's secrets."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fetcher
from tests.servers.hub import HubServer

NOTEBOOK = Path(fetcher.__file__).parent.parent / "examples/00_setup_and_access_test.ipynb"


def cells() -> list[str]:
    """The code of the notebook, without what only IPython knows (installing fetch)."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["nbformat"] == 4 and all("id" in cell for cell in notebook["cells"])
    sources = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert all(cell.get("outputs", []) == [] for cell in notebook["cells"])
    return [
        "\n".join(line for line in source.splitlines() if not line.startswith("%pip"))
        for source in sources
    ]


def colab(monkeypatch: pytest.MonkeyPatch, secrets: dict[str, str]) -> None:
    userdata: Any = types.ModuleType("google.colab.userdata")
    userdata.get = secrets.__getitem__
    package: Any = types.ModuleType("google.colab")
    package.userdata = userdata
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setitem(sys.modules, "google.colab.userdata", userdata)


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "")
    namespace: dict[str, Any] = {}
    for source in cells():
        exec(compile(source, str(NOTEBOOK), "exec"), namespace)
    return str(capsys.readouterr().out)


@pytest.fixture
def gates(hub: HubServer) -> HubServer:
    for name in ("vitl16", "vitb16"):
        repo = f"facebook/dinov3-{name}-pretrain-lvd1689m"
        hub.add_repo(repo, {"config.json": b"{}"}, gated="manual")
    for repo in ("google/siglip-so400m-patch14-384", "Qwen/Qwen3-8B"):
        hub.add_repo(repo, {"config.json": b"{}"})
    hub.add_token("hf_colab", approved=["facebook/dinov3-vitl16-pretrain-lvd1689m"])
    return hub


def test_in_colab_with_its_secret(
    gates: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    colab(monkeypatch, {"HF_TOKEN": "hf_colab"})
    out = run(tmp_path, monkeypatch, capsys)
    lines = out.splitlines()
    assert "[OK]             dinov3-vitl16" in lines
    assert "[NEED APPROVAL]  dinov3-vitb16" in lines
    assert "[OK]             qwen3-8b" in lines
    assert "[ERROR]          llava-next-video-7b" in lines
    assert f"{gates.url}/facebook/dinov3-vitb16-pretrain-lvd1689m" in out
    assert "use together: vision-language/siglip-base-patch16-224, vision-language/qwen3-4b" in out
    assert "qwen3-8b: needs 19.0 GB" in out and "hf_colab" not in out


@pytest.mark.parametrize("inside", [True, False])
def test_without_a_token(
    gates: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, inside: bool
) -> None:
    if inside:
        colab(monkeypatch, {})
    out = run(tmp_path, monkeypatch, capsys)
    assert ("no secret HF_TOKEN (KeyError)" if inside else "not in Colab") in out
    assert "[NEED APPROVAL]  dinov3-vitl16" in out and "[OK]             qwen3-8b" in out
