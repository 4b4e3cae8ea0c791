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
from fetcher.fs.sniff import page_complaint
from fetcher.network.curl import parse_header
from fetcher.network.session import Network
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.download import SMALL, Job
from fetcher.transfer.outcomes import Fatal, Mismatch, Opening, Verdict, opening
from fetcher.transfer.partial_file import Body, Cell

_IMPATIENT_SECONDS = 4
_HEAD = 4096
_LONGEST_ERROR_PAGE = 1 << 20
# Larger ones make the lists between two turns outgrow the caches.
_BUFFER = 64 << 10
_NEAR_BUFFER = 512 << 10  # Linux makes twice as much of it


class Slot:
    """A reusable handle. A small body stays in memory; a large one goes to its partial file."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.curl = pycurl.Curl()
        self.job: Job | None = None
        self.cell: Cell | None = None
        self.url = ""
        self.host = ""
        self.hops = 0
        self.began = 0.0
        self.received = 0  # bytes of this request's body that count
        self.chunks: list[bytes] = []
        self.begun = False
        self.aside = False
        self.stopped: Verdict | None = None
        self._kept = b""
        self._put_aside = 0
        self._raw_headers: list[bytes] = []
        self._had_cookies = False

    @property
    def body(self) -> Body:
        """The large body that this slot brings a part of."""
        assert self.job is not None and self.job.body is not None
        return self.job.body

    @property
    def offset(self) -> int:
        """Where the bytes asked for begin."""
        return 0 if self.cell is None else self.cell.at - self.received

    @property
    def ranged(self) -> bool:
        """Whether a range is asked for."""
        cell = self.cell
        return cell is not None and (self.body.in_ranges or self.offset > 0)

    def start(
        self, job: Job, candidate: UrlCandidate, url: str, rate: int, cell: Cell | None = None
    ) -> None:
        """Set up for a job's first request, or the one for a cell of its body."""
        self.job, self.cell = job, cell
        self.hops = 1 if job.landed else 0
        self.began = time.monotonic()
        curl = self.curl
        curl.reset()
        self.network.configure_once(curl, slowest=1 if rate else 1024)
        if job.index + 1 < len(job.candidates):
            # Another place has the file: do not wait long for a firewall that drops packets.
            seconds = min(_IMPATIENT_SECONDS, self.network.settings.connect_timeout)
            curl.setopt(pycurl.CONNECTTIMEOUT, seconds)
        if rate:
            curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, rate)
        self._set_cookies(candidate.cookies)
        curl.setopt(pycurl.HEADERFUNCTION, self._raw_headers.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._hold if cell is None else self.chunks.append)
        if cell is not None:
            curl.setopt(pycurl.BUFFERSIZE, _BUFFER)
        elif job.file.size is not None:
            # An error page may be longer than the file: leave it room.
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max(job.file.size, SMALL))
        self.aim(url, candidate)

    def _set_cookies(self, wanted: bool) -> None:
        if self._had_cookies:  # libcurl's reset keeps them
            self.curl.setopt(pycurl.COOKIELIST, "ALL")
        if wanted:
            self.curl.setopt(pycurl.COOKIEFILE, "")
        self._had_cookies = wanted

    def aim(self, url: str, candidate: UrlCandidate) -> None:
        """Set up for one request: the first, or the next hop of a redirect."""
        job, cell = self.job, self.cell
        assert job is not None
        self.url = url
        self._raw_headers.clear()
        self.chunks.clear()
        self.begun = self.aside = False
        self.stopped = None
        self.received = self._put_aside = 0
        self._kept = b""
        headers = list(candidate.headers) if self.hops == 0 else []
        if job.decode:
            self.curl.setopt(pycurl.ACCEPT_ENCODING, "gzip")
        else:
            headers.append(("Accept-Encoding", "identity"))
        if cell is not None and self.ranged:
            last = "" if cell.stop is None or not self.body.in_ranges else cell.stop - 1
            self.curl.setopt(pycurl.RANGE, f"{cell.at}-{last}")
            if job.validator:
                headers.append(("If-Range", job.validator))
        self.network.configure(self.curl, url, headers)

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
        job = self.job
        if job is None or self.received <= max(job.file.size or 0, SMALL):
            return None
        if self._status_so_far() in {200, 206}:
            self.stopped = self._too_long(job)
        self.aside = True
        return 0

    def flush(self) -> bool:
        """Deal with what came of a large body; False if the transfer must end."""
        if self.cell is None or not self.chunks:
            return True
        try:
            if not self.begun:
                self.begin(self.chunks[0])
            if self.stopped is not None:
                return False
            return self._set_aside() if self.aside else self._append(self.cell)
        except OSError as error:
            self.stopped = Fatal(from_os_error(error, f"writing {self.body.part.path}"))
        except Exception as error:
            self.stopped = Fatal(Failure("internal", f"{type(error).__name__}: {error}"))
        return False

    def restarts(self) -> bool:
        """Whether an answer that has just begun brings the file from its beginning, unasked."""
        return self.ranged and self._status_so_far() == 200

    def begin(self, data: bytes = b"") -> None:
        """Judge the answer at its first byte."""
        job, cell = self.job, self.cell
        assert job is not None and cell is not None
        self.begun = True
        if self.url.startswith("ftp"):
            return
        headers = self.headers()
        stop = cell.stop if self.body.in_ranges else None
        asked = (cell.at, stop) if self.ranged else None
        found = opening(job, asked, self._status_so_far(), headers, self.host)
        if not isinstance(found, Opening):
            self.stopped = found
            return
        if found is not Opening.ASIDE and not job.file.key and not cell.at:
            # No digest would tell: a page is recognised by how it begins.
            found = Opening.ASIDE if page_complaint(data, job.file.path) else found
        self.aside = found is Opening.ASIDE
        if found is Opening.RESTART:
            self._restart(job)
        if not self.aside and not job.file.key and not self.offset:
            self.body.remember_validator(headers.get("etag", ""))

    def _set_aside(self) -> bool:
        """Keep the beginning; an error page is read to its end, so that the connection lives."""
        data = b"".join(self.chunks)
        self.chunks.clear()
        self._put_aside += len(data)
        self._kept += data[: _HEAD - len(self._kept)]
        enough = _HEAD if self._status_so_far() in {200, 206} else _LONGEST_ERROR_PAGE
        return self._put_aside <= enough

    def _append(self, cell: Cell) -> bool:
        job = self.job
        assert job is not None
        coming = sum(map(len, self.chunks))
        if cell.stop is not None and cell.at + coming > cell.stop:
            job.anew = not self.body.in_ranges
            self.stopped = self._too_long(job)
            return False
        self.body.write(cell, self.chunks)
        self.chunks.clear()
        self.received += coming
        job.received += coming
        return True

    def _too_long(self, job: Job) -> Mismatch:
        text = f"{self.host} delivers more than {job.file.size or 0:,} bytes"
        return Mismatch(Failure("size-mismatch", text))

    def _restart(self, job: Job) -> None:
        """The server sends from the beginning: so must the file, in one stream."""
        self.body.restart()
        self.cell = self.body.next_cell()
        self.received = 0
        job.resumed = False
        job.no_ranges = True

    def release(self) -> None:
        """Forget the job; a partial file stays for the next try."""
        if self.cell is not None:
            self.cell.busy = False
        self.chunks.clear()
        self._raw_headers.clear()
        self._kept = b""
        self.job = self.cell = self.stopped = None
        self.received = 0
