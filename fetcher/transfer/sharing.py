"""One download for each content, where several runs want it on one store.

What another run is getting is waited for, and taken from the store once it is there. If that run
fails, ends or shows no sign of life, this one gets it, from the bytes that are there.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from fetcher.fs.locks import Teller
from fetcher.i18n import join, t
from fetcher.network.signed_links import unsigned
from fetcher.sources.base import FileEntry, UrlCandidate
from fetcher.store.runs import Published, Runs
from fetcher.store.store import Store
from fetcher.transfer.download import SMALL, Arrived, Delivered, Download
from fetcher.ui.meter import WAITING, InFlight

_log = logging.getLogger(__name__)

# Claimed together: few at first, as others wait to begin; then more, as each claim costs a lock.
_FIRST = 256
_LOOK_SECONDS = 0.1
_GROWTH_SECONDS = 0.5
_CHECK_SECONDS = 1.0
_SLEPT_SECONDS = 5.0  # without a turn of the loop: others may have thought that this run is dead


class Sharing:
    """Which downloads are ours, and which are waited for."""

    def __init__(self, store: Store, runs: Runs, say: Callable[[str], None]) -> None:
        self.store = store
        self.runs = runs
        self.waiting: dict[Download, str] = {}  # with the content's key
        self._addresses: dict[Download, str] = {}  # keys of contents without a digest
        self._teller = Teller(say)
        self._next_look = self._next_growth = self._next_check = 0.0
        self._checked = time.monotonic()
        self._there: dict[str, int] = {}  # bytes that others have, by label

    def sift(self, downloads: Iterable[Download], stored: list[Arrived]) -> Iterator[Download]:
        """Those that are ours to get; `stored` gets what others have put into the store."""
        remaining, count = iter(downloads), _FIRST
        while batch := list(islice(remaining, count)):
            count *= 2
            yield from self._claim(batch, stored)

    def _claim(self, batch: list[Download], stored: list[Arrived]) -> list[Download]:
        if not self.runs.present:
            return batch
        keys = [self._key(download) for download in batch]
        theirs = self.runs.claim(keys)
        crowded = self.runs.crowded
        if not (theirs or crowded):
            return batch
        if crowded:
            self.store.refresh()
        ours = []
        for download, key in zip(batch, keys, strict=True):
            if key and key in theirs:
                self.waiting[download] = key
            elif crowded and key and (found := self._in_store(download, key)):
                stored.append(found)
                self.runs.release(key)
            else:
                ours.append(download)
        if self.waiting:
            _log.info("%d contents are being fetched by other runs", len(self.waiting))
        return ours

    def _key(self, download: Download) -> str:
        """What a content is claimed by; "" for one that no server is asked for."""
        key = download.key
        if key or not download.candidates:
            return key
        place = download.candidate
        # Whatever a project calls it: the same address has the same bytes.
        name = unsigned(place.url) if isinstance(place, UrlCandidate) else download.place_key
        key = self._addresses[download] = f"address:{self.store.label_of(name)}"
        return key

    def _in_store(self, download: Download, key: str) -> Arrived | None:
        file = download.file
        # Another person's run, or a file that came with a project, may say anything.
        published = self.runs.published(key) if self.store.is_ours else None
        if published is not None:
            self.store.believe(published.sha256, published.stat)
        sha256: str | None
        if published is not None and not file.sha256:
            sha256 = published.sha256 if self._is(published.sha256, file) else None
        else:
            sha256 = self.store.find(file)
        if not sha256:
            return None
        return Arrived(download, "store", digests=(sha256, file.git_blob or ""), stored=True)

    def _is(self, sha256: str, file: FileEntry) -> bool:
        """Whether a content that another run got for a file without a sha256 is that file."""
        wanted = file.git_proof
        sound = self.store.has(sha256, file.size)
        return sound and (not wanted or self.store.git_blob(sha256) == wanted)

    # During the run

    def look(self) -> tuple[list[Arrived], list[Download]]:
        """What others have put into the store meanwhile, and what is ours to get now."""
        self.runs.beat()
        now = time.monotonic()
        if not self.waiting or now < self._next_look:
            return [], []
        self._next_look = now + _LOOK_SECONDS
        self.runs.look()
        if now >= self._next_growth:
            self._next_growth = now + _GROWTH_SECONDS
            self._there, by_owner = self.store.growth()
            self.runs.see_growth(by_owner)
        holders = self.runs.holders()
        arrived: list[Arrived] = []
        free: list[Download] = []
        for download, key in list(self.waiting.items()):
            if key in holders:
                continue
            del self.waiting[download]
            found = self._in_store(download, key)
            if found is not None:
                arrived.append(found)
            else:
                download.taken_over, download.settled = True, False
                free.append(download)
        if free:
            _log.info("%d contents are taken over from runs that let go of them", len(free))
            self.store.refresh()
            self.store.recover()  # what a dead run had proven
            free = self._claim(free, arrived)
        if self.waiting:
            self._teller.tell(t("waiting for {who}", who=join(self.shown(), "; ")))
        return arrived, free

    def lost(self, begun: Collection[Download]) -> list[Download]:
        """What this run has begun and another has taken over, as no byte of it came for long.

        From now on this run waits for the other one.
        """
        now = time.monotonic()
        slept, self._checked = now - self._checked > _SLEPT_SECONDS, now
        if now < self._next_check and not slept:
            return []
        self._next_check = now + _CHECK_SECONDS
        if not begun or not (self.runs.present and (slept or self.runs.crowded)):
            return []
        self.runs.look()
        keys = {
            one.key: one
            for one in begun
            if one.key and not (one.settled or one.taken_over or one in self.waiting)
        }
        gone = self.runs.claimed_by_others(keys)
        if slept:  # whoever took it over may have come to its end, and left
            self.store.refresh()
            gone |= {key for key, one in keys.items() if self.store.find(one.file)}
        found = [keys[key] for key in gone]
        for download in found:
            self.waiting[download] = download.key
            self.runs.release(download.key)
        return found

    def shown(self) -> list[str]:
        """Whom this run waits for, and for how much."""
        holders = self.runs.holders() if self.waiting else {}
        counts = Counter(str(holders[key]) for key in self.waiting.values() if key in holders)
        return [
            t("{who}, which is getting {count} of these files", who=who, count=count)
            for who, count in counts.items()
        ]

    def in_flight(self) -> Iterator[InFlight]:
        """The large files that others bring, with what is there of them."""
        holders = self.runs.holders() if self.waiting else {}
        for download, key in self.waiting.items():
            size = download.file.size
            if size is None or size > SMALL:
                there = self._there.get(self.store.label_of(download.content_key), 0)
                there = there if size is None else min(there, size)
                host = f"PID {holders[key].pid}" if key in holders else ""
                expected = -1 if download.expected is None else download.expected
                yield InFlight(download.label, WAITING, there, size, host=host, expected=expected)

    def committed(self, batch: list[Delivered]) -> None:
        """Tell the others what is in the store."""
        if not self.runs.present:
            return
        self.runs.publish(len(batch), self._published(batch))

    def _published(self, batch: list[Delivered]) -> Iterator[tuple[str, Published]]:
        for item in batch:
            if key := self._claimed_key(item.download):
                yield key, Published(item.sha256, item.git_blob, item.stat)

    def failed(self, download: Download) -> None:
        """Let another run try."""
        if key := self._claimed_key(download):
            self.runs.release(key)

    def _claimed_key(self, download: Download) -> str:
        return download.key or self._addresses.get(download, "")
