"""What a source gives that is not as stated: the hint, followed, mends it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.conftest import write_project
from tests.hints.desk import Desk, about
from tests.kit import checkpoint
from tests.servers.plain import FileServer

DATA, OTHER = checkpoint(3000), checkpoint(3100)


def declare(root: Path, source: str, more: str = "") -> None:
    text = f"artifacts:\n  w:\n    source: {source}\n" + (f"    {more}\n" if more else "")
    write_project(root, "p", text, "tree: {models/: w}\n")


@about("if the change upstream is meant, run `fetch lock --update {id}`")
def test_a_file_that_changed_upstream(desk: Desk, files: FileServer) -> None:
    files.add("w.pth", DATA)
    declare(desk.root, f"{files.url}/w.pth")
    desk.fetch("all")
    (desk.root / "models/w.pth").unlink()
    shutil.rmtree(os.environ["FETCH_STORE"])
    files.add("w.pth", OTHER)
    desk.fails("all")
    desk.follow("if the change upstream is meant")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == OTHER


@about("take it as it is: `{command}`")
def test_a_file_that_nobody_has_a_digest_of(desk: Desk, files: FileServer) -> None:
    files.add("w.pth", DATA)
    declare(desk.root, f"{files.url}/w.pth")
    desk.fetch("lock")
    (desk.root / "models").mkdir()
    (desk.root / "models/w.pth").write_bytes(OTHER)
    desk.fails("all")
    desk.follow("take it as it is: `{command}`")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == OTHER


@about("(--first-trust takes it all the same)", "save the file itself")
def test_a_page_in_place_of_a_file(desk: Desk, files: FileServer) -> None:
    page = b"<!doctype html><title>Sign in</title>"
    files.add("w.pth", page, content_type="text/html")
    declare(desk.root, f"{files.url}/w.pth")
    desk.fails("all")
    (desk.root / "page.pth").write_bytes(page)
    desk.fails("adopt", "page.pth", "--as", "w/w.pth")
    desk.again("save the file itself", "--first-trust")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == page
    page += b" "
    files.add("v.pth", page, content_type="text/html")
    declare(desk.root, f"{files.url}/v.pth")
    desk.fails("all")
    desk.again("(--first-trust takes it all the same)", "--first-trust")
    assert (desk.root / "models/v.pth").read_bytes() == page


@about("open {url} in a browser, then: fetch adopt")
def test_a_source_that_wants_a_login(desk: Desk, files: FileServer) -> None:
    files.add("w.pth", DATA, authorization="Bearer x")
    declare(desk.root, f"{files.url}/w.pth")
    desk.fails("all")
    (desk.root / "downloaded").write_bytes(DATA)
    desk.follow("open {url} in a browser, then: fetch adopt", DOWNLOADED_FILE="downloaded")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == DATA


@about(
    "keep it, or let --overwrite replace it",
    "--overwrite keeps it as",
    "copy it, or fetch adopt it",
)
def test_a_file_of_the_persons_own(desk: Desk, project: Path) -> None:
    mine = project / "models/m/config.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    desk.fails("all")
    desk.again("keep it, or let --overwrite replace it", "--overwrite")
    assert mine.read_bytes() == b'{"a": 1}\n'
    desk.fetch("check", "--deep")
    (project / "config.json").write_text("mine")
    desk.fails("get", "hf:o/m", "config.json", "--to", ".")
    desk.again("--overwrite keeps it as", "--overwrite")
    assert (project / "config.json").read_bytes() == b'{"a": 1}\n'
    assert (project / "config.json.kept").read_text() == "mine"
    desk.fails("get", "./config.json.kept")
    desk.follow("copy it, or fetch adopt it", more=[mine])
