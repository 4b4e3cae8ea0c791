"""Requests that send bodies: from memory or from pieces of files, with the network's rules."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any

import pycurl

from fetcher.errors import Failure
from fetcher.fs.extents import Extent, part_of
from fetcher.mirror.copying import open_to_read
from fetcher.network.curl_errors import explain
from fetcher.network.retry import RETRY_STATUS, backoff, retry_after
from fetcher.network.session import Network, Response, parse_header
from fetcher.network.urls import host_of

_TRIES = 4


class _Body:
    """A content that libcurl reads piece by piece, and can begin anew."""

    def __init__(self, extents: Sequence[Extent]) -> None:
        self.extents = tuple(extents)
        self.size = sum(extent.length for extent in extents)
        self.position = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        import os

        pieces = part_of(self.extents, self.position, min(self.position + size, self.size))
        if not pieces:
            return b""
        path, offset, length = pieces[0]
        handle = open_to_read(path)
        try:
            os.lseek(handle, offset, os.SEEK_SET)
            data = os.read(handle, length)
        finally:
            os.close(handle)
        self.position += len(data)
        return data

    def seek(self, offset: int, origin: int) -> int:
        """Begin again somewhere else."""
        self.position = offset
        return int(pycurl.SEEKFUNC_OK)


class Uploader:
    """Sends requests with bodies; one handle per thread."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._local = threading.local()

    def _handle(self) -> Any:
        curl = getattr(self._local, "curl", None)
        if curl is None:
            curl = self._local.curl = pycurl.Curl()
        curl.reset()
        self.network.configure_once(curl)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, 60)
        return curl

    def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Sequence[Extent] = b"",
    ) -> Response:
        """Send once, and again after passing faults. Raises Failure."""
        if self.network.offline:
            host = host_of(url)
            raise Failure("offline", f"{host} is needed, but the network may not be used")
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._once(method, self.network.rewrite(url), headers, body)
            except pycurl.error as error:
                number, message = error.args
                failure = explain(number, message, url)
                if attempt == _TRIES or failure.problem.code != "network":
                    raise failure from None
            else:
                if answer.status not in RETRY_STATUS or attempt == _TRIES:
                    return answer
                wait = retry_after(answer.headers) or 0.0
                if wait > 60:
                    return answer
                self.network.pause(wait)
            self.network.pause(backoff(attempt))
        raise AssertionError("unreachable")

    def _once(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Sequence[Extent],
    ) -> Response:
        curl, answer = self._handle(), io.BytesIO()
        received: dict[str, str] = {}
        # "Expect: 100-continue" costs a second where a server does not know it.
        self.network.configure(curl, url, [*headers, ("Expect", "")])
        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif isinstance(body, bytes):
            curl.setopt(pycurl.POSTFIELDS, body)
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        else:
            source = _Body(body)
            curl.setopt(pycurl.UPLOAD, 1)
            curl.setopt(pycurl.CUSTOMREQUEST, method)
            curl.setopt(pycurl.INFILESIZE_LARGE, source.size)
            curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 1 << 19)
            curl.setopt(pycurl.READFUNCTION, source.read)
            curl.setopt(pycurl.SEEKFUNCTION, source.seek)
        curl.setopt(pycurl.WRITEFUNCTION, answer.write)
        curl.setopt(pycurl.HEADERFUNCTION, lambda line: parse_header(received, line))
        curl.perform()
        return Response(curl.getinfo(pycurl.RESPONSE_CODE), received, answer.getvalue(), url)
