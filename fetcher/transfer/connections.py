"""The connections of one run, on libcurl's multi interface: begun, received from, cut off."""

from __future__ import annotations

import time
from typing import NamedTuple

import pycurl

from fetcher.network.session import Network
from fetcher.network.urls import host_of
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import Download
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.lanes import Lanes
from fetcher.transfer.partial_file import Segment


class Ended(NamedTuple):
    """A request that has ended; `number` and `message` are libcurl's, 0 where all went well."""

    connection: Connection
    number: int = 0
    message: str = ""


class Connections:
    """As many as the settings allow. Each is free, or busy with one request."""

    def __init__(self, network: Network, hosts: Hosts) -> None:
        self.network = network
        self.hosts = hosts
        self.busy: dict[Connection, Host] = {}
        # Downloads that were seen to come in ranges: more connections could get some.
        self.ranged: dict[Download, None] = {}
        self._rate = network.settings.limit_rate
        self._lanes = Lanes()
        self._all = [Connection(network) for _ in range(network.settings.jobs)]
        self._by_curl = {id(connection.curl): connection for connection in self._all}
        self._free = list(self._all)

    @property
    def free(self) -> bool:
        """Whether another request can begin."""
        return bool(self._free)

    def of(self, download: Download) -> list[Connection]:
        """Those that are busy with a download."""
        return [connection for connection in self.busy if connection.download is download]

    # Beginning and ending

    def begin(
        self,
        download: Download,
        candidate: UrlCandidate,
        url: str,
        segment: Segment | None,
        waiting: int,
    ) -> None:
        """Ask for a body or a segment of it. `waiting`: how many others want to begin as well.

        Raises Failure.
        """
        rate = 0
        if self._rate:  # one connection's part of the limit, by how many there will be
            wanted = 1 + len(self.busy) + waiting
            rate = max(1, self._rate // min(wanted, len(self._all)))
        connection = self._free.pop()
        connection.host = host_of(url)
        try:
            connection.start(download, candidate, url, rate, segment)
            self.resume(connection)
        except BaseException:
            self.release(connection)
            raise

    def resume(self, connection: Connection) -> None:
        """Send the request that a connection was set up for."""
        host = self.hosts.get(connection.host)
        connection.direct = host.near and connection.may_be_direct
        lane = connection.lane = self._lanes.choose() if connection.direct else self._lanes.own
        lane.multi.add_handle(connection.curl)
        if connection.direct:
            lane.direct[connection] = None
        self.busy[connection] = host
        host.active += 1

    def remove(self, connection: Connection) -> None:
        """End a request; the connection still knows what it was for."""
        host, lane = self.busy.pop(connection), connection.lane
        assert lane is not None
        lane.multi.remove_handle(connection.curl)
        lane.direct.pop(connection, None)
        host.active -= 1
        if connection.received and not connection.aside:
            host.answered_in(connection.answered_in())
            host.measured(connection.received, time.monotonic() - connection.began)

    def tell_followers(self) -> None:
        """Tell those who read bodies while they come what has been written since."""
        for connection in self.busy:
            download = connection.download
            if download is not None and download.follower and download.partial is not None:
                download.partial.tell_follower()

    def release(self, connection: Connection) -> None:
        """Make a connection free for another request."""
        connection.release()
        self._free.append(connection)

    def cut(self, download: Download | None, but: Connection | None = None) -> None:
        """End all requests of a download; what they have brought stays."""
        for connection in [c for c in self.busy if c.download is download and c is not but]:
            self.remove(connection)
            self.release(connection)

    def close(self) -> None:
        """Close them all."""
        self._lanes.end_threads()
        for connection in self._all:
            connection.release()
            connection.curl.close()
        self._lanes.close()

    # Receiving

    def wait(self, seconds: float) -> None:
        """Wait until something can be received, or so long."""
        if not self._lanes.used:  # else a turn has waited
            self._lanes.own.multi.select(seconds)

    def perform(self) -> list[Ended]:
        """Receive what is there; returns the requests that have ended."""
        self._lanes.turn(len(self.busy))
        ended: dict[Connection, Ended] = {}
        for connection in list(self.busy):
            if connection in self.busy and connection.has_news and not self._flush(connection):
                ended[connection] = Ended(connection, pycurl.E_WRITE_ERROR)
        for lane in self._lanes.all:
            left = 1
            while left:
                left, succeeded, failed = lane.multi.info_read(64)
                found = [(curl, 0, "") for curl in succeeded] + failed
                for curl, number, text in found:
                    connection = self._by_curl[id(curl)]
                    ended.setdefault(connection, Ended(connection, number, text))
        return list(ended.values())

    def _flush(self, connection: Connection) -> bool:
        """Write what came of a large body; False if it is something else."""
        if connection.segment is None:
            return True
        host = self.busy[connection]
        if not connection.noticed:
            connection.noticed = True
            host.connected(connection.connected_in())
            host.answered_in(connection.answered_in())
            if host.near:
                connection.bound_buffer()
            if not connection.look():
                return False
            if connection.restarting:
                self.cut(connection.download, but=connection)
        before = connection.counted
        if not connection.flush():
            return False
        host.pace.received += connection.counted - before
        if connection.begun and not connection.aside:
            self._learn(connection)
        return True

    def _learn(self, connection: Connection) -> None:
        """Where a redirect has led, and that ranges are served, holds for the next request."""
        download = connection.download
        if connection.learned or download is None:
            return
        connection.learned = True
        if connection.renews:
            download.renewing = False
        if connection.link == download.link:  # else it is of an older link
            kept = not (download.single_use or connection.takes_cookies)  # which the way there sets
            if connection.hops and kept and not download.landed:
                download.landed, download.link_uses = connection.url, 1
                download.addressed_at = time.monotonic()
            elif connection.link:
                download.link_uses += 1
        host = self.busy[connection]
        if connection.ranged:
            host.ranges = True
        elif download.plain and not download.plain_doubtful and not host.ranges:
            host.plain = True
        if connection.ranged and len(self._all) > 1 and not download.ranges:
            download.ranges = True
            self.ranged[download] = None
