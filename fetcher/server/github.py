"""GitHub's file addresses, for clients whose requests are rewritten to this mirror.

/gh/OWNER/REPO/REF/PATH                     raw.githubusercontent.com, media.…/media
/gh/OWNER/REPO/raw/REF/PATH                 github.com
/gh/OWNER/REPO/releases/download/TAG/FILE   github.com
"""

from __future__ import annotations

from fetcher.server.files import file_response
from fetcher.server.http import HttpRequest, HttpResponse
from fetcher.server.lookup import Lookup, missing
from fetcher.server.repos import Repo, RepoFile


def github_file(request: HttpRequest, lookup: Lookup) -> HttpResponse:
    """A file of a GitHub repository or release. A file in Git LFS is the file, not its pointer."""
    _, owner, name, *rest = [*request.segments, "", ""]
    rest = rest[:-2]
    if not (owner and name and rest):
        raise missing("/".join(request.segments))
    repo = lookup.held(request, "github", f"{owner}/{name}")
    entry = _find(repo, rest)
    if entry is None:
        raise missing("/".join(rest))
    return file_response(entry, lookup.content(entry))


def _find(repo: Repo, rest: list[str]) -> RepoFile | None:
    if rest[:2] == ["releases", "download"] and len(rest) > 3:
        release = repo.releases.get("/".join(rest[2:-1]))
        return release.files.get(rest[-1]) if release else None
    found = _at(repo, rest)
    if found is None and rest[0] in {"raw", "blob"} and len(rest) > 2:
        found = _at(repo, rest[1:])
    return found


def _at(repo: Repo, rest: list[str]) -> RepoFile | None:
    revision, path = repo.split(rest)
    snapshot = repo.find(revision)
    return snapshot.files.get(path) if snapshot else None
