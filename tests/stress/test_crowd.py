"""Sixteen processes on one store: whatever was killed, in the end everything is right."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import files_below
from tests.servers.hub import HubServer
from tests.stress.crowd import FETCH, GC, SPANS, Crowd, expected


def succeed(*command: str, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


def converges(crowd: Crowd, store: Path) -> None:
    """One undisturbed run in each clone makes all of it right, and gc leaves what is needed."""
    wanted = {path: data for name in SPANS for path, data in expected(name).items()}
    for clone in crowd.clones:
        succeed(*FETCH, "all", cwd=clone)
        found = files_below(clone)
        declared = {path for path in found if path.startswith(("manifests/", "layouts/"))}
        assert {p: d for p, d in found.items() if p not in declared} == {
            **wanted,
            "fetch.lock": found["fetch.lock"],
        }
        succeed(*FETCH, "check", "--deep", cwd=clone)
    succeed(*FETCH, "store", "check", cwd=crowd.clones[0])
    succeed(*GC, "--forget-imports", cwd=crowd.clones[0])
    digests = {hashlib.sha256(data).hexdigest() for data in wanted.values()}
    assert {path.name for path in (store / "blobs/sha256").iterdir()} == digests
    assert [path.name for path in (store / "partial").iterdir()] == []
    assert [path.name for path in (store / "runs").iterdir()] == []
    for clone in crowd.clones:
        succeed(*FETCH, "all", "--locked", "--offline", cwd=clone)


def crowded(root: Path, workers: int, seconds: float, seed: int) -> Crowd:
    with HubServer() as hub:
        os.environ["HF_ENDPOINT"] = hub.url
        crowd = Crowd(root, hub)
        crowd.prepare()
        crowd.run(workers, seconds, seed)
        print(f"seed {seed}: {sum(crowd.ran.values())} commands, {crowd.killed} killed", crowd.ran)
        assert not crowd.wrong, "\n\n".join(crowd.wrong)
        converges(crowd, Path(os.environ["FETCH_STORE"]))
    return crowd


@pytest.fixture(autouse=True)
def endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # put back at the end
    monkeypatch.setenv("FETCH_SYNC", "0")


def test_a_crowd_for_a_moment(tmp_path: Path) -> None:
    crowd = crowded(tmp_path, 6, 6, 1)
    assert sum(crowd.ran.values()) > 5


@pytest.mark.heavy
def test_sixteen_processes(tmp_path: Path) -> None:
    seconds = float(os.environ.get("FETCH_TEST_STRESS", "12"))
    crowd = crowded(tmp_path, 16, seconds, random.randrange(1 << 30))
    assert crowd.killed and len(crowd.ran) > 8
