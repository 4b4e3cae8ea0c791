"""Stand-ins for ModelScope and Civitai, from the documentation of their APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .base import Server
from .wire import Content, Request, Response, attachment, digest, size_of


class ModelScopeServer(Server):
    """One model and one dataset, `o/r`, at `master` and `v1`."""

    def __init__(self, files: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(port)
        self.files = dict(files)

    @property
    def rewrite(self) -> str:
        return f"https://modelscope.cn/={self.url}/"

    def respond(self, request: Request) -> Response:
        listed = re.fullmatch(
            r"/api/v1/(?:models/o/r/repo/files|datasets/o/r/repo/tree)", request.path
        )
        if listed and request.query["Revision"] in {"master", "v1"}:
            return self._list(request)
        found = re.fullmatch(r"/(?:models|datasets)/o/r/resolve/(?:master|v1)/(.+)", request.path)
        if found and found[1] in self.files:
            return Response(body=self.files[found[1]], ranges=True)
        return Response.json({"Code": 10010205001, "Message": "not found", "Success": False}, 404)

    def _list(self, request: Request) -> Response:
        folders = sorted({name.rpartition("/")[0] for name in self.files if "/" in name})
        items: list[dict[str, object]] = [
            {
                "Name": folder.rpartition("/")[2],
                "Path": folder,
                "Type": "tree",
                "Size": 0,
                "Sha256": "",
            }
            for folder in folders
        ]
        items += [
            {"Name": name.rpartition("/")[2], "Path": name, "Type": "blob",
             "Size": size_of(content), "Sha256": digest(content)}
            for name, content in self.files.items()
        ]  # fmt: skip
        if "PageSize" in request.query:
            page, size = int(request.query["PageNumber"]), int(request.query["PageSize"])
            items = items[(page - 1) * size : page * size]
        return Response.json({"Code": 200, "Data": {"Files": items}, "Success": True})


class CivitaiServer(Server):
    """Version 42, whose first file is the primary one; bytes lie on another host."""

    def __init__(self, files: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(port)
        self.files = dict(files)
        self.token = ""  # needed for downloads, if any
        self.hashes: tuple[str, ...] = ("SHA256", "CRC32")

    @property
    def rewrite(self) -> str:
        return f"https://civitai.com/={self.url}/ https://cdn.civitai.example/={self.url}/cdn/"

    def respond(self, request: Request) -> Response:
        if request.path == "/api/v1/model-versions/42":
            return Response.json({"id": 42, "modelId": 7, "name": "v1", "files": self._listed()})
        names = list(self.files)
        if request.path == "/api/download/models/42":
            if self.token and request.token != self.token:
                return Response.redirect("https://civitai.com/login?returnUrl=x", 307)
            number = int(request.query.get("n", 0))
            return Response.redirect(f"https://cdn.civitai.example/{number}?sig=1", 307)
        if request.segments[0] == "cdn":
            name = names[int(request.segments[1])]
            headers = {"Content-Disposition": attachment(name)}
            return Response(body=self.files[name], headers=headers, ranges=True)
        if request.path == "/login":
            return Response.page("Civitai", "Sign in")
        return Response.json({"error": "No model version with that id"}, 404)

    def _listed(self) -> list[dict[str, object]]:
        return [
            {"id": n, "name": name, "sizeKB": size_of(content) / 1024, "type": "Model",
             "primary": n == 0, "hashes": {kind: self._hash(kind, content) for kind in self.hashes},
             "downloadUrl": f"https://civitai.com/api/download/models/42?n={n}"}
            for n, (name, content) in enumerate(self.files.items())
        ]  # fmt: skip

    @staticmethod
    def _hash(kind: str, content: Content) -> str:
        if kind == "SHA256":
            return digest(content).upper()
        import zlib

        from .wire import read

        return f"{zlib.crc32(read(content)):08X}"
