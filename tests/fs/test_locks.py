"""Locks between real processes, whatever happens to the one that holds them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.fs import locks
from fetcher.fs.locks import Busy, Holder, flock_works, held

HOLD = """
import sys, time
from pathlib import Path
from fetcher.fs.locks import held
with held(Path(sys.argv[1]), "testing", print, sys.argv[2]) as there:
    print("held" if there else "none", flush=True)
    sys.stdin.readline()
"""
COUNT_UP = """
import sys
from pathlib import Path
from fetcher.fs.locks import held
path = Path(sys.argv[1])
for _ in range(50):
    with held(path / "lock", "counting", print, sys.argv[2]):
        number = int((path / "n").read_text())
        (path / "n").write_text(str(number + 1))
"""
MODES = ("flock", "soft")


def holder(path: Path, mode: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), mode], stdin=pipe, stdout=pipe, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    flock_works.cache_clear()
    yield tmp_path / "lock"
    flock_works.cache_clear()


@pytest.mark.parametrize("mode", MODES)
def test_four_processes_count_in_turn(tmp_path: Path, mode: str) -> None:
    (tmp_path / "n").write_text("0")
    command = [sys.executable, "-c", COUNT_UP, str(tmp_path), mode]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    assert (tmp_path / "n").read_text() == "200"
    left = {item.name for item in tmp_path.iterdir()} - {"n", "lock"}
    assert left == set()


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_holder_is_gone_at_once(path: Path, mode: str) -> None:
    child = holder(path, mode)
    child.kill()
    child.wait()
    started = time.monotonic()
    with held(path, "x", lambda _: None, mode) as there:
        assert there
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("mode", MODES)
def test_who_holds_it_is_said(path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_SAY_AFTER", 0.2)
    child = holder(path, mode)
    said: list[str] = []
    assert child.stdin is not None
    threading.Timer(0.6, child.stdin.close).start()
    with held(path, "x", said.append, mode):
        pass
    child.wait()
    (line,) = said
    assert line.startswith(f"waiting for PID {child.pid} on ")
    assert "(fetch, since " in line and line.endswith("), which is testing")


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_holder_is_not_waited_for_for_ever(
    path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", 1.0)
    child = holder(path, mode)
    child.send_signal(signal.SIGSTOP)
    try:
        said = f"PID {child.pid} .*no sign of life"
        with pytest.raises(Busy, match=said) as caught, held(path, "x", print, mode):
            pass
        assert f"kill {child.pid}" in caught.value.hint
    finally:
        child.send_signal(signal.SIGCONT)
        child.communicate("\n")
    with held(path, "x", lambda _: None, mode) as there:
        assert there


def test_a_long_lock_shows_that_it_lives(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.1)
    ended = threading.Event()

    def hold() -> None:
        with held(path, "x", lambda _: None, long=True):
            time.sleep(1.5)
            ended.set()

    thread = threading.Thread(target=hold)
    thread.start()
    time.sleep(0.2)
    with held(path, "y", lambda _: None):
        assert ended.is_set()
    thread.join()


def far(pid: int = 1) -> str:
    here = json.loads(Holder.here("testing").dump())
    return json.dumps(here | {"pid": pid, "machine": "another", "host": "far"})


@pytest.mark.parametrize("note", [far(), "", "{}", '{"pid": "x"}', None])
def test_a_soft_lock_of_another_machine_breaks_after_its_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, note: str | None
) -> None:
    monkeypatch.setattr(locks, "SILENT_SECONDS", 0.5)
    Path(f"{path}.soft").write_bytes(b"")
    if note is not None:
        Path(f"{path}.holder").write_text(note)
    started = time.monotonic()
    with held(path, "x", lambda _: None, "soft") as there:
        assert there and time.monotonic() - started > 0.4


def test_a_note_of_an_earlier_holder_does_not_break_a_new_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between creating its lock and saying so, a run must not lose it."""
    monkeypatch.setattr(locks, "SILENT_SECONDS", 0.5)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = json.loads(Holder.here("testing").dump()) | {"pid": child.pid}
    marker, note = Path(f"{path}.soft"), Path(f"{path}.holder")
    note.write_text(json.dumps(dead))
    os.utime(note, (1, 1))
    for younger in (True, False):  # if the lock is older than the note, the dead one held it
        marker.write_bytes(b"")
        if not younger:
            note.write_text(json.dumps(dead))
        started = time.monotonic()
        with held(path, "x", lambda _: None, "soft"):
            assert (time.monotonic() - started > 0.4) == younger


@pytest.mark.parametrize("broken", ["nothing", "refused"])
def test_where_flock_does_nothing_locks_are_files(
    path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def flock(handle: int, operation: int) -> None:
        if broken == "refused":
            raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not flock_works(str(path.parent))
    with held(path, "x", lambda _: None):
        assert Path(f"{path}.soft").exists()
    assert not Path(f"{path}.soft").exists()


def test_flock_works_here(tmp_path: Path) -> None:
    assert flock_works(str(tmp_path)) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["auto", *MODES])
@pytest.mark.parametrize("number", [30, 13])
def test_a_place_that_cannot_be_written_needs_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, number: int
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with held(path, "x", lambda _: None, mode) as there:
        assert not there


def test_an_interrupted_wait_leaves_nothing(path: Path) -> None:
    child = holder(path, "flock")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), held(path, "x", interrupt):
        pass
    child.communicate("\n")
    with held(path, "x", interrupt) as there:
        assert there


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("mine")
    for name in (path, Path(f"{path}.holder"), Path(f"{path}.soft")):
        for mode in MODES:
            name.unlink(missing_ok=True)
            name.symlink_to(private)
            with held(path, "x", lambda _: None, mode) as there:
                assert there
            assert private.read_text() == "mine"


@given(st.text() | st.from_regex(r'\{"pid": .{0,40}\}'))
def test_any_text_as_a_holder(text: str) -> None:
    found = Holder.parse(text)
    assert found is None or str(found)


def test_a_free_lock_and_a_waiting_filelock_keep_each_other_out(tmp_path: Path) -> None:
    """What is taken at once is the lock that filelock takes, on the same file."""
    path = tmp_path / "x.lock"
    other = filelock.FileLock(path)
    with held(path, "one", lambda text: None) as locked:
        assert locked
        with pytest.raises(filelock.Timeout):
            other.acquire(timeout=0)
    with other.acquire(timeout=0):
        assert locks._free(path, "auto") is None
    assert locks._free(path, "auto") is not None


def test_a_lock_file_that_was_replaced_is_not_taken_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between open and flock somebody removed it: the next one would lock another file."""
    path = tmp_path / "x.lock"
    flock = fcntl.flock

    def replaced(handle: int, how: int) -> None:
        flock(handle, how)
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            path.unlink()
            path.touch()

    locks.flock_works.cache_clear()
    assert locks.flock_works(str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", replaced)
    assert locks._free(path, "auto") is None
