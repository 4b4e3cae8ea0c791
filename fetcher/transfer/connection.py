"""One connection's worth of work: a libcurl handle and the body that it receives.

Whatever comes is put on a list inside libcurl's callback, which costs next to nothing there; the
loop deals with it after each turn, in as few system calls as it takes. What a server that is near
sends may come through a receiver's thread instead, which writes it at once.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

import pycurl

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network import content_encoding
from fetcher.network.curl import as_line, parse_header
from fetcher.network.session import Network
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.download import SMALL, Download
from fetcher.transfer.handle import aim, set_up
from fetcher.transfer.openings import Asked, Opening, opening, span_of
from fetcher.transfer.outcomes import (
    Decode,
    Fatal,
    Mismatch,
    RequestOutcome,
    TakeRaw,
    damaged,
)
from fetcher.transfer.partial_file import PartialFile, Segment
from fetcher.transfer.receivers import NEAR_BUFFER, Channel, Reception, Span
from fetcher.transfer.stragglers import Flow

_IMPATIENT_SECONDS = 4
_HEAD = 4096
_LONGEST_ERROR_PAGE = 1 << 20
_ANY_LENGTH = 1 << 60
_CLOSE = ("Connection", "close")
_UNMEASURED_STALL_SECONDS = 5


class Connection:
    """A reusable handle. A small body stays in memory; a large one goes to its partial file."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.curl = pycurl.Curl()
        self.download: Download | None = None
        self.segment: Segment | None = None
        self.url = ""
        self.host = ""
        self.candidate: UrlCandidate | None = None
        self.link: object = None  # that this request began with: see Download.link
        self.derived = False  # an API gave the address
        self.renews = False  # other ranges wait for the link that it is to get
        self.learned = False
        self.resumable = False  # what comes can be gone on with at any byte
        self.limit = 0  # bytes a second, 0 for none
        self.hops = 0
        self.began = 0.0
        self.received = 0  # bytes of this request's body that count
        self.counted = 0  # so many of them the loop has seen
        self.reception: Reception | None = None  # what receives in place of libcurl
        self.channel: Channel | None = None  # and is kept for the next
        self.chunks: list[bytes] = []
        self.begun = False
        self.noticed = False  # the loop knows that it has begun
        self.aside = False
        self.promised = -1  # where the range ends that the answer says to be
        self.restarting = False  # the answer brings the file from its beginning, unasked
        self.unpacker: content_encoding.Unpacker | None = None
        self.complaint = ""  # what the body's beginning shows it to be
        self.stopped: RequestOutcome | None = None
        self._kept = b""
        self._put_aside = 0
        self._raw_headers: list[bytes] = []
        self.has_cookies = False

    @property
    def partial(self) -> PartialFile:
        """The large body that this connection brings a part of."""
        assert self.download is not None and self.download.partial is not None
        return self.download.partial

    @property
    def offset(self) -> int:
        """Where the bytes asked for begin."""
        return 0 if self.segment is None else self.segment.at - self.received

    @property
    def ranged(self) -> bool:
        """Whether a range is asked for."""
        segment, download = self.segment, self.download
        if segment is None or download is None or download.plain:
            return False
        return self.partial.in_ranges or self.offset > 0

    @property
    def began_well(self) -> bool:
        """Whether bytes of what was asked for have come."""
        return self.begun and not self.aside and self.received > 0

    @property
    def all_there(self) -> bool:
        """Whether every byte that was asked for is there, as far as their number is known."""
        assert self.download is not None
        if self.segment is not None:
            return self.segment.whole
        return self.received == self.download.file.size

    def span(self) -> Span | None:
        """What a receiver may ask for in place of libcurl; None where only libcurl will do.

        A digest is to tell that the bytes are right, and nothing but they may be needed of the
        answer.
        """
        download, segment, candidate = self.download, self.segment, self.candidate
        if download is None or segment is None or segment.stop is None or candidate is None:
            return None
        if not download.key or download.file.size is None or not self.url.startswith("http"):
            return None
        special = download.decode or download.validator or download.unmeasured or candidate.cookies
        if special or download.mismatched or download.follower is not None or self.limit:
            return None
        if download.tries or (self.ranged and not self.partial.in_ranges):
            return None
        if not self.ranged and (segment.at or segment.stop != download.file.size):
            return None
        return Span(segment.at, segment.stop, download.file.size, self.ranged)

    def take(self, data: memoryview) -> bool:
        """Write and hash what a receiver has brought, in its thread; False if it is to end."""
        return self._guarded(lambda: self._take(data))

    def _take(self, data: memoryview) -> bool:
        download = self.download
        assert self.segment is not None and download is not None
        if not self.begun:
            offered = self.ranged or self.headers().get("accept-ranges") == "bytes"
            self.begun, self.resumable = True, offered and not download.no_ranges
        self.received += self.partial.write_now(self.segment, [data])
        return True

    @property
    def has_news(self) -> bool:
        """Whether the loop has something to deal with."""
        return bool(self.chunks or self.stopped) or self.counted < self.received

    def start(
        self,
        download: Download,
        candidate: UrlCandidate,
        url: str,
        rate: int,
        segment: Segment | None = None,
    ) -> None:
        """Take on a download's first request, or the one for a segment of its body."""
        self.download, self.segment = download, segment
        self.candidate, self.link = candidate, download.link
        self.derived = download.deferred is not None
        self.renews, self.learned, self.resumable = download.renewing, False, False
        self.limit = rate
        self.hops = 1 if download.landed else 0
        self.began = time.monotonic()
        self._begin_anew(url)

    def prepare(self) -> None:
        """Set the handle up for the request that was taken on."""
        download, segment, candidate, url = self.download, self.segment, self.candidate, self.url
        assert download is not None and candidate is not None
        curl = self.curl
        curl.reset()
        write = self._hold if segment is None else self.chunks.append
        set_up(curl, self.network, write, self.limit)
        if download.fresh:
            curl.setopt(pycurl.FRESH_CONNECT, 1)
            download.fresh = False
        if segment is not None:  # a stream's window would bound it, and it shares nothing
            curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        if download.index + 1 < len(download.candidates):
            # Another place has the file: do not wait long for a firewall that drops packets.
            seconds = min(_IMPATIENT_SECONDS, self.network.settings.connect_timeout)
            curl.setopt(pycurl.CONNECTTIMEOUT, seconds)
        self._set_cookies(candidate.cookies, url)
        curl.setopt(pycurl.HEADERFUNCTION, self._raw_headers.append)
        if download.mismatched:  # what is left of the last answer may stand in the connection
            curl.setopt(pycurl.FRESH_CONNECT, 1)
        if download.unmeasured is not None:
            curl.setopt(pycurl.IGNORE_CONTENT_LENGTH, 1)
            curl.setopt(pycurl.LOW_SPEED_TIME, _UNMEASURED_STALL_SECONDS)
        elif segment is None and download.file.size is not None:
            # An error page may be longer than the file: leave it room.
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max(download.file.size, SMALL))
        self.aim(url, candidate)

    def _set_cookies(self, known: bool, url: str) -> None:
        """Keep what redirects set, for this download alone; `known`: and what was set before."""
        if self.has_cookies:  # libcurl's reset keeps them
            self.curl.setopt(pycurl.COOKIELIST, "ALL")
        self.has_cookies = known
        self.curl.setopt(pycurl.COOKIEFILE, "")
        for cookie in self.network.cookies(url) if known else ():
            self.curl.setopt(pycurl.COOKIELIST, as_line(cookie))

    def aim(self, url: str, candidate: UrlCandidate) -> None:
        """Set up for one request: the first, or the next hop of a redirect."""
        download, segment = self.download, self.segment
        assert download is not None
        self._begin_anew(url)
        headers = list(candidate.headers) if self.hops == 0 else []
        if segment is not None and self.ranged:
            last = "" if segment.stop is None or not self.partial.in_ranges else segment.stop - 1
            self.curl.setopt(pycurl.RANGE, f"{segment.at}-{last}")
            if download.validator:
                headers.append(("If-Range", download.validator))
        if download.unmeasured is not None:
            headers.append(_CLOSE)
        aim(self.curl, self.network, url, headers, download.decode == "libcurl")

    def _begin_anew(self, url: str) -> None:
        """Nothing is known of the answer to the next request, which goes to `url`."""
        self.url = url
        self._raw_headers.clear()
        self.chunks.clear()
        self.begun = self.noticed = self.aside = self.restarting = False
        self.unpacker, self.promised = None, -1
        self.complaint = ""
        self.stopped = None
        self.received = self.counted = self._put_aside = 0
        self._kept = b""

    @property
    def takes_cookies(self) -> bool:
        """Whether what redirects set is sent on."""
        return self.candidate is not None and self.candidate.cookies

    def status(self) -> int:
        """The HTTP status, 0 if there is none."""
        if self.reception is not None:
            return self.reception.status
        return int(self.curl.getinfo(pycurl.RESPONSE_CODE))

    def _status_so_far(self) -> int:
        """The status as the headers have it: libcurl cannot be asked while it runs."""
        for line in reversed(self._raw_headers):
            found = re.match(rb"HTTP/\S+ (\d{3})", line)
            if found:
                return int(found[1])
        return 0

    def headers(self) -> dict[str, str]:
        """The answer's headers."""
        if self.reception is not None:
            return self.reception.headers
        parsed: dict[str, str] = {}
        for line in self._raw_headers:
            parse_header(parsed, line)
        return parsed

    def head(self) -> bytes:
        """The first bytes of a body that is not the file."""
        return self._kept or b"".join(self.chunks)[:_HEAD]

    # The connection

    def connected_in(self) -> float:
        """Seconds that connecting took, 0 if the connection was there."""
        since = self.curl.getinfo(pycurl.NAMELOOKUP_TIME)
        return float(max(0.0, self.curl.getinfo(pycurl.CONNECT_TIME) - since))

    def answered_in(self) -> float:
        """Seconds from the request to the answer's first byte, 0 where that is not known."""
        if self.reception is not None:
            return 0.0
        since = self.curl.getinfo(pycurl.PRETRANSFER_TIME)
        return float(max(0.0, self.curl.getinfo(pycurl.STARTTRANSFER_TIME) - since))

    def bound_buffer(self) -> None:
        """Let little wait for us in the system: enough where the server is near.

        What waits there in megabytes has left the processor's caches when it is read, and is lost
        if this process is killed.
        """
        number = self.curl.getinfo(pycurl.ACTIVESOCKET)
        if number < 0:
            return
        connection = socket.socket(fileno=number)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NEAR_BUFFER)
        except OSError:
            pass
        finally:
            connection.detach()  # libcurl's own

    # Receiving

    def flow(self) -> Flow | None:
        """What comes, as one request among others; None for what is not the file."""
        download, segment = self.download, self.segment
        if self.aside or download is None:
            return None
        size = download.file.size
        stop = size if segment is None or segment.stop is None else segment.stop
        there = self.received if segment is None else segment.at
        left = None if stop is None else stop - there
        again = left if self.resumable or not self.received else size
        key = download, -1 if segment is None else segment.start
        return Flow(key, self.host, self.began, self.received, left, again, self.limit)

    def _hold(self, data: bytes) -> int | None:
        """Receive a piece of a small body; runs inside libcurl."""
        self.chunks.append(data)
        self.received += len(data)
        download = self.download
        if download is None:
            return None
        if self.received <= max(download.file.size or 0, SMALL):
            return None
        if self._status_so_far() in {200, 206}:
            self.stopped = self._too_long(download)
        self.aside = True
        return 0

    def look(self) -> bool:
        """Judge a large body's answer at its first bytes; False if the transfer must end."""
        return self._guarded(self._look)

    def flush(self) -> bool:
        """Deal with what came of a large body; False if the transfer must end."""
        return self._guarded(self._flush)

    def _look(self) -> bool:
        if not self.begun and self.chunks:
            self.begin(b"".join(self.chunks)[:_HEAD])
        return self.stopped is None

    def _flush(self) -> bool:
        if self.segment is None:
            return True
        if self.counted < self.received:  # what a receiver has written meanwhile
            self._count()
            self.partial.caught_up()
        if not (self.chunks and self.stopped is None):
            return self.stopped is None
        if not self._look():
            return False
        if self.restarting:
            self.restarting = False
            self._restart()
        return self._set_aside() if self.aside else self._append(self.segment)

    def _guarded(self, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except OSError as error:
            self.stopped = Fatal(self.partial.failure(error))
        except Exception as error:
            self.stopped = Fatal(Failure("internal", f"{type(error).__name__}: {error}"))
        return False

    def begin(self, data: bytes = b"") -> None:
        """Judge the answer at its first bytes."""
        download, segment = self.download, self.segment
        assert download is not None and segment is not None
        self.begun = True
        provable = bool(download.key or download.validator) and not download.decode
        if self.url.startswith("ftp"):
            self.resumable = provable
            return
        headers = self.headers()
        offered = self.ranged or headers.get("accept-ranges") == "bytes"
        self.resumable = provable and offered and not download.no_ranges
        stop = segment.stop if self.partial.in_ranges else None
        asked = Asked(segment.at, stop, self.ranged)
        found = self._opening(download, asked, headers, data)
        if not isinstance(found, Opening):
            self.stopped = found
            return
        if found is not Opening.ASIDE and download.doubtful and not segment.at:
            from fetcher.fs.first_look import look_at_start

            # No digest would tell: what is no file is recognised by how it begins.
            download.declared = headers.get("content-type", "")
            coded = content_encoding.codings(headers) if self.unpacker is not None else ()
            start = content_encoding.beginning(data, coded)
            self.complaint = look_at_start(start, download.file.path, download.declared)
            found = Opening.ASIDE if self.complaint else found
        self.aside = found is Opening.ASIDE
        self.restarting = found is Opening.RESTART
        if self.ranged and found is Opening.APPEND and (span := span_of(headers)) is not None:
            self.promised = span.stop
        if not self.aside and self.partial.size is None:
            self.partial.said = self._length(headers)
        if not self.aside and not download.key and not self.offset:
            self.partial.remember_validator(headers.get("etag", ""), self.host)

    def _opening(
        self, download: Download, asked: Asked, headers: dict[str, str], data: bytes
    ) -> Opening | RequestOutcome:
        """The judgement; what came compressed is unpacked from here on, where it can be."""
        status, coded = self._status_so_far(), content_encoding.codings(headers)
        found = opening(download, asked, status, headers, self.host, data)
        here = content_encoding.can_unpack(coded)
        if isinstance(found, Decode) and here and status == 200:
            download.decode = "here"
            found = opening(download, asked, status, headers, self.host, data)
        if isinstance(found, Opening) and found is not Opening.ASIDE:
            packed = here and content_encoding.looks_packed(coded, data)
            if download.decode == "here" and packed:
                most = self.partial.size if self.partial.size is not None else _ANY_LENGTH
                self.unpacker = content_encoding.Unpacker(coded, most)
            elif not download.decode:
                download.coded = coded
        return found

    def _length(self, headers: dict[str, str]) -> int | None:
        """How long the whole body is, as the answer says."""
        length = headers.get("content-length", "")
        if headers.get("content-encoding", "identity") != "identity" or len(length) > 15:
            return None
        return self.offset + int(length) if length.isascii() and length.isdecimal() else None

    def _set_aside(self) -> bool:
        """Keep the beginning; an error page is read to its end, so that the connection lives."""
        data = b"".join(self.chunks)
        self.chunks.clear()
        self._put_aside += len(data)
        self._kept += data[: _HEAD - len(self._kept)]
        enough = _HEAD if self._status_so_far() in {200, 206} else _LONGEST_ERROR_PAGE
        return self._put_aside <= enough

    def _append(self, segment: Segment) -> bool:
        download = self.download
        assert download is not None
        if self.unpacker is not None and not self._unpack(self.unpacker, download):
            return False
        coming = sum(map(len, self.chunks))
        if segment.stop is not None and segment.at + coming > segment.stop:
            download.anew = not self.partial.in_ranges
            self.stopped = self._too_long(download)
            return False
        self.partial.write(segment, self.chunks)
        self.chunks.clear()
        self.received += coming
        self._count()
        return True

    def _count(self) -> None:
        assert self.download is not None
        self.download.received += self.received - self.counted
        self.counted = self.received

    def _unpack(self, unpacker: content_encoding.Unpacker, download: Download) -> bool:
        """Put what comes out in place of what came; False if that is not possible."""
        try:
            self.chunks[:] = [unpacker.feed(chunk) for chunk in self.chunks]
        except content_encoding.TooLongError:
            self.stopped = self._too_long(download)
        except content_encoding.DamagedError:
            self.stopped = TakeRaw(damaged(self.host))
        return self.stopped is None

    def _too_long(self, download: Download) -> Mismatch:
        text = t(
            "{host} delivers more than {size:,} bytes", host=self.host, size=download.file.size or 0
        )
        return Mismatch(Failure("size-mismatch", text))

    def _restart(self) -> None:
        """The server sends from the beginning: so must the file, in one stream."""
        download = self.download
        assert download is not None
        self.partial.restart()
        self.segment = self.partial.next_segment()
        self.received = self.counted = 0
        self.resumable = download.resumed = False
        download.no_ranges = True

    def close(self) -> None:
        """Nothing is asked for any more."""
        self.curl.close()
        if self.channel is not None:
            self.channel.http.close()

    def release(self) -> None:
        """Forget the download; a partial file stays for the next try."""
        if self.segment is not None:
            self.segment.busy = False
        self.chunks.clear()
        self._raw_headers.clear()
        self._kept = b""
        self.download = self.segment = self.stopped = self.unpacker = None
        self.candidate = self.link = self.reception = None
        self.received = self.counted = 0
