"""Who holds a lock, what is said of it, and whose soft lock is broken; no waiting."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat as stats
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import pytest

from fetcher.fs import locks
from fetcher.fs.locks import Busy, Holder, Teller, Watch, held
from fetcher.fs.processes import machine, started

HOLDER = Holder(7, "box", "m-1", "123", "fetch all", 1000.0, "testing")


class Clock:
    """Time that passes only when it is told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    monkeypatch.setattr(time, "sleep", found.sleep)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    locks.flock_works.cache_clear()
    yield tmp_path / "lock"
    locks.flock_works.cache_clear()


# Who it is


@pytest.mark.parametrize(("words", "command"), [
    (["fetch", "all"], "fetch all"),
    (["fetch", "all", "--json"], "fetch all"),
    (["fetch"], "fetch"),
    (["fetch", "--json"], "fetch"),
    (["fetch", "a" * 30], "fetch " + "a" * 20),
    (["python", "/secret/path"], "fetch"),
])  # fmt: skip
def test_this_process(monkeypatch: pytest.MonkeyPatch, words: list[str], command: str) -> None:
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(locks, "host_name", lambda: "h" * 120)
    before = time.time()
    found = Holder.here("writing")
    assert (found.pid, found.host, found.machine) == (os.getpid(), "h" * 100, machine())
    assert (found.command, found.doing, found.began) == (command, "writing", started(os.getpid()))
    assert before <= found.since <= time.time() and found.near and not found.dead
    assert Holder.here().doing == ""


def test_a_holder_is_read_as_it_was_written() -> None:
    assert Holder.parse(HOLDER.dump()) == HOLDER
    assert "\n" not in HOLDER.dump() and json.loads(HOLDER.dump()) == HOLDER._asdict()


@pytest.mark.parametrize("wrong", [
    {"pid": 0}, {"pid": -1}, {"pid": 1 << 31}, {"pid": True}, {"pid": "7"}, {"pid": 7.0},
    {"since": "x"}, {"since": 1}, {"since": 1e11}, {"since": -1e11}, {"since": float("inf")},
    {"host": 1}, {"machine": None}, {"began": 5}, {"command": []}, {"doing": {}}, {"more": 1},
])  # fmt: skip
def test_what_no_holder_says(wrong: dict[str, object]) -> None:
    assert Holder.parse(json.dumps(HOLDER._asdict() | wrong)) is None


@pytest.mark.parametrize("right", [
    {"pid": 1}, {"pid": (1 << 31) - 1}, {"since": 9e10}, {"since": -9e10}, {"since": 0.0},
])  # fmt: skip
def test_what_a_holder_may_say(right: dict[str, object]) -> None:
    assert Holder.parse(json.dumps(HOLDER._asdict() | right)) is not None


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "[" * 9000, '{"pid": 1}', "null"])
def test_what_is_no_holder(text: str) -> None:
    assert Holder.parse(text) is None


def test_how_a_holder_is_shown() -> None:
    hour = time.strftime("%H:%M", time.localtime(1000.0))
    assert str(HOLDER) == f"PID 7 on box (fetch all, since {hour})"
    assert "\x1b" not in str(HOLDER._replace(host="\x1b[2J"))


def test_only_what_is_seen_is_known_to_be_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    here = Holder.here()
    assert here._replace(pid=child.pid).dead
    assert not here._replace(pid=child.pid, machine="another").dead
    assert not here._replace(machine="another").near
    assert here._replace(began="1").dead, "its number is used again"


# Waiting


def test_silence_is_since_the_last_change(clock: Clock) -> None:
    watch = Watch()
    clock.now += 3
    assert watch.silent(None) == 3, "nothing was seen yet"
    assert watch.silent("a") == 0
    clock.now += 2
    assert watch.silent("a") == 2
    clock.now += 2
    assert watch.silent("a") == 4
    assert watch.silent("b") == 0
    clock.now += 1
    assert watch.silent("b") == 1


