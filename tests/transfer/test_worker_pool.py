"""Many small files through processes of their own: the same result, whatever the network does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fetcher.fs.private_files import run_id
from fetcher.store.store import Store
from tests.kit import Run, payload, sha256
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

COUNT = 600

# A process of its own: the test's has threads, and so is never forked.
CHILD = """
import gc, json, sys
from pathlib import Path
from fetcher.network.session import Network
from fetcher.sources.base import FileEntry, UrlCandidate
from fetcher.transfer.download import Download
from tests.kit import Run
import fetcher.network.retry, fetcher.transfer.hosts, fetcher.transfer.recovery
for module in (fetcher.network.retry, fetcher.transfer.hosts, fetcher.transfer.recovery):
    module.backoff = lambda attempt: 0.01
from fetcher.ui.progress import Progress
from fetcher.transfer.engine import Engine
request = json.loads(sys.stdin.read())
run = Run(Path(request["root"]), **request["settings"])
downloads = [
    Download("art", FileEntry(*file), [UrlCandidate(f"place:{n}", u) for n, u in enumerate(urls)])
    for file, urls in request["jobs"]
]
run.fresh_network()
delivered = []
with Engine(run.network, run.store, Progress(run.stream, quiet=True), delivered.extend) as engine:
    failed = engine.run(downloads)
    used = bool(engine._backends._workers and engine._backends._workers._downloads)
