"""Files behind share links of Dropbox, OneDrive and SharePoint, without an account.

The link of a page is turned into that of the bytes. Nothing is told beforehand but, where the
server likes, a name and a size; a link that has ended, or wants an account, answers with a page.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import Candidate, FileEntry, Request, browser_candidate
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
    if re.match(r"/(?:sh|scl/fo)/", urlsplit(url).path):
        return t("is the link of a folder, which comes as a zip: share each file")
    return None


def _onedrive_complaint(url: str) -> str | None:
    return (
        None if _host(url) in _ONEDRIVE else t("is no https link of 1drv.ms or onedrive.live.com")
    )


def _sharepoint_complaint(url: str) -> str | None:
    if not _host(url).endswith(".sharepoint.com"):
        return t("is no https link of sharepoint.com without a login")
    if re.match(r"/:f:/", urlsplit(url).path):
        return t("is the link of a folder: share each file")
    return None


def _link(check: Callable[[str], str | None]) -> Field:
    return Field(Text(r"\S+", t("a share link"), check=check), t("share link of a file"), True)


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


@dataclass(frozen=True)
class Dropbox(Share):
    """`dropbox:` and the share link of one file."""

    type: ClassVar[str] = "dropbox"
    fields: ClassVar[dict[str, Field]] = {
        "url": _link(_dropbox_complaint),
    }

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A share link, whatever its `dl` says. ValueError for a folder's."""
        if not re.match(r"/(?:s|scl|sh|u)/", urlsplit(url).path):
            return None
        return cls.from_short(url)

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The link."""
        if complaint := _dropbox_complaint(text):
            raise ValueError(complaint)
        return {"url": text}

    def _location(self, name: str) -> str:
        return _with_query(self.url, dl="1")


@dataclass(frozen=True)
class SharePoint(Share):
    """`sharepoint:` and the share link of one file."""

    type: ClassVar[str] = "sharepoint"
    fields: ClassVar[dict[str, Field]] = {
        "url": _link(_sharepoint_complaint),
    }

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A share link (`/:u:/g/…`). ValueError for a folder's."""
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

    def _location(self, name: str) -> str:
        return _with_query(self.url, download="1")


@dataclass(frozen=True)
class OneDrive(Share):
    """`onedrive:` and the share link of one file."""

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

    def _location(self, name: str) -> str:
        # The API's name for what a share link leads to.
        encoded = base64.urlsafe_b64encode(self.url.encode()).decode().rstrip("=")
        return f"https://api.onedrive.com/v1.0/shares/u!{encoded}/root/content"
