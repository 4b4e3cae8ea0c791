"""The Hub's addresses: info, revisions, trees, paths and files of models, datasets and spaces.

/api/{models,datasets,spaces}[/ID[/ACTION[/REVISION[/PATH]]]]
/[datasets/|spaces/]ID/resolve/REVISION/PATH
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qs, quote, urlencode

from fetcher.i18n import t
from fetcher.server.files import file_response, word_of
from fetcher.server.http import HttpRequest, HttpResponse, json_response, refusal
from fetcher.server.hub_json import (
    CommitJson,
    LastCommitJson,
    RefsJson,
    RepoInfoJson,
    TreeEntryJson,
)
from fetcher.server.lookup import Lookup, RepoCommit, missing
from fetcher.server.repos import Repo, Snapshot
from fetcher.server.tokens import Identity
from fetcher.sources.huggingface import PART, PART_HEADER
from fetcher.verify.contract import json_text

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
PAGE = 1000
MAX_PAGE = 10_000
_ACTIONS = {
    "revision",
    "tree",
    "paths-info",
    "refs",
    "commits",
    "auth-check",
    "xet-read-token",
    "discussions",
    "treesize",
}
_FILE_ACTIONS = ("resolve", "raw")
# Nobody knows when a commit was made; clients want a date where they ask for one.
_DATE = "1970-01-01T00:00:00.000Z"


class Hub:
    """Answers what the Hub's clients ask, from what the lookup finds."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    @staticmethod
    def file_address(segments: list[str]) -> tuple[str, str, str, list[str]] | None:
        """(kind, id, action, revision and path) if this is a file's address."""
        kind = KINDS.get(segments[0], "")
        rest = segments[1:] if kind else segments
        for width in (2, 1):
            if len(rest) > width + 2 and rest[width] in _FILE_ACTIONS and all(rest[:width]):
                return kind or "model", "/".join(rest[:width]), rest[width], rest[width + 1 :]
        return None

    async def file(
        self, request: HttpRequest, address: tuple[str, str, str, list[str]]
    ) -> HttpResponse:
        """A file, or with `raw` what git has of it."""
        kind, name, action, rest = address
        commit, entry = await self.lookup.entry(request, kind, name, rest)
        headers = {"X-Repo-Commit": commit, **word_of(entry)}
        if action == "raw" and not entry.git_blob:
            return HttpResponse(200, {**headers, "Content-Type": "text/plain"}, entry.pointer)
        headers["X-Linked-Size"] = str(entry.size)
        headers["X-Linked-Etag"] = f'"{entry.etag}"'
        upstream = self.lookup.upstream
        content = self.lookup.content(entry)
        live = upstream.arriving(kind, name, commit, entry) if upstream and not content else None
        return file_response(entry, content, headers, live)

    async def api(self, request: HttpRequest) -> HttpResponse:
        """Everything below /api/."""
        segments = request.segments[1:] or [""]
        if segments == ["agent-harnesses"]:
            return json_response({"harnesses": []})
        if segments == ["whoami-v2"]:
            return _whoami(request)
        kind = KINDS.get(segments[0])
        if kind is None:
            raise refusal(404, t("This mirror serves models, datasets and spaces, and no more"))
        rest = segments[1:]
        if not rest or rest == [""]:
            return self._search(request, kind)
        short = len(rest) == 1 or rest[1] in _ACTIONS
        name, rest = (rest[0], rest[1:]) if short else ("/".join(rest[:2]), rest[2:])
        if request.method == "POST" and rest[:1] != ["paths-info"]:
            raise refusal(403, t("This mirror is read-only for the Hub's clients"))
        return await self._action(request, kind, name, rest)

    async def _action(
        self, request: HttpRequest, kind: str, name: str, rest: list[str]
    ) -> HttpResponse:
        action = rest[0] if rest else ""
        if action not in {"", *_ACTIONS} or action in {"xet-read-token", "discussions"}:
            self.lookup.held(request, kind, name)
            raise refusal(404, t("This mirror has no {action}", action=action))
        found, path = await self.lookup.commit(request, kind, name, rest[1:] or ["main"])
        if action in {"", "revision"}:
            if path:
                raise refusal(
                    404, t("No revision {rest}", rest="/".join(rest[1:])), "RevisionNotFound"
                )
            return await self._info(request, found)
        if action == "auth-check":
            return json_response({"ok": True})
        if action == "refs":
            return json_response(refs_of(found.repo))
        if action == "commits":
            return json_response([_commit_entry(found.snapshot.commit)])
        if action == "tree":
            return self._tree(request, found.snapshot, path)
        if action == "treesize":
            sizes = [e.size for p, e in found.snapshot.files.items() if _is_below(p, path)]
            return json_response({"path": f"/{path}", "size": sum(sizes)})
        return await self._paths_info(request, found.snapshot)

    def _search(self, request: HttpRequest, kind: str) -> HttpResponse:
        words, author = request.params.get("search", "").lower(), request.params.get("author")
        limit = request.whole_number("limit", 1000, 0, 1000)
        found = [
            described(repo, repo.latest().commit, request.identity)
            for repo in self.lookup.view.repos(kind, request.identity)
            if repo.snapshots
            and words in repo.id.lower()
            and author in (None, repo.id.partition("/")[0])
        ]
        return json_response(found[:limit])

    async def _info(self, request: HttpRequest, found: RepoCommit) -> HttpResponse:
        repo, snapshot = found.repo, found.snapshot
        card = await self.lookup.card(snapshot)
        told = described(repo, snapshot.commit, request.identity)
        info: dict[str, object] = {**told, **card, **repo.info}
        info["siblings"] = [
            entry.sibling(request.truth("blobs")) for entry in snapshot.files.values()
        ]
        info["usedStorage"] = sum(entry.size for entry in snapshot.files.values())
        return json_response(info, word_of(snapshot))

    def _tree(self, request: HttpRequest, snapshot: Snapshot, folder: str) -> HttpResponse:
        folder = folder.strip("/")
        try:
            paths = snapshot.listing(folder, request.truth("recursive"))
        except KeyError:
            raise missing(folder, snapshot.commit) from None
        limit = request.whole_number("limit", PAGE, 1, MAX_PAGE)
        cursor = request.params.get("cursor", "")
        if cursor:
            last = _uncursor(cursor)
            paths = [path for path in paths if path > last]
        page = paths[:limit]
        headers = word_of(snapshot)
        if not snapshot.whole:
            headers[PART_HEADER] = PART
        answer = json_response([_entry(request, snapshot, path) for path in page], headers)
        if len(paths) > limit:
            token = urlsafe_b64encode(page[-1].encode("utf-8", "surrogatepass")).decode()
            query = urlencode({**request.params, "limit": str(limit), "cursor": token})
            answer.headers["Link"] = f'<{request.base}{quote(request.path)}?{query}>; rel="next"'
        return answer

    async def _paths_info(self, request: HttpRequest, snapshot: Snapshot) -> HttpResponse:
        body = await request.body()
        paths: object
        try:
            if "json" in (request.headers("content-type") or ""):
                paths = json_text.loads(body)["paths"]
            else:
                paths = parse_qs(body.decode(), max_num_fields=100_000).get("paths", [])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise refusal(400, t("expected a form or JSON with `paths`")) from None
        if not isinstance(paths, list):
            paths = [paths]
        wanted = [str(path).strip("/") for path in paths]
        headers = {} if snapshot.whole else {PART_HEADER: PART}
        known = [_entry(request, snapshot, path) for path in wanted if path in snapshot.entries]
        return json_response(known, headers)


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _uncursor(text: str) -> str:
    try:
        return urlsafe_b64decode(text.encode("ascii")).decode("utf-8", "surrogatepass")
    except ValueError:
        raise refusal(400, t("this cursor is not one of this mirror's")) from None