def test_it_is_said_after_two_seconds_and_then_now_and_then(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said: list[tuple[float, str]] = []
    start = clock.now
    teller = Teller(lambda text: said.append((clock.now - start, text)))
    while clock.now < start + 70:
        teller.tell("waiting")
        clock.now += 0.5
    assert said == [(2.0, "waiting"), (32.0, "waiting"), (62.0, "waiting")]
    assert [record.getMessage() for record in caplog.records] == ["waiting"] * 3


def taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else has every lock."""

    def refuse(self: filelock.BaseFileLock, timeout: float) -> None:
        assert timeout == 0
        raise filelock.Timeout("x")

    monkeypatch.setattr(filelock.BaseFileLock, "acquire", refuse)


def test_a_silent_holder_is_waited_for_a_minute(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(monkeypatch)
    holder = Holder.here("\x1bgoing on")._replace(host="box")
    Path(f"{path}.holder").write_text(holder.dump())
    start, said = clock.now, list[str]()
    with pytest.raises(Busy) as caught:
        locks._acquire(filelock.FileLock(path), path, said.append)
    assert 60 < clock.now - start < 60.2
    assert said == [f"waiting for {holder}, which is \\x1bgoing on"] * 2
    assert caught.value.problem.code == "busy"
    assert caught.value.message == (
        f"{holder}, which is \\x1bgoing on has shown no sign of life for 60 s"
    )
    assert caught.value.hint.endswith(f"kill {holder.pid}")


def test_an_unknown_holder_is_named_by_the_lock(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(monkeypatch)
    said: list[str] = []
    with pytest.raises(Busy, match=re.escape(f"another run ({path}) has shown")) as caught:
        locks._acquire(filelock.FileLock(path), path, said.append)
    assert caught.value.hint == "" and said[0] == f"waiting for another run ({path})"


def test_a_sign_of_life_is_waited_on(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [0]

    def acquire(self: filelock.BaseFileLock, timeout: float) -> None:
        looks[0] += 1
        note = Path(f"{path}.holder")
        if looks[0] % 1000 == 0:
            note.write_text(HOLDER.dump())
            os.utime(note, (looks[0], looks[0]))
        if looks[0] < 3500:
            raise filelock.Timeout("x")

    monkeypatch.setattr(filelock.BaseFileLock, "acquire", acquire)
    start = clock.now
    assert locks._acquire(filelock.FileLock(path), path, lambda _: None) is True
    assert 170 < clock.now - start < 180


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO])
def test_a_lock_that_cannot_be_had(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(self: filelock.BaseFileLock, timeout: float) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(filelock.BaseFileLock, "acquire", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="no"):
            locks._acquire(filelock.FileLock(path), path, print)
    else:
        assert locks._acquire(filelock.FileLock(path), path, print) is False


# Holding


@pytest.mark.parametrize("mode", ["auto", "flock", "soft"])
def test_what_stands_beside_a_lock_while_it_is_held(path: Path, mode: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    note = Path(f"{path}.holder")
    with held(path, "testing", print, mode) as there:
        assert there is True
        found = Holder.parse(note.read_text())
        assert found and (found.pid, found.doing) == (os.getpid(), "testing")
        assert Path(f"{path}.soft").exists() is (mode == "soft")
        assert path.exists() is (mode != "soft")
    assert not note.exists() and not Path(f"{path}.soft").exists()
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ValueError, match="inside"), held(path, "x", print, mode):
        raise ValueError("inside")
    assert not note.exists()
    with held(path, "x", print, mode) as there:
        assert there is True, "it was let go"


@pytest.mark.parametrize("long", [True, False])
def test_who_takes_long_shows_that_it_lives(
    path: Path, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.01)
    note = Path(f"{path}.holder")
    with held(path, "x", print, long=long):
        threads = [one for one in threading.enumerate() if one.name == "lock"]
        assert len(threads) == long and all(one.daemon for one in threads)
        os.utime(note, (1, 1))
        deadline = time.monotonic() + (5 if long else 0.1)
        while note.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert (note.stat().st_mtime > 1) is long
    for one in threads:
        one.join(5)
        assert not one.is_alive()


def test_a_beat_outlives_its_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_BEAT_SECONDS", 0.001)
    stop = threading.Event()
    thread = threading.Thread(target=locks._beat, args=(str(tmp_path / "gone"), stop))
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    stop.set()
    thread.join(5)
    assert not thread.is_alive() and not (tmp_path / "gone").exists()


def test_a_note_replaces_what_was_said_before(tmp_path: Path) -> None:
    note = tmp_path / "n"
    note.write_text("x" * 5000)
    before = len(os.listdir("/proc/self/fd"))
    locks._write_note(str(note), HOLDER)
    assert note.read_text() == HOLDER.dump()
    assert len(os.listdir("/proc/self/fd")) == before
    locks._write_note(str(tmp_path / "no/folder"), HOLDER)
    note.unlink()
    mask = os.umask(0)
    try:
        locks._write_note(str(note), HOLDER)
    finally:
        os.umask(mask)
    assert stats.S_IMODE(note.stat().st_mode) == 0o666, "as the umask has it"


def test_a_note_is_written_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("mine")
    (tmp_path / "n").symlink_to("private")
    locks._write_note(str(tmp_path / "n"), HOLDER)
    assert (tmp_path / "private").read_text() == "mine"


def test_a_note_where_links_cannot_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_NOFOLLOW")
    locks._write_note(str(tmp_path / "n"), HOLDER)
    assert (tmp_path / "n").read_text() == HOLDER.dump()


def test_a_free_lock_is_had_at_once_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    lock = locks._free(tmp_path / "a/b/lock", "flock")
    assert lock is not None
    lock.release()


@pytest.mark.parametrize("mode", ["flock", "soft"])
@pytest.mark.parametrize("ending", ["", ".soft"])
def test_a_link_in_the_place_of_a_lock_goes(path: Path, mode: str, ending: str) -> None:
    private = path.with_name("private")
    private.write_text("mine")
    link = Path(f"{path}{ending}")
    link.symlink_to(private)
    assert locks._free(path, mode) is None or ending
    assert locks._lock(path, mode) is not None
    assert not link.is_symlink() and private.read_text() == "mine"


def test_folders_are_made_and_locks_shared_as_the_umask_has_it(tmp_path: Path) -> None:
    mask = os.umask(0o002)
    try:
        for mode in ("flock", "soft", "auto"):
            path = tmp_path / mode / "deep" / "lock"
            with held(path, "x", print, mode):
                # A soft lock is made anew by each, so that nobody else need write it.
                file, bits = (Path(f"{path}.soft"), 0o644) if mode == "soft" else (path, 0o664)
                assert stats.S_IMODE(file.stat().st_mode) & bits == bits
    finally:
        os.umask(mask)


def test_which_lock_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = locks.flock_works
    for mode, works, soft in (
        ("soft", True, True),
        ("flock", False, False),
        ("auto", True, False),
        ("auto", False, True),
    ):
        monkeypatch.setattr(locks, "flock_works", lambda folder, works=works: works)
        lock = locks._lock(path, mode)
        assert isinstance(lock, filelock.SoftFileLock) is soft
        assert lock and lock.lock_file == (f"{path}.soft" if soft else str(path))
        at_once = locks._free(path, mode)
        assert (at_once is None) is soft
        if at_once:
            at_once.release()
    monkeypatch.setattr(locks, "flock_works", real)


def test_what_is_taken_at_once_is_inherited_by_no_child(path: Path) -> None:
    lock = locks._free(path, "flock")
    assert lock is not None and not os.get_inheritable(lock._handle)
    lock.release()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO])
def test_a_folder_that_cannot_be_made(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "mkdir", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="no"):
            locks._lock(path, "flock")
    else:
        assert locks._lock(path, "flock") is None


# Breaking


def soft(path: Path, holder: Holder | None = HOLDER) -> tuple[Holder | None, locks._Sign]:
    Path(f"{path}.soft").write_bytes(b"")
    if holder:
        Path(f"{path}.holder").write_text(holder.dump())
    return locks._look(path)


def dead() -> Holder:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return Holder.here()._replace(pid=child.pid)


def test_what_is_seen_of_a_lock(path: Path) -> None:
    assert locks._look(path) == (None, (None, None))
    found, sign = soft(path)
    marker, note = Path(f"{path}.soft").stat(), Path(f"{path}.holder").stat()
    assert found == HOLDER
    assert sign == ((marker.st_mtime_ns, marker.st_ino), (note.st_mtime_ns, note.st_ino))
    os.utime(f"{path}.holder", ns=(5, marker.st_mtime_ns))
    assert locks._look(path)[0] == HOLDER
    os.utime(f"{path}.holder", ns=(5, marker.st_mtime_ns - 1))
    assert locks._look(path)[0] is None, "it is of an earlier holder"
    Path(f"{path}.soft").unlink()
    assert locks._look(path)[0] == HOLDER, "under flock nothing else is there"
    Path(f"{path}.holder").write_bytes(b"\xff")
    assert locks._look(path)[0] is None
    Path(f"{path}.holder").write_text(HOLDER.dump() + " " * 5000)
    assert locks._look(path)[0] == HOLDER
    Path(f"{path}.holder").write_text(" " * 5000 + HOLDER.dump())
    assert locks._look(path)[0] is None, "it is not read to its end"


@pytest.mark.parametrize(("who", "silent", "broken"), [
    ("dead", 0.0, True),
    ("alive", 1000.0, False),
    ("far", 60.0, False),
    ("far", 60.1, True),
    ("unknown", 60.0, False),
    ("unknown", 60.1, True),
])  # fmt: skip
def test_whose_lock_is_broken(path: Path, who: str, silent: float, broken: bool) -> None:
    holders = {"dead": dead(), "alive": Holder.here(), "far": HOLDER, "unknown": None}
    holder, sign = soft(path, holders[who])
    assert holder == holders[who]
    assert locks._break(path, holder, sign, silent) is broken
    assert Path(f"{path}.soft").exists() is not broken
    assert not Path(f"{path}.breaking").exists()


def test_a_lock_that_another_has_broken_and_holds_is_left(path: Path) -> None:
    holder, sign = soft(path, dead())
    Path(f"{path}.soft").unlink()
    Path(f"{path}.soft").write_bytes(b"")
    os.utime(f"{path}.soft", (1, 1))
    assert locks._break(path, holder, sign, 0.0) is False
    assert Path(f"{path}.soft").exists() and not Path(f"{path}.breaking").exists()


@pytest.mark.parametrize(("age", "left"), [(0, True), (50, True), (70, False)])
def test_one_breaks_at_a_time(path: Path, age: float, left: bool) -> None:
    holder, sign = soft(path, dead())
    guard = Path(f"{path}.breaking")
    guard.write_bytes(b"")
    moment = time.time() - age
    os.utime(guard, (moment, moment))
    assert locks._break(path, holder, sign, 0.0) is False
    assert Path(f"{path}.soft").exists() and guard.exists() is left
    assert locks._break(path, holder, sign, 0.0) is not left


def test_a_guard_has_a_whole_minute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, sign = soft(path, dead())
    guard = Path(f"{path}.breaking")
    guard.write_bytes(b"")
    os.utime(guard, (1000, 1000))
    for now, left in ((1060.0, True), (1060.5, False)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert locks._break(path, holder, sign, 0.0) is False and guard.exists() is left


def test_only_its_maker_may_touch_the_guard(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder, sign = soft(path, dead())
    seen: list[int] = []
    look = locks._look

    def noted(where: Path) -> tuple[Holder | None, locks._Sign]:
        seen.append(stats.S_IMODE(Path(f"{path}.breaking").stat().st_mode))
        return look(where)

    monkeypatch.setattr(locks, "_look", noted)
    before = len(os.listdir("/proc/self/fd"))
    assert locks._break(path, holder, sign, 0.0)
    assert seen == [0o600] and len(os.listdir("/proc/self/fd")) == before


def test_a_dead_holders_soft_lock_is_had_at_once(path: Path, clock: Clock) -> None:
    soft(path, dead())
    start = clock.now
    with held(path, "x", print, "soft") as there:
        assert there is True
    assert clock.now == start, "nobody slept"


# Whether flock works


def test_whether_flock_works_is_tried_with_files_of_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    locks.flock_works.cache_clear()
    asked: list[tuple[str, int, int]] = []
    flock = fcntl.flock

    def noted(handle: int, how: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        asked.append((path, how, stats.S_IMODE(os.fstat(handle).st_mode)))
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", noted)
    before = len(os.listdir("/proc/self/fd"))
    assert locks.flock_works(str(tmp_path)) is True
    names = {Path(path).name for path, _, _ in asked}
    assert len(asked) == 2 and len(names) == 1 and next(iter(names)).endswith(".tmp")
    assert {Path(path).parent for path, _, _ in asked} == {tmp_path}
    assert {(how, mode) for _, how, mode in asked} == {(fcntl.LOCK_EX | fcntl.LOCK_NB, 0o600)}
    assert os.listdir(tmp_path) == [] and len(os.listdir("/proc/self/fd")) == before


def test_windows_has_locks_of_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks.flock_works.cache_clear()
    monkeypatch.setattr("sys.platform", "win32")
    assert locks.flock_works("no such folder") is True
    assert locks._free(path, "auto") is None and not path.exists()
