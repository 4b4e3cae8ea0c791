"""A real git server over HTTP: git's own http-backend, with LFS and a login beside it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import Server
from .git_repos import ENVIRONMENT, GitRepo
from .wire import Request, Response, size_of

HOST = "https://git.example"


class GitServer(Server):
    """Repositories at HOST/owner/name.git; `filters`: it can leave blobs out of what it sends."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(port)
        self.folder = folder
        self.repos: dict[str, GitRepo] = {}
        self.password = ""  # needed with the name `x-access-token` or `me`, if any
        self.filters = True
        self.elsewhere = ""  # where every request is sent on to

    @property
    def rewrite(self) -> str:
        return f"{HOST}/={self.url}/"

    def add_repo(self, name: str, files: Mapping[str, Any], **options: Any) -> str:
        """A repository with one commit; returns the commit."""
        repo = GitRepo(self.folder / f"{name}.git", name, "main")
        self.repos[name] = repo
        return repo.commit(files, branch="main", **options)

    def stop(self) -> None:
        super().stop()
        for repo in self.repos.values():
            repo.close()

    def respond(self, request: Request) -> Response:
        if self.elsewhere:
            return Response.redirect(self.elsewhere + request.target)
        name, _, rest = request.path.lstrip("/").partition(".git/")
        if self.password and request.token != self.password:
            return Response.text("who are you?", 401, WWW_Authenticate='Basic realm="git"')
        if name not in self.repos:
            return Response.text("not found", 404)
        if rest == "info/lfs/objects/batch":
            return self._batch(request, self.repos[name])
        if rest.startswith("lfs/"):
            content = self.repos[name].lfs[rest.removeprefix("lfs/")]
            return Response(body=content, ranges=True)
        return self._backend(request, name)

    def _batch(self, request: Request, repo: GitRepo) -> Response:
        found: list[dict[str, Any]] = []
        for wanted in request.json()["objects"]:
            oid = wanted["oid"]
            if oid not in repo.lfs or size_of(repo.lfs[oid]) != wanted["size"]:
                found.append({"oid": oid, "error": {"code": 404, "message": "not there"}})
                continue
            href = f"{HOST}/{repo.name}.git/lfs/{oid}"
            found.append({"oid": oid, "actions": {"download": {"href": href}}})
        return Response.json({"transfer": "basic", "objects": found})

    def _backend(self, request: Request, name: str) -> Response:
        path, _, query = request.target.partition("?")
        setting = {
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_0": "true" if self.filters else "false",
            "GIT_CONFIG_KEY_1": "safe.directory",
            "GIT_CONFIG_VALUE_1": "*",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                **ENVIRONMENT,
                **setting,
                "GIT_PROJECT_ROOT": os.fspath(self.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": request.method,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": request.headers.get("content-type", ""),
                "CONTENT_LENGTH": str(len(request.body)),
                "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
            },
            input=request.body,
            capture_output=True,
            check=False,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        kind = headers.pop("Content-Type", "text/plain")
        return Response(status, body, headers, kind)
