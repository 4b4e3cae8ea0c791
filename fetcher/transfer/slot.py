"""One connection's worth of work: a libcurl handle and the body that it receives."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pycurl

from fetcher.errors import Failure, from_os_error
from fetcher.files import remove_quietly, write_atomically
from fetcher.network import Network, parse_header
from fetcher.paths import native
from fetcher.sniff import page_complaint
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.hashing import Tail, TailHasher
from fetcher.transfer.jobs import SMALL, Job
from fetcher.transfer.verdicts import Fatal, Mismatch, Opening, Verdict, opening

STALL_SECONDS = 30
_IMPATIENT_SECONDS = 4
_HEAD = 4096
_LONGEST_ERROR_PAGE = 1 << 20


class Slot:
    """A reusable handle. A small body stays in memory; a large one goes to its partial file."""

    def __init__(self, network: Network, hasher: TailHasher) -> None:
        self.network = network
        self.hasher = hasher
        self.curl = pycurl.Curl()
        self.job: Job | None = None
        self.url = ""
        self.host = ""
        self.hops = 0
        self.offset = 0
        self.written = 0
        self.chunks: list[bytes] = []
        self.begun = False
        self.aside = False
        self.stopped: Verdict | None = None
        self._raw_headers: list[bytes] = []
        self._file: Any = None
        self._tail: Tail | None = None
        self._had_cookies = False

    def start(self, job: Job, candidate: UrlCandidate, url: str, rate: int) -> None:
        """Set up for a job's first request. Raises Failure (the partial file cannot be made)."""
        self.job, self.hops = job, 0
        curl = self.curl
        curl.reset()
        self.network.configure_once(curl)
        if job.index + 1 < len(job.candidates):
            # Another place has the file: do not wait long for a firewall that drops packets.
            seconds = min(_IMPATIENT_SECONDS, self.network.settings.connect_timeout)
            curl.setopt(pycurl.CONNECTTIMEOUT, seconds)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1 if rate else 1024)
        curl.setopt(pycurl.LOW_SPEED_TIME, STALL_SECONDS)
        if rate:
            curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, rate)
        self._set_cookies(candidate.cookies)
        curl.setopt(pycurl.HEADERFUNCTION, self._raw_headers.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._hold if job.small else self._write)
        if job.small and job.file.size is not None:
            # An error page may be longer than the file: leave it room.
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max(job.file.size, SMALL))
        if not job.small:
            self._open(job)
        self.aim(url, candidate)

    def _set_cookies(self, wanted: bool) -> None:
        if self._had_cookies:  # libcurl's reset keeps them
            self.curl.setopt(pycurl.COOKIELIST, "ALL")
        if wanted:
            self.curl.setopt(pycurl.COOKIEFILE, "")
        self._had_cookies = wanted

    def aim(self, url: str, candidate: UrlCandidate) -> None:
        """Set up for one request: the first, or the next hop of a redirect."""
        job = self.job
        assert job is not None
        self.url = url
        self._raw_headers.clear()
        self.chunks.clear()
        self.begun = self.aside = False
        self.stopped = None
        self.written = self.offset
        headers = list(candidate.headers) if self.hops == 0 else []
        if job.decode:
            self.curl.setopt(pycurl.ACCEPT_ENCODING, "gzip")
        else:
            headers.append(("Accept-Encoding", "identity"))
        if self.offset:
            self.curl.setopt(pycurl.RANGE, f"{self.offset}-")
            if job.validator:
                headers.append(("If-Range", job.validator))
        self.network.configure(self.curl, url, headers)

    def _open(self, job: Job) -> None:
        part = job.part
        assert part is not None
        try:
            self._file = open(native(part.path), "r+b", buffering=0)  # noqa: PTH123, SIM115
            self.offset = self._usable(job, os.fstat(self._file.fileno()).st_size)
            self._file.truncate(self.offset)
            self._file.seek(self.offset)
        except OSError as error:
            raise from_os_error(error, f"opening {part.path}") from error
        job.anew = False
        job.resumed = job.resumed or self.offset > 0
        self._tail = self.hasher.follow(part.path, job.file.size if job.file.git_blob else None)
        self.hasher.grown(self._tail, self.offset)

    @staticmethod
    def _usable(job: Job, there: int) -> int:
        """How much of what is there can be kept."""
        too_long = job.file.size is not None and there > job.file.size
        # Without a digest or a validator nothing could tell that both halves are of one file.
        provable = job.file.key or job.validator
        return 0 if job.anew or job.decode or too_long or not provable else there

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
        """The first bytes of a body that is held in memory."""
        return b"".join(self.chunks)[:_HEAD]

    # Receiving: these run inside libcurl, which would swallow an exception

    def _hold(self, data: bytes) -> int | None:
        """Receive a piece of a small body."""
        self.chunks.append(data)
        self.written += len(data)
        job = self.job
        if job is None or self.written <= max(job.file.size or 0, SMALL):
            return None
        if self._status_so_far() in {200, 206}:
            self.stopped = self._too_long(job)
        self.aside = True
        return 0

    def _write(self, data: bytes) -> int | None:
        """Receive a piece of a large body; 0 ends the transfer."""
        try:
            if not self.begun:
                self.begin(data)
            if self.stopped is not None:
                return 0
            return self._set_aside(data) if self.aside else self._append(data)
        except OSError as error:
            self.stopped = Fatal(from_os_error(error, f"writing {self._file.name}"))
        except Exception as error:
            self.stopped = Fatal(Failure("internal", f"{type(error).__name__}: {error}"))
        return 0

    def begin(self, data: bytes = b"") -> None:
        """Judge the answer at its first byte."""
        job = self.job
        assert job is not None
        self.begun = True
        if self.url.startswith("ftp"):
            return
        headers = self.headers()
        found = opening(job, self.offset, self._status_so_far(), headers, self.host)
        if not isinstance(found, Opening):
            self.stopped = found
            return
        if found is not Opening.ASIDE and not job.file.key and not self.offset:
            # No digest would tell: a page is recognised by how it begins.
            found = Opening.ASIDE if page_complaint(data, job.file.path) else found
        self.aside = found is Opening.ASIDE
        if found is Opening.RESTART:
            self._restart()
        if not self.aside:
            self._remember_validator(headers)

    def _set_aside(self, data: bytes) -> int | None:
        """Keep the beginning; an error page is read to its end, so that the connection lives."""
        self.written += len(data)
        if self.written - self.offset <= _HEAD + len(data):
            self.chunks.append(data)
        enough = _HEAD if self._status_so_far() in {200, 206} else _LONGEST_ERROR_PAGE
        return 0 if self.written - self.offset > enough else None

    def _append(self, data: bytes) -> int | None:
        job, tail = self.job, self._tail
        assert job is not None and tail is not None
        if job.file.size is not None and self.written + len(data) > job.file.size:
            job.anew = True
            self.stopped = self._too_long(job)
            return 0
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.written += len(data)
        job.received += len(data)
        self.hasher.grown(tail, self.written)
        return None

    def _too_long(self, job: Job) -> Mismatch:
        text = f"{self.host} delivers more than {job.file.size or 0:,} bytes"
        return Mismatch(Failure("size-mismatch", text))

    def _restart(self) -> None:
        """The server sends from the beginning: so must the file."""
        job = self.job
        assert job is not None and job.part is not None and self._tail is not None
        self.hasher.drop(self._tail)
        self._file.seek(0)
        self._file.truncate(0)
        self.offset = self.written = 0
        job.resumed = False
        size = job.file.size if job.file.git_blob else None
        self._tail = self.hasher.follow(job.part.path, size)

    def _remember_validator(self, headers: dict[str, str]) -> None:
        """Keep what tells one version of the file from another, for the next run too."""
        job = self.job
        assert job is not None
        if job.file.key or job.part is None or self.offset:
            return
        tag = headers.get("etag", "")
        job.validator = tag if re.fullmatch(r'"[!\x23-\x7e]{1,200}"', tag) else ""
        if job.validator:
            write_atomically(Path(job.part.path + ".etag"), job.validator.encode("ascii"))
        else:
            remove_quietly(job.part.path + ".etag")

    def finish_file(self) -> Tail:
        """The large body is whole: close the file and hand its digest over."""
        assert self._tail is not None
        self._file.close()
        self._file = None
        tail, self._tail = self._tail, None
        return tail

    def release(self) -> None:
        """Forget the job; a partial file stays for the next try."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._tail is not None:
            self.hasher.drop(self._tail)
            self._tail = None
        self.chunks.clear()
        self._raw_headers.clear()
        self.job = self.stopped = None
        self.offset = self.written = 0
