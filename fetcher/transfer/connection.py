"""One connection's worth of work: a libcurl handle and the body that it receives.

Whatever comes is put on a list inside libcurl's callback, which costs next to nothing there; the
loop deals with it after each turn, in as few system calls as it takes.
"""

from __future__ import annotations

import re
import socket
import time

import pycurl

from fetcher.errors import Failure, from_os_error
from fetcher.i18n import t
from fetcher.network.curl import as_line, parse_header
from fetcher.network.session import Network
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.download import SMALL, Download
from fetcher.transfer.handle import aim, set_up
from fetcher.transfer.outcomes import Fatal, Mismatch, Opening, RequestOutcome, opening
from fetcher.transfer.partial_file import PartialFile, Segment

_IMPATIENT_SECONDS = 4
_HEAD = 4096
_LONGEST_ERROR_PAGE = 1 << 20
_NEAR_BUFFER = 512 << 10  # Linux makes twice as much of it


class Connection:
    """A reusable handle. A small body stays in memory; a large one goes to its partial file."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.curl = pycurl.Curl()
        self.download: Download | None = None
        self.segment: Segment | None = None
        self.url = ""
        self.host = ""
        self.hops = 0
        self.began = 0.0
        self.received = 0  # bytes of this request's body that count
        self.chunks: list[bytes] = []
        self.begun = False
        self.aside = False
        self.complaint = ""  # what the body's beginning shows it to be
        self.stopped: RequestOutcome | None = None
        self._kept = b""
        self._put_aside = 0
        self._raw_headers: list[bytes] = []
        self._had_cookies = False

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
        segment = self.segment
        return segment is not None and (self.partial.in_ranges or self.offset > 0)

    def start(
        self,
        download: Download,
        candidate: UrlCandidate,
        url: str,
        rate: int,
        segment: Segment | None = None,
    ) -> None:
        """Set up for a download's first request, or the one for a segment of its body."""
        self.download, self.segment = download, segment
        self.hops = 1 if download.landed else 0
        self.began = time.monotonic()
        curl = self.curl
        curl.reset()
        write = self._hold if segment is None else self.chunks.append
        set_up(curl, self.network, write, rate)
        if download.index + 1 < len(download.candidates):
            # Another place has the file: do not wait long for a firewall that drops packets.
            seconds = min(_IMPATIENT_SECONDS, self.network.settings.connect_timeout)
            curl.setopt(pycurl.CONNECTTIMEOUT, seconds)
        self._set_cookies(candidate.cookies, url)
        curl.setopt(pycurl.HEADERFUNCTION, self._raw_headers.append)
        if segment is None and download.file.size is not None:
            # An error page may be longer than the file: leave it room.
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max(download.file.size, SMALL))
        self.aim(url, candidate)

    def _set_cookies(self, wanted: bool, url: str) -> None:
        if self._had_cookies:  # libcurl's reset keeps them
            self.curl.setopt(pycurl.COOKIELIST, "ALL")
        if wanted:
            self.curl.setopt(pycurl.COOKIEFILE, "")
            for cookie in self.network.cookies(url):  # from when it was asked for a hint
                self.curl.setopt(pycurl.COOKIELIST, as_line(cookie))
        self._had_cookies = wanted

    def aim(self, url: str, candidate: UrlCandidate) -> None:
        """Set up for one request: the first, or the next hop of a redirect."""
        download, segment = self.download, self.segment
        assert download is not None
        self.url = url
        self._raw_headers.clear()
        self.chunks.clear()
        self.begun = self.aside = False
        self.complaint = ""
        self.stopped = None
        self.received = self._put_aside = 0
        self._kept = b""
        headers = list(candidate.headers) if self.hops == 0 else []
        if segment is not None and self.ranged:
            last = "" if segment.stop is None or not self.partial.in_ranges else segment.stop - 1
            self.curl.setopt(pycurl.RANGE, f"{segment.at}-{last}")
            if download.validator:
                headers.append(("If-Range", download.validator))
        aim(self.curl, self.network, url, headers, download.decode)

    def status(self) -> int:
        """The HTTP status, 0 if there is none."""
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
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NEAR_BUFFER)
        except OSError:
            pass
        finally:
            connection.detach()  # libcurl's own

    # Receiving

    def _hold(self, data: bytes) -> int | None:
        """Receive a piece of a small body; runs inside libcurl."""
        self.chunks.append(data)
        self.received += len(data)
        download = self.download
        if download is None or self.received <= max(download.file.size or 0, SMALL):
            return None
        if self._status_so_far() in {200, 206}:
            self.stopped = self._too_long(download)
        self.aside = True
        return 0

    def flush(self) -> bool:
        """Deal with what came of a large body; False if the transfer must end."""
        if self.segment is None or not self.chunks:
            return True
        try:
            if not self.begun:
                self.begin(self.chunks[0])
            if self.stopped is not None:
                return False
            return self._set_aside() if self.aside else self._append(self.segment)
        except OSError as error:
            self.stopped = Fatal(
                from_os_error(
                    error,
                    t("writing {path}", path=self.partial.part.path),
                    self.partial.part.path,
                    self.partial.size,
                )
            )
        except Exception as error:
            self.stopped = Fatal(Failure("internal", f"{type(error).__name__}: {error}"))
        return False

    def restarts(self) -> bool:
        """Whether an answer that has just begun brings the file from its beginning, unasked."""
        return self.ranged and self._status_so_far() == 200

    def begin(self, data: bytes = b"") -> None:
        """Judge the answer at its first byte."""
        download, segment = self.download, self.segment
        assert download is not None and segment is not None
        self.begun = True
        if self.url.startswith("ftp"):
            return
        headers = self.headers()
        stop = segment.stop if self.partial.in_ranges else None
        asked = (segment.at, stop) if self.ranged else None
        found = opening(download, asked, self._status_so_far(), headers, self.host)
        if not isinstance(found, Opening):
            self.stopped = found
            return
        if found is not Opening.ASIDE and download.doubtful and not segment.at:
            from fetcher.fs.first_look import look_at_start

            # No digest would tell: what is no file is recognised by how it begins.
            download.declared = headers.get("content-type", "")
            self.complaint = look_at_start(data, download.file.path, download.declared)
            found = Opening.ASIDE if self.complaint else found
        self.aside = found is Opening.ASIDE
        if found is Opening.RESTART:
            self._restart(download)
        if not self.aside and not download.key and not self.offset:
            self.partial.remember_validator(headers.get("etag", ""), self.host)

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
        coming = sum(map(len, self.chunks))
        if segment.stop is not None and segment.at + coming > segment.stop:
            download.anew = not self.partial.in_ranges
            self.stopped = self._too_long(download)
            return False
        self.partial.write(segment, self.chunks)
        self.chunks.clear()
        self.received += coming
        download.received += coming
        return True

    def _too_long(self, download: Download) -> Mismatch:
        text = t(
            "{host} delivers more than {size:,} bytes", host=self.host, size=download.file.size or 0
        )
        return Mismatch(Failure("size-mismatch", text))

    def _restart(self, download: Download) -> None:
        """The server sends from the beginning: so must the file, in one stream."""
        self.partial.restart()
        self.segment = self.partial.next_segment()
        self.received = 0
        download.resumed = False
        download.no_ranges = True

    def release(self) -> None:
        """Forget the download; a partial file stays for the next try."""
        if self.segment is not None:
            self.segment.busy = False
        self.chunks.clear()
        self._raw_headers.clear()
        self._kept = b""
        self.download = self.segment = self.stopped = None
        self.received = 0
