"""What the sweep says of those who need the store: the hint, followed, lets go of them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA, declare


@about(
    "{root}: not here, last seen {day} on {machine}",
    "{root}: {count:,} projects that are not here",
    "run `fetch all` there, or let go of it: fetch gc --forget {name}",
    "{label}: {needs}; to let go of it: {command}",
)
def test_projects_that_are_gone(desk: Desk, hermetic: Path) -> None:
    root = desk.root / "a project"
    root.mkdir()
    (root / "w.pth").write_bytes(DATA)
    declare(root, "local:w.pth")
    desk.fetch("all", cwd=root)
    desk.fetch("mirror", "export", desk.root / "b", cwd=root)
    root.rename(desk.root / "away")
    desk.fetch("gc", "--dry-run")
    desk.follow("{root}: not here, last seen {day} on {machine}")
    assert "not here" not in desk.fetch("gc", "--dry-run").out
    # Two records of one path, as containers leave them.
    (desk.root / "away").rename(root)
    desk.fetch("all", "--overwrite", cwd=root)
    (record,) = (hermetic / "store/projects").glob("*.json")
    # What it needs is written nowhere.
    record.with_suffix(".needs").unlink(missing_ok=True)
    root.rename(desk.root / "away")
    desk.fails("gc")
    (desk.root / "away").rename(root)
    part = "run `fetch all` there, or let go of it: fetch gc --forget {name}"
    desk.follow(part, 0, cwd=root)
    desk.fetch("gc")
    record.with_suffix(".needs").unlink(missing_ok=True)
    root.rename(desk.root / "away")
    desk.fails("gc")
    desk.follow(part, 1)
    (desk.root / "away").rename(root)
    desk.fetch("all", "--overwrite", cwd=root)
    (record,) = (hermetic / "store/projects").glob("*.json")
    other = json.loads(record.read_text())
    record.with_name("f" * len(record.stem) + ".json").write_text(
        json.dumps({**other, "id": "f" * 12})
    )
    root.rename(desk.root / "away")
    desk.fetch("gc", "--dry-run")
    desk.follow("{root}: {count:,} projects that are not here")
    assert "not here" not in desk.fetch("gc", "--dry-run").out
    desk.fetch("mirror", "import", "b")
    desk.fetch("gc", "--dry-run")
    desk.follow("{label}: {needs}; to let go of it: {command}")
    assert "let go" not in desk.fetch("gc", "--dry-run").out


@about("name it yourself, if it is yours: FETCH_STORE={store} fetch gc")
def test_a_store_of_the_projects_choice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.root / "fetch.yaml").write_text("store: store\n")
    monkeypatch.delenv("FETCH_STORE")
    desk.fails("gc")
    part = "name it yourself, if it is yours: FETCH_STORE={store} fetch gc"
    monkeypatch.setenv("FETCH_STORE", desk.said(part).values["store"])
    desk.follow(part)
    shutil.rmtree(os.environ["FETCH_STORE"], ignore_errors=True)