def _entry(request: HttpRequest, snapshot: Snapshot, path: str) -> TreeEntryJson:
    entry = snapshot.entries[path]
    if not request.truth("expand"):
        return entry
    commit: LastCommitJson = {
        "id": snapshot.commit,
        "title": t("held by this mirror"),
        "date": _DATE,
    }
    return {**entry, "lastCommit": commit}


def described(repo: Repo, commit: str, identity: Identity) -> RepoInfoJson:
    """What is known of a repository without reading its files."""
    record = repo.record
    tags = record.texts("tags")
    if licence := record.text("license"):
        tags.append(f"license:{licence.lower()}")
    found: RepoInfoJson = {
        "_id": _id_of(repo),
        "id": repo.id,
        "author": repo.id.partition("/")[0] if "/" in repo.id else None,
        "sha": commit,
        "private": bool(identity.name) and record.visibility == "private",
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags,
    }
    if repo.kind == "model":
        found["modelId"] = repo.id
    return found


def _id_of(repo: Repo) -> str:
    return hashlib.sha1(f"{repo.kind}/{repo.id}".encode()).hexdigest()[:24]


def refs_of(repo: Repo) -> RefsJson:
    """Branches and tags; which of them a name is, only its form can tell."""
    found: RefsJson = {"branches": [], "converts": [], "tags": []}
    for name, commit in repo.refs.items():
        group, ref = found["branches"], f"refs/heads/{name}"
        if name.startswith("refs/convert/"):
            group, ref = found["converts"], name
        elif name.startswith("refs/"):
            continue
        elif name[:1] in "v0123456789" and name[1:2].isdigit():
            group, ref = found["tags"], f"refs/tags/{name}"
        group.append({"name": name, "ref": ref, "targetCommit": commit})
    return found


def _commit_entry(commit: str) -> CommitJson:
    return {
        "id": commit,
        "title": t("held by this mirror"),
        "message": "",
        "date": _DATE,
        "authors": [],
    }


def _whoami(request: HttpRequest) -> HttpResponse:
    name = request.identity.name
    if not name:
        raise refusal(401, t("This mirror knows no such token"))
    token = {"displayName": name, "role": "write" if request.identity.upload else "read"}
    return json_response(
        {
            "type": "user",
            "id": "0" * 24,
            "name": name,
            "fullname": name,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": {**token, "createdAt": _DATE}},
        }
    )
