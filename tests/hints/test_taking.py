"""Files that stand where they belong, and of which nobody knows a digest: the hint takes them."""

from __future__ import annotations

from typing import Any

from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA, OTHER, declare
from tests.kit import sha256
from tests.servers.base import Server
from tests.servers.wire import Request, Response


class Sizeless(Server):
    """Tells no size before it is asked for the bytes."""

    def respond(self, request: Request) -> Response:
        return Response(405) if request.method == "HEAD" else Response(body=DATA)


@about(
    "fetch adopt FILE --as ARTIFACT/FILE takes one",
    "next: `{command}` places them",
    "it is a link: name what it leads to, with --as",
    "its source says neither digest nor size: --first-trust",
)
def test_what_stands_at_its_place(desk: Desk) -> None:
    with Sizeless() as server:
        declare(desk.root, f"{server.url}/w.pth", "optional: true")
        desk.fetch("lock")
        target = desk.root / "models/w.pth"
        target.parent.mkdir()
        target.write_bytes(OTHER)
        (target.parent / "a link.pth").symlink_to("w.pth")
        desk.fetch("adopt", "models")
        words: dict[str, Any] = {"FILE": "models/w.pth", "ARTIFACT/FILE": "w/w.pth"}
        desk.follow("fetch adopt FILE --as ARTIFACT/FILE takes one", **words)
        desk.instead("it is a link: name what", "adopt", "models/w.pth", "--as", "w/w.pth")
        (desk.root / "fetch.lock").unlink()
        desk.fetch("lock")
        desk.fetch("adopt", "models")
        desk.again("its source says neither digest nor size", "--first-trust")
        desk.fetch("all", "w")
        assert target.read_bytes() == OTHER
        # A digest that the manifest states, before anything is locked.
        declare(desk.root, f"{server.url}/w.pth", f"files: {{w.pth: {{sha256: {sha256(DATA)}}}}}")
        (desk.root / "fetch.lock").unlink()
        (desk.root / "down").write_bytes(DATA)
        desk.fetch("adopt", "down")
        desk.follow("next: `{command}` places them", more=["--overwrite"])
        assert target.read_bytes() == DATA
