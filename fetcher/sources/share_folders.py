"""What lies in shared folders of SharePoint and OneDrive, asked of them without an account."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from fetcher.errors import Failure
from fetcher.fs import published
from fetcher.i18n import t
from fetcher.network.session import Network, Response
from fetcher.sources.base import FileEntry, shown, sound_size
from fetcher.sources.pages import Pages, onward
from fetcher.yamldoc.json_fields import JsonFields

ONEDRIVE_API = "https://api.onedrive.com/v1.0/shares"
_MOST_DEPTH = 40
_JSON = [("Accept", "application/json;odata=nometadata")]


class Shared(NamedTuple):
    """One file of a shared folder, and the address of its bytes."""

    entry: FileEntry
    url: str


class _Child(NamedTuple):
    name: str
    is_folder: bool
    entry: FileEntry
    url: str = ""


def _walk(link: str, children: Callable[[str], Iterator[_Child]]) -> dict[str, Shared]:
    """All files below a folder, whose folders are read one by one. Raises Failure."""
    found: dict[str, Shared] = {}
    pages, waiting = Pages(link), [""]
    while waiting:
        folder = waiting.pop()
        seen = 0
        for child in children(folder):
            seen += 1
            path = f"{folder}/{child.name}" if folder else child.name
            if child.name in {"", ".", ".."} or "/" in child.name or path.count("/") > _MOST_DEPTH:
                raise _wrong(link, child.name)
            if child.is_folder:
                waiting.append(path)
            elif found.setdefault(path, Shared(child.entry._replace(path=path), child.url)) != (
                child.entry._replace(path=path),
                child.url,
            ):
                raise _wrong(link, path)
        pages.add(seen)
    return found


def _wrong(link: str, what: object) -> Failure:
    text = t("{source}: wrong entry for {path} in the listing", source=link, path=shown(what))
    return Failure("refused", text)


def _refused(link: str, answer: Response) -> Failure:
    if answer.status >= 500:
        return Failure("network", t("{source}: HTTP {status}", source=link, status=answer.status))
    text = t("{source} shows no folder: the link has ended, or wants an account", source=link)
    return Failure("link-expired", text, t("open {url} in a browser", url=link))


# SharePoint


def of_sharepoint(link: str, network: Network) -> Mapping[str, Shared]:
    """The files of a folder's link (`/:f:/…`) by their paths. Raises Failure.

    The link gives a cookie and leads to a page that names the folder; its list is asked with that.
    """
    answer = network.request(link)
    parts = urlsplit(answer.url)
    query = parse_qs(parts.query)
    root = next((query[name][0] for name in ("id", "RootFolder") if name in query), "")
    first = root.split("/")
    site = "/".join(first[:3]) if first[1:2] in (["personal"], ["sites"], ["teams"]) else ""
    shows = f"{site}/_layouts/" in unquote(parts.path)
    if answer.status != 200 or not root.startswith(f"{site}/") or ".." in first or not shows:
        raise _refused(link, answer)
    top = f"https://{urlsplit(link).netloc}{quote(site)}"

    def children(folder: str) -> Iterator[_Child]:
        place = f"{root}/{folder}" if folder else root
        named = quote(place.replace("'", "''"), safe="/")
        url = (
            f"{top}/_api/web/GetFolderByServerRelativePath(decodedurl='{named}')"
            "?$expand=Files,Folders"
        )
        listed = network.request(url, headers=_JSON)
        if listed.status != 200:
            raise _refused(link, listed)
        told = JsonFields.of(listed.json())
        for item in told.objects("Folders"):
            yield _Child(item.text("Name"), True, FileEntry(""))
        for item in told.objects("Files"):
            name, length = item.text("Name"), item.text("Length")
            size = int(length) if re.fullmatch(r"\d{1,18}", length) else None
            source = quote(f"{place}/{name}", safe="")
            bytes_at = f"{top}/_layouts/15/download.aspx?SourceUrl={source}"
            yield _Child(name, False, FileEntry(name, size), bytes_at)

    return _walk(link, children)


# OneDrive


def of_onedrive(link: str, share: str, network: Network) -> Mapping[str, Shared]:
    """The files of a folder's link by their paths; `share` is the API's name for it.

    Raises Failure.
    """
    top = f"{ONEDRIVE_API}/{share}"

    def children(folder: str) -> Iterator[_Child]:
        place = f"{top}/root:/{quote(folder)}:" if folder else f"{top}/root"
        url, seen = f"{place}/children?$top=200", set[str]()
        while url:
            if url in seen:
                raise Failure("refused", t("{source}: the listing never ends", source=link))
            seen.add(url)
            listed = network.get_json(url)
            if listed.status != 200:
                raise _refused(link, listed)
            told = JsonFields.of(listed.json())
            for item in told.objects("value"):
                yield _onedrive_child(item, folder, top, link)
            following = told.text("@odata.nextLink")
            url = onward(listed.url, following, network, link) if following else ""

    return _walk(link, children)


def _onedrive_child(item: JsonFields, folder: str, top: str, link: str) -> _Child:
    name, size = item.text("name"), item.get("size")
    if isinstance(item.get("folder"), Mapping):
        return _Child(name, True, FileEntry(""))
    if not name or not sound_size(size):
        raise _wrong(link, item.get("name"))
    hashes = item.object("file").object("hashes")
    digests = {
        kind: text
        for kind, key, length in (("sha256", "sha256Hash", 64), ("sha1", "sha1Hash", 40))
        if re.fullmatch(rf"[0-9a-f]{{{length}}}", text := hashes.text(key).lower())
    }
    sha256 = digests.get("sha256")
    entry = FileEntry(
        name, size, sha256, published=None if sha256 else published.strongest(digests)
    )
    path = quote(f"{folder}/{name}" if folder else name)
    return _Child(name, False, entry, f"{top}/root:/{path}:/content")
