"""Addresses: what they are for our rules, and how they are shown."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urljoin, urlsplit

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t

Origin = tuple[str, str, int]
_PORTS = {"https": 443, "http": 80, "ftp": 21, "ftps": 990}
# What two parsers could read in two ways is no URL here: a token might go to the wrong host.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")


def origin_of(url: str) -> Origin:
    """Scheme, host and port of a URL. Raises Failure if it has none."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
        port = _PORTS.get(scheme, 0) if parts.port is None else parts.port
    except ValueError:
        scheme, host, port = "", "", 0
    encoded = "%" in host and ":" not in host  # some decode it, and ask another host
    if scheme not in _PORTS or not host or not port or encoded or _AMBIGUOUS.search(url):
        shown = printable(url if len(url) <= 200 else url[:200] + "…")
        raise Failure(
            "refused", t("{shown!r} is no http, https or ftp URL", shown=shown.partition("?")[0])
        )
    return scheme, host, port


def joined(base: str, reference: str) -> str:
    """Where a reference in the answer of `base` leads. Raises Failure for one that is no URL."""
    try:
        return urljoin(base, reference)
    except ValueError:  # brackets that hold no IPv6 address
        raise Failure(
            "refused", t("{base} leads to what is no URL", base=public_url(base))
        ) from None


def host_of(url: str) -> str:
    """Host and, unless it is the scheme's own, port: as people write it."""
    scheme, host, port = origin_of(url)
    host = f"[{host}]" if ":" in host else host
    return host if port == _PORTS[scheme] else f"{host}:{port}"


def public_url(url: str) -> str:
    """A URL without user, password and query, fit for messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return printable(url.partition("?")[0].rpartition("@")[2])
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def ascii_url(url: str) -> bytes:
    """The URL for libcurl: non-ASCII parts of its path and query percent-encoded."""
    start = -1 if url.isascii() else url.find("/", url.find("://") + 3)
    if start >= 0:
        url = url[:start] + quote(url[start:], safe="!#$%&'()*+,/:;=?@[]~")
    return url.encode("utf-8")


def without_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without user and password, and these, if it had any."""
    start = url.find("://") + 3
    stop = next((i for i in range(start, len(url)) if url[i] in "/?#"), len(url))
    login, at, host = url[start:stop].rpartition("@")
    if not at:
        return url, None
    user, _, password = login.partition(":")
    return url[:start] + host + url[stop:], (unquote(user), unquote(password))
