"""What commands say is next, or name in place of what was typed: it does what is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.hints.desk import Desk, about
from tests.hints.test_sources import declare
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


@about(
    "next: fetch add hf:owner/name",
    ("`fetch add hf:OWNER/NAME` writes one", 0),
    "next: fetch all {name}",
)
def test_a_project_begins(desk: Desk, hub: HubServer) -> None:
    hub.add_repo("owner/name", {"config.json": b"{}"})
    hub.add_repo("OWNER/NAME", {"config.json": b"{}"})
    desk.fails("all")
    desk.follow("`fetch add hf:OWNER/NAME` writes one", 0, more=["--manifest", "q", "--dry-run"])
    desk.fetch("init")
    desk.follow("next: fetch add hf:owner/name", more=["--id", "n"])
    desk.follow("added {manifest}/{id}; next: fetch all")
    desk.fetch("check")
    declare(desk.root, "hf:OWNER/NAME")  # in a second manifest, which gets the same id
    desk.fetch("add", "hf:owner/name", "--id", "n", "--manifest", "p", "--yes")
    desk.follow("added {manifest}/{id}; next: fetch all")
    assert desk.line("added {manifest}/{id}; next: fetch all")[-1] == "p/n"


@pytest.mark.parametrize("names", [("p", "q"), ("p", "w")])
@pytest.mark.parametrize("asked", [[], ["p"]])
def test_an_id_that_is_not_enough(
    desk: Desk, files: FileServer, names: tuple[str, str], asked: list[str]
) -> None:
    """Two manifests have it, or one is called so."""
    page = b"<!doctype html><title>Sign in</title>"
    files.add("page.bin", page, content_type="text/html")
    files.add("sound.bin", b"sound" * 100)
    for name, file in zip(names, ("page.bin", "sound.bin"), strict=True):
        ident = "w" if name != "w" else "v"
        text = f"artifacts: {{{ident}: {{source: '{files.url}/{file}'}}}}\n"
        write_project(desk.root, name, text, f"tree: {{in-{name}/: {ident}}}\n")
    (desk.root / "down").write_bytes(b"the file itself")
    desk.fails("all", *asked)
    desk.follow("open {url} in a browser, then: fetch adopt", DOWNLOADED_FILE="down")
    desk.fetch("all")
    assert (desk.root / "in-p/page.bin").read_bytes() == b"the file itself"
    (desk.root / "in-p/page.bin").unlink()
    shutil.rmtree(os.environ["FETCH_STORE"])
    files.add("page.bin", b"another " * 10)
    desk.fails("all", *asked)
    desk.follow("if the change upstream is meant")
    desk.fetch("all")
    assert (desk.root / "in-p/page.bin").read_bytes() == b"another " * 10


def test_a_file_that_is_called_like_an_artifact(desk: Desk, files: FileServer) -> None:
    """It is no manifest; one without a suffix is named by a path that begins as no name does."""
    files.add("w.bin", b"w" * 100)
    declare(desk.root, f"{files.url}/w.bin")
    for name in ("w", "p/w"):
        (desk.root / name).unlink(missing_ok=True)
        (desk.root / "w").unlink(missing_ok=True)
        (desk.root / name).parent.mkdir(exist_ok=True)
        (desk.root / name).write_text("a file")
        desk.fetch("all", name)
    manifest = desk.root / "other.txt"
    manifest.write_text((desk.root / "manifests/p.yaml").read_text())
    for path in ("./other.txt", str(manifest)):
        desk.fetch("plan", path)
    (desk.root / "models/w.bin").unlink()
    shutil.rmtree(os.environ["FETCH_STORE"])
    files.add("w.bin", b"v" * 100)
    desk.fails("all", "./other.txt")
    assert desk.line("if the change upstream is meant")[-1] == "./other.txt"
    desk.follow("if the change upstream is meant")
    desk.fetch("all", "./other.txt")


@about(
    "fetch.lock written; next: `fetch all`",
    "nothing is written: without --dry-run",
    "next: `fetch update` takes it",
    "`fetch update` takes what moved",
    "{count:,} not locked (`fetch lock`)",
)
def test_updates(desk: Desk, project: Path, hub: HubServer) -> None:
    desk.fetch("outdated")
    desk.follow("{count:,} not locked (`fetch lock`)")
    desk.fetch("all")
    for number, body in enumerate((b"1", b"2", b"3")):
        hub.add_commit("o/m", {"config.json": body})
        if number == 0:
            desk.fetch("update", "--dry-run")
            desk.again("nothing is written: without --dry-run", without=["--dry-run"])
            desk.follow("fetch.lock written; next: `fetch all`")
        elif number == 1:
            desk.fetch("outdated")
            desk.follow("next: `fetch update` takes it", 0)
            desk.follow("next: `fetch update` takes it", 1)
        else:
            desk.fails("outdated", "--exit-code")
            desk.follow("`fetch update` takes what moved")
            desk.fetch("all")
        assert (project / "models/m/config.json").read_bytes() == body
    desk.fetch("outdated", "--exit-code")


@about(
    "note: all {count} artifacts of {names} are optional",
    "name one (--only {name})",
    "what was placed stays: `fetch prune`",
)
def test_what_is_optional(desk: Desk, project: Path) -> None:
    manifest = project / "manifests/p.yaml"
    manifest.write_text(manifest.read_text() + "    optional: true\n    groups: [g]\n")
    desk.fetch("all")
    desk.follow("note: all {count} artifacts of {names} are optional")
    assert (project / "models/m/config.json").exists()
    desk.fails("all", "--only", "m*")
    desk.again("name one (--only {name})", "--include-optional")
    desk.fetch("remove", "m", "--keep-files", "--yes")
    desk.follow("what was placed stays: `fetch prune`", more=["--yes"])
    assert not (project / "models/m/config.json").exists()


@about(
    "`fetch list --catalog` shows",
    "there are {listed} and {count:,} more",
    "there are: {listed}; the built-in",
    "and {count:,} in the built-in catalog",
)
def test_names_that_nothing_has(desk: Desk, files: object) -> None:
    desk.fails("show", "zzzzzzzz")
    assert "m" in desk.follow("`fetch list --catalog` shows").out
    many = "".join(f"  a{n}: {{source: 'local:x{n}'}}\n" for n in range(40))
    write_project(
        desk.root,
        "p",
        "artifacts:\n" + many,
        "tree: {m/: [" + ", ".join(f"a{n}" for n in range(40)) + "]}\n",
    )
    desk.fetch("list")
    desk.follow("and {count:,} in the built-in catalog")
    desk.fails("show", "zzzzzzzz")
    assert "a39" in desk.follow("there are {listed} and {count:,} more").out
    declare(desk.root, "local:x")
    desk.fails("show", "zzzzzzzz")
    desk.follow("there are: {listed}; the built-in")


@about(
    "give it: --vram 24; known",
    "did you mean {close!r}? else give it: --vram 24",
    "--gpu {name}",
    "give it: --vram 24",
    "--metric {metric}",
    "fetch verify measures",
    "nothing has been measured yet",
)
def test_questions(desk: Desk, project: Path) -> None:
    for card, part in (
        ("zzz", "give it: --vram 24; known"),
        ("T44", "did you mean {close!r}? else"),
    ):
        desk.fails("recommend", "--gpu", card)
        desk.again(part, "--vram", "24")
    desk.fails("runtime", "--gpu", "zzz")
    desk.instead("give it: --vram 24", "recommend", "--vram", "24")
    desk.instead("--gpu {name}", "recommend", "--gpu", "T4")
    desk.fetch("all")
    desk.fails("report", "--metric", "x")
    desk.follow("fetch verify measures")
    desk.instead("--metric {metric}", "report")
    desk.fetch("report")
    desk.follow("nothing has been measured yet")
