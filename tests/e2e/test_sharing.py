"""Several runs on one store: each content is downloaded once, whatever happens to one of them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below
from tests.e2e.test_processes import finish, start
from tests.servers.hub import HubServer

COUNT = 600  # enough for processes of their own
LARGE = random.Random(3).randbytes(12 << 20)


def small(number: int) -> bytes:
    return b"%05d" % number * 200


@pytest.fixture
def repository(tmp_path: Path, hub: HubServer) -> Path:
    files = {f"{number:03}.txt": small(number) for number in range(COUNT)}
    hub.add_repo("o/many", {**files, "large.safetensors": LARGE})
    return tmp_path


def clone(root: Path, name: str, span: str = "{000..599}") -> Path:
    folder = root / name
    write_project(
        folder,
        "p",
        "artifacts:\n  many:\n    source: hf:o/many\n"
        f"    files: ['{span}.txt', large.safetensors]\n",
        "tree: {many/: many}\n",
    )
    return folder


def asked(hub: HubServer) -> Counter[str]:
    """How often each file's bytes were delivered, by its name."""
    found = [r for r in hub.matching("GET /o/many/resolve") if r.status == 200]
    return Counter(request.target.rpartition("/")[2] for request in found)


def large_bytes(hub: HubServer) -> int:
    return sum(request.bytes_sent for request in hub.cdn.requests)


def until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        assert process is None or process.poll() is None, "the run ended"
        time.sleep(0.01)


def until_it_waits(process: subprocess.Popen[str]) -> str:
    """The line that says for whom."""
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting for PID" in line:
            return line
    raise AssertionError("it never said whom it waits for")


def test_each_byte_is_asked_for_once(repository: Path, hub: HubServer) -> None:
    hub.cdn.faults.add("GET", "slow", rate=8 << 20)
    hub.faults.add("GET /o/many/resolve", "delay", s=0.003)
    clones = [clone(repository, f"c{n}") for n in range(4)]
    runs = [start("all", "--json", cwd=folder) for folder in clones]
    reports = []
    for run in runs:
        out, err = run.communicate(timeout=90)
        assert run.returncode == 0, err
        reports.append(json.loads(out)["summary"])
    assert set(asked(hub).values()) == {1} and len(asked(hub)) == COUNT
    assert large_bytes(hub) == len(LARGE)
    assert sum(one["downloaded_files"] for one in reports) == COUNT + 1
    for folder in clones:
        assert len(files_below(folder / "many")) == COUNT + 1
        assert (folder / "many/large.safetensors").read_bytes() == LARGE
    store = Path(os.environ["FETCH_STORE"])
    assert list((store / "runs").iterdir()) == [] and list((store / "partial").iterdir()) == []


def test_overlapping_sets_in_another_order(repository: Path, hub: HubServer) -> None:
    hub.faults.add("GET /o/many/resolve", "delay", s=0.003)
    spans = ("{000..399}", "{200..599}", "{100..499}")
    runs = [start("all", cwd=clone(repository, f"c{n}", span)) for n, span in enumerate(spans)]
    for code, output in map(finish, runs):
        assert code == 0, output
    assert set(asked(hub).values()) == {1} and len(asked(hub)) == COUNT
    assert large_bytes(hub) == len(LARGE)


def test_another_takes_over_what_a_killed_run_was_getting(
    repository: Path, hub: HubServer, hermetic: Path
) -> None:
    hub.cdn.faults.add("GET", "slow", rate=2 << 20)
    first = start("all", cwd=clone(repository, "one"))
    partial = hermetic / "store/partial"
    until(lambda: any(p.stat().st_size > 3 << 20 for p in partial.glob("*.part")), first)
    second = start("all", cwd=clone(repository, "two"))
    line = until_it_waits(second)
    assert f"PID {first.pid} on" in line and "fetch all, since" in line
    hub.cdn.faults.clear()
    first.kill()
    first.communicate()
    code, output = finish(second)
    assert code == 0, output
    assert (repository / "two/many/large.safetensors").read_bytes() == LARGE
    assert set(asked(hub).values()) == {1}
    # What was on its way when the run was killed may come twice.
    assert large_bytes(hub) < len(LARGE) + (4 << 20)


