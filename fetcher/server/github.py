"""GitHub's file addresses, for clients whose requests are rewritten to this mirror.

/gh/OWNER/REPO/REF/PATH                     raw.githubusercontent.com, media.…/media
/gh/OWNER/REPO/raw/REF/PATH                 github.com
/gh/OWNER/REPO/releases/download/TAG/FILE   github.com
"""

from __future__ import annotations

from fetcher.server.files import file_response, word_of
from fetcher.server.http import HttpRequest, HttpResponse, refusal
from fetcher.server.lookup import Lookup, missing
from fetcher.server.repos import Repo, RepoFile, Snapshot


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
    return file_response(entry, lookup.content(entry), word_of(entry))


def _find(repo: Repo, rest: list[str]) -> RepoFile | None:
    """The file of an address, None if it is not held. Raises HttpError for what is disputed."""
    if rest[:2] == ["releases", "download"] and len(rest) > 3:
        return _in(repo.releases.get("/".join(rest[2:-1])), rest[-1])
    found = _at(repo, rest)
    if found is None and rest[0] in {"raw", "blob"} and len(rest) > 2:
        found = _at(repo, rest[1:])
    return found


def _at(repo: Repo, rest: list[str]) -> RepoFile | None:
    revision, path = repo.split(rest)
    if why := repo.dispute(revision):
        raise refusal(409, why)
    return _in(repo.find(revision), path)


def _in(snapshot: Snapshot | None, path: str) -> RepoFile | None:
    if snapshot is None:
        return None
    if why := snapshot.disputed.get(path):
        raise refusal(409, why)
    return snapshot.files.get(path)
