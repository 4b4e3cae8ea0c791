"""A run in the kernel of a notebook, as the page that shows it would hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fetcher
from tests.conftest import write_project
from tests.kit import tensors
from tests.servers.hub import HubServer

CELL = """
import fetcher
report = fetcher.fetch("p")
print(report.exit_code)
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", {"config.json": b"{}", "a/model.safetensors": tensors(4 << 20)})
        server.cdn.faults.add("GET", "slow", rate=2_500_000)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def messages(folder: Path, code: str) -> list[dict[str, Any]]:
    """All that one cell says; the kernel ends with it."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    manager.start_kernel(cwd=str(folder), stdout=-3, stderr=-3)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        asked = client.execute(code)
        found: list[dict[str, Any]] = []
        while True:
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") == asked:
                found.append(message)
                if message["content"].get("execution_state") == "idle":
                    return found
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_notebook_gets_widgets(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ipykernel")
    pytest.importorskip("jupyter_client")
    write_project(tmp_path, "p", "artifacts:\n  m:\n    source: hf:o/m\n", "tree:\n  models/: m\n")
    monkeypatch.setenv("PYTHONPATH", str(Path(fetcher.__file__).parent.parent))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    heard = messages(tmp_path, CELL)
    assert not [m["content"] for m in heard if m["msg_type"] == "error"]
    streams = [m["content"] for m in heard if m["msg_type"] == "stream"]
    assert "".join(s["text"] for s in streams if s["name"] == "stdout") == "0\n"
    views = "application/vnd.jupyter.widget-view+json"
    shown = [m for m in heard if m["msg_type"] == "display_data" and views in m["content"]["data"]]
    assert len(shown) == 2, "one for the whole, one for the file"
    models = {
        m["content"]["comm_id"]: m["content"]["data"]["state"]["_model_name"]
        for m in heard
        if m["msg_type"] == "comm_open"
    }
    values: dict[str, list[Any]] = {}
    for m in heard:
        state = m["content"].get("data", {}).get("state", {}) if m["msg_type"] == "comm_msg" else {}
        if "value" in state:
            values.setdefault(m["content"]["comm_id"], []).append(state["value"])
    gauges = [values[key] for key, kind in models.items() if kind == "FloatProgressModel"]
    assert len(gauges) == 2 and all(len(set(gauge)) >= 5 for gauge in gauges)
    assert all(gauge == sorted(gauge) for gauge in gauges)
    texts = " ".join(v for key, kind in models.items() if kind == "HTMLModel" for v in values[key])
    assert "model.safetensors" in texts and "MB/s" in texts and "1/2" in texts
    closed = {m["content"]["comm_id"] for m in heard if m["msg_type"] == "comm_close"}
    assert {key for key, kind in models.items() if kind == "HBoxModel"} <= closed
