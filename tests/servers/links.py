"""An origin that hands out links, and the store behind it that honours each for a while."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from .plain import FileServer
from .wire import Request, Response

EXPIRED = (
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>"
    b"<Message>Request has expired</Message></Error>"
)


@dataclass
class Link:
    """One link: until when (time.monotonic()) and for how many requests it is good."""

    path: str
    ends: float
    left: int
    span: str | None = None  # the one range that it was used for
    refused: int = 0


@dataclass
class Rules:
    """What links are worth; a refusal has `status` and `body`."""

    seconds: float = 3600.0
    uses: int = 1 << 30
    one_range: bool = False
    dead: bool = False  # no link works
    status: int = 403
    body: bytes = EXPIRED
    query: str = "X-Amz-Signature"  # "" for a link that nobody can recognise
    delay: float = 0.0  # seconds to make a link


class LinkServer(FileServer):
    """`/NAME` redirects to a link, `/api/NAME` gives one as text; `add` says what there is."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port=port)
        self.rules = Rules()
        self.links: list[Link] = []
        self._guard = threading.Lock()

    def expire(self) -> None:
        """No link handed out so far works any more."""
        for link in self.links:
            link.ends = 0.0

    @property
    def asked(self) -> int:
        """How many links were handed out."""
        return len(self.links)

    @property
    def refused(self) -> int:
        """How many requests were refused."""
        return sum(link.refused for link in self.links)

    def make(self, path: str) -> str:
        """A new link to a file."""
        rules = self.rules
        with self._guard:
            number = len(self.links)
            self.links.append(Link(path, time.monotonic() + rules.seconds, rules.uses))
        if not rules.query:
            return f"{self.url}/link/{number}{path}"
        return f"{self.url}/link{path}?{rules.query}=s&number={number}"

    def respond(self, request: Request) -> Response:
        if request.path.startswith("/link/"):
            return self._honour(request)
        if request.path.startswith("/api/"):
            return Response.text(self.make(request.path.removeprefix("/api")))
        time.sleep(self.rules.delay)
        return Response.redirect(self.make(request.path))

    def _honour(self, request: Request) -> Response:
        if "number" in request.query:
            number = int(request.query["number"])
        else:
            number = int(request.path.split("/")[2])
        link, span = self.links[number], request.headers.get("range", "")
        with self._guard:
            good = not self.rules.dead and time.monotonic() < link.ends and link.left > 0
            if self.rules.one_range:
                link.span = link.span if link.span is not None else span
                good = good and link.span == span
            if not good:
                link.refused += 1
                return Response(self.rules.status, self.rules.body, content_type="application/xml")
            link.left -= 1
        resource = self.resources[link.path]
        return Response(body=resource.content, etag=resource.etag, ranges=resource.ranges)
