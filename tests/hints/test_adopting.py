"""What is said of files that are to be taken in: the hint, followed, takes them in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA, declare
from tests.servers.plain import FileServer


@about(
    "fetch.lock does not say yet what {names} has",
    "no digest that fetch.lock has is theirs",
    "next: `{command}` places them without",
    "next: `{command}` places them, and downloads",
    "if you want that file: fetch adopt {real}",
)
def test_files_are_taken_in(
    desk: Desk, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (project / "model.bin").write_bytes(WEIGHTS)
    desk.fails("adopt", "model.bin")
    desk.follow("fetch.lock does not say yet what {names} has")
    desk.fetch("adopt", "model.bin")
    desk.follow("next: `{command}` places them, and downloads")
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS
    shutil.copytree(project / "models/m", project / "copies")
    shutil.rmtree(project / "models")
    desk.fetch("adopt", "copies")
    desk.follow("next: `{command}` places them without")
    desk.fetch("check", "--deep")
    (project / "other").write_bytes(DATA)
    with FileServer({"w.pth": DATA}) as files:
        declare(project, f"{files.url}/w.pth")
        desk.fetch("lock")
        desk.fails("adopt", "other")
        desk.again("no digest that fetch.lock has is theirs", "--as", "w/w.pth")
        away = tmp_path_factory.mktemp("a way") / "w.pth"
        away.write_bytes(DATA)
        (project / "link").symlink_to(away)
        desk.fails("adopt", "link", "--as", "w/w.pth")
        desk.follow("if you want that file: fetch adopt {real}")
