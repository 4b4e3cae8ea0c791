"""Several runs at once, and runs that are ended from outside."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS, files_below
from tests.servers.hub import HubServer

FETCH = [sys.executable, "-m", "fetcher"]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FETCH, *arguments],
        cwd=cwd,
        env=dict(os.environ),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out + err


@pytest.fixture
def many(tmp_path: Path, hub: HubServer) -> Path:
    """Two manifests that share half of their 400 files."""
    files = {f"{number:03}.bin": bytes([number % 256]) * (500 + number) for number in range(400)}
    hub.add_repo("o/many", {**files, "large.safetensors": WEIGHTS})
    for name, span in (("p", "{000..299}"), ("q", "{100..399}")):
        write_project(
            tmp_path,
            name,
            "artifacts:\n  many:\n    source: hf:o/many\n"
            f"    files: ['{span}.bin', large.safetensors]\n",
            f"root: {name}\ntree: {{many/: many}}\n",
        )
    return tmp_path


def test_two_runs_on_one_clone(many: Path, cli: Cli) -> None:
    runs = [start("all", cwd=many), start("all", cwd=many), start("all", "p", cwd=many)]
    for code, output in map(finish, runs):
        assert code == 0, output
    assert len(files_below(many / "p")) == len(files_below(many / "q")) == 301
    assert cli("check", "--deep").code == 0
    assert cli("all", "--locked").code == 0, "neither run lost the other's part of the lock"


def test_two_clones_on_one_store(many: Path, cli: Cli) -> None:
    clones = []
    for name in ("one", "two", "three"):
        clone = many / name
        shutil.copytree(many / "manifests", clone / "manifests")
        shutil.copytree(many / "layouts", clone / "layouts")
        clones.append(clone)
    for code, output in map(finish, [start("all", cwd=clone) for clone in clones]):
        assert code == 0, output
    for clone in clones:
        assert cli("check", "--deep", cwd=clone).code == 0
    assert cli("store", "check").code == 0


def test_ctrl_c_leaves_what_the_next_run_completes(many: Path, cli: Cli, hub: HubServer) -> None:
    hub.faults.add(r"GET /o/many/resolve", "delay", s=0.02)
    process = start("all", "p", cwd=many)
    while len(hub.requests) < 180:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, output = finish(process)
    assert code == 130 and "interrupted" in output and "Traceback" not in output
    placed = files_below(many / "p")
    assert 0 < len(placed) < 301
    hub.faults.clear()
    result = cli("all", "p", "--json")
    assert result.code == 0
    assert result.json["summary"]["downloaded_files"] <= 301 - len(placed)
    assert cli("check", "p", "--deep").code == 0


@pytest.mark.heavy
def test_kill_9_at_any_moment_loses_nothing(many: Path, cli: Cli, hub: HubServer) -> None:
    hub.faults.add(r"GET /o/many/resolve", "delay", s=0.005)
    chance = random.Random(7)
    expected = {f"many/{n:03}.bin": bytes([n % 256]) * (500 + n) for n in range(300)}
    expected["many/large.safetensors"] = WEIGHTS
    for _ in range(12):
        process = start("all", "p", cwd=many)
        time.sleep(chance.uniform(0.2, 1.0))
        process.kill()
        process.communicate(timeout=30)
        for name, content in files_below(many / "p").items():
            if not name.endswith(".tmp"):
                assert content == expected[name], f"{name} is not whole"
    hub.faults.clear()
    assert cli("all", "p").code == 0
    assert cli("check", "p", "--deep").code == 0


def test_a_large_file_is_resumed_by_the_next_run(
    tmp_path: Path, cli: Cli, hub: HubServer, hermetic: Path
) -> None:
    content = random.Random(1).randbytes(30 << 20)
    hub.add_repo("o/large", {"w.safetensors": content})
    write_project(tmp_path, "p", "artifacts:\n  l: {source: hf:o/large}\n", "tree: {l/: l}\n")
    hub.cdn.faults.add(r"GET", "slow", rate=20 << 20)
    process = start("all", cwd=tmp_path)
    partial = hermetic / "store/partial"
    while not any(p.stat().st_size > 8 << 20 for p in partial.glob("*.part")):
        time.sleep(0.02)
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=30)
    hub.cdn.faults.clear()
    result = cli("all", "--json")
    assert result.code == 0
    assert result.json["summary"]["downloaded_bytes"] < 23 << 20
    assert (tmp_path / "l/w.safetensors").read_bytes() == content
    assert list(partial.glob("*.part")) == []


def test_an_unreachable_host_costs_seconds(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall that drops packets: a socket whose queue is full answers nothing."""
    import socket

    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(0)
    address = silent.getsockname()
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(address)
        fillers.append(filler)
    store = tmp_path / "carried"
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m:\n    source: hf:o/m@" + "0" * 40 + f"\n    mirrors: [mirror:{store}]\n"
        "    files: {w.bin: {size: 3, sha256: "
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}}\n",
        "tree: {m/: m}\n",
    )
    blobs = store / "blobs/sha256"
    blobs.mkdir(parents=True)
    name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (blobs / name).write_bytes(b"abc")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{address[1]}")
    started = time.monotonic()
    code, output = finish(start("all", cwd=tmp_path))
    assert code == 0, output
    assert time.monotonic() - started < 20
    assert output.count("taking it from mirror:") == 1
    assert (tmp_path / "m/w.bin").read_bytes() == b"abc"
    for sock in [silent, *fillers]:
        sock.close()
