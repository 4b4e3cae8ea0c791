"""One connection's worth of work: a libcurl handle and the body that it receives."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

import pycurl

from fetcher.errors import Failure, from_os_error
from fetcher.files import write_atomically
from fetcher.network import Network, parse_header
from fetcher.paths import native
from fetcher.sources.base import UrlCandidate
from fetcher.transfer.hashing import Tail, TailHasher
from fetcher.transfer.jobs import SMALL, Job

STALL_SECONDS = 30
_KEEP_OF_ERRORS = 4096


class Answer(NamedTuple):
    """How a request ended: HTTP status (0 without one), headers, first bytes of an error body."""

    status: int
    headers: dict[str, str]
    head: bytes


class Slot:
    """A reusable handle. A small body stays in memory; a large one goes to its partial file."""

    def __init__(self, network: Network, hasher: TailHasher, limit_rate: int) -> None:
        self.network = network
        self.hasher = hasher
        self.curl = pycurl.Curl()
        self.limit_rate = limit_rate
        self.job: Job | None = None
        self.url = ""
        self.hops = 0
        self.host = ""
        self.failure: Failure | None = None
        self.tail: Tail | None = None
        self._raw_headers: list[bytes] = []
        self.chunks: list[bytes] = []
        self._file: Any = None
        self._begun = False
        self._is_error = False
        self.offset = 0
        self.written = 0

    def start(self, job: Job, candidate: UrlCandidate, url: str) -> None:
        """Set up for a job's first request. Raises Failure (the partial file cannot be made)."""
        self.job, self.hops = job, 0
        self.failure = None
        self.curl.reset()
        network = self.network
        network.configure_once(self.curl)
        self.curl.setopt(pycurl.LOW_SPEED_LIMIT, 1 if self.limit_rate else 1024)
        self.curl.setopt(pycurl.LOW_SPEED_TIME, STALL_SECONDS)
        if self.limit_rate:
            self.curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, self.limit_rate)
        if candidate.cookies:
            self.curl.setopt(pycurl.COOKIEFILE, "")
        self.curl.setopt(pycurl.HEADERFUNCTION, self._raw_headers.append)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.chunks.append if job.small else self._write)
        if job.small and job.file.size is not None:
            # An error page may be longer than the file: leave it room.
            self.curl.setopt(pycurl.MAXFILESIZE_LARGE, max(job.file.size, SMALL))
        if not job.small:
            self._open(job)
        self.aim(url, candidate)

    def aim(self, url: str, candidate: UrlCandidate) -> None:
        """Set up for one request: the first, or the next hop of a redirect."""
        job = self.job
        assert job is not None
        self.url = url
        self._raw_headers.clear()
        self.chunks.clear()
        self._begun = self._is_error = False
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
            self.offset = 0 if job.no_range or job.decode else os.fstat(self._file.fileno()).st_size
            if job.file.size is not None and self.offset > job.file.size:
                self.offset = 0
            if not job.file.key and not job.validator:
                self.offset = 0  # nothing could tell that both halves are of one file
            self._file.truncate(self.offset)
            self._file.seek(self.offset)
        except OSError as error:
            raise from_os_error(error, f"opening {part.path}") from error
        self.written = self.offset
        job.resumed = job.resumed or self.offset > 0
        self.tail = self.hasher.follow(part.path, job.file.size if job.file.git_blob else None)
        self.hasher.grown(self.tail, self.offset)

    def status(self) -> int:
        """The HTTP status so far, 0 if there is none."""
        return int(self.curl.getinfo(pycurl.RESPONSE_CODE))

    def _status_line(self) -> int:
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

    def _restart(self) -> None:
        """The server sends from the beginning: so must the file."""
        job = self.job
        assert job is not None and job.part is not None and self.tail is not None
        self.hasher.drop(self.tail)
        self._file.seek(0)
        self._file.truncate(0)
        self.offset = self.written = 0
        job.resumed = False
        size = job.file.size if job.file.git_blob else None
        self.tail = self.hasher.follow(job.part.path, size)

    @property
    def begun(self) -> bool:
        """Whether the answer has been judged."""
        return self._begun

    def begin(self) -> bool:
        """Judge the answer at its first byte; False ends the transfer."""
        self._begun = True
        job = self.job
        assert job is not None
        status, headers = self._status_line(), self.headers()
        if self.url.startswith("ftp"):
            return True
        if status not in {200, 206}:
            self._is_error = True
            return True
        if headers.get("content-encoding", "identity") != "identity" and not job.decode:
            self.failure = Failure("refused", f"{self.host} sends the file compressed")
            return False
        if status == 206 and self.offset:
            span = re.match(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", ""))
            total_ok = span and (span[2] == "*" or job.file.size in {None, int(span[2])})
            if not span or int(span[1]) != self.offset or not total_ok:
                job.no_range = True
                self.failure = Failure("network", f"{self.host} answers with another range")
                return False
        elif self.offset:
            self._restart()
        self._remember_validator(headers)
        return True

    def _remember_validator(self, headers: dict[str, str]) -> None:
        """Keep what tells one version of the file from another, for the next run too."""
        job = self.job
        assert job is not None
        if job.file.key or job.part is None:
            return
        tag = headers.get("etag", "")
        job.validator = tag if re.fullmatch(r'"[^"\r\n]{1,200}"', tag) else ""
        if job.validator:
            from pathlib import Path

            write_atomically(Path(job.part.path + ".etag"), job.validator.encode("latin-1"))

    def _write(self, data: bytes) -> int | None:
        """Receive a piece of a large body; 0 ends the transfer."""
        try:
            if not self._begun and not self.begin():
                return 0
            if self._is_error:
                if sum(map(len, self.chunks)) < _KEEP_OF_ERRORS:
                    self.chunks.append(data)
                return None
            return self._append(data)
        except OSError as error:
            self.failure = from_os_error(error, f"writing {self._file.name}")
            return 0
        except Exception as error:  # libcurl would print it and say only "write error"
            self.failure = Failure("internal", f"{type(error).__name__}: {error}")
            return 0

    def _append(self, data: bytes) -> int | None:
        job, tail = self.job, self.tail
        assert job is not None and tail is not None
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.written += len(data)
        job.received += len(data)
        if job.file.size is not None and self.written > job.file.size:
            job.no_range = True
            self.failure = Failure(
                "size-mismatch", f"{self.host} delivered more than {job.file.size:,} bytes"
            )
            return 0
        self.hasher.grown(tail, self.written)
        return None

    def answer(self) -> Answer:
        """How the request ended."""
        return Answer(self.status(), self.headers(), b"".join(self.chunks)[:_KEEP_OF_ERRORS])

    def finish_file(self) -> Tail:
        """The large body is whole: close the file and let its digest be finished."""
        assert self.tail is not None
        self._file.close()
        self._file = None
        tail, self.tail = self.tail, None
        self.hasher.grown(tail, self.written, done=True)
        return tail

    def release(self) -> None:
        """Forget the job; a partial file stays for the next try."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.tail is not None:
            self.hasher.drop(self.tail)
            self.tail = None
        self.chunks.clear()
        self._raw_headers.clear()
        self.job = None
        self.offset = self.written = 0
