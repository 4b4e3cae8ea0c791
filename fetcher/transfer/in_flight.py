"""Which files are on their way, as people are shown them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fetcher.transfer.connection import Slot
from fetcher.transfer.download import Job
from fetcher.transfer.hosts import Host
from fetcher.ui.meter import ASKING, CHECKING, DOWNLOADING, PLACING, WAITING, InFlight


def in_flight(
    begun: Iterable[Job],
    failed: Collection[Job],
    busy: Iterable[Slot],
    host_of: Callable[[Job], Host | None],
) -> list[InFlight]:
    """Large bodies (`begun`) until they are placed, small ones while a connection brings them."""
    slots: dict[Job, list[Slot]] = {}
    for slot in busy:
        if slot.job is not None:
            slots.setdefault(slot.job, []).append(slot)
    jobs = dict.fromkeys([*begun, *slots])
    return [_look(job, slots.get(job, ()), host_of) for job in jobs if job not in failed]


def _look(job: Job, slots: Collection[Slot], host_of: Callable[[Job], Host | None]) -> InFlight:
    size, received = job.file.size, job.received
    if job.body is not None:
        there = job.body.got
    elif slots:  # a small body, in memory
        there = sum(slot.received for slot in slots if not slot.aside)
        received += there
    else:
        there = (received if size is None else size) if job.settled else 0
    if slots:
        state = DOWNLOADING if any(slot.received for slot in slots) else ASKING
        host = next(iter(slots)).host if state is ASKING else ""
        return InFlight(job.label, state, there, size, received, host)
    if job.settled:
        return InFlight(job.label, PLACING if job.proven else CHECKING, there, size, received)
    place = host_of(job)
    if place is None:
        return InFlight(job.label, WAITING, there, size, received)
    until = max(place.not_before, job.retry_at)
    return InFlight(job.label, WAITING, there, size, received, place.name, until)
