"""Files behind plain URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from fetcher.errors import Failure
from fetcher.fs.patterns import literal_names
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Request,
    Resolved,
    Source,
    asked,
    browser_candidate,
    merge_known,
)
from fetcher.yamldoc.schema import Field, Text

_WEB_PAGE = re.compile(
    r"https?://(?:www\.)?(?:github\.com/[^/]+/[^/]+(?:/?$|/(?:blob|tree)/)"
    r"|huggingface\.co/(?:(?:datasets|spaces)/)?[^/]+/[^/]+(?:/?$|/(?:blob|tree)/))"
)
# What a URL's file is called when neither the URL nor the manifest names it: the layout does.
_UNNAMED = "download"


def _url_complaint(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https", "ftp", "ftps"}:
        return t("is no http, https or ftp URL")
    if parts.password:
        return t("holds a password: put it into ~/.netrc instead")
    if _WEB_PAGE.match(text):
        return t("is a web page, not a file: use a source of type github or huggingface")
    return None


@dataclass(frozen=True)
class Url(Source):
    """A file behind a URL, or several below one that ends in a slash."""

    url: str

    type: ClassVar[str] = "url"
    lists: ClassVar[bool] = False
    fields: ClassVar[dict[str, Field]] = {
        "url": Field(
            Text(r"\S+", "a URL", check=_url_complaint),
            t("http, https or ftp; one that ends in / stands in front of the names in `files`"),
            required=True,
        ),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The URL itself."""
        if complaint := _url_complaint(text):
            raise ValueError(complaint)
        return {"url": text}

    def describe(self) -> str:
        """The URL."""
        return self.url

    @property
    def _is_folder(self) -> bool:
        return urlsplit(self.url).path.endswith("/") and not urlsplit(self.url).query

    def names(self, request: Request) -> list[str]:
        """The files' names: those of the manifest, else the URL's last segment."""
        names = literal_names(request.files, request.exclude)
        if self._is_folder or (names and len(names) > 1):
            if not names or not self._is_folder:
                raise Failure(
                    "missing-upstream",
                    t(
                        "{url}: only a URL that ends in / has several files, named in `files`",
                        url=self.url,
                    ),
                    t("name the files (no globs: a web server cannot list), or end the URL in /"),
                )
            return names
        if names:
            return names
        name = unquote(urlsplit(self.url).path.rpartition("/")[2])
        try:
            return [check_relative(name)]
        except BadPath:
            return [_UNNAMED]

    def _location(self, name: str) -> str:
        return self.url + quote(name) if self._is_folder else self.url

    def admits(self, revision: str) -> bool:
        """There are no revisions."""
        return not revision

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Names from the manifest; a size, where it is not known, from one HEAD each."""
        files = []
        said_by = ""
        for name in self.names(request):
            entry = merge_known(FileEntry(name), request, self.describe())
            if entry.size is None and self._location(name).startswith("http"):
                entry = entry._replace(size=self._size(name, network))
                if entry.size is not None:
                    said_by = asked(urljoin(self.url, "/"))
            files.append(entry)
        return Resolved("", sorted(files), said_by=said_by)

    def _size(self, name: str, network: Network) -> int | None:
        url = self._location(name)
        answer = network.request(
            url, method="HEAD", headers=[("Accept-Encoding", "identity")], patience=5
        )
        if answer.status in {404, 410}:
            raise Failure(
                "not-found",
                t("{url} is not there (HTTP {status})", url=public_url(url), status=answer.status),
            )
        length = answer.headers.get("content-length", "")
        plain = answer.status == 200 and "content-encoding" not in answer.headers
        page = answer.headers.get("content-type", "").startswith("text/html")
        told = plain and not page and re.fullmatch(r"\d{1,15}", length)
        return (int(length) or None) if told else None

    def check_access(self, network: Network) -> bool:
        """One HEAD, where there is one URL to ask."""
        if self._is_folder or not self.url.startswith("http"):
            return False
        answer = network.request(self.url, method="HEAD", patience=5)
        if answer.status in {401, 403}:
            raise Failure(
                "auth",
                t(
                    "{url}: access denied (HTTP {status})",
                    url=public_url(self.url),
                    status=answer.status,
                ),
            )
        if answer.status in {404, 410}:
            raise Failure("not-found", t("{url} is not there", url=public_url(self.url)))
        return answer.status == 200

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The URL."""
        return [browser_candidate(self.type, self._location(file.path), file.path)]
