"""What threads and processes tell the loop: a value for each kind of answer, through one inbox."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import NamedTuple

from fetcher.errors import Failure
from fetcher.sources.base import Candidate, UrlCandidate
from fetcher.transfer.download import Arrived, Delivered, Download


class Addressed(NamedTuple):
    """The address of a deferred candidate is known."""

    download: Download
    candidate: UrlCandidate


class Fetched(NamedTuple):
    """A whole body is there, and not proven yet."""

    arrived: Arrived


class Lost(NamedTuple):
    """A candidate did not deliver."""

    download: Download
    failure: Failure


class NotOffered(NamedTuple):
    """A candidate that its place does not offer, which is no fault."""

    download: Download
    candidate: Candidate


class Returned(NamedTuple):
    """Workers give downloads back."""

    downloads: list[Download]


class AskedToWait(NamedTuple):
    """A host asked a worker for patience: for so many seconds, if it said how many."""

    host: str
    seconds: float | None
    status: int


class Committed(NamedTuple):
    """A batch is in the store, and placed."""

    batch: list[Delivered]


class Refused(NamedTuple):
    """A whole body is not what was asked for, or could not be written."""

    arrived: Arrived
    failure: Failure


Answer = Addressed | Fetched | Lost | NotOffered | Returned | AskedToWait | Committed | Refused


class Inbox:
    """Answers in the order in which they came; any thread puts, the loop takes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def put(self, answer: Answer) -> None:
        """Hand one answer over."""
        self._queue.put(answer)

    def take(self, seconds: float = 0.0) -> Iterator[Answer]:
        """Every answer that is there; waits so long for the first if there is none."""
        try:
            yield self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
            while True:
                yield self._queue.get_nowait()
        except queue.Empty:
            return
