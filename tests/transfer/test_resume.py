"""What is there is kept: over tries, runs, processes and their violent ends."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fetcher.sources.base import FileEntry
from fetcher.store.store import Store
from fetcher.transfer.engine import Engine
from fetcher.ui.progress import Progress
from tests.kit import Run, entry, payload, sha256, wait_for
from tests.servers.plain import FileServer
from tests.servers.wire import Request

pytestmark = pytest.mark.usefixtures("hasty")

LARGE = payload(8_000_000, 5)

CHILD = """
import sys
from pathlib import Path
from fetcher.sources.base import FileEntry
from tests.kit import Run
root, url, size, digest = sys.argv[1:]
file = FileEntry("f.bin", int(size), digest or None)
print(Run(Path(root)).one(file, url).downloaded)
"""


def start(root: Path, url: str, data: bytes, digest: bool = True) -> subprocess.Popen[str]:
    arguments = [str(root), url, str(len(data)), sha256(data) if digest else ""]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def offset(request: Request) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    return int(found[1]) if found else 0


@pytest.mark.parametrize("digest", [True, False], ids=["digest", "etag"])
def test_a_killed_process_is_continued(run: Run, files: FileServer, digest: bool) -> None:
    data = payload(50_000_000)
    url = files.add("f.bin", data)
    files.faults.add("f.bin", "slow", rate=20_000_000, times=1)
    child = start(run.root, url, data, digest)
    wait_for(lambda: bool(files.requests) and files.requests[0].bytes_sent > 10_000_000)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    there = max(path.stat().st_size for path in (run.root / "store/partial").glob("*.part"))
    assert there > 5_000_000
    second = start(run.root, url, data, digest)
    output, _ = second.communicate(timeout=60)
    begun = offset(files.requests[1])
    # Without a digest only what was noted counts: every few MiB.
    assert begun == there if digest else 0 < begun <= there
    assert int(output) == len(data) - begun and len(files.requests) == 2
    assert run.blob(data) == data
    assert run.leftovers() == []


@pytest.mark.heavy
def test_kills_at_random_moments(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", LARGE)
    files.faults.add("f.bin", "slow", rate=6_000_000)
    for i in range(12):
        child = start(run.root, url, LARGE)
        time.sleep(0.2 + i % 4 * 0.08)
        child.kill()
        child.communicate()
        if Path(run.store.blob_path(sha256(LARGE))).exists():
            break  # the engine itself does not ask whether the store has it
    else:
        assert start(run.root, url, LARGE).wait(30) == 0
    assert run.blob(LARGE) == LARGE
    # What was on its way when a process died is sent again: here a large part of each block.
    assert sum(request.bytes_sent for request in files.requests) < len(LARGE) * 1.6


def test_what_a_living_process_is_getting_is_waited_for(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", LARGE)
    files.faults.add("f.bin", "slow", rate=4_000_000, times=1)
    child = start(run.root, url, LARGE)
    wait_for(lambda: bool(files.requests) and files.requests[0].bytes_sent > 1_000_000)
    done = run.one(entry("f.bin", LARGE), url)
    assert (done.origin, done.downloaded) == ("store", 0) and len(files.requests) == 1
    assert child.wait(30) == 0
    assert run.blob(LARGE) == LARGE
    assert run.leftovers() == []


def test_the_next_engine_of_the_same_process_continues(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", LARGE)
    for _ in range(6):
        files.faults.add("f.bin", "cut", n=5_000_000, times=1)
        files.faults.add("f.bin", "status", code=500, times=5, after=1)
    assert run.fails(entry("f.bin", LARGE), url).code == "network"
    files.faults.clear()
    assert run.one(entry("f.bin", LARGE), url).downloaded == 3_000_000


def test_a_part_that_is_whole_needs_no_request(run: Run, files: FileServer) -> None:
    part = run.store.claim_part("sha256:" + sha256(LARGE))
    Path(part.path).write_bytes(LARGE)
    run.store.leave_part(part)
    assert run.one(entry("f.bin", LARGE), files.add("f.bin", LARGE)).downloaded == 0
    assert files.requests == []


@pytest.mark.parametrize("there", [LARGE + b"more", b"x" * 1_000_000, b"x" * len(LARGE)])
def test_a_wrong_part_is_begun_anew(run: Run, files: FileServer, there: bytes) -> None:
    part = run.store.claim_part("sha256:" + sha256(LARGE))
    Path(part.path).write_bytes(there)
    run.store.leave_part(part)
    run.one(entry("f.bin", LARGE), files.add("f.bin", LARGE))
    assert run.blob(LARGE) == LARGE
    assert len(files.requests) <= 2
    assert run.leftovers() == []


def test_a_small_file_that_is_cut_goes_on(run: Run, files: FileServer) -> None:
    data = payload(900_000)
    url = files.add("f.bin", data)
    files.faults.add("f.bin", "cut", n=200_000)
    done = run.one(entry("f.bin", data), url)
    assert done.downloaded == len(data)
    assert [offset(request) for request in files.requests] == [
        0,
        200_000,
        400_000,
        600_000,
        800_000,
    ]


@pytest.mark.parametrize("etag", [True, False])
def test_without_a_digest_a_changed_file_is_not_mixed(
    run: Run, files: FileServer, etag: bool
) -> None:
    new = payload(len(LARGE), 6)
    url = files.add("f.bin", LARGE, etag=etag)
    files.faults.add("f.bin", "cut", n=5_000_000, times=1)
    files.hook("f.bin", lambda: files.add("f.bin", new, etag=etag))
    run.one(FileEntry("f.bin", len(LARGE)), url)
    assert run.blob(new) == new


def test_a_server_that_ignores_if_range(run: Run, files: FileServer) -> None:
    """It answers 206 from the new version: its own ETag gives it away."""
    new = payload(len(LARGE), 6)
    url = files.add("f.bin", LARGE, etag='"one"')

    def change() -> None:
        files.add("f.bin", new, etag='"two"')
        answer = files.respond

        def respond(request: Request) -> Any:
            request.headers.pop("if-range", None)
            return answer(request)

        files.respond = respond  # type: ignore[method-assign]

    files.faults.add("f.bin", "cut", n=5_000_000, times=1)
    files.hook("f.bin", change)
    run.one(FileEntry("f.bin", len(LARGE)), url)
    assert run.blob(new) == new


def test_bytes_of_two_places_are_not_mixed_without_a_digest(run: Run, files: FileServer) -> None:
    new = payload(len(LARGE), 6)
    first, second = files.add("a", LARGE, etag='"1"'), files.add("b", new, etag='"1"')
    files.faults.add("/a", "cut", n=5_000_000, times=1)
    files.faults.add("/a", "status", code=404, after=1)
    run.one(FileEntry("f.bin", len(LARGE)), first, second)
    assert run.blob(new) == new
    assert run.leftovers() == []


def test_ctrl_c_leaves_what_the_next_run_completes(
    run: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = files.add("f.bin", LARGE)
    stall = files.faults.add("f.bin", "stall", n=5_000_000)
    progress = Progress(run.stream, quiet=True)

    def tick(_: object) -> None:
        if sum(one.bytes for one in engine._in_flight()) >= 5_000_000:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress, "tick", tick)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Engine(run.network, run.store, progress) as engine:
        engine.run([run.download(entry("f.bin", LARGE), url)])
    assert time.monotonic() - started < 20
    stall.times = 0
    run.fresh_network()
    assert run.one(entry("f.bin", LARGE), url).downloaded == 3_000_000


@pytest.mark.parametrize("etag", [True, False])
def test_what_nobody_could_go_on_with_is_not_left(
    run: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch, etag: bool
) -> None:
    """Without a digest, and without a word of the server, the next run would begin anew."""
    url = files.add("f.bin", LARGE, etag=etag)
    files.faults.add("f.bin", "stall", n=5_000_000)
    progress = Progress(run.stream, quiet=True)

    def tick(_: object) -> None:
        if sum(one.bytes for one in engine._in_flight()) >= 5_000_000:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress, "tick", tick)
    with pytest.raises(KeyboardInterrupt), Engine(run.network, run.store, progress) as engine:
        engine.run([run.download(FileEntry("f.bin", len(LARGE)), url)])
    assert len(run.leftovers()) == (1 if etag else 0)


def test_an_error_anywhere_ends_the_run(run: Run, files: FileServer) -> None:
    url = files.add("f.bin", LARGE)

    def broken(_: object) -> None:
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        Engine(run.network, run.store, Progress(run.stream, quiet=True), broken) as engine,
    ):
        engine.run([run.download(entry("f.bin", LARGE), url)])
    assert run.blob(LARGE) == LARGE


def test_two_engines_on_one_store(run: Run, files: FileServer) -> None:
    contents = [payload(size, i) for i, size in enumerate([10, 20_000, 2_000_000] * 10)]
    urls = [files.add(f"f{i}", data) for i, data in enumerate(contents)]
    failed: list[object] = []

    def work() -> None:
        mine = Run(run.root)
        downloads = [
            mine.download(entry(f"f{i}", data), urls[i]) for i, data in enumerate(contents)
        ]
        failed.extend(mine.get(*downloads).failed)
        mine.store.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    store = Store(run.root / "store")
    assert all(store.has(sha256(data)) for data in contents)
    assert run.leftovers() == []


class FullDisk:
    """`os.write` and files fail as a full disk does, after so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        write = os.write

        def limited(handle: int, data: Any) -> int:
            if self.full and len(data) > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(handle, data)

        monkeypatch.setattr("fetcher.transfer.committer.os.write", limited)


