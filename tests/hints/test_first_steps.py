"""What comes first in a project, and names that are one too many: what is said is typed."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.kit import sha256
from tests.servers.hub import HubServer


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
