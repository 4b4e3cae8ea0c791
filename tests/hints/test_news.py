"""What sources say now that the lock does not: the hint, followed, takes it or shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hints.desk import Desk, about
from tests.servers.hub import HubServer


@about(
    "fetch lock",
    "run `fetch lock`",
    "run `fetch lock`, then again",
    "`fetch update` takes it into fetch.lock",
    "{text} (`fetch access` says whether",
    "`{command}` lists what there is",
)
def test_what_moved(
    desk: Desk, project: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.fails("sbom")
    desk.follow("run `fetch lock`, then again")
    desk.fetch("sbom")
    (project / "fetch.lock").unlink()
    desk.fails("outdated", "--exit-code")
    desk.follow("fetch lock")
    desk.fetch("outdated", "--exit-code")
    old = (project / "fetch.lock").read_text()
    (project / "OLD").write_text(old)
    hub.add_commit("o/m", {"config.json": b"{}"})
    desk.fails("outdated", "--exit-code", "--junit", "r.xml")
    desk.fetch("outdated", "--junit", "r.xml", "--markdown")
    desk.hears((project / "r.xml").read_text().replace("&#10;", "\n").replace("&quot;", '"'))
    desk.follow("`fetch update` takes it into fetch.lock")
    desk.fetch("outdated", "--exit-code")
    # The manifest has moved on.
    manifest = project / "manifests/p.yaml"
    manifest.write_text(
        manifest.read_text().replace("exclude: .gitattributes", "exclude: [sub/**]")
    )
    desk.fetch("diff", "OLD", "fetch.lock")
    desk.follow("run `fetch lock`")
    assert "CONTRADICTS" not in desk.fetch("diff", "OLD", "fetch.lock").out
    hub.repos["model", "o/m"].gated = "auto"
    desk.fetch("outdated")
    desk.follow("{text} (`fetch access` says whether", code=6)
    desk.fails("zzzzzzz")
    desk.follow("`{command}` lists what there is")
