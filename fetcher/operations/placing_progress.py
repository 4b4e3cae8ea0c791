"""How far placing is, where nothing of it has to come: contents that the store has already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fetcher.operations.ready import Ready
from fetcher.ui.meter import PLACING, InFlight
from fetcher.ui.progress import Progress


class PlacingProgress:
    """Counts contents as they are placed, and shows the one whose turn it is."""

    def __init__(self, progress: Progress, ready: Sequence[Ready]) -> None:
        self._progress = progress
        self._now: Ready | None = None
        progress.begin(len(ready), sum(map(_size, ready)), last=False)
        progress.watch_handled(self._in_flight)
        progress.start()

    def each(self, ready: Iterable[Ready]) -> Iterator[Ready]:
        """The same; one is placed when the next is asked for."""
        for one in ready:
            self._now = one
            yield one
            self._progress.placed(_size(one))
        self._now = None

    def _in_flight(self) -> list[InFlight]:
        one = self._now
        if one is None:
            return []
        item, size = one.item, _size(one)
        return [
            InFlight(f"{item.artifact.id}/{item.file.path}", PLACING, size, size, counted=False)
        ]


def _size(one: Ready) -> int:
    return one.size or one.item.file.size or 0
