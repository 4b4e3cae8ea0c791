"""A Hub that has buckets as well, as huggingface_hub 2.4 asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode

from .hub import HubServer
from .hub_cdn import refusal
from .wire import Content, Request, Response, digest, size_of


@dataclass
class Bucket:
    files: dict[str, Content] = field(default_factory=dict)
    private: bool = False


class BucketHub(HubServer):
    """`add_bucket` fills it; lists come in pages of `page_size`."""

    def __init__(self, port: int = 0, *, page_size: int = 1000) -> None:
        super().__init__(port, page_size=page_size)
        self.buckets: dict[str, Bucket] = {}

    def add_bucket(self, name: str, files: Mapping[str, Content], private: bool = False) -> None:
        self.buckets[name] = Bucket(dict(files), private)

    def respond(self, request: Request) -> Response:
        path = request.target.partition("?")[0].split("/")[1:]
        in_api = path[:2] == ["api", "buckets"]
        if not in_api and path[0] != "buckets":
            return super().respond(request)
        rest = [unquote(part) for part in path[2 if in_api else 1 :]]
        bucket = self.buckets.get("/".join(rest[:2]))
        user = self._user(request)
        if bucket is None or (bucket.private and user is None):
            raise refusal(401 if user is None else 404, "RepoNotFound", "Bucket not found")
        action, name = "".join(rest[2:3]), "/".join(rest[3:])
        if not in_api:
            return self._object(bucket, name)
        if action == "paths-info":
            wanted = request.json()["paths"]
            return Response.json([_row(p, bucket.files[p]) for p in wanted if p in bucket.files])
        if action == "tree":
            return self._list(request, bucket, name)
        return Response.json({"id": "/".join(rest[:2]), "private": bucket.private})

    def _list(self, request: Request, bucket: Bucket, prefix: str) -> Response:
        names = sorted(name for name in bucket.files if name.startswith(prefix))
        rows = [_row(name, bucket.files[name]) for name in names]
        folders = sorted({name.rpartition("/")[0] for name in names if "/" in name})
        rows += [{"type": "directory", "path": folder} for folder in folders]
        start = int(request.query.get("cursor", 0))
        answer = Response.json(rows[start : start + self.page_size])
        if start + self.page_size < len(rows):
            query = urlencode({**request.query, "cursor": start + self.page_size})
            path = request.target.partition("?")[0]
            answer.headers["Link"] = f'<{self.link_origin or self.url}{path}?{query}>; rel="next"'
        return answer

    def _object(self, bucket: Bucket, name: str) -> Response:
        content = bucket.files.get(name)
        if content is None:
            raise refusal(404, "EntryNotFound", "Entry not found")
        sha256 = digest(content)
        self.cdn.blobs[sha256] = content
        headers = {"X-Xet-Hash": sha256[::-1], "X-Linked-Size": str(size_of(content)),
                   "Location": self.cdn.sign(sha256, name.rpartition("/")[2])}  # fmt: skip
        return Response(302, b"Found", headers)


def _row(name: str, content: Content) -> dict[str, object]:
    return {
        "type": "file",
        "path": name,
        "size": size_of(content),
        "xetHash": digest(content)[::-1],
        "mtime": "2026-01-01T00:00:00.000Z",
    }
