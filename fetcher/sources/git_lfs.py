"""Git LFS: pointers, which stand in git for what lies elsewhere, and how that is asked for."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.session import Network, Response
from fetcher.sources.base import FileEntry, UrlCandidate

# How many bytes a pointer may have.
POINTER_SIZES = range(110, 400)
_MIME = "application/vnd.git-lfs+json"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)


class Pointer(NamedTuple):
    """What a pointer says of the content: its sha256 and its size in bytes."""

    sha256: str
    size: int


def pointer(content: bytes) -> Pointer | None:
    """What stands in a pointer, None for any other content."""
    found = _POINTER.fullmatch(content)
    return Pointer(found[1].decode(), int(found[2])) if found else None


def answer_of_batch(repository: str, file: FileEntry, network: Network) -> tuple[str, Response]:
    """The question for one object, and its answer; `repository` is its address without `.git`."""
    body = {
        "operation": "download",
        "transfers": ["basic"],
        "objects": [{"oid": file.sha256, "size": file.size}],
    }
    url = f"{repository}.git/info/lfs/objects/batch"
    answer = network.request(
        url,
        method="POST",
        headers=[("Accept", _MIME), ("Content-Type", _MIME)],
        data=json.dumps(body).encode(),
    )
    return url, answer


def place_of(
    url: str, answer: Response, file: FileEntry, origin: str, network: Network
) -> UrlCandidate | None:
    """Where the object's bytes are, None if LFS does not have it. Raises Failure."""
    try:
        action = answer.json()["objects"][0]["actions"]["download"]
        headers = tuple((str(k), str(v)) for k, v in (action.get("header") or {}).items())
        network.redirected(network.rewrite(url), str(action["href"]))  # no step to plain http
        return UrlCandidate(origin, str(action["href"]), headers)
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def not_there(where: str, path: str) -> Failure:
    """LFS has no object for a pointer."""
    return Failure("missing-upstream", t("{repo}: LFS has no {path}", repo=where, path=path))
