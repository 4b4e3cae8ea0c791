"""A disk that is full: what a run does not go on with makes way, and that is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.fs.processes import machine
from fetcher.store.store import Store
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

WEIGHTS = os.urandom(1 << 20) * 30  # bytes
MB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store on a disk of 80 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts")
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    monkeypatch.setenv("FETCH_STORE", str(place / "store"))
    try:
        yield place / "store"
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def wants_weights(tmp_path: Path, hub: HubServer) -> Path:
    hub.add_repo("o/large", {"model.safetensors": WEIGHTS})
    folder = tmp_path / "work"
    text = "artifacts:\n  m: {source: hf:o/large}\n"
    write_project(folder, "p", text, "tree: {m/: m}\n")
    return folder


def begun(store: Path, key: str, size: int, age: int = 0) -> Path:
    """A partial download of a process that is gone."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    folder = store / "partial"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{Store.label_of(key)}.{machine()}.{child.pid}.{'0' * 12}-{os.urandom(4).hex()}.part"
    path = folder / name
    path.write_bytes(os.urandom(MB) * (size // MB))
    moment = path.stat().st_mtime - age
    os.utime(path, (moment, moment))
    return path


def test_what_others_had_begun_makes_way_before_a_run(
    disk: Path, wants_weights: Path, cli: Cli
) -> None:
    """The oldest first, and no more than is needed; the plan says that it would fit."""
    old = begun(disk, "sha256:" + "a" * 64, 30 * MB, age=1000)
    new = begun(disk, "sha256:" + "b" * 64, 10 * MB)
    shut = cli("plan", cwd=wants_weights)
    assert shut.code == 0, shut.out + shut.err
    assert old.exists() and new.exists(), "a plan removes nothing"
    result = cli("all", cwd=wants_weights)
    assert result.code == 0, result.out + result.err
    assert "1 partial download that this run does not go on with went, 31.5 MB" in result.err
    assert not old.exists() and new.exists()
    assert (wants_weights / "m/model.safetensors").read_bytes() == WEIGHTS


def test_nothing_goes_where_it_would_not_help(disk: Path, wants_weights: Path, cli: Cli) -> None:
    part = begun(disk, "sha256:" + "a" * 64, 5 * MB)
    (disk / "something").write_bytes(os.urandom(MB) * 50)
    result = cli("all", "--json", cwd=wants_weights)
    assert result.code == 9 and result.codes == {"disk-space"} and part.exists()
    assert cli("plan", cwd=wants_weights).code == 9


_Space = namedtuple("_Space", "total used free")


def test_what_others_had_begun_makes_way_amid_a_run(
    disk: Path, wants_weights: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota is seen only when it is full."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Space(1 << 40, 0, 1 << 40))
    part = begun(disk, "sha256:" + "a" * 64, 60 * MB)
    result = cli("all", cwd=wants_weights)
    assert result.code == 0, result.out + result.err
    assert "does not go on with went, 62.9 MB" in result.err and not part.exists()
    assert (wants_weights / "m/model.safetensors").read_bytes() == WEIGHTS
    assert cli("check", "--deep", cwd=wants_weights).code == 0
    assert list((disk / "partial").iterdir()) == []


def test_its_own_beginning_stays_and_counts(
    disk: Path, wants_weights: Path, cli: Cli, hub: HubServer
) -> None:
    """Only what this run goes on with is taken off what it needs."""
    import hashlib

    part = begun(disk, f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}", 20 * MB)
    part.write_bytes(WEIGHTS[: 20 * MB])
    filler = disk / "something"
    filler.write_bytes(os.urandom(MB) * 15)  # 45 are left: 10 and 32 are needed
    assert cli("all", cwd=wants_weights).code == 0
    assert sum(request.bytes_sent for request in hub.cdn.requests) < 12 * MB


def test_a_full_disk_without_anything_to_free_is_told(
    disk: Path, wants_weights: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Space(1 << 40, 0, 1 << 40))
    disk.mkdir()
    (disk / "something").write_bytes(os.urandom(MB) * 70)
    result = cli("all", "--json", cwd=wants_weights)
    assert result.code == 9 and result.codes == {"disk-space"}
    (disk / "something").unlink()
    assert cli("all", cwd=wants_weights).code == 0
