"""Hints of runs that are about another tree, or a manifest that is not the project's own: the line
says so, and what is typed reaches what the hint is about."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.test_golden import declare as declare_probe
from tests.hints.desk import Desk
from tests.hints.test_sources import DATA, OTHER
from tests.servers.plain import FileServer

PLACES = ["own", "into", "optional", "named"]
NAME = "a b.pth"  # as a shell would not take it
Prepared = tuple[list[str], Path]  # the words that lead there, and the tree


def prepared(root: Path, place: str, manifest: str, layout: str) -> Prepared:
    """A project in one of the places."""
    more = "    optional: true\n" if place == "optional" else ""
    write_project(root, "p", manifest + more, layout)
    if place == "into":
        return ["--into", "other tree"], root / "other tree"
    if place == "named":
        (root / "a way").mkdir()
        for folder in ("manifests", "layouts"):
            shutil.move(root / folder, root / "a way" / folder)
        write_project(root, "q", "artifacts: {z: {source: local:a way}}\n", "tree: {z/: [z]}\n")
        return ["a way/manifests/p.yaml"], root
    return ["w"] if place == "optional" else [], root


@pytest.fixture(params=PLACES)
def placed(request: pytest.FixtureRequest, desk: Desk, files: FileServer) -> Prepared:
    """One file without a digest."""
    files.add(NAME, DATA)
    url = f"{files.url}/a%20b.pth"
    manifest = f"artifacts:\n  w:\n    source: {url}\n    files: ['{NAME}']\n"
    return prepared(desk.root, request.param, manifest, "tree: {models/: w}\n")


def test_a_file_is_adopted_where_it_stands(desk: Desk, placed: Prepared) -> None:
    words, tree = placed
    target = tree / "models" / NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(OTHER)
    within = desk.root / "layouts"  # what is typed there is typed below the project
    for cwd in (desk.root, within):
        if cwd == within and words:
            continue
        desk.fails("all", *words, cwd=cwd)
        desk.follow("take it as it is: `{command}`")
        desk.follow("next: `{command}` places them without")
        desk.fetch("check", *words)
        assert target.read_bytes() == OTHER
        (desk.root / "fetch.lock").unlink()
        shutil.rmtree(tree / ".fetch")


def test_the_source_is_asked_again(desk: Desk, placed: Prepared, files: FileServer) -> None:
    words, tree = placed
    desk.fetch("all", *words)
    (tree / "models" / NAME).unlink()
    shutil.rmtree(os.environ["FETCH_STORE"])
    files.add(NAME, OTHER)
    desk.fails("all", *words)
    desk.follow("if the change upstream is meant")
    desk.fetch("all", *words)
    assert (tree / "models" / NAME).read_bytes() == OTHER


def test_a_file_of_a_browser_is_adopted(desk: Desk, placed: Prepared, files: FileServer) -> None:
    words, tree = placed
    files.add(NAME, DATA, authorization="Bearer x")
    desk.fails("all", *words)
    (desk.root / "down").write_bytes(DATA)
    desk.follow("open {url} in a browser, then: fetch adopt", DOWNLOADED_FILE="down")
    desk.fetch("all", *words)
    assert (tree / "models" / NAME).read_bytes() == DATA


def test_what_is_exported_is_brought_again(desk: Desk, placed: Prepared) -> None:
    words, tree = placed
    desk.fails("mirror", "export", "b", *words)
    desk.follow("run `{command}` first: it brings the files")
    blob = next(Path(os.environ["FETCH_STORE"]).glob("blobs/sha256/*"))
    when = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(bytes(len(DATA)))
    os.utime(blob, ns=(when.st_atime_ns, when.st_mtime_ns))
    desk.fails("mirror", "export", "b", *words)
    desk.follow("run `{command}` to get it again, then export again")
    desk.fetch("mirror", "export", "b", *words)
    assert (tree / "models" / NAME).read_bytes() == DATA


@pytest.mark.parametrize("place", ["into", "named"])
def test_answers_are_stored(desk: Desk, plugins: None, place: str) -> None:
    root = desk.root
    (root / "files/one").mkdir(parents=True)

    def write(value: float) -> None:
        (root / "files/one/w.json").write_text(
            json.dumps({"dtype": "float32", "values": {"logits": [value]}, "facts": {}})
        )

    write(1.0)
    declare_probe(root)
    manifest, layout = (root / folder / "p.yaml" for folder in ("manifests", "layouts"))
    texts = [path.read_text().partition("\n")[2] for path in (manifest, layout)]
    words, _ = prepared(root, place, *texts)
    desk.fetch("all", *words)
    desk.fails("verify", "one", *words, "--require-golden")
    desk.follow("`{command}` stores it")
    write(2.0)
    desk.fetch("lock", *[word for word in words if word.endswith("yaml")], "--update", "one")
    desk.fetch("all", *words, "--overwrite")
    desk.fails("verify", "one", *words)
    desk.follow("the weights are other ones under the same name", 0)
    desk.follow("the weights are other ones under the same name", 1, more=["--yes"])
    desk.fetch("verify", "one", *words, "--require-golden")
