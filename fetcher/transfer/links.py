"""What a refusal says of a link: one that a redirect or an API gave is asked for again, one that
the manifest itself gives is not."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fetcher.errors import Failure
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.network.error_text import error_text
from fetcher.network.signed_links import ends_at, is_signed, says_refused
from fetcher.network.urls import public_url
from fetcher.sources.base import UrlCandidate

if TYPE_CHECKING:
    from fetcher.transfer.download import Download

_SHOWN = 120  # characters of what a server says


class Renew(NamedTuple):
    """A link that somebody gave is refused: ask for another."""

    failure: Failure


class Linked(Protocol):
    """What a request has left behind, as far as its link goes; a Connection.

    `hops`: redirects so far. `link`: what it began with, see Download.link. `derived`: an API gave
    its address. `candidate`: the place that it belongs to.
    """

    url: str
    host: str
    hops: int
    link: object
    derived: bool
    candidate: UrlCandidate | None

    def headers(self) -> dict[str, str]:
        """The answer's headers."""

    def head(self) -> bytes:
        """The first bytes of a body that is not the file."""


def served(ended: Linked, download: Download) -> bool:
    """Whether the link of a request has brought bytes, or is no longer the newest."""
    return bool(ended.link) and (ended.link != download.link or download.link_uses > 0)


def refused_link(
    ended: Linked, download: Download, status: int, refusal: Failure
) -> Failure | Renew:
    """What a refusal means that would be `refusal` of an address that nobody has signed."""
    if _is_refused(ended, status):
        plain = not (ended.hops or _is_signed(ended) or served(ended, download))
        told = plain or refusal.problem.code == "link-expired"
        return Renew(refusal if told else _given(ended, status))
    own = not (ended.hops or ended.derived) and is_signed(ended.url)
    return _own(ended, status) if own and _is_about_link(ended, status) else refusal


def _is_refused(ended: Linked, status: int) -> bool:
    """Whether it is about a link that a redirect or an API gave, not about a login."""
    headers = ended.headers()
    if not (ended.hops or ended.derived) or "x-error-code" in headers:
        return False
    if status == 401 and "www-authenticate" in headers:
        return _is_signed(ended)
    return _is_about_link(ended, status)


def _is_about_link(ended: Linked, status: int) -> bool:
    if status == 400:
        return says_refused(error_text(ended.headers(), ended.head()))
    return status in {401, 403, 410}


def _is_signed(ended: Linked) -> bool:
    """Whether what was asked for carries a permission of its own."""
    candidate = ended.candidate
    headers = candidate.headers if ended.derived and candidate is not None else ()
    return is_signed(ended.url) or any(name.lower() == "authorization" for name, _ in headers)


def _given(ended: Linked, status: int) -> Failure:
    candidate = ended.candidate
    text = t(
        "{where}: {host} refuses the link that is given for it ({why})",
        where=public_url(candidate.url) if candidate is not None else ended.host,
        host=ended.host,
        why=_why(ended, status),
    )
    hint = t("run again later: what is there is kept; if it stays so, only that site can mend it")
    return Failure("link-expired", text, hint)


def _own(ended: Linked, status: int) -> Failure:
    where, ends, why = public_url(ended.url), ends_at(ended.url), _why(ended, status)
    if ends is not None and ends < time.time():
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(ends))
        text = t(
            "{where}: the signed link ended at {moment} ({why})",
            where=where,
            moment=moment,
            why=why,
        )
    else:
        text = t(
            "{where}: the signed link is refused: it has expired, or was changed ({why})",
            where=where,
            why=why,
        )
    hint = t("only who made the link can renew it: ask for another, and put it into the manifest")
    return Failure("link-expired", text, hint)


def _why(ended: Linked, status: int) -> str:
    """The status, and what the server says of it."""
    said = error_text(ended.headers(), ended.head())
    said = printable(re.sub(r"\?\S*", "", said))[:_SHOWN]
    return f"HTTP {status}: {said}" if said else f"HTTP {status}"