def test_a_stopped_run_is_not_waited_for_for_ever(
    repository: Path, hub: HubServer, hermetic: Path
) -> None:
    hub.cdn.faults.add("GET", "slow", rate=1 << 20)
    first = start("all", cwd=clone(repository, "one"))
    partial = hermetic / "store/partial"
    until(lambda: any(p.stat().st_size > 1 << 20 for p in partial.glob("*.part")), first)
    first.send_signal(signal.SIGSTOP)
    try:
        hub.cdn.faults.clear()
        hasty = "import fetcher.store.runs as r, sys; r.SILENT_SECONDS = 3.0\n"
        hasty += "from fetcher.commands import run; sys.exit(run(['all']))"
        second = subprocess.run(
            [sys.executable, "-c", hasty],
            cwd=clone(repository, "two"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 0, second.stderr
        assert f"waiting for PID {first.pid} on" in second.stderr
    finally:
        first.send_signal(signal.SIGCONT)
    code, output = finish(first)
    assert code == 0, output
    for name in ("one", "two"):
        assert (repository / name / "many/large.safetensors").read_bytes() == LARGE


def test_a_failed_run_lets_go(repository: Path, hub: HubServer) -> None:
    """Ctrl-C: what the first has not got is the second's."""
    hub.cdn.faults.add("GET", "slow", rate=1 << 20)
    first = start("all", cwd=clone(repository, "one"))
    until(lambda: len(asked(hub)) == COUNT and hub.cdn.requests, first)
    second = start("all", cwd=clone(repository, "two"))
    until_it_waits(second)
    hub.cdn.faults.clear()
    first.send_signal(signal.SIGINT)
    assert finish(first)[0] == 130
    code, output = finish(second)
    assert code == 0, output
    assert set(asked(hub).values()) == {1} and large_bytes(hub) < len(LARGE) + (4 << 20)
    assert len(files_below(repository / "two/many")) == COUNT + 1


@pytest.mark.parametrize("mode", ["flock", "soft"])
def test_two_manifests_in_one_clone_lose_nothing(
    tmp_path: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("FETCH_LOCKS", mode)
    names = [f"m{number}" for number in range(4)]
    for name in names:
        hub.add_repo(f"o/{name}", {"a.txt": name.encode(), "b.txt": name.encode() * 2})
        text = f"artifacts:\n  x: {{source: hf:o/{name}}}\n"
        write_project(tmp_path, name, text, f"root: {name}\ntree: {{x/: x}}\n")
    for command in (("all",), ("lock", "--update", "x")):
        for code, output in map(finish, [start(*command, name, cwd=tmp_path) for name in names]):
            assert code == 0, output
        lock = json.loads((tmp_path / "fetch.lock").read_text())
        assert sorted(lock["manifests"]) == names
        for entry in lock["manifests"].values():
            assert len(entry["x"]["files"]) == 2
    assert cli("all", "--locked").code == 0


def test_gc_waits_for_a_run(repository: Path, hub: HubServer, cli: Cli) -> None:
    hub.cdn.faults.add("GET", "slow", rate=3 << 20)
    first = start("all", cwd=clone(repository, "one"))
    until(lambda: hub.cdn.requests, first)
    sweep = start("gc", cwd=repository)
    code, output = finish(sweep)
    assert code == 0, output
    assert f"waiting for PID {first.pid} on" in output and "which uses the store" in output
    assert first.wait(30) == 0, "gc came before the run had ended"
    assert cli("check", "--deep", cwd=repository / "one").code == 0


def test_a_store_that_cannot_be_written_is_read(repository: Path, cli: Cli, hermetic: Path) -> None:
    folder = clone(repository, "one")
    assert cli("all", cwd=folder).code == 0
    shutil.rmtree(folder / "many")
    store = hermetic / "store"
    # As root no mode keeps us out: a file where the folder should be does.
    shutil.rmtree(store / "runs")
    (store / "runs").write_bytes(b"")
    assert cli("all", "--link", "copy", cwd=folder).code == 0
    assert len(files_below(folder / "many")) == COUNT + 1
