"""The engine's parts alone: the hasher, the hosts, the committer, progress."""

from __future__ import annotations

import io
import queue
from pathlib import Path

import pytest

from fetcher.errors import Failure, Problem
from fetcher.sources.base import FileEntry
from fetcher.transfer.body_hasher import Tail
from fetcher.transfer.body_writer import BodyWriter
from fetcher.transfer.download import Download
from fetcher.transfer.hosts import MAX_WAITS, Hosts
from fetcher.transfer.outcomes import is_sign_in
from fetcher.ui.meter import DOWNLOADING, InFlight
from fetcher.ui.progress import Progress
from fetcher.ui.units import human_bytes, human_seconds
from tests.kit import git_blob, payload, sha256


def finished(hasher: BodyWriter, tail: Tail, written: int) -> Tail:
    done: queue.Queue[None] = queue.Queue()
    hasher.finish(tail, written, lambda: done.put(None))
    done.get(timeout=10)
    return tail


@pytest.mark.parametrize("size", [0, 1, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, 3 << 22])
def test_the_hasher_follows_a_growing_file(tmp_path: Path, size: int) -> None:
    data, hasher = payload(size), BodyWriter()
    path = tmp_path / "f"
    path.write_bytes(b"")
    tail = hasher.follow(str(path), size)
    with path.open("ab", buffering=0) as stream:
        for start in range(0, size, 1_000_000):
            stream.write(data[start : start + 1_000_000])
            hasher.grown(tail, min(size, start + 1_000_000))
    assert finished(hasher, tail, size).digests() == (sha256(data), git_blob(data))
    hasher.close()


def test_the_hasher_outlives_a_broken_file(tmp_path: Path) -> None:
    hasher = BodyWriter()
    (tmp_path / "short").write_bytes(b"12")
    for name, size in (("absent", 3), ("short", 3), ("short", 5 << 20)):
        tail = hasher.follow(str(tmp_path / name), None)
        hasher.grown(tail, size)
        with pytest.raises(OSError, match=r"ends early|No such file"):
            finished(hasher, tail, size).digests()
    sound = hasher.follow(str(tmp_path / "short"), None)
    assert finished(hasher, sound, 2).digests() == (sha256(b"12"), "")
    hasher.close()


def test_a_storm_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    hosts = Hosts({}, said.append, 8)
    host = hosts.get("h")
    for _ in range(50):
        assert hosts.ask_to_wait(host, None, 429)
    assert host.waits == 1
    for seconds in (5.0, 5.0, 4.0, 60.0):
        hosts.ask_to_wait(host, seconds, 429)
    assert said == ["h asks to wait 5 s (HTTP 429)", "h asks to wait 60 s (HTTP 429)"]
    assert hosts.waiting() == ["h (60 s, HTTP 429)"]
    for _ in range(MAX_WAITS):
        host.not_before = 0.0
        patient = hosts.ask_to_wait(host, 0, 429)
    assert not patient and host.not_before > 0
    hosts.answered(host)
    assert host.waits == 0


def test_one_failure_raised_by_many_gathers_no_tracebacks() -> None:
    hosts = Hosts({"h": Failure("network", "gone")}, lambda _: None, 8)
    for _ in range(50):
        with pytest.raises(Failure):
            hosts.check(hosts.get("h"))
    down = hosts.get("h").down
    depth, trace = 0, down.__traceback__ if down else None
    while trace is not None:
        depth, trace = depth + 1, trace.tb_next
    assert depth < 10


def test_the_weightiest_reason_comes_first() -> None:
    download = Download("a", FileEntry("f"), [])
    for code, text in (("network", "one"), ("auth", "two"), ("network", "one"), ("refused", "3")):
        download.reasons += (Failure(code, text, f"hint {text}"),)
    problem = download.problem()
    assert (problem.code, problem.hint) == ("auth", "hint two")
    assert problem.message == "two; also one; also 3"


def test_sign_in_pages() -> None:
    assert is_sign_in("https://login.microsoftonline.com/x")
    assert is_sign_in("https://github.com/login?return_to=x")
    assert is_sign_in("https://h/_layouts/15/Authenticate.aspx?Source=x")
    for other in ("https://h/signing/w.bin", "https://h/x?next=/login?", "https://h/login/w", ""):
        assert not is_sign_in(other)


def test_numbers_for_people() -> None:
    assert human_bytes(0) == "0 B" and human_bytes(999) == "999 B"
    assert human_bytes(999_999) == "1.0 MB" and human_bytes(1.5e9) == "1.5 GB"
    assert human_bytes(5e15) == "5000.0 TB"
    assert human_seconds(12) == "12 s" and human_seconds(7500) == "2 h 05"


def test_progress_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.ui.progress._LOG_SECONDS", 0.0)
    stream = io.StringIO()
    progress = Progress(stream)
    progress.begin(2, 3_000_000)
    progress.watch(lambda: [InFlight("c", DOWNLOADING, 500_000, 2_000_000)])
    progress.file_done("x", FileEntry("a", 1_000_000), 1_000_000, "url")
    progress.file_failed("x", FileEntry("b"), Problem("network", "gone"))
    progress.tick(lambda: ["h (60 s)"])
    progress.end()
    line = stream.getvalue()
    assert line.startswith("1.5 MB of 3.0 MB  1/2 files")
    assert line.endswith("1 failed  waiting for h (60 s)\n")
    assert "\r" not in line
