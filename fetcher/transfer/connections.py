"""The connections of one run: begun, received from, cut off.

Most are on libcurl's multi interface; what comes from near may come through receivers instead.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pycurl

from fetcher.network.retry import REDIRECTS
from fetcher.network.session import Network
from fetcher.network.urls import host_of, origin_of
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.connection import Connection
from fetcher.transfer.download import Download
from fetcher.transfer.hosts import Host, Hosts
from fetcher.transfer.outcomes import NextPart, Whole
from fetcher.transfer.partial_file import Segment
from fetcher.transfer.receivers import Receivers, Reception, Span

if TYPE_CHECKING:
    import ssl

# While receivers are at work the loop looks so often how far they are …
_LOOK_SECONDS = 0.05
# … and this often where it waits for libcurl as well, which cannot wait for them.
_SHORT_LOOK_SECONDS = 0.003


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
        # A bound for each connection, and TCP's slow start, hold for all that share one.
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, 1)
        self._receivers = Receivers(network.settings.jobs)
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
            span = connection.span()
            if span is not None and self._may_be_received(connection, download, span):
                self._receive(connection, span)
            else:
                connection.prepare()
                self.resume(connection)
        except BaseException:
            self.release(connection)
            raise

    def _may_be_received(self, connection: Connection, download: Download, span: Span) -> bool:
        """Whether all is as it should be so far: libcurl is asked whatever is not."""
        host = self.hosts.get(connection.host)
        known = bool(download.landed) or not host.redirects
        if not known or download.odd or not host.may_be_received(span.ranged):
            return False
        return not self.network.proxy(connection.url)  # which alone may be allowed to go there

    def _receive(self, connection: Connection, span: Span) -> None:
        """Have a receiver ask for it. Raises Failure."""
        download, candidate = connection.download, connection.candidate
        assert download is not None and candidate is not None
        headers = candidate.headers if connection.hops == 0 else ()
        request = self.network.outgoing(connection.url, headers)
        channel, connection.channel = connection.channel, None
        if channel is not None and (download.fresh or channel.origin != origin_of(request.url)):
            channel.http.close()
            channel = None
        download.fresh = False
        seconds = self.network.connect_timeout
        reception = Reception(request, span, connection.take, channel, seconds, self._tls)
        connection.reception = reception
        self._count_in(connection)
        self._receivers.begin(reception)

    def _tls(self) -> ssl.SSLContext:
        from fetcher.network.adapter import tls_context

        return self.network.once("tls-context", lambda: tls_context(self.network.trust()))

    def resume(self, connection: Connection) -> None:
        """Send the request that a connection's handle was set up for."""
        self._multi.add_handle(connection.curl)
        self._count_in(connection)

    def _count_in(self, connection: Connection) -> None:
        host = self.busy[connection] = self.hosts.get(connection.host)
        host.active += 1

    def remove(self, connection: Connection) -> None:
        """End a request; the connection still knows what it was for."""
        host, reception = self.busy.pop(connection), connection.reception
        if reception is None:
            self._multi.remove_handle(connection.curl)
        else:
            self._receivers.cut(reception)
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
        self._receivers.close()
        for connection in self._all:
            connection.release()
            connection.close()
        self._multi.close()

    # Receiving

    def wait(self, seconds: float) -> None:
        """Wait until something can be received, or so long."""
        receiving = len(self._receivers)
        if not receiving:
            self._multi.select(seconds)
        elif receiving == len(self.busy):
            self._receivers.wait(min(seconds, _LOOK_SECONDS))
        else:
            self._multi.select(min(seconds, _SHORT_LOOK_SECONDS))

    def perform(self) -> list[Ended]:
        """Receive what is there; returns the requests that have ended."""
        if len(self._receivers) < len(self.busy):
            self._multi.perform()
        received = self._receivers.ended()
        ended: dict[Connection, Ended] = {}
        for connection in list(self.busy):
            if connection in self.busy and connection.has_news and not self._flush(connection):
                ended[connection] = Ended(connection, pycurl.E_WRITE_ERROR)
        for connection in self.busy:  # but for those that were cut off meanwhile
            reception = connection.reception
            if reception is not None and reception in received:
                self._judge(connection, reception)
                ended[connection] = Ended(connection)
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read(64)
            found = [(curl, 0, "") for curl in succeeded] + failed
            for curl, number, text in found:
                connection = self._by_curl[id(curl)]
                ended.setdefault(connection, Ended(connection, number, text))
        return list(ended.values())

    def _judge(self, connection: Connection, reception: Reception) -> None:
        """What it means that a reception has ended: all came, or libcurl goes on with it."""
        connection.channel = reception.channel
        if reception.whole:
            connection.stopped = Whole()
        elif connection.stopped is None:
            assert connection.download is not None
            connection.stopped = NextPart()
            connection.download.odd = True
            if connection.hops == 0 and reception.status in REDIRECTS:
                self.busy[connection].redirects = True
            else:
                self.busy[connection].was_odd(reception.otherwise)

    def _flush(self, connection: Connection) -> bool:
        """Write what came of a large body; False if it is something else."""
        if connection.segment is None:
            return True
        host = self.busy[connection]
        if not connection.noticed and connection.reception is None:
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
        if connection.reception is None:  # what receivers ask for comes as it should, so far
            download.odd, self.busy[connection].as_expected = False, True
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
