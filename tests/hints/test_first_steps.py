"""What comes first in a project, and names that are one too many: what is said is typed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.kit import sha256
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


@about(
    "next: fetch plan {name}, then", "choose another name with --name", "name one with --manifest"
)
def test_an_import(desk: Desk, project: Path) -> None:
    (project / "page.sh").write_text("hf download o/m --local-dir models/x\n")
    desk.fails("import", "page.sh", "--name", "p", "--yes")
    desk.again("choose another name with --name", "--name", "q")
    for number in (0, 1):
        desk.follow("next: fetch plan {name}, then", number)
    assert (project / "models/x/model.safetensors").read_bytes() == WEIGHTS
    desk.fails("add", "hf:o/m", "--id", "z")
    desk.again("name one with --manifest", "--manifest", "q")


@about("gated ({gated}): see `fetch access`", "run `{command}` to get it again")
def test_others(desk: Desk, project: Path, hub: HubServer, hermetic: Path) -> None:
    desk.fetch("all")
    blob = hermetic / "store/blobs/sha256" / sha256(WEIGHTS)
    stat = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(bytes(len(WEIGHTS)))
    os.utime(blob, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    desk.fails("mirror", "export", "b.tar")
    desk.follow("run `{command}` to get it again")
    desk.fetch("mirror", "export", "b.tar")
    hub.add_repo("o/g", {"config.json": b"{}"}, gated="auto")
    desk.fetch("add", "hf:o/g", "--id", "g")
    desk.follow("gated ({gated}): see `fetch access`", code=6)


@about("`{command}` does that", "add --kept, or leave it out")
def test_words_of_other_tools(desk: Desk, project: Path) -> None:
    desk.fails("download")
    desk.follow("`{command}` does that")
    desk.fails("prune", "--older-than", "1d")
    desk.again("add --kept, or leave it out", "--kept")


@about(
    "`fetch init --from https://github.com/{repository}` reads its README",
    "a single source: `fetch add {source}`",
    "`fetch init --from {file}` begins with what it says",
)
def test_what_is_no_document(desk: Desk, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer({"/o/deblur/HEAD/README.md": b"`hf download o/m --local-dir x`\n"}) as raw:
        monkeypatch.setenv("FETCH_REWRITE", f"https://raw.githubusercontent.com={raw.url}")
        desk.fails("init", "--from", "github:o/deblur@main")
        desk.follow("`fetch init --from https://github.com/{repository}` reads its README")
    desk.fails("init", "--from", "hf:o/m")
    desk.follow("a single source: `fetch add {source}`")
    (desk.root / "my page.md").write_text("Put `w.pth` into `models/`.\n")
    desk.fails("init", "my page.md")
    desk.follow("`fetch init --from {file}` begins with what it says")
