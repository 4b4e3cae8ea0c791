"""A stand-in for Kaggle's API, after its public clients: the dataset o/d and the model o/m/pt/base.

Version 3 is the latest. Bytes lie on another host, behind a signed address.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from urllib.parse import quote

from .base import Server
from .wire import Content, Request, Response, attachment, read, size_of

PER_PAGE = 2


class KaggleServer(Server):
    """`closed`: an account is needed; `old` is what version 1 had."""

    def __init__(self, files: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(port)
        self.files = dict(files)
        self.old: dict[str, Content] = {}
        self.closed = False
        self.packed: set[str] = set()  # files that come as a zip of their own
        self.endless = False

    @property
    def rewrite(self) -> str:
        return f"https://www.kaggle.com/={self.url}/k/ https://storage.example/={self.url}/bytes/"

    def respond(self, request: Request) -> Response:
        service, path = request.segments[0], "/".join(request.segments[1:])
        if service == "bytes":
            return self._bytes(request, path)
        if self.closed and request.token != "kaggle-secret":
            return Response.json({"code": 403, "message": "Permission denied"}, 403)
        path = path.removeprefix("api/v1/")
        if path == "datasets/view/o/d":
            return Response.json({"currentVersionNumber": 3, "ref": "o/d"})
        if path == "models/o/m/pt/base/get":
            return Response.json({"versionNumber": 3, "slug": "base"})
        number = request.query.get("datasetVersionNumber", "3")
        if path == "datasets/list/o/d" and number in {"1", "3"}:
            return self._list(request, number, "datasetFiles", "totalBytes")
        for version in ("1", "3"):
            start = f"models/o/m/pt/base/{version}/"
            if path == f"{start}files":
                return self._list(request, version, "files", "size")
            if path.startswith(f"{start}download"):
                return self._at(version, "tar", path.removeprefix(f"{start}download"))
        if path.startswith("datasets/download/o/d"):
            return self._at(number, "zip", path.removeprefix("datasets/download/o/d"))
        return Response.json({"code": 404, "message": "Not found"}, 404)

    def _of(self, version: str) -> dict[str, Content]:
        return self.files if version == "3" else self.old

    def _list(self, request: Request, version: str, key: str, size: str) -> Response:
        files = self._of(version)
        names = sorted(files)
        start = int(request.query.get("pageToken") or 0)
        rows = [{"name": name, size: size_of(files[name]), "creationDate": "2026-01-01T00:00:00Z"}
                for name in names[start : start + PER_PAGE]]  # fmt: skip
        token = str(start + PER_PAGE) if start + PER_PAGE < len(names) else ""
        return Response.json({key: rows, "nextPageToken": "2" if self.endless else token})

    def _at(self, version: str, kind: str, name: str) -> Response:
        name = name.lstrip("/")
        if name and name not in self._of(version):
            return Response.json({"code": 404, "message": "Not found"}, 404)
        return Response.redirect(
            f"https://storage.example/{version}/{quote(name or kind)}?X-Goog-Sig=1"
        )

    def _bytes(self, request: Request, path: str) -> Response:
        version, _, name = path.partition("/")
        files = self._of(version)
        if name in files:
            body = _zip({name: files[name]}) if name in self.packed else files[name]
            headers = {"Content-Disposition": attachment(name)}
            return Response(body=body, headers=headers, ranges=True)
        body = _zip(files) if name == "zip" else _tar(files)
        return Response(body=body, headers={"Content-Disposition": attachment("archive")})


def _zip(files: Mapping[str, Content]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), read(content))
    return packed.getvalue()


def _tar(files: Mapping[str, Content]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = size_of(content)
            archive.addfile(info, io.BytesIO(read(content)))
    return packed.getvalue()