def test_a_full_disk_fails_only_what_does_not_fit(
    run: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(monkeypatch)
    small, large = payload(10), payload(5000)
    other = files.add("o", large)
    downloads = [
        run.download(entry("s", small), files.add("s", small)),
        run.download(entry("l", large), files.add("l", large), other),
    ]
    outcome = run.get(*downloads)
    assert [done.download.file.path for done in outcome.delivered] == ["s"]
    assert [problem.code for _, problem in outcome.failed] == ["disk-space"]
    assert not any("/o" in request.target for request in files.requests)
    assert run.leftovers() == []


@pytest.mark.parametrize("where", ["sync_filesystem", "writing"])
def test_a_disk_that_fills_late(
    run: Run, files: FileServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    url = files.add("f.bin", LARGE)
    with monkeypatch.context() as patch:
        if where == "writing":
            patch.setattr(
                "fetcher.transfer.connection.Connection._append", lambda self, data: full()
            )
        else:
            patch.setattr("fetcher.store.store.sync_filesystem", full)
        problem = run.fails(entry("f.bin", LARGE), url)
    assert (problem.code, problem.exit_code) == ("disk-space", 9)
    assert not list(run.store.digests())
    assert run.one(entry("f.bin", LARGE), url).sha256 == sha256(LARGE)


def test_a_real_full_disk(run: Run, files: FileServer, tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mount)]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a small disk here")
    except FileNotFoundError:
        pytest.skip("no mount command here")
    try:
        small = Run(mount)
        problem = small.fails(entry("f.bin", LARGE), files.add("f.bin", LARGE))
        assert problem.code == "disk-space"
    finally:
        subprocess.run(["umount", str(mount)], check=True)
