"""A stand-in for the Hugging Face Hub: its API, its file addresses and its CDN, on two ports."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, urlencode

from .base import Server
from .cas import Cas
from .hub_cdn import Cdn, Quota, User, refusal
from .hub_repos import KINDS, Commit, Entry, LfsRule, Repo, lfs_rule
from .wire import Content, Refused, Request, Response

H = TypeVar("H", bound="HubServer")

ACTIONS = {
    "revision",
    "tree",
    "paths-info",
    "refs",
    "commits",
    "auth-check",
    "xet-read-token",
    "discussions",
}
FILE_ACTIONS = ("resolve", "raw")
_PENDING = "is awaiting a review from the repo authors."
_REJECTED = "has been rejected by the repo's authors."
EXPANDED_PAGE = 50  # the hub lists fewer entries a page when each carries its last commit


class HubServer(Server):
    """Speaks what the hub's clients speak. LFS files are redirected to `cdn`, on another port."""

    def __init__(
        self,
        port: int = 0,
        *,
        cdn_port: int = 0,
        page_size: int = 1000,
        resolve_cache: bool = False,
    ) -> None:
        super().__init__(port)
        self.cdn = Cdn(cdn_port)
        self.page_size = page_size
        self.resolve_cache = resolve_cache  # redirect small files on this host, as the hub does
        self.knows_auth_check = True  # mirrors often do not
        self.link_origin: str | None = None  # another origin for the next page, to see who follows
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users: dict[str, User] = {}
        self.moved: dict[tuple[str, str], str] = {}
        self.quotas: dict[str, Quota] = {}
        self.logins: dict[str, dict[str, Any]] = {}  # by refresh token
        self.trusted_jobs: dict[str, dict[str, Any]] = {}  # CI jobs by id token
        self.given: list[str] = []  # tokens of /oauth/token
        self.cas: Cas | None = None  # what the LFS files of repositories with `xet` lie in
        self.xet_headers: dict[str, str] = {}  # told instead of what is so
        self.xet_lifetime = 3600.0

    def start(self: H) -> H:
        self.cdn.start()
        return super().start()

    def stop(self) -> None:
        super().stop()
        self.cdn.stop()

    # filling it

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, Content],
        repo_type: str = "model",
        *,
        private: bool = False,
        gated: str | None = None,
        lfs: LfsRule | Iterable[str] | int | None = None,
        xet: bool = False,
        info: Mapping[str, Any] | None = None,
        sha: str | None = None,
    ) -> str:
        """A repository with one commit on `main`; gives the commit.

        `lfs` is a callable (path, size), suffixes, or a least size; None follows the extensions
        that the hub itself puts into LFS. `gated` is "auto" or "manual". `info` adds keys to the
        repository's JSON. `sha` sets the commit's id.
        """
        rule = lfs_rule(lfs, repo_type)
        repo = Repo(repo_id, repo_type, private, gated or False, rule, xet, dict(info or {}))
        repo.xet_hashes = self.cas.hashes if self.cas is not None else {}
        self.repos[repo_type, repo_id] = repo
        return self.add_commit(repo_id, files, repo_type=repo_type, title="initial commit", sha=sha)

    def add_commit(
        self,
        repo_id: str,
        files: Mapping[str, Content],
        revision: str = "main",
        *,
        delete: Iterable[str] = (),
        repo_type: str = "model",
        title: str = "Upload folder",
        sha: str | None = None,
    ) -> str:
        """Put `files` on top of a branch (created if missing); gives the commit."""
        commit = self.repos[repo_type, repo_id].grow(files, delete, revision, title, sha)
        for entry in commit.files.values():
            if entry.sha256 is not None:
                self.cdn.blobs[entry.sha256] = entry.content
                if self.repos[repo_type, repo_id].xet and self.cas is not None:
                    self.cas.add(entry.sha256, entry.content)
        return commit.sha

    def set_ref(
        self, repo_id: str, name: str, sha: str, repo_type: str = "model", tag: bool = False
    ) -> None:
        """Create or move a branch or a tag; `refs/pr/1` and the like work too."""
        if not name.startswith("refs/"):
            name = f"refs/{'tags' if tag else 'heads'}/{name}"
        self.repos[repo_type, repo_id].refs[name] = sha

    def add_raw_tree_entry(
        self,
        repo_id: str,
        entry: str | Mapping[str, Any],
        content: Content = b"hostile",
        *,
        revision: str = "main",
        repo_type: str = "model",
    ) -> None:
        """List `entry` as it is: a hostile path, or a whole record of the tree call.

        The path can be downloaded too (`content`), and appears among the siblings.
        """
        commit = self.repos[repo_type, repo_id].commit(revision)
        path = entry if isinstance(entry, str) else str(entry.get("path", ""))
        record = Entry.make(path, content, in_lfs=False).record()
        commit.extra.append(record if isinstance(entry, str) else dict(entry))
        commit.extra_contents[path] = content

    def move_repo(self, old: str, new: str, repo_type: str = "model") -> None:
        """Rename: the old name answers 307 from now on."""
        repo = self.repos.pop((repo_type, old))
        repo.id = new
        self.repos[repo_type, new] = repo
        self.moved[repo_type, old] = new

    def add_token(
        self,
        token: str,
        *,
        name: str = "tester",
        approved: Iterable[str] = (),
        private: Iterable[str] = (),
        pending: Iterable[str] = (),
        rejected: Iterable[str] = (),
        reads_gated: bool = True,
    ) -> User:
        """A valid token: which gated repositories it may read, which private ones it may see.

        `pending` and `rejected` are requests for access; a fine-grained token may lack the right
        to read gated repositories at all (`reads_gated`).
        """
        user = User(token, name, set(approved), set(private), set(pending), set(rejected))
        user.reads_gated = reads_gated
        self.users[token] = user
        return self.users[token]

    def add_login(self, access: str, refresh: str, **rights: Any) -> None:
        """What a browser login gives: `refresh` gets an access token of these rights (the one that
        `add_token` describes), and another refresh token; it works once. `access` has expired."""
        self.logins[refresh] = rights
        self.users.pop(access, None)

    def limit(self, bucket: str, quota: int, window: float = 300) -> None:
        """Answer 429 beyond `quota` per `window` seconds; buckets are `api` and `resolvers`."""
        self.quotas[bucket] = Quota(bucket, quota, window)

    # answering

    def respond(self, request: Request) -> Response:
        segments = request.segments
        if segments == ["oauth", "token"]:
            return self._oauth(request)
        in_api = segments[0] == "api"
        quota = self.quotas.get("api" if in_api else "resolvers")
        headers = quota.count() if quota else {}
        answer = self._api(request, segments[1:]) if in_api else self._file(request, segments)
        answer.headers.update(headers)
        return answer

    def _oauth(self, request: Request) -> Response:
        """A login's refresh (RFC 6749, a form); a CI job's token exchanged (RFC 8693, JSON)."""
        if "json" in request.headers.get("content-type", ""):
            form = request.json()
            known, key = self.trusted_jobs, form.get("subject_token")
            sound = form.get("grant_type", "").endswith(":token-exchange") and form["resource"]
        else:
            form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
            known, key = self.logins, form.get("refresh_token")
            sound = form.get("grant_type") == "refresh_token" and form.get("client_id")
        rights = known.pop(key, None) if known is self.logins else known.get(key)
        if not sound or rights is None:
            return Response.json({"error": "invalid_grant", "error_description": "expired"}, 400)
        number = len(self.given) + 1
        access = f"hf_oauth_given{number}"
        self.given.append(access)
        self.add_token(access, **rights)
        answer = {"access_token": access, "token_type": "bearer", "expires_in": 30 * 86400}
        if known is self.logins:
            answer["refresh_token"] = f"refresh-{number}"
            self.logins[f"refresh-{number}"] = rights
        return Response.json(answer)

    def _api(self, request: Request, segments: list[str]) -> Response:
        if segments == ["agent-harnesses"]:
            return Response.json({"harnesses": []})
        user = self._user(request)
        if segments == ["whoami-v2"]:
            return self._whoami(user)
        if segments[0] == "resolve-cache" and len(segments) > 3:
            return self._resolve_cached(request, segments[1:], user)
        if segments[0] not in KINDS:
            raise refusal(404, None, "Sorry, we can't find the page you are looking for.")
        kind, rest = KINDS[segments[0]], segments[1:]
        if not rest:
            return self._search(request, kind, user)
        short = len(rest) == 1 or rest[1] in ACTIONS
        repo_id, rest = (rest[0], rest[1:]) if short else ("/".join(rest[:2]), rest[2:])
        repo = self._repo(kind, repo_id, user, request)
        return self._action(request, repo, rest, user)

    def _action(self, request: Request, repo: Repo, rest: list[str], user: User | None) -> Response:
        action = rest[0] if rest else ""
        revision, path = _revision(rest[1:]) if len(rest) > 1 else ("main", "")
        if action in ("", "revision"):
            commit = self._commit(repo, revision)
            return Response.json(_info(repo, commit, request.query.get("blobs") == "true"))
        if action == "auth-check" and self.knows_auth_check:
            self._check_gate(repo, user)
            return Response.json({"ok": True})
        if action == "refs":
            return Response.json(_refs(repo))
        commit = self._commit(repo, revision)
        if action == "xet-read-token" and self.cas is not None:
            self._check_gate(repo, user)
            return self._xet_token(self.cas)
        if action == "tree":
            return self._tree(request, repo, commit, path)
        if action == "paths-info":
            return self._paths_info(request, repo, commit)
        if action == "commits":
            return Response.json([_commit_json(found) for found in repo.history(commit)])
        raise refusal(404, None, "Not found")

    def _xet_token(self, cas: Cas) -> Response:
        ends = int(time.time() + self.xet_lifetime)
        told: dict[str, str] = {
            "X-Xet-Cas-Url": cas.url,
            "X-Xet-Access-Token": cas.token,
            "X-Xet-Token-Expiration": str(ends),
            **self.xet_headers,
        }
        answer = Response.json({"casUrl": cas.url, "accessToken": cas.token, "exp": ends})
        answer.headers.update(told)
        return answer

    def _user(self, request: Request) -> User | None:
        token = request.token
        if token is None:
            return None
        if token not in self.users:
            raise refusal(401, None, "Invalid credentials in Authorization header")
        return self.users[token]

    def _whoami(self, user: User | None) -> Response:
        if user is None:
            raise refusal(401, None, "Invalid username or password.")
        access = {"displayName": "test", "role": "read", "createdAt": "2024-01-01T00:00:00.000Z"}
        return Response.json(
            {
                "type": "user",
                "id": "0" * 24,
                "name": user.name,
                "fullname": user.name,
                "isPro": False,
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": access},
            }
        )

    def _search(self, request: Request, kind: str, user: User | None) -> Response:
        words, author = request.query.get("search", ""), request.query.get("author")
        found = [
            _info(repo, repo.commit("main"), blobs=False, siblings=False)
            for (repo_kind, repo_id), repo in sorted(self.repos.items())
            if repo_kind == kind
            and words.lower() in repo_id.lower()
            and author in (None, repo_id.partition("/")[0])
            and _visible(repo, user)
        ]
        return Response.json(found[: int(request.query.get("limit", "1000"))])

    def _repo(self, kind: str, repo_id: str, user: User | None, request: Request) -> Repo:
        new = self.moved.get((kind, repo_id))
        if new is not None:
            target = request.target.replace(f"/{repo_id}", f"/{new}", 1)
            origin = self.url if target.startswith("/api/") else ""
            raise Refused(Response.redirect(origin + target, 307))
        repo = self.repos.get((kind, repo_id))
        if repo is not None and _visible(repo, user):
            return repo
        # a private repository must look like one that does not exist
        if user is None:
            raise refusal(401, "RepoNotFound", "Invalid username or password.")
        raise refusal(404, "RepoNotFound", "Repository not found")

    def _commit(self, repo: Repo, revision: str) -> Commit:
        try:
            return repo.commit(revision)
        except KeyError:
            raise refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}") from None

    def _check_gate(self, repo: Repo, user: User | None) -> None:
        if not repo.gated:
            return
        if user is not None and not user.reads_gated:
            text = "Please enable access to public gated repositories in your fine-grained token"
            raise refusal(403, "GatedRepo", f"{text} settings to view this repository.")
        if user is not None and repo.id in user.approved:
            return
        for group, state in (("pending", _PENDING), ("rejected", _REJECTED)):
            if user is not None and repo.id in getattr(user, group):
                text = f"Your request to access {repo.kind} {repo.id} {state}"
                raise refusal(403, "GatedRepo", text)
        start = f"Access to {repo.kind} {repo.id} is restricted"
        if user is None:
            text = f"{start}. You must have access to it and be authenticated to access it."
            raise refusal(401, "GatedRepo", f"{text} Please log in.")
        page = f"https://huggingface.co/{repo.prefix}{repo.id}"
        text = f"{start} and you are not in the authorized list."
        raise refusal(403, "GatedRepo", f"{text} Visit {page} to ask for access.")

    def _tree(self, request: Request, repo: Repo, commit: Commit, path: str) -> Response:
        query = request.query
        recursive, expand = _truth(query.get("recursive")), _truth(query.get("expand"))
        try:
            found = commit.listing(path, recursive)
        except KeyError:
            message = f"{path} does not exist on {commit.sha}"
            raise refusal(404, "EntryNotFound", message) from None
        page = min(self.page_size, EXPANDED_PAGE) if expand else self.page_size
        page = min(page, int(query.get("limit") or page))
        start = int(urlsafe_b64decode(query["cursor"])) if query.get("cursor") else 0
        records = [_record(repo, commit, r, expand) for r in found[start : start + page]]
        answer = Response.json(records)
        if start + page < len(found):
            cursor = urlsafe_b64encode(str(start + page).encode()).decode()
            options = {**query, "limit": str(page), "cursor": cursor}
            origin = self.link_origin or self.url
            path = request.target.partition("?")[0]
            answer.headers["Link"] = f'<{origin}{path}?{urlencode(options)}>; rel="next"'
        return answer

    def _paths_info(self, request: Request, repo: Repo, commit: Commit) -> Response:
        if "json" in request.headers.get("content-type", ""):
            body = request.json()
            paths, expand = list(body["paths"]), bool(body.get("expand"))
        else:
            form = parse_qs(request.body.decode())
            paths, expand = form.get("paths", []), _truth(form.get("expand", [""])[0])
        wanted = {path.strip("/") for path in paths}
        found = [record for record in commit.records if record["path"] in wanted]
        return Response.json([_record(repo, commit, record, expand) for record in found])

    def _file(self, request: Request, segments: list[str]) -> Response:
        user = self._user(request)
        kind = KINDS.get(segments[0], "model") if segments[0] != "models" else "model"
        rest = segments[1:] if segments[0] in KINDS and segments[0] != "models" else segments
        for width in (1, 2):
            if len(rest) > width + 2 and rest[width] in FILE_ACTIONS:
                repo = self._repo(kind, "/".join(rest[:width]), user, request)
                return self._resolve(request, repo, rest[width:], user)
        raise refusal(404, None, "Sorry, we can't find the page you are looking for.")

    def _resolve(
        self, request: Request, repo: Repo, rest: list[str], user: User | None
    ) -> Response:
        revision, path = _revision(rest[1:])
        self._check_gate(repo, user)
        commit = self._commit(repo, revision)
        headers = {"X-Repo-Commit": commit.sha}
        entry = commit.files.get(path)
        if entry is None and path in commit.extra_contents:
            entry = Entry.make(path, commit.extra_contents[path], in_lfs=False)
        if entry is None:
            missing = refusal(404, "EntryNotFound", "Entry not found")
            missing.response.headers.update(headers)
            raise missing
        if rest[0] == "raw":
            return Response(body=entry.raw, headers=headers, etag=f'"{entry.oid}"')
        if repo.xet and entry.sha256 is not None:
            token = f"{self.url}{repo.api}/xet-read-token/{commit.sha}"
            headers["X-Xet-Hash"] = repo.xet_hash(entry.sha256)
            headers["Link"] = f'<{token}>; rel="xet-auth"'
        headers["X-Linked-Size"] = str(entry.size)
        headers["X-Linked-Etag"] = f'"{entry.sha256 or entry.oid}"'
        headers["Accept-Ranges"] = "bytes"
        if entry.sha256 is not None:
            location = self.cdn.sign(entry.sha256, path.rpartition("/")[2])
            return Response(302, b"Found", {**headers, "Location": location})
        if self.resolve_cache:
            cached = f"/api/resolve-cache/{repo.kind}s/{repo.id}/{commit.sha}/{quote(path)}"
            return Response(307, b"", {**headers, "Location": f"{cached}?etag=%22{entry.oid}%22"})
        return _small(entry, headers)

    def _resolve_cached(self, request: Request, segments: list[str], user: User | None) -> Response:
        for width in (1, 2):
            repo = self.repos.get((KINDS[segments[0]], "/".join(segments[1 : 1 + width])))
            if repo is not None and _visible(repo, user):
                self._check_gate(repo, user)
                commit = self._commit(repo, segments[1 + width])
                entry = commit.files["/".join(segments[2 + width :])]
                return _small(entry, {"X-Repo-Commit": commit.sha})
        raise refusal(404, "RepoNotFound", "Repository not found")


