"""What a look at a tree says is wrong: the hint, followed, mends it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.servers.hub import HubServer

MODEL = "models/m/model.safetensors"


@about("run `{command}`", "`{command}` restores it and keeps")
@pytest.mark.parametrize("place", ["own", "into", "optional", "named"])
def test_a_check_names_the_run_that_mends(desk: Desk, hub: HubServer, place: str) -> None:
    """Also in another tree, of an artifact that no bare run takes, and of the built-in catalog."""
    root = desk.root
    source = "artifacts:\n  m:\n    source: hf:o/m\n    exclude: .gitattributes\n"
    write_project(
        root, "p", source + "    optional: true\n" * (place == "optional"), "tree: {models/m/: m}\n"
    )
    into = ["--into", str(root / "other tree")] if place == "into" else []
    tree = root / "other tree" if into else root
    if place == "named":
        (root / "away").mkdir()
        for folder in ("manifests", "layouts"):
            shutil.move(root / folder, root / "away" / folder)
        into = [str(root / "away/manifests/p.yaml")]
    desk.fetch("all", *into, *["m"] * (place == "optional"))
    (tree / MODEL).unlink()
    desk.fetch("check", *into, code=4)
    desk.follow("run `{command}`")
    assert (tree / MODEL).read_bytes() == WEIGHTS
    (tree / MODEL).unlink()
    (tree / MODEL).write_bytes(b"x")
    desk.fetch("check", *into, code=4)
    desk.follow("`{command}` restores it and keeps")
    assert (tree / MODEL).read_bytes() == WEIGHTS
    desk.fetch("check", "--deep", *into)


@about("make way for it, then run `{command}`")
def test_what_stands_in_the_way(desk: Desk, project: Path) -> None:
    desk.fetch("all")
    shutil.rmtree(project / "models")
    (project / "models").write_text("a file")
    desk.fetch("check", code=4)
    (project / "models").unlink()
    desk.follow("make way for it, then run `{command}`")
    desk.fetch("check", "--deep")


@about(
    "next: `{command}` names the files",
    "next: `{command}` brings what is missing",
    "still to be read: `{command}` compares",
    "when you need none of it: `{command}`",
    "next: `{command}` loads each model",
    "`{command}` moves them",
    "`{command}` says why, and takes them away",
)
@pytest.mark.parametrize("place", ["own", "into"])
def test_what_status_says_is_next(desk: Desk, project: Path, place: str) -> None:
    """In the tree that was looked at."""
    into = ["--into", "other tree"] if place == "into" else []
    tree = project / "other tree" if into else project
    manifest = project / "manifests/p.yaml"
    manifest.write_text(manifest.read_text() + "    probe: {type: state-dict}\n")
    desk.fetch("all", *into)
    desk.follow("next: `{command}` loads each model", code=8)  # it is no checkpoint
    (tree / MODEL).unlink()
    desk.fetch("status", *into)
    desk.follow("next: `{command}` brings what is missing")
    assert (tree / MODEL).read_bytes() == WEIGHTS
    (tree / MODEL).unlink()
    (tree / MODEL).write_bytes(b"x")
    desk.fetch("status", *into)
    assert MODEL in desk.follow("next: `{command}` names the files", code=4).err
    desk.follow("`{command}` restores it and keeps")
    desk.fetch("status", *into)
    desk.follow("when you need none of it: `{command}`", more=["--yes"])
    assert not list((tree / ".fetch/kept").glob("*"))
    (tree / "models/m/config.json").touch()
    desk.fetch("status", *into)
    desk.follow("still to be read: `{command}` compares")
    layout = project / "layouts/p.yaml"
    layout.write_text(layout.read_text().replace("models/m/", "weights/"))
    desk.fetch("status", *into)
    desk.follow("`{command}` moves them")
    assert not (tree / "models/m").exists() and (tree / "weights/config.json").exists()
    manifest.write_text(
        manifest.read_text().replace("exclude: .gitattributes", "files: [config.json]")
    )
    desk.fetch("lock")
    desk.fetch("status", *into)
    desk.follow("`{command}` says why, and takes them away", more=["--yes"])
    assert not (tree / "weights/model.safetensors").exists()
