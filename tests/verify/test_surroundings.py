"""What a probe sees of the machine: environment, seed, folders, network."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fetcher.verify.child import network_guard
from fetcher.verify.host import environment
from fetcher.verify.host.memory_use import MemoryMeter

from .conftest import misbehave

pytestmark = pytest.mark.usefixtures("plugins")


def _told(**options: Any) -> dict[str, Any]:
    result = misbehave("tells_surroundings", **options)
    assert result.state == "passed", result.reason
    told: dict[str, Any] = json.loads(result.checks[0].detail)
    return told


def test_no_secret_reaches_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY"]
    secrets += ["OPENAI_API_KEY", "MY_PASSWORD", "https_proxy", "SSH_AUTH_SOCK"]
    for name in secrets:
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("FETCH_MIRRORS", "https://me:hunter2@host/x")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    seen = _told()["environ"]
    assert "hunter2" not in json.dumps(seen)
    assert seen["TOKENIZERS_PARALLELISM"] == "false"


def test_offline_switches_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    seen = _told()["environ"]
    assert (seen["HF_HUB_OFFLINE"], seen["TRANSFORMERS_OFFLINE"]) == ("1", "1")


def test_the_seed_is_fixed() -> None:
    first, again, other = _told(seed=1), _told(seed=1), _told(seed=2)
    assert first["random"] == again["random"] != other["random"]
    assert first["hash"] == again["hash"] != other["hash"]


def test_the_scratch_folder_is_private_and_goes_away() -> None:
    told = _told()
    assert told["cwd"] == told["scratch"] == told["environ"]["TMPDIR"]
    assert not Path(told["scratch"]).exists()


def test_our_own_modules_hide_no_library() -> None:
    told = _told()
    assert not any(entry.endswith("verify") for entry in told["path"])
    assert "torch" not in told["modules"] and "numpy" not in told["modules"]
    assert not any(
        name.startswith("fetcher.") and ".verify" not in name for name in told["modules"]
    )


@pytest.mark.parametrize(
    ("do", "target"),
    [
        ("looks_up", "example.invalid:443"),
        ("sends_a_datagram", "127.0.0.1:9"),
        ("listens", "127.0.0.1:0"),
    ],
)
def test_sockets_are_refused(do: str, target: str) -> None:
    result = misbehave(do)
    assert result.state == "failed"
    assert f"NetworkRefusedError: [Errno 101] a probe has no network; refused: {target}" in (
        result.reason
    )
    assert result.metrics["refused_connections"] == [target]


def test_a_listening_server_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        result = misbehave("connects", address=[host, port])
        assert f"refused: {host}:{port}" in result.reason
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_refusal_that_a_library_swallows_is_the_hint() -> None:
    result = misbehave("swallows_refusal")
    assert result.reason == "model found: it is not there"
    assert result.hint == "it tried to reach example.invalid:443, and a probe has no network"


def test_local_sockets_work() -> None:
    assert misbehave("talks_locally").state == "passed"


def _has_namespaces() -> bool:
    code = (
        "import sys; from fetcher.verify.child import network_guard as guard;"
        " sys.exit(not guard.leave_network())"
    )
    environ = {"PYTHONPATH": ":".join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0


def test_helpers_have_no_network_either() -> None:
    if not _has_namespaces():
        pytest.skip("this system allows no network namespaces")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert misbehave("helper_connects", address=server.getsockname()).state == "passed"


def test_the_user_stays_the_same() -> None:
    import getpass
    import os

    assert _told()["user"] == [os.getuid(), getpass.getuser()]


def test_user_namespaces_are_left_alone_where_they_harm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    switch = tmp_path / "switch"
    monkeypatch.setattr(
        network_guard, "Path", lambda *parts: switch if "apparmor" in parts[0] else None
    )
    switch.write_text("1\n")
    assert network_guard._keep_user()


def test_the_active_environment_decides(tmp_path: Path) -> None:
    for name in ("venv", "conda"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/python").write_text("")
    venv, conda = {"VIRTUAL_ENV": str(tmp_path / "venv")}, {"CONDA_PREFIX": str(tmp_path / "conda")}
    chosen = environment.interpreter
    assert chosen(None, {}) == sys.executable
    assert chosen(None, venv) == str(tmp_path / "venv/bin/python")
    assert chosen(None, conda) == str(tmp_path / "conda/bin/python")
    assert chosen(None, conda | venv) == str(tmp_path / "venv/bin/python")
    assert chosen(None, {"VIRTUAL_ENV": str(tmp_path / "removed")}) == sys.executable
    assert chosen("python3", venv) == "python3"
    assert chosen("/usr/bin/python3", venv) == "/usr/bin/python3"
    assert chosen(str(tmp_path / "conda"), venv) == str(tmp_path / "conda/bin/python")


def test_threads_are_shared_between_jobs_unless_the_user_says(tmp_path: Path) -> None:
    made = environment.child_environment
    assert "OMP_NUM_THREADS" not in made(tmp_path, 0, None, {})
    assert made(tmp_path, 0, 2, {})["OMP_NUM_THREADS"] == "2"
    assert made(tmp_path, 0, 2, {"OMP_NUM_THREADS": "7"})["OMP_NUM_THREADS"] == "7"


def test_memory_is_measured_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    meter = MemoryMeter(os.getpid())
    monkeypatch.setattr(meter, "_has_proc", False)
    assert meter.over(1 << 20)
    assert meter.peak > 1 << 20