def _small(entry: Entry, headers: dict[str, str]) -> Response:
    name = entry.path.rpartition("/")[2]
    headers = {**headers, "Content-Disposition": f"inline; filename*=UTF-8''{quote(name)};"}
    return Response(body=entry.content, headers=headers, etag=f'"{entry.oid}"', ranges=True)


def _revision(rest: list[str]) -> tuple[str, str]:
    """Revision and path; `refs/pr/1` may also come with its slashes unquoted."""
    width = 3 if rest[0] == "refs" and len(rest) > 2 else 1
    return "/".join(rest[:width]), "/".join(rest[width:])


def _truth(text: str | None) -> bool:
    return (text or "").lower() in ("true", "1")


def _visible(repo: Repo, user: User | None) -> bool:
    return not repo.private or (user is not None and repo.id in user.private)


def _record(repo: Repo, commit: Commit, record: Mapping[str, Any], expand: bool) -> dict[str, Any]:
    found = dict(record)
    if repo.xet and "lfs" in found:
        found["xetHash"] = repo.xet_hash(found["lfs"]["oid"])
    if expand:
        found["lastCommit"] = {"id": commit.sha, "title": commit.title, "date": commit.date}
        if found.get("type") == "file":
            safe = {"status": "safe", "avScan": None, "pickleImportScan": None}
            found["securityFileStatus"] = safe
    return found


def _info(repo: Repo, commit: Commit, blobs: bool, siblings: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "_id": commit.sha[:24],
        "id": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.sha,
        "lastModified": commit.date,
        "createdAt": "2024-03-01T00:00:00.000Z",
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }
    if repo.kind == "model":
        found["modelId"] = repo.id
    if siblings:
        found["siblings"] = [entry.sibling(blobs) for entry in commit.files.values()]
        found["siblings"] += [{"rfilename": extra.get("path")} for extra in commit.extra]
    return {**found, **repo.info}


def _refs(repo: Repo) -> dict[str, Any]:
    found: dict[str, Any] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    groups = {"heads": "branches", "tags": "tags", "convert": "converts", "pr": "pullRequests"}
    for ref, sha in repo.refs.items():
        _, group, name = ref.split("/", 2)
        found[groups[group]].append({"name": name, "ref": ref, "targetCommit": sha})
    return found


def _commit_json(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.sha,
        "title": commit.title,
        "message": "",
        "date": commit.date,
        "authors": [{"user": "tester"}],
    }
