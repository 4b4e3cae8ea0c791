"""Files behind plain URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from fetcher.errors import Failure
from fetcher.fs.patterns import literal_names
from fetcher.i18n import t
from fetcher.network.disposition import has_ending, safe_name, server_name
from fetcher.network.session import Network, Response
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
_REFUSALS = {401, 403, 404, 410}


def _url_complaint(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https", "ftp", "ftps"}:
        return t("is no http, https or ftp URL")
    if "@" in parts.netloc:
        return t("holds a login: put it into ~/.netrc instead")
    if _WEB_PAGE.match(text):
        return t("is a web page, not a file: use a source of type github or huggingface")
    return None


def _status_of(place: str, network: Network) -> int:
    """What a server says of an address in passing: an HTTP status, 0 for no answer. A refusal
    counts if GET gets it as well."""
    answer = network.head(place)
    if answer is not None and answer.status in _REFUSALS:
        answer = network.head(place, by_get=True)
    return 0 if answer is None else answer.status


def _refusal(place: str, status: int, network: Network) -> Failure:
    shown = public_url(place)
    if status in {404, 410}:
        return Failure("not-found", t("{url} is not there", url=shown))
    login = "" if network.takes_token(place) else t("put a login for its host into ~/.netrc")
    if login and network.sends_login(network.rewrite(place)):
        login = t("the login for its host in ~/.netrc is not let in: correct it")
    text = t("{url}: access denied (HTTP {status})", url=shown, status=status)
    return Failure("auth", text, login)


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
        """The files' names: those of the manifest, else the URL's last segment, "" for none."""
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
        return [safe_name(unquote(urlsplit(self.url).path.rpartition("/")[2]))]

    def _location(self, name: str) -> str:
        return self.url + quote(name) if self._is_folder else self.url

    def beside(self) -> Source:
        """The folder of the file."""
        return self if self._is_folder else Url(urljoin(self.url, "."))

    def admits(self, revision: str) -> bool:
        """There are no revisions."""
        return not revision

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Names from the manifest or the URL, else from the server; a size as a hint.

        Nothing here needs an answer: the transfer tells whether there is a file.
        """
        files = []
        said_by = ""
        for name in self.names(request):
            entry = merge_known(FileEntry(name), request, self.describe())
            unnamed = not request.files and not has_ending(name)
            unmeasured = entry.size is None and not entry.sha256
            asks = self._location(name).startswith("http") and (unnamed or unmeasured)
            answer = network.head(self._location(name)) if asks else None
            if unnamed:
                entry = entry._replace(path=self._named(name, answer, network))
            if answer is not None and unmeasured:
                size = _size(answer)
                entry = entry._replace(size=size, size_hint=size is not None)
                said_by = asked(urljoin(self.url, "/")) if size is not None else said_by
            files.append(entry)
        return Resolved("", sorted(files), said_by=said_by)

    def _named(self, name: str, answer: Response | None, network: Network) -> str:
        """What the server calls a file that its address does not name."""
        told = _name(answer)
        if not told and self.url.startswith("http"):
            # Some refuse HEAD; one byte is asked for, and no more is waited for than a hint is.
            told = _name(network.head(self._location(name), by_get=True))
        return told or name or _UNNAMED

    def check_access(self, network: Network) -> bool:
        """One HEAD, where there is one URL to ask; a refusal counts if GET gets it as well."""
        if self._is_folder or not self.url.startswith("http"):
            return False
        status = _status_of(self._location(""), network)
        if status in _REFUSALS:
            raise _refusal(self.url, status, network)
        return status in {200, 206}

    def ask_for_each(self, request: Request, network: Network) -> tuple[bool, list[Failure]]:
        """Whether the server answered for every file, and which it refused. Raises Failure for
        names that cannot be asked for."""
        places = [self._location(name) for name in self.names(request)]
        told = [(place, _status_of(place, network)) for place in places]
        refused = [
            _refusal(place, status, network) for place, status in told if status in _REFUSALS
        ]
        return all(status for _, status in told), refused

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The URL."""
        return [browser_candidate(self.type, self._location(file.path), file.path)]


def _size(answer: Response) -> int | None:
    """The bytes that an answer to HEAD tells of, if it is about a file."""
    length = answer.headers.get("content-length", "")
    plain = answer.status == 200 and "content-encoding" not in answer.headers
    page = answer.headers.get("content-type", "").startswith("text/html")
    told = plain and not page and re.fullmatch(r"\d{1,15}", length)
    return (int(length) or None) if told else None


def _name(answer: Response | None) -> str:
    sound = answer is not None and answer.status in {200, 206}
    return server_name(answer.headers, answer.url) if answer is not None and sound else ""
