"""What the store's commands say: the hint, followed, does it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.e2e.conftest import WEIGHTS
from tests.e2e.test_disk_use import Later, begun, later
from tests.e2e.test_repair import flipped
from tests.hints.desk import Desk, about
from tests.kit import sha256

__all__ = ["later"]


@about(
    "run `fetch all --overwrite` in the projects",
    "`fetch store du` shows them",
    "`fetch gc` removes it once it is an hour old",
)
def test_the_store(desk: Desk, project: Path, hermetic: Path, later: Later) -> None:
    desk.fetch("all", "--link", "hardlink")
    blob = hermetic / "store/blobs/sha256" / sha256(WEIGHTS)
    flipped(blob)
    desk.fails("store", "check")
    desk.follow("run `fetch all --overwrite` in the projects")
    desk.fetch("store", "check")
    desk.fetch("check", "--deep")
    desk.fails("store", "ls", "zzz")
    assert "p/m" in desk.follow("`fetch store du` shows them").out
    (project / "manifests/p.yaml").write_text("manifest: p\nartifacts: {}\n")
    (project / "layouts/p.yaml").write_text("layout: p\ntree: {}\n")
    shutil.rmtree(project / "models")
    (project / "fetch.lock").write_text('{"schema": "fetch.lock/1", "manifests": {}}\n')
    desk.fetch("store", "du")
    later(3700)
    desk.follow("`fetch gc` removes it once it is an hour old")
    assert not list((hermetic / "store/blobs/sha256").iterdir())


@about(
    "can go on with it, until {until}; `fetch gc --partial`",
    "moved aside since {day}; when you need none of it",
    "--forget {name}: no project",
    "--forget {name}: it is here",
    "`fetch gc --dry-run` shows them",
)
def test_what_gc_says(desk: Desk, project: Path, hermetic: Path) -> None:
    store = hermetic / "store"
    desk.fetch("all")
    part = begun(store, "sha256:" + sha256(b"wanted"), b"half")
    desk.fetch("gc", "--dry-run")
    desk.follow("can go on with it, until {until}; `fetch gc --partial`")
    assert not part.exists()
    desk.fails("gc", "--forget", "zzz")
    assert str(project) in desk.follow("`fetch gc --dry-run` shows them").out
    desk.instead("--forget {name}: no project", "gc", "--dry-run")
    (project / "models/m/config.json").unlink()
    (project / "models/m/config.json").write_text("mine")
    desk.fetch("all", "--overwrite")
    desk.fetch("gc", "--dry-run")
    desk.follow("moved aside since {day}; when you need none of it", more=["--yes"])
    assert not list((project / ".fetch/kept").glob("*"))
    desk.fails("gc", "--forget", str(project))
    (project / "fetch.lock").unlink()
    desk.instead("--forget {name}: it is here", "gc", "--forget", str(project))