run.store.close()
print(json.dumps({
    "used": used,
    "frozen": gc.get_freeze_count(),
    "delivered": {item.download.file.path: item.origin for item in delivered},
    "failed": {download.file.path: problem.code for download, problem in failed},
    "downloaded": sum(item.downloaded for item in delivered),
    "said": run.said,
}))
"""

THEIRS = "f" * 12  # the run of another process


@dataclass
class Batch:
    """Files by name, and where they are served."""

    contents: dict[str, bytes]
    urls: dict[str, list[str]]

    def start(self, root: Path, **settings: str) -> subprocess.Popen[str]:
        downloads = [
            ([name, len(data), sha256(data)], self.urls[name])
            for name, data in self.contents.items()
        ]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps({"root": str(root), "settings": settings, "jobs": downloads}))
        child.stdin.close()
        return child

    def get(self, root: Path, **settings: str) -> dict[str, Any]:
        child = self.start(root, **settings)
        assert child.stdout is not None
        text = child.stdout.read()
        assert child.wait() == 0
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    def all_there(self, store: Store) -> bool:
        return all(
            Path(store.blob_path(sha256(data))).read_bytes() == data
            for data in self.contents.values()
        )


@pytest.fixture
def batch(files: FileServer) -> Batch:
    contents = {f"{n:04}.bin": payload(500 + n, n) for n in range(COUNT)}
    return Batch(contents, {name: [files.add(name, data)] for name, data in contents.items()})


def test_they_are_used_and_ask_for_each_file_once(
    run: Run, files: FileServer, batch: Batch
) -> None:
    found = batch.get(run.root)
    assert found["used"] and not found["failed"] and not found["said"]
    assert len(found["delivered"]) == len(files.requests) == COUNT
    assert run.leftovers() == []
    assert found["downloaded"] == sum(map(len, batch.contents.values()))
    assert batch.all_there(run.store) and run.leftovers() == []
    assert all(mode & 0o222 == 0 for mode in _modes(run.store))


def _modes(store: Store) -> list[int]:
    return [stat.st_mode for _, stat in store.digests()]


def test_a_few_files_need_none(run: Run, batch: Batch) -> None:
    few = Batch(dict(list(batch.contents.items())[:20]), batch.urls)
    assert not few.get(run.root)["used"]
    assert not batch.get(run.root, limit_rate="100M")["used"], "one process keeps the limit"


def test_one_that_comes_far_too_slowly_is_asked_for_again(
    run: Run, files: FileServer, batch: Batch
) -> None:
    data = payload(100_000, 5)
    batch.contents["0300.bin"] = data
    files.add("0300.bin", data)
    files.faults.add("0300.bin", "slow", rate=5_000, times=1)
    began = time.monotonic()
    found = batch.get(run.root)
    assert found["used"] and not found["failed"] and batch.all_there(run.store)
    assert time.monotonic() - began < 15, "the first answer takes 20 s"
    assert len(files.matching("0300.bin")) == 2 and len(files.requests) == COUNT + 1


FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cut": ("cut", {"n": 100}),
    "reset": ("cut", {"n": 100, "reset": True}),
    "drop": ("drop", {}),
    "flip": ("flip", {}),
    "short": ("truncate", {}),
    "long": ("overlong", {}),
    "page": ("html", {}),
    "503": ("status", {"code": 503}),
    "429": ("status", {"code": 429, "retry_after": 1}),
    "500": ("status", {"code": 500}),
    "gzip": ("gzip", {}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_mended(run: Run, files: FileServer, batch: Batch, name: str) -> None:
    kind, params = FAULTS[name]
    files.faults.add(r"0[1-4]\d7\.bin", kind, times=None if name == "gzip" else 9, **params)
    found = batch.get(run.root)
    assert found["used"] and not found["failed"], found
    assert batch.all_there(run.store) and run.leftovers() == []


def test_a_host_that_asks_for_patience_is_obeyed(run: Run, files: FileServer, batch: Batch) -> None:
    """After the first refusals nobody asks for a while: not the processes, not the engine."""
    # (On a busy machine a near host may seem to be far, and gets twice as many connections.)
    files.faults.add(r"\.bin", "status", code=429, retry_after=2, times=22, after=100)
    found = batch.get(run.root, jobs="16")
    assert not found["failed"] and "asks to wait 2 s" in found["said"]
    refused = files.matching(lambda request: request.status == 429)
    again = [r.time for r in files.requests if r.time > refused[-1].time]
    assert len(refused) == 22
    storms = sorted(request.time for request in refused)
    assert max(b - a for a, b in zip(storms, [*storms[1:], min(again)], strict=True)) >= 1.5
    assert batch.all_there(run.store)


@pytest.mark.parametrize("headers", [{"Retry-After": "2"}, {"RateLimit": '"api";r=0;t=1'}])
def test_what_a_host_asked_one_process_holds_for_all(
    run: Run, files: FileServer, batch: Batch, headers: dict[str, str]
) -> None:
    """A single refusal, and no other tells the engine: it waits as long all the same."""
    files.faults.add(r"\.bin", "status", code=429, headers=headers, times=1, after=100)
    found = batch.get(run.root)
    assert not found["failed"] and "asks to wait 2 s" in found["said"]
    assert len(files.requests) == COUNT + 1
    moments = sorted(request.time for request in files.requests)
    assert max(b - a for a, b in pairwise(moments)) >= 1.5
    assert batch.all_there(run.store)


def test_the_next_place_has_it(run: Run, files: FileServer, batch: Batch) -> None:
    with FileServer() as other:
        for name, data in batch.contents.items():
            batch.urls[name].append(other.add(name, data))
        files.faults.add(r"0[1-4]\d7\.bin", "status", code=404)
        found = batch.get(run.root)
        assert not found["failed"]
        assert {o for n, o in found["delivered"].items() if n[3] != "7"} == {"place:0"}
        assert found["delivered"]["0107.bin"] == "place:1"


def test_nobody_is_there(run: Run, files: FileServer, batch: Batch) -> None:
    files.stop()
    started = time.monotonic()
    found = batch.get(run.root)
    assert set(found["failed"].values()) == {"network"} and len(found["failed"]) == COUNT
    assert time.monotonic() - started < 30


def test_redirects_carry_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer() as hub:
        hub.add_repo(
            "o/m", {f"{n}.safetensors": payload(2000 + n, n) for n in range(300)}, gated="auto"
        )
        hub.add_token("hf_secret", approved={"o/m"})
        contents = {f"{n}.safetensors": payload(2000 + n, n) for n in range(300)}
        batch = Batch(contents, {name: [f"{hub.url}/o/m/resolve/main/{name}"] for name in contents})
        found = batch.get(tmp_path, hf_endpoint=hub.url, hf_token="hf_secret")
        assert found["used"] and not found["failed"], found
        assert hub.cdn.leaks == [] and hub.errors == []


@pytest.mark.heavy
@pytest.mark.parametrize("victim", ["engine", "run_worker"])
def test_kills(run: Run, files: FileServer, batch: Batch, victim: str) -> None:
    """What was proven is not asked for again; a run_worker that dies costs only what it had."""
    files.faults.add(r"\.bin", "delay", s=0.03)
    child = batch.start(run.root)
    while len(files.requests) < COUNT // 2:
        time.sleep(0.005)
    pool = _children_of(child.pid)
    if victim == "engine":
        child.kill()
        child.wait()
        wait_until_gone(pool)
        there = Store(run.root / "store")
        there.recover()
        assert sum(1 for _ in there.digests()) >= len(files.requests) - 40
        there.close()
        assert run.leftovers() == []
    else:
        os.kill(pool[0], signal.SIGKILL)
        assert child.stdout is not None
        found = json.loads(child.stdout.read())
        assert child.wait() == 0 and not found["failed"]
        assert len(files.requests) < COUNT + 60
        assert batch.all_there(run.store)


def test_what_was_made_before_may_be_collected_when_the_workers_have_ended(
    run: Run, files: FileServer, batch: Batch
) -> None:
    """A notebook goes on after a run: what was frozen for the workers would never go."""
    found = batch.get(run.root)
    assert found["used"] and found["frozen"] == 0


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.01)


def _children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.heavy
def test_ctrl_c(run: Run, files: FileServer, batch: Batch) -> None:
    files.faults.add(r"\.bin", "delay", s=0.03)
    child = batch.start(run.root)
    while len(files.requests) < 100:
        time.sleep(0.005)
    pool = _children_of(child.pid)
    started = time.monotonic()
    child.send_signal(signal.SIGINT)
    child.wait()
    assert time.monotonic() - started < 20
    assert len(pool) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in pool)


def test_what_a_dead_process_proved_is_recovered_and_nothing_else(run: Run) -> None:
    store = run.store
    store.prepare()
    data, lie = payload(3000, 1), payload(3000, 2)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for content, digest, pid in (
        (data, sha256(data), dead.pid),
        (lie, sha256(b"x"), dead.pid),
        (lie, sha256(lie), os.getppid()),
    ):
        mine = Path(store.temporary(digest))
        theirs = mine.with_name(mine.name.replace(f".{os.getpid()}-{run_id()}", f".{pid}-{THEIRS}"))
        theirs.write_bytes(content)
    assert store.recover() == 1
    assert Path(store.blob_path(sha256(data))).read_bytes() == data
    assert not Path(store.blob_path(sha256(b"x"))).exists()
    assert len(run.leftovers()) == 1, "a living process keeps its own"


def test_what_dead_workers_proved_is_recovered(run: Run) -> None:
    store, data = run.store, payload(3000, 1)
    store.prepare()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    def folder_of(pid: int) -> Path:
        path = Path(store.private_folder())
        path = path.with_name(path.name.replace(f".{os.getpid()}-{run_id()}", f".{pid}-{THEIRS}"))
        path.mkdir()
        return path

    theirs, alive = folder_of(dead.pid), folder_of(os.getppid())
    for folder in (theirs, alive):
        name = Path(store.temporary(sha256(data))).name
        (folder / name.replace(f".{os.getpid()}-{run_id()}", f".{dead.pid}-{THEIRS}")).write_bytes(
            data
        )
    assert store.recover() == 1
    assert Path(store.blob_path(sha256(data))).read_bytes() == data
    assert run.leftovers() == [alive.name]
