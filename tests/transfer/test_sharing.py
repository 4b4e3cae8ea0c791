"""Processes that want one content on one store: one gets it, whatever becomes of that one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetcher.transfer import partial_file as bodies
from tests.kit import Run, payload, sha256, wait_for
from tests.servers.links import LinkServer
from tests.servers.plain import FileServer

SEGMENT = 256 << 10
DATA = payload(12 * SEGMENT + 5, 3)
SMALL = payload(30_000, 4)

# A run that says how far it sees its files, and what it has got.
CHILD = f"""
import json, os, sys, threading
request = json.loads(sys.argv[1])
if request["machine"]:
    import fetcher.fs.processes as processes
    processes.machine = lambda: request["machine"]
from pathlib import Path
from fetcher.store import runs
from fetcher.transfer import hosts, partial_file, recovery, sharing, stragglers
partial_file.SEGMENT, partial_file.RANGES_FROM = {SEGMENT}, request["ranges_from"]
runs.SILENT_SECONDS, runs._BEAT_SECONDS = request["silent"], 0.2
runs.STALLED_SECONDS, sharing._SLEPT_SECONDS = request["stalled"], 1.5
stragglers._OBSERVED_SECONDS = 600  # what a test stops is not asked for again
sharing._GROWTH_SECONDS = sharing._CHECK_SECONDS = 0.1
for module in (hosts, recovery):
    module.backoff = lambda attempt: 0.01
from fetcher.sources.base import FileEntry
from fetcher.transfer.engine import Engine
from fetcher.ui.progress import Progress
from tests.kit import Run
run = Run(Path(request["root"]), **request["settings"])
file = FileEntry("f.bin", request["size"], request["sha256"])
seen, delivered, ended = [], [], threading.Event()
with Engine(run.network, run.store, Progress(run.stream, quiet=True), delivered.extend) as engine:
    tick = engine.progress.tick
    def look(waiting):
        seen.extend([one.state, one.bytes, one.host] for one in engine._in_flight())
        tick(waiting)
    engine.progress.tick = look
    download = run.download(file, *request["urls"])
    download.artifact = request["artifact"]
    failed = engine.run([download])
run.store.close()
print(json.dumps({{
    "failed": [problem.code for _, problem in failed],
    "origins": [item.origin for item in delivered],
    "downloaded": sum(item.downloaded for item in delivered),
    "sha256": [item.sha256 for item in delivered],
    "seen": seen,
    "said": run.said,
}}))
"""


class Crowd:
    """Processes on one store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *urls: str, data: bytes = DATA, **facts: Any) -> subprocess.Popen[str]:
        request: dict[str, Any] = {
            "root": str(self.root), "urls": urls, "machine": "", "settings": {}, "silent": 60.0,
            "stalled": 60.0, "artifact": "art", "size": len(data), "sha256": sha256(data),
            "ranges_from": 2 * SEGMENT, **facts,
        }  # fmt: skip
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps(request)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started.append(child)
        return child

    @staticmethod
    def end(child: subprocess.Popen[str]) -> dict[str, Any]:
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        found = json.loads(out)
        assert isinstance(found, dict)
        return found

    def there(self) -> int:
        """How many bytes of partial files are there."""
        return sum(path.stat().st_size for path in (self.root / "store/partial").glob("*.part"))

    def written(self) -> int:
        """How much of the disk they take: a range that was not begun takes none."""
        parts = (self.root / "store/partial").glob("*.part")
        return sum(path.stat().st_blocks * 512 for path in parts)

    def until(self, size: int) -> None:
        wait_for(lambda: (self.root / "store/partial").is_dir() and self.there() >= size)

    def until_waited_for(self, count: int = 2) -> None:
        """Until so many runs are there, and had time to look at each other."""
        wait_for(lambda: len(list((self.root / "store/runs").glob("*.run"))) >= count)
        time.sleep(0.4)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    found = Crowd(tmp_path)
    yield found
    for child in found.started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def sent(*servers: FileServer) -> int:
    return sum(request.bytes_sent for server in servers for request in server.requests)


SLACK = 400_000  # bytes on their way to a process when it is killed
RANGES = {"jobs": "4"}  # at once: as many are stopped midway as the test counts on
ONE_STREAM = 1 << 40


def hold(server: FileServer, at: int, match: str = "f.bin") -> threading.Event:
    """Let no answer go beyond so many bytes until the event is set."""
    gate = threading.Event()
    server.faults.add(match, "stall", n=at, s=60, until=gate)
    return gate


@pytest.mark.parametrize(("locks", "ranges_from"), [("flock", 2 * SEGMENT), ("soft", ONE_STREAM)])
def test_one_of_four_gets_it_and_the_others_see_it_come(
    crowd: Crowd, files: FileServer, locks: str, ranges_from: int
) -> None:
    gate = hold(files, 150_000)
    url = files.add("f.bin", DATA)
    facts: dict[str, Any] = {"settings": {"locks": locks}, "ranges_from": ranges_from}
    first = crowd.start(url, **facts)
    crowd.until(150_000)
    others = [crowd.start(url, **facts) for _ in range(3)]
    crowd.until_waited_for(4)
    gate.set()
    assert crowd.end(first)["downloaded"] == len(DATA)
    for other in others:
        found = crowd.end(other)
        assert found["downloaded"] == 0 and found["sha256"] == [sha256(DATA)]
        seen = [there for state, there, host in found["seen"] if state == "waiting"
                if host == f"PID {first.pid}"]  # fmt: skip
        moving = [there for there in seen if there]  # none was looked at yet: 0
    assert moving and 150_000 <= min(moving) <= max(moving) <= len(DATA)
    assert sent(files) == len(DATA)


