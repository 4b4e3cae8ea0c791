"""What stands beside the forge's API: releases, the rate limit, the download host."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

from .base import Server
from .git_repos import GitRepo
from .wire import Content, Refused, Request, Response, attachment


@dataclass
class Asset:
    id: int
    name: str
    content: Content
    with_digest: bool

    @property
    def key(self) -> str:
        return f"/release-assets/{self.id}"


@dataclass
class Release:
    id: int
    tag: str
    assets: list[Asset]
    prerelease: bool


@dataclass
class Hosted:
    """One repository and what the forge knows about it."""

    git: GitRepo
    private: bool
    releases: list[Release] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)  # shown sha -> real sha
    licenses: dict[str, str] = field(default_factory=dict)  # SPDX id by (real) commit

    @property
    def name(self) -> str:
        return self.git.name

    def commit(self, ref: str) -> str:
        return self.git.resolve(self.aliases.get(ref, ref))

    def shown(self, sha: str) -> str:
        for shown, real in self.aliases.items():
            if real == sha:
                return shown
        return sha


@dataclass
class RateLimit:
    """The API's limit: `remaining` is counted down, then `status` is answered."""

    limit: int = 60
    remaining: int = 60
    reset: float = field(default_factory=lambda: time.time() + 3600)
    status: int = 403
    retry_after: int | None = None  # a secondary limit says only this

    def report(self) -> dict[str, int]:
        left = max(0, self.remaining)
        return {
            "limit": self.limit,
            "remaining": left,
            "used": self.limit - left,
            "reset": int(self.reset),
        }

    def headers(self) -> dict[str, str]:
        found = {f"X-RateLimit-{k.capitalize()}": str(v) for k, v in self.report().items()}
        return {**found, "X-RateLimit-Resource": "core"}


class Downloads(Server):
    """The other origin that releases and LFS objects are redirected to: no tokens wanted."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.files: dict[str, tuple[str, Content]] = {}

    @property
    def leaks(self) -> list[Request]:
        """Requests that carried a credential, which is not for this host."""
        return [r for r in list(self.requests) if "authorization" in r.headers]

    def put(self, path: str, name: str, content: Content) -> str:
        self.files[path] = (name, content)
        signature = hashlib.sha256(path.encode()).hexdigest()[:32]
        return f"{self.url}{path}?sig={signature}"

    def respond(self, request: Request) -> Response:
        if request.path not in self.files or "sig" not in request.query:
            return Response.text("not found", 404)
        name, content = self.files[request.path]
        tag = hashlib.md5(request.path.encode()).hexdigest()
        headers = {"Content-Disposition": attachment(name)}
        return Response(body=content, headers=headers, etag=f'"0x{tag[:15]}"', ranges=True)


def error(status: int, message: str) -> Refused:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    return Refused(Response.json({**body, "status": str(status)}, status))
