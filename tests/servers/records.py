"""Stand-ins for Zenodo, figshare, a Dataverse and doi.org, from the documentation of their APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .base import Server
from .wire import Content, Request, Response, attachment, digest, size_of

HOSTS = {
    "https://zenodo.org/": "zenodo",
    "https://api.figshare.com/": "figshare",
    "https://ndownloader.figshare.com/": "ndownloader",
    "https://dataverse.example/": "dataverse",
    "https://doi.org/": "doi",
}


class RecordServer(Server):
    """One set of files, as a record of each service."""

    def __init__(self, files: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(port)
        self.files = dict(files)
        self.closed = False
        self.checksum = "SHA-1"  # a Dataverse's
        self.latest = 7

    @property
    def rewrite(self) -> str:
        return " ".join(f"{host}={self.url}/{name}/" for host, name in HOSTS.items())

    def respond(self, request: Request) -> Response:
        service, path = request.segments[0], "/" + "/".join(request.segments[1:])
        answer: Response | None = getattr(self, f"_{service}")(request, path)
        return answer or Response.json({"status": 404, "message": "not there"}, 404)

    def _file(self, name: str) -> Response | None:
        if name not in self.files:
            return None
        if self.closed:
            return Response.json({"status": 403, "message": "Permission denied."}, 403)
        headers = {"Content-Disposition": attachment(name.rpartition("/")[2])}
        return Response(body=self.files[name], headers=headers, ranges=True)

    def _doi(self, request: Request, path: str) -> Response | None:
        if path == "/10.7910/DVN/ABC":
            there = f"https://dataverse.example/dataset.xhtml?persistentId=doi:{path[1:]}"
            return Response.redirect(there)
        if path == "/10.1000/journal":
            return Response.redirect("https://journal.example/article/1")
        return None

    def _zenodo(self, request: Request, path: str) -> Response | None:
        if path == "/api/records/5":  # of all versions
            return Response.redirect(f"/zenodo/api/records/{self.latest}", 301)
        if path == f"/api/records/{self.latest}":
            listed = [
                {"key": n, "size": size_of(c), "checksum": f"md5:{digest(c, 'md5')}", "links": {}}
                for n, c in self.files.items()
            ]
            about: dict[str, Any] = {"id": self.latest, "metadata": {"access_right": "open"}}
            return Response.json(about if self.closed else {**about, "files": listed})
        found = re.fullmatch(rf"/api/records/{self.latest}/files/(.+)/content", path)
        return self._file(found[1]) if found else None

    def _figshare(self, request: Request, path: str) -> Response | None:
        if self.closed:
            return Response.json({"message": "forbidden"}, 403)
        if path in {"/v2/articles/9", "/v2/articles/9/versions/2"}:
            return Response.json({"id": 9, "version": 2})
        if path != "/v2/articles/9/files":
            return None
        page, size = int(request.query["page"]), int(request.query["page_size"])
        listed = [
            {"id": n, "name": name, "size": size_of(content), "supplied_md5": "",
             "computed_md5": digest(content, "md5"),
             "download_url": f"https://ndownloader.figshare.com/files/{n}"}
            for n, (name, content) in enumerate(self.files.items())
        ]  # fmt: skip
        return Response.json(listed[(page - 1) * size : page * size])

    def _ndownloader(self, request: Request, path: str) -> Response | None:
        return self._file(list(self.files)[int(path.rpartition("/")[2])])

    def _dataverse(self, request: Request, path: str) -> Response | None:
        if path == "/api/datasets/:persistentId/":
            if self.closed:
                return Response.json({"status": "ERROR", "message": "User not authorized"}, 401)
            return Response.json({"status": "OK", "data": {"latestVersion": self._version()}})
        found = re.fullmatch(r"/api/access/datafile/(\d+)", path)
        return self._file(list(self.files)[int(found[1])]) if found else None

    def _version(self) -> dict[str, Any]:
        kind = self.checksum.lower().replace("-", "")
        files = [
            {"label": name.rpartition("/")[2], "directoryLabel": name.rpartition("/")[0],
             "dataFile": {"id": n, "filename": name.rpartition("/")[2],
                          "filesize": size_of(content),
                          "checksum": {"type": self.checksum, "value": digest(content, kind)}}}
            for n, (name, content) in enumerate(self.files.items())
        ]  # fmt: skip
        return {"versionNumber": 3, "versionMinorNumber": 1, "files": files}


def page_of_file(name: str) -> str:
    return f"https://zenodo.org/records/7/files/{quote(name)}?download=1"
