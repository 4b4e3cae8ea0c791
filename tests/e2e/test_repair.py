"""Ten kinds of damage: each is found, and the command that the hint names mends it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli, Result, write_project
from tests.e2e.conftest import WEIGHTS
from tests.servers.hub import HubServer

CONFIG = b'{"a": 1}\n'
LINKS = ["copy", "hardlink", "symlink"]


def commands_of(result: Result) -> list[list[str]]:
    """The commands that hints name in backticks, in the order of the hints."""
    hints = [line for line in result.err.splitlines() if line.startswith("hint: ")]
    found = [shlex.split(text) for line in hints for text in re.findall(r"`(fetch [^`]+)`", line)]
    return [command[1:] for command in dict.fromkeys(map(tuple, found))]  # type: ignore[misc]


def flipped(path: Path) -> None:
    """One byte is another, and nothing else tells."""
    stat = path.stat()
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(body)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def cut(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.truncate(1000)


def grown(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as stream:
        stream.write(b"more")


def emptied(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 0)


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another file")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_text("x")


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def elsewhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "config.json")


def older(path: Path) -> None:
    """Bytes of another revision, with the size and time of this one."""
    stat = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


DAMAGE = [flipped, cut, grown, emptied, removed, replaced, folder, dangling, elsewhere, older]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_the_hint_of_a_deep_check_mends(
    project: Path, cli: Cli, hub: HubServer, damage: Callable[[Path], None], link: str
) -> None:
    options = ["--link", link]
    assert cli("all", *options).code == 0
    assert cli("all", *options).code == 0
    target = project / "models/m/model.safetensors"
    damage(target)
    found = cli("check", "--deep")
    assert found.code == 4
    told = commands_of(found)
    assert told, found.err
    for command in told:
        more = options if command[0] == "all" else []
        assert cli(*command, *more).code == 0, command
    assert target.read_bytes() == WEIGHTS
    assert cli("check", "--deep").code == 0
    assert cli("store", "check").code == 0
    assert cli("all", *options).code == 0


@pytest.mark.parametrize("link", LINKS)
def test_what_a_check_of_the_store_finds_reaches_the_tree(
    project: Path, cli: Cli, hub: HubServer, hermetic: Path, link: str
) -> None:
    assert cli("all", "--link", link).code == 0
    assert cli("all", "--link", link).code == 0
    blobs = {path.read_bytes(): path for path in (hermetic / "store/blobs/sha256").iterdir()}
    flipped(blobs[WEIGHTS])
    found = cli("store", "check")
    assert found.code == 4
    for command in commands_of(found):
        assert cli(*command, "--link", link).code == 0
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS
    assert cli("check", "--deep").code == 0


def test_an_edited_file_is_made_anew(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n",
        "tree:\n  models/m/: m\nedits:\n  models/m/config.json: {a: 2}\n",
    )
    assert cli("all").code == 0
    edited = tmp_path / "models/m/config.json"
    right = edited.read_bytes()
    flipped(edited)
    assert edited.read_bytes() != right
    found = cli("check", "--deep")
    assert found.code == 4
    for command in commands_of(found):
        assert cli(*command).code == 0
    assert edited.read_bytes() == right


def test_a_lost_store_is_no_matter(project: Path, cli: Cli, hub: HubServer, hermetic: Path) -> None:
    assert cli("all", "--link", "symlink").code == 0
    shutil.rmtree(hermetic / "store")
    found = cli("check")
    assert found.code == 4
    for command in commands_of(found):
        assert cli(*command, "--link", "symlink").code == 0
    assert cli("check", "--deep").code == 0
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("link", LINKS)
def test_a_probe_that_fails_twice_says_the_same_of_files_that_are_as_locked(
    tmp_path: Path, cli: Cli, link: str
) -> None:
    """What a failed probe doubts is not what it is: nobody has read it since."""
    (tmp_path / "up").mkdir()
    (tmp_path / "up/w.gguf").write_text("<!doctype html><title>Sign in</title>")
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: 'local:up', probe: {type: gguf}}\n",
        "tree: {models/m/: m}\n",
    )
    assert cli("all", "--link", link).code == 0
    for _ in range(2):
        found = cli("verify", "--json", "--python", sys.executable)
        checks = {check["name"]: check["ok"] for check in found.json["results"][0]["checks"]}
        assert checks == {"w.gguf: header": False}
    assert cli("plan").code == 0 and cli("check").code == 0
    with (tmp_path / "models/m/w.gguf").open("a") as stream:
        stream.write("x")
    again = cli("verify", "--json", "--python", sys.executable)
    assert "files are as locked" in [one["name"] for one in again.json["results"][0]["checks"]]
