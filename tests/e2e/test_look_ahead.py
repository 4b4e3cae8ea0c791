"""Commands say the same of a tree, whoever has looked at its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from fetcher.errors import LockError
from fetcher.fs.boundary import Boundary
from fetcher.fs.processes import processors
from fetcher.operations.open_project import open_workspace
from fetcher.tree import look_ahead
from fetcher.tree.state import State
from fetcher.ui.progress import Progress
from tests.conftest import write_project
from tests.servers.hub import HubServer

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or processors() < 2, reason="on Linux, with two processors"
)

RUN = """
import sys
from fetcher.tree import look_ahead
look_ahead.FEWEST = int(sys.argv.pop(1))
from fetcher.__main__ import main
main()
"""


def run(project: Path, fewest: int, *words: str) -> tuple[dict[str, Any], str]:
    """What a command says in JSON, and its log."""
    log = project / "run.log"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(fewest), *words, "--json"],
        cwd=project,
        env={**os.environ, "FETCH_LOG": str(log), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    for name in ("seconds", "disk_free"):
        found["summary"].pop(name, None)
    return found, log.read_text()


@pytest.fixture
def project(tmp_path: Path, hub: HubServer) -> Path:
    files = {f"{number % 3}/{number:02d}.bin": b"%d" % number for number in range(60)}
    hub.add_repo("o/m", files)
    manifest = (
        "artifacts:\n  one: {source: 'hf:o/m', exclude: .gitattributes}\n"
        "  two: {source: 'hf:o/m', files: ['1/*']}\n"
    )
    write_project(tmp_path, "p", manifest, "tree: {m/: one, n/: two}\n")
    found, log = run(tmp_path, 1000, "all")
    assert found["ok"], log
    (tmp_path / "m/0/03.bin").unlink()
    replace(tmp_path / "m/1/04.bin", b"changed")
    os.utime(tmp_path / "n/1/07.bin", (1, 1))
    return tmp_path


def test_a_lock_that_cannot_be_read_leaves_nobody_looking(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever calls may go on for long."""
    begun: list[look_ahead.LookAhead] = []

    def wait() -> list[look_ahead.Answer]:
        signal.pause()
        return []

    def begin(boundary: Boundary, state: State, owners: Collection[str]) -> look_ahead.LookAhead:
        begun.append(look_ahead.LookAhead(wait))
        return begun[0]

    monkeypatch.setattr(look_ahead, "begin", begin)
    monkeypatch.setattr(look_ahead, "FEWEST", 1)
    (project / "fetch.lock").write_text("{}" * 1000)
    with pytest.raises(LockError):
        open_workspace(project, progress=Progress(quiet=True), looks=True)
    with pytest.raises(ChildProcessError):
        os.waitpid(begun[0]._pid, os.WNOHANG)


def replace(path: Path, data: bytes) -> None:
    """Write a file that may be a link to the store's."""
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("command", "amiss"), [("status", 3), ("check", 2), ("plan", 1), ("check --strict", 2)]
)
def test_commands_say_the_same(project: Path, command: str, amiss: int) -> None:
    """`check` reads the file that is only newer."""
    plain, log = run(project, 1000, *command.split())
    assert "looks ahead" not in log
    ahead, log = run(project, 50, *command.split())
    assert "a process looks ahead" in log
    assert ahead == plain
    assert ahead["summary"]["failed_files"] == amiss


@pytest.mark.parametrize("command", ["tree", "prune --dry-run"])
def test_who_reads_the_lock_first_has_it_too(project: Path, command: str) -> None:
    plain, log = run(project, 1000, *command.split())
    assert "looks ahead" not in log
    ahead, log = run(project, 50, *command.split())
    assert "a process looks ahead" in log
    assert ahead == plain
