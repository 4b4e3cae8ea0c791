"""A stand-in for GitHub over real git repositories: API, raw files, LFS, releases."""

from __future__ import annotations

import hashlib
import time
from base64 import encodebytes
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from .base import Server
from .git_repos import GitRepo
from .github_parts import Asset, Downloads, Hosted, RateLimit, Release, error
from .wire import Content, Refused, Request, Response, digest, size_of

G = TypeVar("G", bound="GitHubServer")

HOSTS = {
    "api": "https://api.github.com/",
    "raw": "https://raw.githubusercontent.com/",
    "media": "https://media.githubusercontent.com/media/",
    "web": "https://github.com/",
}
OCTETS = "application/octet-stream"
LFS_JSON = "application/vnd.git-lfs+json"


class GitHubServer(Server):
    """Each of the forge's hosts is a folder here: `/api/`, `/raw/`, `/media/` and `/web/`.

    `/api/v3/` and paths with no folder serve a company's own server, where all is on one host.
    """

    def __init__(self, root: Path, port: int = 0, *, downloads_port: int = 0) -> None:
        super().__init__(port)
        self.root = root
        self.downloads = Downloads(downloads_port)
        self.repos: dict[str, Hosted] = {}
        self.tokens: dict[str, set[str]] = {}
        self.rate = RateLimit()
        self.truncate_trees: int | None = None  # list no more entries than this
        self.canonical_urls = False  # name the real hosts in answers, as GitHub does
        self._next_id = 1000

    def start(self: G) -> G:
        self.downloads.start()
        return super().start()

    def stop(self) -> None:
        super().stop()
        self.downloads.stop()
        for repo in self.repos.values():
            repo.git.close()

    @property
    def rewrite(self) -> str:
        """A value for FETCH_REWRITE."""
        return " ".join(f"{host}={self.url}/{mount}/" for mount, host in HOSTS.items())

    def address(self, mount: str, path: str) -> str:
        base = HOSTS[mount] if self.canonical_urls else f"{self.url}/{mount}/"
        return base + quote(path)

    # filling it

    def add_repo(
        self,
        name: str,
        files: Mapping[str, Content],
        *,
        lfs: Iterable[str] = (),
        tags: Iterable[str] = (),
        branch: str = "main",
        private: bool = False,
        symlinks: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
        executable: Iterable[str] = (),
        sha: str | None = None,
    ) -> str:
        """A repository with one commit; gives its sha. `lfs` lists the paths kept in LFS.

        `sha` is shown instead of the commit's own id, so that pinned real commits resolve.
        """
        repo = Hosted(GitRepo(self.root / f"{name}.git", name, branch), private)
        self.repos[name.lower()] = repo
        real = repo.git.commit(
            files, branch=branch, lfs=lfs, symlinks=symlinks, submodules=submodules,
            executable=executable,
        )  # fmt: skip
        if sha is not None:
            repo.aliases[sha] = real
        for tag in tags:
            repo.git.tag(tag, real)
        return sha or real

    def add_commit(
        self,
        name: str,
        files: Mapping[str, Content],
        branch: str | None = None,
        *,
        lfs: Iterable[str] = (),
        delete: Iterable[str] = (),
    ) -> str:
        git = self.repos[name.lower()].git
        return git.commit(files, branch=branch or git.branch, lfs=lfs, delete=delete)

    def add_tag(self, name: str, tag: str, target: str, annotated: bool = False) -> None:
        repo = self.repos[name.lower()]
        repo.git.tag(tag, repo.commit(target), annotated)

    def set_branch(self, name: str, branch: str, target: str) -> None:
        repo = self.repos[name.lower()]
        repo.git.set_ref(f"refs/heads/{branch}", repo.commit(target))

    def add_release(
        self,
        name: str,
        tag: str,
        assets: Mapping[str, Content],
        *,
        with_digest: bool = True,
        prerelease: bool = False,
    ) -> None:
        """A release, newest last. Assets from before 2025 have no `digest`: `with_digest=False`."""
        made = [Asset(self._id(), n, content, with_digest) for n, content in assets.items()]
        self.repos[name.lower()].releases.append(Release(self._id(), tag, made, prerelease))

    def add_token(self, token: str, repos: Iterable[str] = ()) -> None:
        """A valid token, and the private repositories that it may read."""
        self.tokens[token] = {name.lower() for name in repos}

    def limit_rate(
        self,
        remaining: int = 0,
        *,
        limit: int = 60,
        reset_in: float = 3600,
        status: int = 403,
        retry_after: int | None = None,
    ) -> None:
        """Let so many more API calls through, then refuse until `reset_in` seconds from now."""
        self.rate = RateLimit(limit, remaining, time.time() + reset_in, status, retry_after)

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id

    # answering

    def respond(self, request: Request) -> Response:
        mount, *rest = request.segments
        if mount == "api":
            return self._api(request, rest[1:] if rest[:1] == ["v3"] else rest)
        if mount in ("raw", "media"):
            return self._raw(request, rest, follow_lfs=mount == "media")
        return self._web(request, rest if mount == "web" else [mount, *rest])

    def _api(self, request: Request, rest: list[str]) -> Response:
        if rest == ["rate_limit"]:
            if request.token is not None and request.token not in self.tokens:
                return error(401, "Bad credentials").response
            rate = self.rate.report()
            return Response.json({"rate": rate | {"limit": 5000} if request.token else rate})
        headers = self._count()
        try:
            answer = self._answer(request, rest)
        except Refused as refused:
            answer = refused.response
        answer.headers.update(headers)
        if answer.status == 200 and answer.etag is None:
            answer.etag = f'W/"{digest(answer.body)}"'
        return answer

    def _answer(self, request: Request, rest: list[str]) -> Response:
        if request.token is not None and request.token not in self.tokens:
            raise error(401, "Bad credentials")
        if len(rest) < 3 or rest[0] != "repos":
            raise error(404, "Not Found")
        repo = self._repo(request, f"{rest[1]}/{rest[2]}")
        calls: dict[str, Callable[[Request, Hosted, list[str]], Response]] = {
            "": self._about,
            "commits": self._commit,
            "git/trees": self._tree,
            "git/blobs": self._blob,
            "contents": self._contents,
            "license": self._license,
            "releases": self._releases,
        }
        width = 2 if rest[3:4] == ["git"] else 1
        call = calls.get("/".join(rest[3 : 3 + width]))
        if call is None:
            raise error(404, "Not Found")
        return call(request, repo, rest[3 + width :])

    def _count(self) -> dict[str, str]:
        rate = self.rate
        with self._lock:
            if time.time() >= rate.reset:
                self.rate = rate = RateLimit(rate.limit, rate.limit)
            rate.remaining -= 1
        headers = rate.headers()
        if rate.remaining >= 0:
            return headers
        message = "API rate limit exceeded for 127.0.0.1."
        if rate.retry_after is not None:
            message = "You have exceeded a secondary rate limit."
            headers = {"Retry-After": str(rate.retry_after)}
        refused = error(rate.status, message)
        refused.response.headers.update(headers)
        raise refused

    def _repo(self, request: Request, name: str) -> Hosted:
        """The repository if the request may see it: a private one must not show that it exists."""
        repo = self.repos.get(name.lower())
        allowed = self.tokens.get(request.token or "", set())
        if repo is None or (repo.private and name.lower() not in allowed):
            raise error(404, "Not Found")
        return repo

    def _about(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        owner, _, short = repo.name.partition("/")
        return Response.json(
            {
                "id": 1,
                "name": short,
                "full_name": repo.name,
                "private": repo.private,
                "owner": {"login": owner, "type": "User"},
                "html_url": self.address("web", repo.name),
                "url": self.address("api", f"repos/{repo.name}"),
                "clone_url": self.address("web", f"{repo.name}.git"),
                "default_branch": repo.git.branch,
                "archived": False,
                "disabled": False,
                "visibility": "private" if repo.private else "public",
                "license": None,
            }
        )

    def _license(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        """What GitHub makes of a commit's licence file, as far as `licenses` says."""
        commit = repo.commit(request.query.get("ref") or repo.git.branch)
        told = repo.licenses.get(commit)
        if told is None:
            raise error(404, "Not Found")
        licence = {"key": told.lower(), "name": told, "spdx_id": told, "url": None}
        return Response.json({"name": "LICENSE", "path": "LICENSE", "license": licence})

    def _commit(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        ref = "/".join(rest) or request.query.get("sha") or repo.git.branch
        try:
            real = repo.commit(ref)
        except KeyError:
            raise error(422, f"No commit found for SHA: {ref}") from None
        sha = repo.shown(real)
        if "application/vnd.github.sha" in request.headers.get("accept", ""):
            answer = Response.text(sha, etag=f'"{sha}"')
            answer.content_type = "application/vnd.github.sha; charset=utf-8"
            return answer
        tree = repo.git.resolve(real, "tree")
        date = repo.git.git("show", "-s", "--format=%cI", real).strip().replace("+00:00", "Z")
        person = {"name": "Tester", "email": "tester@example.org", "date": date}
        details = {"author": person, "committer": person, "message": "", "tree": {"sha": tree}}
        found = {"sha": sha, "commit": details, "parents": [], "files": []}
        found["url"] = self.address("api", f"repos/{repo.name}/commits/{sha}")
        return Response.json(found if rest else [found])

    def _tree(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        ref = "/".join(rest)
        try:
            tree = repo.git.resolve(repo.aliases.get(ref, ref), "tree")
        except KeyError:
            raise error(404, "Not Found") from None
        # any value counts, even 0
        entries = repo.git.tree(tree, recursive="recursive" in request.query)
        for entry in entries:
            kind = "trees" if entry["type"] == "tree" else "blobs"
            path = f"repos/{repo.name}/git/{kind}/{entry['sha']}"
            entry["url"] = self.address("api", path)
        truncated = self.truncate_trees is not None and len(entries) > self.truncate_trees
        url = self.address("api", f"repos/{repo.name}/git/trees/{tree}")
        listed = entries[: self.truncate_trees]
        return Response.json({"sha": tree, "url": url, "tree": listed, "truncated": truncated})

    def _blob(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        try:
            sha, body = repo.git.blob("/".join(rest))
        except KeyError:
            raise error(404, "Not Found") from None
        if "raw" in request.headers.get("accept", ""):
            return Response(body=body, etag=f'"{sha}"')
        text = encodebytes(body).decode()
        return Response.json({"sha": sha, "size": len(body), "content": text, "encoding": "base64"})

    def _contents(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        path = "/".join(rest).strip("/")
        try:
            commit = repo.commit(request.query.get("ref") or repo.git.branch)
        except KeyError:
            raise error(404, f"No commit found for the ref {request.query['ref']}") from None
        try:
            sha, body = repo.git.blob(f"{commit}:{path}")
        except KeyError:
            return self._folder(repo, commit, path)
        if "raw" in request.headers.get("accept", ""):
            return Response(body=body, etag=f'"{sha}"')
        found = self._content_json(repo, commit, path, {"type": "blob", "sha": sha})
        found.update(size=len(body), content=encodebytes(body).decode(), encoding="base64")
        return Response.json(found)

    def _folder(self, repo: Hosted, commit: str, path: str) -> Response:
        try:
            entries = repo.git.tree(f"{commit}:{path}", recursive=False)
        except KeyError:
            raise error(404, "Not Found") from None
        start = path + "/" if path else ""
        return Response.json(
            [self._content_json(repo, commit, start + e["path"], e) for e in entries]
        )

    def _content_json(
        self, repo: Hosted, commit: str, path: str, entry: Mapping[str, Any]
    ) -> dict[str, Any]:
        is_file = entry["type"] == "blob"
        raw = self.address("raw", f"{repo.name}/{repo.shown(commit)}/{path}")
        return {
            "name": path.rpartition("/")[2],
            "path": path,
            "sha": entry["sha"],
            "size": entry.get("size", 0),
            "type": "file" if is_file else "dir",
            "url": self.address("api", f"repos/{repo.name}/contents/{path}"),
            "download_url": raw if is_file else None,
        }

    # releases

    def _releases(self, request: Request, repo: Hosted, rest: list[str]) -> Response:
        if rest[:1] == ["assets"] and len(rest) == 2:
            return self._asset(request, repo, rest[1])
        if rest == ["latest"]:
            found = [release for release in repo.releases if not release.prerelease][-1:]
        elif rest[:1] == ["tags"]:
            found = [r for r in repo.releases if r.tag == "/".join(rest[1:])]
        elif not rest:
            listed = [self._release_json(repo, release) for release in reversed(repo.releases)]
            return Response.json(listed)
        else:
            found = [release for release in repo.releases if rest == [str(release.id)]]
        if not found:
            raise error(404, "Not Found")
        return Response.json(self._release_json(repo, found[0]))

    def _release_json(self, repo: Hosted, release: Release) -> dict[str, Any]:
        return {
            "id": release.id,
            "tag_name": release.tag,
            "name": release.tag,
            "draft": False,
            "prerelease": release.prerelease,
            "target_commitish": repo.git.branch,
            "html_url": self.address("web", f"{repo.name}/releases/tag/{release.tag}"),
            "assets": [self._asset_json(repo, release, asset) for asset in release.assets],
        }

    def _asset_json(self, repo: Hosted, release: Release, asset: Asset) -> dict[str, Any]:
        download = f"{repo.name}/releases/download/{release.tag}/{asset.name}"
        return {
            "id": asset.id,
            "name": asset.name,
            "state": "uploaded",
            "content_type": OCTETS,
            "size": size_of(asset.content),
            "digest": f"sha256:{digest(asset.content)}" if asset.with_digest else None,
            "url": self.address("api", f"repos/{repo.name}/releases/assets/{asset.id}"),
            "browser_download_url": self.address("web", download),
        }

    def _asset(self, request: Request, repo: Hosted, asset_id: str) -> Response:
        for release in repo.releases:
            for asset in release.assets:
                if str(asset.id) == asset_id:
                    if OCTETS in request.headers.get("accept", ""):
                        return self._deliver(asset)
                    return Response.json(self._asset_json(repo, release, asset))
        raise error(404, "Not Found")

    def _deliver(self, asset: Asset) -> Response:
        return Response.redirect(self.downloads.put(asset.key, asset.name, asset.content))

    # files

    def _raw(self, request: Request, rest: list[str], follow_lfs: bool) -> Response:
        missing = Refused(Response.text("404: Not Found", 404))
        if request.token is not None and request.token not in self.tokens:
            raise missing
        try:
            repo = self._repo(request, "/".join(rest[:2]))
        except Refused:
            raise missing from None
        # a ref may hold slashes: the shortest one that has the file is taken
        for width in range(1, len(rest) - 2):
            ref, path = "/".join(rest[2 : 2 + width]), "/".join(rest[2 + width :])
            try:
                name = f"{repo.commit(ref)}:{path}"
                sha, body = repo.git.content(name) if follow_lfs else repo.git.blob(name)
            except KeyError:
                continue
            # 64 hex digits, like the real host's, and like them no digest of the file
            tag = hashlib.sha256(f"raw {sha}".encode()).hexdigest()
            headers = {"Cache-Control": "max-age=300"}
            return Response(body=body, headers=headers, etag=f'"{tag}"', ranges=True)
        raise missing

    def _web(self, request: Request, rest: list[str]) -> Response:
        if len(rest) < 3:
            return Response.page("Page not found", "Not Found", 404)
        name, action = f"{rest[0]}/{rest[1].removesuffix('.git')}", rest[2:]
        if action == ["info", "lfs", "objects", "batch"]:
            return self._batch(request, name)
        repo = self.repos.get(name.lower())
        if repo is None or repo.private:
            # tokens are for the API: these addresses want a browser's session
            return Response.page("Page not found", "Not Found", 404)
        if action[:2] == ["releases", "download"] and len(action) >= 4:
            return self._release_file(repo, "/".join(action[2:-1]), action[-1])
        if action[:3] == ["releases", "latest", "download"] and repo.releases:
            return self._release_file(repo, repo.releases[-1].tag, action[-1])
        if action[0] == "raw":
            return Response.redirect(self.address("raw", "/".join([name, *action[1:]])))
        return Response.page(repo.name, "A page for people.")

    def _release_file(self, repo: Hosted, tag: str, name: str) -> Response:
        for release in repo.releases:
            for asset in release.assets:
                if (release.tag, asset.name) == (tag, name):
                    return self._deliver(asset)
        return Response.text("Not Found", 404)

    def _batch(self, request: Request, name: str) -> Response:
        if request.token is not None and request.token not in self.tokens:
            return _lfs({"message": "Bad credentials"}, 401)
        try:
            repo = self._repo(request, name)
        except Refused:
            return _lfs({"message": "Repository not found"}, 404)
        asked = request.json()
        if asked.get("operation") != "download":
            return _lfs({"message": "You are not allowed to write"}, 403)
        objects = [self._lfs_object(repo, wanted) for wanted in asked["objects"]]
        return _lfs({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})

    def _lfs_object(self, repo: Hosted, wanted: Mapping[str, Any]) -> dict[str, Any]:
        oid = wanted["oid"]
        if oid not in repo.git.lfs:
            return {**wanted, "error": {"code": 404, "message": "Object does not exist"}}
        address = self.downloads.put(f"/lfs/{repo.name}/{oid}", oid, repo.git.lfs[oid])
        return {**wanted, "actions": {"download": {"href": address, "expires_in": 3600}}}


def _lfs(value: Mapping[str, Any], status: int = 200) -> Response:
    answer = Response.json(value, status)
    answer.content_type = LFS_JSON
    return answer
