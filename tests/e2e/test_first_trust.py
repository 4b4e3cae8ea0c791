"""Files of which nobody knows a digest beforehand: trusted once, then locked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.test_conflicts import kept
from tests.e2e.test_processes import finish, start
from tests.servers.plain import FileServer


@pytest.fixture
def web() -> Iterator[FileServer]:
    with FileServer({"/a/model.bin": b"first" * 1000, "/empty": b""}) as server:
        yield server
        assert server.errors == []


@pytest.fixture
def clone(tmp_path: Path, web: FileServer) -> Path:
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  w: {{source: '{web.url}/a/model.bin'}}\n",
        "tree: {m.pt: w}\n",
    )
    return tmp_path


def locked(clone: Path) -> dict[str, Any]:
    (file,) = json.loads((clone / "fetch.lock").read_text())["manifests"]["p"]["w"]["files"]
    assert isinstance(file, dict)
    return file


@pytest.mark.parametrize("content", [b"other" * 1000, b"longer" * 1000])
@pytest.mark.parametrize("way", ["all --update", "lock --update w", "delete"])
def test_an_update_takes_what_is_there_now(
    clone: Path, cli: Cli, web: FileServer, content: bytes, way: str
) -> None:
    assert cli("all").code == 0
    before = locked(clone)
    web.add("/a/model.bin", content)
    assert cli("all").code == 0 and locked(clone) == before
    if way == "delete":
        (clone / "fetch.lock").unlink()
    else:
        assert cli(*way.split()).code == 0
    assert cli("all").code == 0
    assert (clone / "m.pt").read_bytes() == content
    assert locked(clone)["size"] == len(content) and locked(clone)["sha256"] != before["sha256"]
    assert cli("check", "--deep").code == 0


def test_an_empty_answer_is_no_file(clone: Path, cli: Cli, web: FileServer) -> None:
    manifest = clone / "manifests/p.yaml"
    manifest.write_text(manifest.read_text().replace("/a/model.bin", "/empty"))
    result = cli("all", "--json")
    assert result.code == 3 and result.codes == {"not-a-file"}
    assert not (clone / "m.pt").exists()


def test_a_stranger_in_the_way_is_kept_aside_when_asked(
    clone: Path, cli: Cli, web: FileServer
) -> None:
    (clone / "m.pt").write_bytes(b"mine")
    result = cli("all", "--json")
    assert (
        result.code == 4 and "fetch adopt m.pt --as w/model.bin" in result.json["errors"][0]["hint"]
    )
    assert cli("all", "--overwrite").code == 0
    assert (clone / "m.pt").read_bytes() == b"first" * 1000
    assert [path.read_bytes() for path in kept(clone)] == [b"mine"]


def test_a_file_in_the_way_of_a_folder_is_kept_aside_when_asked(project: Path, cli: Cli) -> None:
    (project / "models").write_text("mine")
    result = cli("all")
    assert result.code == 4 and result.err.count("error:") == 1
    assert cli("all", "--overwrite").code == 0
    assert (project / "models/m/config.json").exists()
    assert [path.read_text() for path in kept(project)] == ["mine"]


def test_killed_before_the_end_the_next_run_goes_on(clone: Path, cli: Cli, web: FileServer) -> None:
    web.add("/a/slow.bin", b"slow" * 1_000_000)
    web.faults.add(r"/a/slow", "slow", rate=300_000)
    write_project(
        clone,
        "p",
        f"artifacts:\n  w: {{source: '{web.url}/a/model.bin'}}\n"
        f"  s: {{source: '{web.url}/a/slow.bin'}}\n",
        "tree: {m.pt: w, s.pt: s}\n",
    )
    process = start("all", cwd=clone)
    while not (clone / "m.pt").exists():
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    finish(process)
    web.faults.clear()
    result = cli("all", "--json")
    assert result.code == 0, result.err
    assert cli("check", "--deep").code == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_is_an_interrupt(clone: Path, cli: Cli, web: FileServer) -> None:
    web.faults.add(r"GET /a/model", "stall", n=10, s=20)
    process = start("all", "--json", cwd=clone)
    while not web.matching(r"GET /a/model"):
        time.sleep(0.01)
    process.terminate()
    code, output = finish(process, 15)
    assert code == 130 and "Traceback" not in output and '"exit_code": 130' in output


AMID_AN_EXEC = """\
import fetcher.commands
from fetcher.__main__ import main

def interrupted(arguments):
    try:
        exec("raise KeyboardInterrupt")  # as it comes while a namedtuple is made
    except KeyboardInterrupt:
        return 130

fetcher.commands.run = interrupted
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_that_was_handled_is_no_signal_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "amid.py").write_text(AMID_AN_EXEC)
    done = subprocess.run([sys.executable, "-m", "amid"], check=False, cwd=tmp_path, timeout=60)
    assert done.returncode == 130


def test_a_lock_that_lost_or_gained_a_line_is_not_current(project: Path, cli: Cli) -> None:
    manifest = project / "manifests/p.yaml"
    manifest.write_text(
        manifest.read_text().replace(
            "exclude: .gitattributes", "files: [config.json, sub/vocab.txt]"
        )
    )
    assert cli("all").code == 0
    text = (project / "fetch.lock").read_text()
    data = json.loads(text)
    files = data["manifests"]["p"]["m"]["files"]
    for wrong in (files[:1], [], [*files, {"path": "zz.txt", "size": 1, "git_blob": "0" * 40}]):
        data["manifests"]["p"]["m"]["files"] = wrong
        (project / "fetch.lock").write_text(json.dumps(data))
        assert cli("all", "--locked").code == 7
        assert cli("check").code == 7
    assert cli("all").code == 0
    assert (project / "fetch.lock").read_text() == text
