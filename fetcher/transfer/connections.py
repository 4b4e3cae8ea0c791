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
        self._multi = pycurl.CurlMulti()
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
        self._multi.add_handle(connection.curl)
        self.busy[connection] = host
        host.active += 1

    def remove(self, connection: Connection) -> None:
        """End a request; the connection still knows what it was for."""
        host = self.busy.pop(connection)
        self._multi.remove_handle(connection.curl)
        host.active -= 1
        if connection.received and not connection.aside:
            host.measured(connection.received, time.monotonic() - connection.began)

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
        for connection in self._all:
            connection.release()
            connection.curl.close()
        self._multi.close()

    # Receiving

    def wait(self, seconds: float) -> None:
        """Wait until something can be received, or so long."""
        self._multi.select(seconds)

    def perform(self) -> list[Ended]:
        """Receive what is there; returns the requests that have ended."""
        self._multi.perform()
        ended: dict[Connection, Ended] = {}
        for connection in list(self.busy):
            if connection.chunks and connection in self.busy and not self._flush(connection):
                ended[connection] = Ended(connection, pycurl.E_WRITE_ERROR)
        while True:
            left, succeeded, failed = self._multi.info_read(64)
            found = [(curl, 0, "") for curl in succeeded] + failed
            for curl, number, text in found:
                connection = self._by_curl[id(curl)]
                ended.setdefault(connection, Ended(connection, number, text))
            if not left:
                return list(ended.values())

    def _flush(self, connection: Connection) -> bool:
        """Write what came of a large body; False if it is something else."""
        if connection.segment is None:
            return True
        host = self.busy[connection]
        if not connection.begun:
            host.connected(connection.connected_in())
            if host.near:
                connection.bound_buffer()
            if connection.restarts():
                self.cut(connection.download, but=connection)
        before = connection.received
        if not connection.flush():
            return False
        host.pace.received += connection.received - before
        if connection.begun and not connection.aside:
            self._learn(connection)
        return True

    def _learn(self, connection: Connection) -> None:
        """Where a redirect has led, and that ranges are served, holds for the next request."""
        download = connection.download
        assert download is not None
        if connection.hops and not download.landed:
            download.landed = connection.url
        if connection.ranged and len(self._all) > 1 and not download.ranges:
            download.ranges = True
            self.ranged[download] = None
