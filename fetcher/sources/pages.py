"""The bounds of a listing that comes page by page: one that never ends is told from a long one."""

from __future__ import annotations

import time
from collections.abc import Callable

from fetcher.errors import Failure
from fetcher.i18n import t

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

    def add(self, entries: int) -> None:
        """Another page, with so many entries. Raises Failure if it goes on for ever."""
        self._pages += 1
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
        raise Failure(
            "refused",
            t("{source}: the listing never ends: {why}", source=self._what, why=why),
            t("name a part of it with the source's `path`"),
        )
