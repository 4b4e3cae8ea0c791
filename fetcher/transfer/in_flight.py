"""Which files are on their way, as people are shown them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fetcher.transfer.connection import Connection
from fetcher.transfer.download import Download
from fetcher.transfer.hosts import Host
from fetcher.ui.meter import ASKING, CHECKING, DOWNLOADING, PLACING, WAITING, InFlight


def in_flight(
    begun: Iterable[Download],
    failed: Collection[Download],
    busy: Iterable[Connection],
    host_of: Callable[[Download], Host | None],
) -> list[InFlight]:
    """Large bodies (`begun`) until they are placed, small ones while a connection brings them."""
    connections: dict[Download, list[Connection]] = {}
    for connection in busy:
        if connection.download is not None:
            connections.setdefault(connection.download, []).append(connection)
    downloads = dict.fromkeys([*begun, *connections])
    return [
        _look(download, connections.get(download, ()), host_of)
        for download in downloads
        if download not in failed
    ]


def _look(
    download: Download,
    connections: Collection[Connection],
    host_of: Callable[[Download], Host | None],
) -> InFlight:
    size, received = download.file.size, download.received
    if download.partial is not None:
        there = download.partial.got
    elif connections:  # a small body, in memory
        there = sum(connection.received for connection in connections if not connection.aside)
        received += there
    else:
        there = (received if size is None else size) if download.settled else 0
    if connections:
        state = DOWNLOADING if any(connection.received for connection in connections) else ASKING
        host = next(iter(connections)).host if state is ASKING else ""
        return InFlight(download.label, state, there, size, received, host)
    if download.settled:
        return InFlight(
            download.label, PLACING if download.proven else CHECKING, there, size, received
        )
    place = host_of(download)
    if place is None:
        return InFlight(download.label, WAITING, there, size, received)
    until = max(place.not_before, download.retry_at)
    return InFlight(download.label, WAITING, there, size, received, place.name, until)
