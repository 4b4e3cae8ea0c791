"""libcurl under our rules: how a handle is set up, and what its answers say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pycurl

from fetcher.network.credentials import Trust
from fetcher.network.outgoing import USER_AGENT, Outgoing
from fetcher.network.retry import STALL_SECONDS
from fetcher.network.urls import ascii_url

if TYPE_CHECKING:
    from http.cookiejar import Cookie


def set_up(curl: Any, connect_timeout: float, slowest: int) -> None:
    """Set what holds for every request of a handle's life.

    A transfer that brings fewer than `slowest` bytes per second for STALL_SECONDS has failed.
    """
    protocols = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS | pycurl.PROTO_FTP | pycurl.PROTO_FTPS
    curl.setopt(pycurl.PROTOCOLS, protocols)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.USERAGENT, USER_AGENT)
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    curl.setopt(pycurl.NOPROXY, "")
    curl.setopt(pycurl.CONNECTTIMEOUT, int(connect_timeout))
    curl.setopt(pycurl.LOW_SPEED_LIMIT, slowest)
    curl.setopt(pycurl.LOW_SPEED_TIME, STALL_SECONDS)


def aim(curl: Any, request: Outgoing, trust: Trust | None) -> None:
    """Set what is for one request; `trust` is needed where TLS is."""
    curl.setopt(pycurl.URL, ascii_url(request.url))
    curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in request.headers])
    curl.setopt(pycurl.PROXY, request.proxy)
    if request.login is None:
        curl.unsetopt(pycurl.USERPWD)
    else:
        curl.setopt(pycurl.USERNAME, request.login[0])
        curl.setopt(pycurl.PASSWORD, request.login[1])
    if trust is not None:
        _set_path(curl, pycurl.CAINFO, trust.file)
        _set_path(curl, pycurl.CAPATH, trust.folder)
        if request.proxy.startswith("https"):
            _set_path(curl, pycurl.PROXY_CAINFO, trust.file)
            _set_path(curl, pycurl.PROXY_CAPATH, trust.folder)


def _set_path(curl: Any, option: int, path: str) -> None:
    if path:
        curl.setopt(option, path)
    else:  # no authorities that libcurl was built with, beside those that were named
        curl.unsetopt(option)


def parse_header(headers: dict[str, str], line: bytes) -> None:
    """Add one raw header line to `headers`; a status line starts them anew."""
    text = line.decode("latin-1").strip()
    if text.startswith("HTTP/"):
        headers.clear()
        return
    name, colon, value = text.partition(":")
    if colon:
        headers[name.strip().lower()] = value.strip()


def as_line(cookie: Cookie) -> str:
    """A cookie as libcurl's COOKIELIST takes it: one line of Netscape's format."""
    host = cookie.domain.removesuffix(".local")  # what the standard library makes of a bare name
    fields = (
        host.lstrip("."),
        "FALSE",
        cookie.path or "/",
        "TRUE" if cookie.secure else "FALSE",
        str(cookie.expires or 0),
        cookie.name,
        cookie.value or "",
    )
    return "\t".join(field.replace("\t", " ") for field in fields)


def redirect_target(curl: Any) -> str:
    """The absolute address that a 3xx answer points at, "" if it names none."""
    location: bytes | None = curl.getinfo_raw(pycurl.REDIRECT_URL)
    return (location or b"").decode("utf-8", "replace")
