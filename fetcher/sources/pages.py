"""Listings that come page by page: where they go on, and how one that never ends is told."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable
from urllib.parse import unquote, urlsplit, urlunsplit

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.session import Network, Response
from fetcher.network.urls import joined, origin_of

_LINKS = re.compile(r"<([^<>]*)>((?:[ \t]*;[^<>,;]{0,200})*)")
_NEXT = re.compile(r';[ \t]*rel[ \t]*=[ \t]*(?:"[^"]*\bnext\b[^"]*"|next\b)', re.IGNORECASE)
MAX_ENTRIES = 12_000_000  # files and folders of one listing
# An honest page holds a thousand entries; a folder of its own may hold few.
_FREE_PAGES, _ENTRIES_OF_PAGE = 5_000, 20
# Seconds that a listing may take, and what each entry adds: a server's limits are honest reasons.
_FREE_SECONDS, _SECONDS_OF_ENTRY = 1800.0, 0.005


class Pages:
    """Counts the pages of one listing; `what` is whose listing it is, for messages."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._began = clock()
        self._pages = self._entries = 0
        self._seen: set[Hashable] = set()

    def add(self, entries: int, mark: Hashable = None) -> None:
        """Another page, with so many entries; `mark` tells it from the others, if they differ.

        Raises Failure if it goes on for ever.
        """
        self._pages += 1
        if entries and mark is not None:
            if mark in self._seen:
                why = t("page {number:,} is one that came before", number=self._pages)
                raise self._endless(why)
            self._seen.add(mark)
        self._entries += entries
        spent = self._clock() - self._began
        if self._entries > MAX_ENTRIES:
            why = t("it has more than {most:,} entries", most=MAX_ENTRIES)
        elif self._pages > _FREE_PAGES + self._entries / _ENTRIES_OF_PAGE:
            why = t(
                "its {pages:,} pages have {entries:,} entries",
                pages=self._pages,
                entries=self._entries,
            )
        elif spent > _FREE_SECONDS + _SECONDS_OF_ENTRY * self._entries:
            why = t(
                "{entries:,} entries in {minutes:.0f} minutes",
                entries=self._entries,
                minutes=spent / 60,
            )
        else:
            return
        raise self._endless(why)

    def _endless(self, why: str) -> Failure:
        return Failure(
            "refused",
            t("{source}: the listing never ends: {why}", source=self._what, why=why),
            t("name a part of it with the source's `path`"),
        )


def next_link(answer: Response, network: Network, source: str) -> str:
    """The address of the page after an answer's, "" after the last. Raises Failure."""
    for reference, facts in _LINKS.findall(answer.headers.get("link", "")):
        if _NEXT.search(facts):
            return onward(answer.url, reference, network, source)
    return ""


def onward(asked: str, reference: str, network: Network, source: str) -> str:
    """Where a listing goes on, after what `asked` has answered. Raises Failure.

    The address is data: with another origin a token would travel there. Mirrors pass on what the
    Hub itself says, or lose their own prefix: then the cursor is the link's, and the place is the
    one that was asked.
    """
    url = joined(asked, reference)
    here, there = urlsplit(asked), urlsplit(network.rewrite(url))
    same = origin_of(network.rewrite(url)) == origin_of(asked)
    if same and there.path == here.path:
        return url
    if there.query and _same_listing(unquote(here.path), unquote(there.path)):
        return urlunsplit((here.scheme, here.netloc, here.path, there.query, ""))
    if same:
        return url
    raise Failure("refused", t("{source}: the listing goes on at another host", source=source))


def _same_listing(here: str, there: str) -> bool:
    """Whether two paths differ by a prefix at most."""
    short, long = sorted((here.rstrip("/"), there.rstrip("/")), key=len)
    return short.count("/") > 1 and long.endswith(short)
