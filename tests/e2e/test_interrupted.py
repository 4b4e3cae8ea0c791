"""What runs that were killed, or met a full disk, leave to the next one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.fs import atomic
from fetcher.fs.processes import machine
from fetcher.store.store import Store
from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS, files_below
from tests.kit import sha256
from tests.servers.hub import HubServer


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_store_knows_a_project_before_anything_is_placed(
    project: Path, cli: Cli, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `fetch gc` removed what a killed run had placed."""
    seen: list[bool] = []
    from fetcher.tree.placer import Placer

    place = Placer.place

    def watched(self: Placer, items: object) -> object:
        seen.append(any((hermetic / "store/projects").glob("*.json")))
        return place(self, items)  # type: ignore[arg-type]

    monkeypatch.setattr(Placer, "place", watched)
    assert cli("all").code == 0
    assert seen and all(seen)


def test_copies_that_cannot_be_synced_are_told_and_removed(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("all").code == 0
    shutil.rmtree(project / "models")
    with monkeypatch.context() as patch:
        patch.setattr("fetcher.store.store.sync_filesystem", full)
        result = cli("all", "--link", "copy", "--json")
    assert result.code == 9 and result.codes == {"disk-space"}
    assert files_below(project / "models") == {}
    assert cli("all", "--link", "copy").code == 0


def test_a_full_disk_is_told_with_file_and_file_system(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, hermetic: Path
) -> None:
    """What is needed and what is free, and how to free what was begun; the hint works."""
    from fetcher.transfer.partial_file import PartialFile

    real = PartialFile.write
    written = [0]

    def small(self: PartialFile, segment: object, buffers: list[bytes]) -> int:
        if written[0] > 500_000:
            full()
        written[0] += real(self, segment, buffers)  # type: ignore[arg-type]
        return sum(map(len, buffers))

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "write", small)
        result = cli("all", "--json")
    assert result.code == 9
    error = next(item for item in result.json["errors"] if item["code"] == "disk-space")
    assert str(hermetic / "store/partial") in error["message"]
    assert "MB are free on /" in error["message"] and "3.1 MB are needed" in error["message"]
    assert "None" not in result.out
    assert "of partial downloads are in" in error["hint"]
    assert "`fetch gc --partial` frees them" in error["hint"]
    assert list((hermetic / "store/partial").glob("*.part"))
    dry = cli("gc", "--partial", "--dry-run", "--json")
    assert dry.json["summary"]["leftovers"] == 1 and dry.json["summary"]["bytes"] > 500_000
    assert cli("gc", "--partial").code == 0
    assert list((hermetic / "store/partial").iterdir()) == []
    assert cli("all").code == 0
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS


def test_gc_keeps_what_was_begun(project: Path, cli: Cli, hermetic: Path) -> None:
    assert cli("all").code == 0
    partial = hermetic / "store/partial"
    part = partial / f"{'a' * 32}.{machine()}.{os.getppid()}.{'0' * 12}-{'0' * 8}.part"
    part.write_bytes(b"x")
    assert cli("gc").code == 0 and part.exists()
    assert cli("gc", "--partial").code == 0 and part.exists(), "its process runs"


