"""Files in answers: their headers, whatever address led to them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from fetcher.server.http import Content, HttpResponse, Live, refusal
from fetcher.server.repos import RepoFile, Snapshot

WORD_HEADER = "X-Fetch-Word"
# Files come from outside: what a browser would run as a page of this server is no such type.
_TEXT = {"txt", "json", "jsonl", "md", "py", "yaml", "yml", "csv", "tsv", "cfg", "toml", "jinja"}
_IMAGES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp"}


def media_type(path: str) -> str:
    """The content type of a file by its name."""
    suffix = path.rpartition("/")[2].rpartition(".")[2].lower()
    if suffix in _TEXT:
        return "text/plain; charset=utf-8"
    return f"image/{_IMAGES[suffix]}" if suffix in _IMAGES else "application/octet-stream"


def disposition(path: str) -> str:
    """The Content-Disposition of a file."""
    name = path.rpartition("/")[2]
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"inline; filename*=UTF-8''{encoded}; filename=\"{plain}\";"


def word_of(what: RepoFile | Snapshot) -> dict[str, str]:
    """Whether it is shown on the word of the source, or of a project or bundle alone."""
    return {WORD_HEADER: "claim" if what.claimed else "source"}


def file_response(
    entry: RepoFile,
    content: Content | None,
    headers: Mapping[str, str] | None = None,
    live: Live | None = None,
) -> HttpResponse:
    """A file that is here, or that arrives while it is sent. Raises HttpError if it is neither."""
    found = {
        **(headers or {}),
        "ETag": f'"{entry.etag}"',
        "Content-Type": media_type(entry.path),
        "Content-Disposition": disposition(entry.path),
        "X-Content-Type-Options": "nosniff",
    }
    if content is not None:
        return HttpResponse(200, found, content)
    if live is not None:
        return HttpResponse(200, found, live=live, size=entry.size)
    raise refusal(503, f"{entry.path} is not here any more", headers={"Retry-After": "5"})
