"""Files and folders behind share links of Dropbox, OneDrive and SharePoint, without an account.

The link of a page is turned into that of the bytes. Of one file nothing is told beforehand but,
where the server likes, a name and a size; a link that has ended, or wants an account, answers with
a page. A folder of SharePoint or OneDrive is listed; one of Dropbox comes as an archive.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    FileEntry,
    Request,
    Resolved,
    UrlCandidate,
    asked,
    browser_candidate,
    choose,
)
from fetcher.sources.share_folders import ONEDRIVE_API, Shared, of_onedrive, of_sharepoint
from fetcher.sources.url import Url
from fetcher.yamldoc.schema import Field, Text

_DROPBOX = {"dropbox.com", "www.dropbox.com", "dl.dropbox.com"}
_ONEDRIVE = {"1drv.ms", "onedrive.live.com"}


def _with_query(url: str, **changed: str) -> str:
    """The URL with these values in its query, in place of those that it has."""
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in changed]
    query = urlencode([*kept, *changed.items()])
    return urlunsplit(parts._replace(query=query, fragment=""))


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return ""
    return host if parts.scheme == "https" and "@" not in parts.netloc else ""


def _dropbox_complaint(url: str) -> str | None:
    if _host(url) not in _DROPBOX:
        return t("is no https link of dropbox.com without a login")
    return None


def _onedrive_complaint(url: str) -> str | None:
    return (
        None if _host(url) in _ONEDRIVE else t("is no https link of 1drv.ms or onedrive.live.com")
    )


def _sharepoint_complaint(url: str) -> str | None:
    if not _host(url).endswith(".sharepoint.com"):
        return t("is no https link of sharepoint.com without a login")
    return None


def _link(check: Callable[[str], str | None]) -> Field:
    described = t("share link of a file or a folder")
    return Field(Text(r"\S+", t("a share link"), check=check), described, True)


@dataclass(frozen=True)
class Share(Url):
    """A share link, whose bytes lie at another address."""

    @property
    def _is_folder(self) -> bool:
        return False

    def page(self, network: Network) -> str:
        """The link itself, for a browser."""
        return self.url

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """Where the bytes are; cookies are kept on the way there."""
        place = browser_candidate(self.type, self.url, file.path)
        return [place._replace(url=self._location(file.path))]


class FolderShare(Share):
    """A share link whose folder can be listed, if it is one."""

    @property
    def _lists_folder(self) -> bool:
        raise NotImplementedError

    def _read(self, network: Network) -> Mapping[str, Shared]:
        """The folder's files by their paths. Raises Failure."""
        raise NotImplementedError

    def _listed(self, network: Network) -> Mapping[str, Shared]:
        return network.once(self.describe(), lambda: self._read(network), links=True)

    def resolve(self, request: Request, network: Network) -> Resolved:
        """One call for each folder; of one file what a server says in passing. Raises Failure."""
        if not self._lists_folder:
            return super().resolve(request, network)
        entries = {path: shared.entry for path, shared in self._listed(network).items()}
        files = choose(entries, request, self.describe())
        return Resolved("", files, said_by=asked(urljoin(self.url, "/")))

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """Where the bytes are; of a folder's file once the link has been opened."""
        if not self._lists_folder:
            return super().candidates(revision, file, network)
        return [DeferredCandidate(self.type, lambda net: self._prepared(file, net))]

    def _prepared(self, file: FileEntry, network: Network) -> UrlCandidate:
        found = self._listed(network).get(file.path)
        if found is None:
            text = t("{source} has no {path}", source=self.describe(), path=file.path)
            raise Failure("missing-upstream", text)
        place = browser_candidate(self.type, self.url, file.path)
        return place._replace(url=found.url)

    def check_access(self, network: Network) -> bool:
        """Ask for the folder's list, or for the file's address."""
        if not self._lists_folder:
            return super().check_access(network)
        self._listed(network)
        return True


@dataclass(frozen=True)
class Dropbox(Share):
    """`dropbox:` and the share link of one file, or of a folder, which comes as a zip."""

    type: ClassVar[str] = "dropbox"
    fields: ClassVar[dict[str, Field]] = {
        "url": _link(_dropbox_complaint),
    }

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A share link, whatever its `dl` says."""
        if not re.match(r"/(?:s|scl|sh|u)/", urlsplit(url).path):
            return None
        return cls.from_short(url)

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The link."""
        if complaint := _dropbox_complaint(text):
            raise ValueError(complaint)
        return {"url": text}

    @property
    def packs_anew(self) -> bool:
        """A folder is packed for each who asks."""
        return bool(re.match(r"/(?:sh|scl/fo)/", urlsplit(self.url).path))

    def names(self, request: Request) -> list[str]:
        """A folder's link ends in an id."""
        return super().names(request) if request.files or not self.packs_anew else [""]

    def _location(self, name: str) -> str:
        return _with_query(self.url, dl="1")


@dataclass(frozen=True)
class SharePoint(FolderShare):
    """`sharepoint:` and the share link of one file or folder."""

    type: ClassVar[str] = "sharepoint"
    fields: ClassVar[dict[str, Field]] = {
        "url": _link(_sharepoint_complaint),
    }

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A share link (`/:u:/g/…`)."""
        return cls.from_short(url) if re.match(r"/:\w:/", urlsplit(url).path) else None

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The link."""
        if complaint := _sharepoint_complaint(text):
            raise ValueError(complaint)
        return {"url": text}

    def names(self, request: Request) -> list[str]:
        """The manifest's name; the link's last segment is an id."""
        return super().names(request) if request.files else [""]

    @property
    def _lists_folder(self) -> bool:
        return urlsplit(self.url).path.startswith("/:f:/")

    def _read(self, network: Network) -> Mapping[str, Shared]:
        return of_sharepoint(self.url, network)

    def _location(self, name: str) -> str:
        return _with_query(self.url, download="1")


@dataclass(frozen=True)
class OneDrive(FolderShare):
    """`onedrive:` and the share link of one file or folder."""

    type: ClassVar[str] = "onedrive"
    fields: ClassVar[dict[str, Field]] = {
        "url": _link(_onedrive_complaint),
    }

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """Any link of it."""
        return cls.from_short(url)

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The link."""
        if complaint := _onedrive_complaint(text):
            raise ValueError(complaint)
        return {"url": text}

    def names(self, request: Request) -> list[str]:
        """The manifest's name; the link's last segment is an id."""
        return super().names(request) if request.files else [""]

    @property
    def _lists_folder(self) -> bool:
        return _host(self.url) == "1drv.ms" and urlsplit(self.url).path.startswith("/f/")

    @property
    def _share(self) -> str:
        """The API's name for what a share link leads to."""
        return "u!" + base64.urlsafe_b64encode(self.url.encode()).decode().rstrip("=")

    def _read(self, network: Network) -> Mapping[str, Shared]:
        return of_onedrive(self.url, self._share, network)

    def _location(self, name: str) -> str:
        return f"{ONEDRIVE_API}/{self._share}/root/content"
