"""Whose process it was, and whether it still runs: real processes, living, dead and undead."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.fs import processes
from fetcher.fs.processes import alive, host_name, machine, started


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def forget() -> Iterator[None]:
    """What is remembered of the machine is asked anew, before and after."""
    machine.cache_clear()
    yield
    machine.cache_clear()


def test_a_process_is_alive_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    assert alive(os.getpid()) and alive(child.pid) and alive(1)
    child.kill()
    child.wait()
    assert not alive(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")
def test_a_process_that_nobody_reaps_is_dead(child: subprocess.Popen[bytes]) -> None:
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
    assert not alive(child.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="told by /proc")
def test_a_number_that_is_used_again_is_another_process(child: subprocess.Popen[bytes]) -> None:
    mine, theirs = started(os.getpid()), started(child.pid)
    # In hundredths of a second since the machine began; the field is the 22nd.
    assert re.fullmatch(r"\d+", mine) and int(mine) <= int(theirs)
    assert mine == Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    assert alive(child.pid, theirs) and not alive(child.pid, str(int(theirs) - 1))
    child.kill()
    child.wait()
    assert started(child.pid) == "" and not alive(child.pid, theirs)


def test_where_nothing_tells_when_it_began_its_number_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_stat_of", lambda pid: [])
    assert started(os.getpid()) == "" and alive(os.getpid(), "123")
    monkeypatch.setattr(processes, "_stat_of", lambda pid: [b"S"] + [b"%d" % i for i in range(18)])
    assert started(os.getpid()) == ""
    monkeypatch.setattr(processes, "_stat_of", lambda pid: [b"S"] + [b"%d" % i for i in range(19)])
    assert started(os.getpid()) == "18"
    monkeypatch.setattr(processes, "_stat_of", lambda pid: [b"S"] * 19 + [b"\xff"])
    assert started(os.getpid()) == "\ufffd"


@pytest.mark.parametrize("name", ["plain", "a b", "a) Z (b", ")"])
@pytest.mark.skipif(sys.platform != "linux", reason="a program's name in /proc")
def test_whatever_a_program_calls_itself(name: str) -> None:
    code = (
        "import ctypes, sys\n"
        "ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)\n"
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline()
        assert alive(process.pid) and started(process.pid).isdigit()
        process.kill()


@pytest.mark.parametrize(("error", "there"), [(PermissionError, True), (ProcessLookupError, False)])
def test_another_persons_process_is_alive(
    error: type[OSError], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        raise error

    monkeypatch.setattr(os, "kill", kill)
    assert alive(1) is there
    assert asked == [(1, 0)], "the signal is none"


def test_on_windows_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """os.kill ends a process there."""
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it would be dead"))
    monkeypatch.setattr("sys.platform", "win32")
    assert alive(1) and alive(1, "5")


def test_the_name_of_a_machine_is_fit_for_file_names(
    monkeypatch: pytest.MonkeyPatch, forget: None
) -> None:
    monkeypatch.setattr(processes, "host_name", lambda: "-my.host_1 é!" + "x" * 60)
    asked: list[str] = []

    def namespace(path: str) -> str:
        asked.append(path)
        return "pid:[4026531836]"

    monkeypatch.setattr(os, "readlink", namespace)
    # Forty letters of the name, the namespace's number, all but letters and digits as one dash.
    assert machine() == "my-host-1-" + "x" * 27 + "-pid-4026531836"
    assert asked == ["/proc/self/ns/pid"]
    machine.cache_clear()
    monkeypatch.setattr(processes, "host_name", lambda: "x" * 40)
    monkeypatch.setattr(os, "readlink", lambda path: "9" * 40)
    assert machine() == "x" * 40 + "-" + "9" * 19


def test_containers_on_one_machine_are_two_machines(
    monkeypatch: pytest.MonkeyPatch, forget: None
) -> None:
    names = []
    for number in (1, 2):
        monkeypatch.setattr(os, "readlink", lambda path, n=number: f"pid:[{n}]")
        machine.cache_clear()
        names.append(machine())
    assert names[0] != names[1] and all(name.endswith(("-1", "-2")) for name in names)


def test_a_machine_without_a_name_or_namespaces(
    monkeypatch: pytest.MonkeyPatch, forget: None
) -> None:
    def refuse(path: str) -> str:
        raise OSError(path)

    monkeypatch.setattr(os, "readlink", refuse)
    monkeypatch.setattr(processes, "host_name", lambda: "box")
    assert machine() == "box"
    machine.cache_clear()
    monkeypatch.setattr(processes, "host_name", lambda: ".XboX.")
    assert machine() == "XboX"
    machine.cache_clear()
    monkeypatch.setattr(processes, "host_name", lambda: "...")
    assert machine() == "host"
    machine.cache_clear()
    monkeypatch.setattr(processes, "host_name", lambda: "a" * 100)
    assert machine() == "a" * 40


def test_the_name_is_the_systems() -> None:
    import socket

    assert host_name() == socket.gethostname()


def test_the_name_is_had_without_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost 4 ms of a run that has nothing to do."""
    import socket

    monkeypatch.setattr(socket, "gethostname", lambda: pytest.fail("it was asked for"))
    assert host_name() == os.uname().nodename


def test_the_name_where_there_is_no_uname(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "gethostname", lambda: "windows-box")
    monkeypatch.delattr(os, "uname")
    assert host_name() == "windows-box"