@pytest.mark.parametrize(("locks", "far"), [("flock", False), ("soft", True)])
def test_what_a_killed_one_has_is_kept(
    crowd: Crowd, files: FileServer, locks: str, far: bool
) -> None:
    """On this machine that is seen at once, of another one after it was silent for long."""
    gate = hold(files, 150_000, "of-the-first")
    url = files.add("f.bin", DATA)
    settings = {"locks": locks, **RANGES}
    facts: dict[str, Any] = {"settings": settings, "silent": 3.0 if far else 60.0}
    first = crowd.start(f"{url}?of-the-first", machine="far-away" if far else "", **facts)
    wait_for(lambda: sent(files) >= 600_000)
    others = [crowd.start(url, **facts) for _ in range(2)]
    crowd.until_waited_for(3)
    wait_for(lambda: crowd.written() >= sent(files))
    first.kill()
    ended = [crowd.end(other) for other in others]
    assert [one["sha256"] for one in ended] == [[sha256(DATA)]] * 2
    assert min(one["downloaded"] for one in ended) == 0
    assert max(one["downloaded"] for one in ended) < len(DATA) - 550_000
    assert sent(files) < len(DATA) + SLACK
    gate.set()


@pytest.mark.parametrize("stop", [False, True])
def test_one_that_is_stuck_is_overtaken(crowd: Crowd, files: FileServer, stop: bool) -> None:
    """Its server says nothing any more, or it is stopped; what it has is used."""
    gate = hold(files, 150_000, "of-the-first")
    url = files.add("f.bin", DATA)
    first = crowd.start(f"{url}?of-the-first", settings=RANGES)
    wait_for(lambda: sent(files) >= 600_000)
    wait_for(lambda: crowd.written() >= sent(files))
    time.sleep(0.3)
    if stop:
        first.send_signal(signal.SIGSTOP)
    second = crowd.start(url, silent=1.5 if stop else 60.0, stalled=60.0 if stop else 1.0)
    found = crowd.end(second)
    gate.set()
    first.send_signal(signal.SIGCONT)
    assert found["sha256"] == [sha256(DATA)] and found["downloaded"] < len(DATA) - 550_000
    assert crowd.end(first)["sha256"] == [sha256(DATA)]
    assert sent(files) < len(DATA) + 550_000
    assert list((crowd.root / "store/partial").iterdir()) == []


def test_one_that_works_slowly_is_left_to_it(crowd: Crowd, files: FileServer) -> None:
    gate = hold(files, 150_000)
    url = files.add("f.bin", DATA)
    first = crowd.start(url)
    crowd.until(150_000)
    second = crowd.start(url, stalled=1.0, silent=1.0)
    crowd.until_waited_for()
    files.faults.clear()
    files.faults.add("f.bin", "slow", rate=150_000)
    gate.set()
    assert crowd.end(first)["downloaded"] == len(DATA)
    assert crowd.end(second)["downloaded"] == 0 and sent(files) == len(DATA)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("data", [SMALL, DATA])
def test_another_source_for_the_same(
    crowd: Crowd, files: FileServer, data: bytes, fails: bool
) -> None:
    """What one gets is the other's too; if its source fails, the other has one of its own."""
    with LinkServer() as origin, FileServer() as mirror:
        origin.add("f.bin", data)
        at = len(data) // 20
        gate = hold(origin, at, "GET /link")
        first = crowd.start(f"{origin.url}/f.bin", data=data)
        wait_for(lambda: sent(origin) >= at)
        second = crowd.start(mirror.add("other.bin", data), data=data)
        crowd.until_waited_for()
        if fails:
            origin.expire()
            origin.rules.dead = True
            origin.faults.clear()
            origin.faults.add("GET /link", "status", code=403)
            for link in list(origin._open):
                link.shutdown(2)
        gate.set()
        one, other = crowd.end(first), crowd.end(second)
        assert bool(one["failed"]) is fails and not other["failed"]
        assert other["sha256"] == [sha256(data)]
        assert bool(mirror.requests) is fails
        if fails and data is DATA:
            assert sent(mirror) <= len(data) - at, "what the first had is used"


def test_without_a_digest_the_address_tells(crowd: Crowd, files: FileServer) -> None:
    gate = hold(files, 150_000)
    url = files.add("f.bin", DATA)
    first = crowd.start(url, sha256=None)
    crowd.until(150_000)
    second = crowd.start(url, sha256=None, artifact="of-another-name")
    crowd.until_waited_for()
    gate.set()
    assert crowd.end(first)["downloaded"] == len(DATA)
    assert crowd.end(second)["sha256"] == [sha256(DATA)] and sent(files) == len(DATA)


def test_a_number_that_was_given_out_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a process that died, whose number a living one has now."""
    monkeypatch.setattr(bodies, "SEGMENT", SEGMENT)
    part = run.store.claim_part("k")
    Path(part.path).write_bytes(b"half")
    name = Path(part.path).name
    for pid, began, left in ((os.getppid(), "1", True), (os.getppid(), "", False)):
        head, _, tail = name.partition(f".{os.getpid()}.")
        unique = tail.removesuffix(".part").rpartition("-")[0]
        other = f"{head}.{pid}.{unique}-b{began or _start_of(pid)}.part"
        path = run.store.partial / other
        path.write_bytes(b"half")
        run.store.leave_part(part)
        run.store.drop_part(part)
        run.store.refresh()
        part = run.store.claim_part("k")
        assert (part.size == 4) is left and path.exists() is not left


def _start_of(pid: int) -> str:
    from fetcher.fs.processes import started

    return started(pid)
