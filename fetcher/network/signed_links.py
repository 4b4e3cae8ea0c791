"""Links that carry their own permission for a while: those of S3, GCS, Azure, CDNs.

What a link says of itself is a hint for messages; the server's answer decides.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# One of these is enough …
_SIGNATURES = frozenset(
    {
        "x-amz-signature",
        "x-goog-signature",
        "x-oss-signature",
        "x-obs-signature",
        "q-signature",
        "signature",
        "sig",
        "hdnts",
        "hdnea",
        "__gda__",
        "__token__",
    }
)
# … or one of these beside a time.
_TOKENS = frozenset({"token", "md5", "hash", "hmac", "sign", "policy", "st"})
_TIMES = ("expires", "exp", "expiry", "expire", "se", "e")
_PARTS = frozenset(
    {"awsaccesskeyid", "googleaccessid", "ossaccesskeyid", "key-pair-id", "security-token"}
    | {"sp", "sr", "sv", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv", "sip"}
    | {"q-ak", "q-sign-algorithm", "q-sign-time", "q-key-time", "q-header-list", "q-url-param-list"}
)
_VENDORS = ("x-amz-", "x-goog-", "x-oss-", "x-obs-", "x-cos-", "x-xet-")
_STAMP = re.compile(r"(\d{8}T\d{6})Z")
_REFUSED = re.compile(
    r"expired|signature|authenticationfailed|policy|requesttimetooskewed|invalid\W?token",
    re.IGNORECASE,
)


def is_signed(url: str) -> bool:
    """Whether a URL's query holds a signature that only whoever made it can renew."""
    names = {name.lower() for name, _ in _query(url)}
    return bool(names & _SIGNATURES) or bool(names & _TOKENS and names.intersection(_TIMES))


def ends_at(url: str) -> float | None:
    """When a signed link says that it ends, in seconds since 1970; None if it does not say."""
    from calendar import timegm  # which loads datetime

    found = {name.lower(): value for name, value in _query(url)}
    for vendor in ("amz", "goog", "oss"):
        made = _STAMP.fullmatch(found.get(f"x-{vendor}-date", ""))
        span = found.get(f"x-{vendor}-expires", "")
        if made and re.fullmatch(r"\d{1,9}", span):
            with suppress(ValueError):
                return timegm(time.strptime(made[1], "%Y%m%dT%H%M%S")) + float(span)
    for name in _TIMES:
        text = found.get(name, "")
        if re.fullmatch(r"\d{9,11}", text):
            return float(text)
        with suppress(ValueError):
            return float(timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    return None


def unsigned(url: str) -> str:
    """The URL without what signing put into it: the same for each link to one object."""
    if not is_signed(url):
        return url
    kept = [
        (name, value)
        for name, value in _query(url)
        if not (
            name.lower() in _SIGNATURES | _TOKENS | _PARTS
            or name.lower() in _TIMES
            or name.lower().startswith(_VENDORS)
        )
    ]
    return urlunsplit(urlsplit(url)._replace(query=urlencode(kept)))


def says_refused(text: str) -> bool:
    """Whether a server's words beside a refusal are about the link: its time, its signature."""
    return _REFUSED.search(text) is not None


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []
