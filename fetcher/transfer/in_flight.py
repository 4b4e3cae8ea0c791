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


def _supposed(download: Download, there: int) -> int | None:
    """How long a body seems to be whose size nobody vouches for."""
    assert download.partial is not None
    supposed = download.partial.said or download.expected
    return supposed if supposed is not None and there <= supposed else None


def _look(
    download: Download,
    connections: Collection[Connection],
    host_of: Callable[[Download], Host | None],
) -> InFlight:
    size, received = download.file.size, download.received
    if download.partial is not None:
        there = download.partial.got
        if size is None:
            size = _supposed(download, there)
    elif connections:  # a small body, in memory
        there = sum(connection.received for connection in connections if not connection.aside)
        received += there
    elif download.settled:
        there = size = download.came if size is None else size
    else:
        there = 0
    expected = -1 if download.expected is None else download.expected
    found = InFlight(download.label, WAITING, there, size, received, expected=expected)
    if connections:
        state = DOWNLOADING if any(connection.received for connection in connections) else ASKING
        host = next(iter(connections)).host if state is ASKING else ""
        return found._replace(state=state, host=host)
    if download.settled:
        return found._replace(state=PLACING if download.proven else CHECKING)
    place = host_of(download)
    if place is None:
        return found
    until = max(place.not_before, download.retry_at)
    return found._replace(host=place.name, until=until)
