"""A plain file server for `url` sources: any path, any bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .base import Server
from .wire import Content, Request, Response


@dataclass
class Resource:
    content: Content
    etag: str | None
    ranges: bool
    content_type: str
    headers: dict[str, str]
    authorization: str | None


class FileServer(Server):
    """Serves what `add` was given; everything else is 404."""

    def __init__(self, files: Mapping[str, Content] | None = None, port: int = 0) -> None:
        super().__init__(port)
        self.resources: dict[str, Resource] = {}
        for path, content in (files or {}).items():
            self.add(path, content)

    def add(
        self,
        path: str,
        content: Content,
        *,
        etag: str | bool = True,
        ranges: bool = True,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
    ) -> str:
        """Serve `content` at the decoded `path`; gives its URL.

        `authorization` is the exact header that a client must send. `etag=True` makes one.
        """
        path = "/" + path.lstrip("/")
        tag = f'"{_stamp(content)}"' if etag is True else etag or None
        self.resources[path] = Resource(
            content, tag, ranges, content_type, dict(headers or {}), authorization
        )
        return self.url + quote(path)

    def add_folder(self, folder: Path, prefix: str = "/") -> None:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.add(f"{prefix.rstrip('/')}/{file.relative_to(folder).as_posix()}", file)

    def respond(self, request: Request) -> Response:
        resource = self.resources.get(request.path)
        if resource is None:
            return Response.text("not found", 404)
        if request.method not in ("GET", "HEAD"):
            return Response.text("method not allowed", 405, Allow="GET, HEAD")
        if resource.authorization not in (None, request.headers.get("authorization")):
            return Response.text("unauthorized", 401, WWW_Authenticate='Basic realm="files"')
        return Response(
            body=resource.content,
            headers=dict(resource.headers),
            content_type=resource.content_type,
            etag=resource.etag,
            ranges=resource.ranges,
        )


def _stamp(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha1(content).hexdigest()[:16]
    stat = content.stat()
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