def test_a_lock_that_cannot_be_written_is_named(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("lock").code == 0
    (project / "fetch.lock").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("fetcher.fs.boundary.write_atomically", full)
        result = cli("all")
    assert result.code == 9
    assert f"writing {project}/fetch.lock: No space left" in result.err and "None" not in result.err


def test_what_is_only_remembered_fails_nothing(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stamps, the tree's state and the list of projects: the next run finds out again."""
    with monkeypatch.context() as patch:
        patch.setattr("fetcher.store.project_records.write_atomically", full)
        patch.setattr("fetcher.store.store.Store._append_stamps", full)
        patch.setattr("fetcher.tree.state.State._connect", full)
        assert cli("all").code == 0
    assert cli("check", "--deep").code == 0


def test_a_branch_of_the_cache_is_set_by_the_next_run(
    tmp_path: Path, hub: HubServer, cli: Cli, hermetic: Path
) -> None:
    write_project(
        tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {}\nhub_cache: [m]\n"
    )
    assert cli("all").code == 0
    ref = next((hermetic / "huggingface/hub").glob("*/refs/main"))
    first = ref.read_text()
    ref.unlink()
    assert cli("all").code == 0 and ref.read_text() == first
    hub.add_commit("o/m", {"config.json": b"{}"})
    assert cli("all", "--update").code == 0 and ref.read_text() != first
    second = ref.read_text()
    ref.write_text(first)  # the run was ended before it came to that
    assert cli("all").code == 0 and ref.read_text() == second
    newer = ref.parents[1] / "snapshots" / ("0" * 40)  # another tool has fetched it
    newer.mkdir()
    (newer / "config.json").write_bytes(b"{}")
    ref.write_text("0" * 40)
    assert cli("all").code == 0 and ref.read_text() == "0" * 40


def test_files_of_dead_runs_go(project: Path, cli: Cli, hermetic: Path, dead: int) -> None:
    """A run that was killed before it could say who it is."""
    runs = hermetic / "store/runs"
    runs.mkdir(parents=True)
    (runs / f"{machine()}.{dead}.{'0' * 12}.run").write_bytes(b"")
    assert cli("all").code == 0
    assert list(runs.iterdir()) == []


def test_notes_of_partial_files_go_with_them(tmp_path: Path, dead: int) -> None:
    store = Store(tmp_path)
    store.prepare()
    name = f"{'a' * 32}.{machine()}.{dead}.{'0' * 12}-{'0' * 8}.part"
    (store.partial / f"{name}.map").write_bytes(b"x")
    other = name.replace("a", "b", 1)
    (store.partial / other).write_bytes(b"")
    (store.partial / f"{other}.etag").write_bytes(b"x")
    store.recover()
    assert sorted(path.name for path in store.partial.iterdir()) == [other, f"{other}.etag"]


def test_what_is_taken_in_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = Store(tmp_path / "store"), tmp_path / "w"
    path.write_bytes(b"w")
    synced: list[str] = []

    def watched(name: str) -> None:
        assert not list(store.digests())
        synced.append(name)

    monkeypatch.setattr("fetcher.store.store.sync_file", watched)
    store.add_file(str(path), sha256(b"w"))
    assert len(synced) == 1
    careless = Store(tmp_path / "careless", durable=False)
    careless.add_file(str(path), sha256(b"w"))
    assert len(synced) == 1


def test_a_users_file_is_on_disk_before_another_takes_its_name(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("all").code == 0
    (project / "models/m/config.json").unlink()
    (project / "models/m/config.json").write_bytes(b"mine")
    synced: list[str] = []
    real = atomic.sync_file

    def watched(path: str) -> None:
        synced.append(path)
        real(path)

    monkeypatch.setattr(atomic, "sync_file", watched)
    assert cli("all", "--overwrite").code == 0
    kept = next((project / ".fetch/kept").rglob("config.json"))
    assert kept.read_bytes() == b"mine"
    assert str(kept.parent) in synced and str(project) in synced


@pytest.mark.parametrize("named", [1, 2, 3])
def test_volumes_whose_naming_was_interrupted(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    assert cli("all").code == 0
    real, calls = os.replace, [0]

    def some(source: str, target: str) -> None:
        if ".tar." in str(target) and not str(target).endswith(".partial"):
            calls[0] += 1
            if calls[0] > named:
                raise KeyboardInterrupt
        real(source, target)

    argv = ("mirror", "export", project / "out.tar", "--volume-size", "1M")
    with monkeypatch.context() as patch:
        patch.setattr("fetcher.bundle.volume_writer.os.replace", some)
        assert cli(*argv).code == 130
    assert not (project / "out.tar.sha256").exists()
    result = cli(*argv)
    assert result.code == 0, result.err
    assert not list(project.glob("*.partial"))
    assert cli("mirror", "check", project / "out.tar").code == 0


def test_an_unread_disk_does_not_cost_the_state(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database is only set aside if it is damaged, not because it could not be read once."""
    import sqlite3

    from fetcher.tree.state import State

    assert cli("all").code == 0

    def failing(self: State) -> object:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(State, "_connect", failing)
        assert cli("all").code == 0
    assert not (project / ".fetch/state.db.damaged").exists()
    assert json.loads(cli("all", "--json").out)["ok"]


def test_a_project_that_the_store_could_not_note_is_noted_by_the_next_run(
    project: Path, cli: Cli, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a tree is not taken for one in which nothing is left to do."""
    with monkeypatch.context() as patch:
        patch.setattr("fetcher.store.project_records.write_atomically", full)
        assert cli("all").code == 0
    assert not (hermetic / "store/projects").exists()
    assert cli("all").code == 0
    assert len(list((hermetic / "store/projects").glob("*.json"))) == 1


def test_the_folder_of_fetch_is_ignored_by_git_whatever_ended_its_making(
    project: Path, cli: Cli
) -> None:
    (project / ".fetch").mkdir()
    assert cli("all").code == 0
    assert (project / ".fetch/.gitignore").read_text() == "*\n"


def test_an_edited_file_that_was_longer_is_replaced(
    tmp_path: Path, hub: HubServer, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that updates it was ended when the new content was in the store."""
    hub.add_repo("o/e", {"config.json": b'{"base": "x", "more": "and more"}'})
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  e: {source: hf:o/e}\n",
        "tree: {e/: e}\nedits: {e/config.json: {base: y}}\n",
    )
    assert cli("all").code == 0
    hub.add_commit("o/e", {"config.json": b'{"base": "z"}'})
    with monkeypatch.context() as patch:
        patch.setattr("fetcher.operations.fetch_all._place", lambda *_: [])
        cli("all", "--update")
    (tmp_path / "e/config.json").touch()
    result = cli("all")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "e/config.json").read_text()) == {"base": "y"}
