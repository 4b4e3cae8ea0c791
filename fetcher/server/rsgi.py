"""Answers on the wire, through RSGI, granian's own interface: files leave without Python."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from secrets import token_hex
from typing import Any

from fetcher.fs.extents import Extent, part_of, read
from fetcher.server.app import App
from fetcher.server.blob_check import AT_ONCE, BlobChecks
from fetcher.server.http import Content, HttpError, HttpRequest, HttpResponse, refusal
from fetcher.server.ranges import not_modified, precondition_failed, wanted
from fetcher.server.request_body import paced
from fetcher.server.streaming import StreamWriter

_log = logging.getLogger(__name__)

Part = bytes | tuple[Extent, ...]
Ranges = list[tuple[int, int]] | None
# Status, bytes of the body, and what sends it through granian's protocol object.
Sending = tuple[int, int, Callable[[Any], Any]]


class Service:
    """What granian calls for every request."""

    def __init__(self, app: App, checks: BlobChecks) -> None:
        self.app = app
        self.checks = checks
        self.streams = StreamWriter(app.options.say)
        app.damaged = lambda: checks.failures

    def close(self) -> None:
        """End the threads."""
        self.streams.close()
        self.checks.close()

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """One request."""
        if scope.proto != "http":
            return
        started = time.perf_counter()
        options = self.app.options
        headers = scope.headers
        request = HttpRequest(
            scope.method,
            scope.path if scope.path.startswith("/") else "/",
            scope.query_string,
            headers.get,
            scope.scheme,
            headers.get("host") or scope.authority or "",
            scope.client.rpartition(":")[0],
            partial(paced, proto),
            public_url=options.public_url,
            trust_forwarded=options.trust_forwarded,
        )
        try:
            try:
                response = await self.app.answer(request)
                sending = await self._prepared(request, response)
            except HttpError as refused:
                sending = await self._prepared(request, refused.response)
        except Exception as error:
            options.say(f"{request.method} {request.path!r}: {type(error).__name__}: {error}")
            _log.debug("%s %r failed", request.method, request.path, exc_info=True)
            response = refusal(500, "this mirror failed: its log says why").response
            sending = await self._prepared(request, response)
        status, size, send = sending
        self.app.finished(request, status, size, time.perf_counter() - started)
        await send(proto)

    async def _prepared(self, request: HttpRequest, response: HttpResponse) -> Sending:
        """(status, bytes of the body, what sends it). Raises HttpError."""
        headers, body = response.headers, response.body
        etag = headers.get("ETag", "")
        if response.status == 200 and etag:
            if not_modified(request.headers("if-none-match"), etag):
                kept = {k: v for k, v in headers.items() if not k.startswith("Content-")}
                return 304, 0, partial(_empty, 304, kept)
            if precondition_failed(request.headers("if-match"), etag):
                raise refusal(412, "the content is another one")
        if response.live is not None or isinstance(body, Content):
            return await self._ranged(request, response)
        headers["Content-Length"] = str(len(body))
        if request.method == "HEAD":
            return response.status, 0, partial(_empty, response.status, headers)
        return response.status, len(body), partial(_bytes, response.status, headers, body)

    async def _ranged(self, request: HttpRequest, response: HttpResponse) -> Sending:
        """What sends a content, or those parts of it that are asked for. Raises HttpError."""
        headers, body = response.headers, response.body
        size = body.size if isinstance(body, Content) else response.size
        headers["Accept-Ranges"] = "bytes"
        if request.method == "HEAD":
            headers["Content-Length"] = str(size)
            return 200, 0, partial(_empty, 200, headers)
        asked = request.headers("range") if request.method == "GET" else None
        ranges = wanted(asked, request.headers("if-range"), headers.get("ETag", ""), size)
        if ranges == []:
            return _unsatisfiable(headers, size)
        if isinstance(body, Content):
            return await self._content(response, body, ranges)
        return await self._live(response, ranges)

    async def _content(self, response: HttpResponse, content: Content, ranges: Ranges) -> Sending:
        headers, size = response.headers, content.size
        try:
            sound = self.checks.state(content)
            if sound is None and (size <= AT_ONCE or ranges):
                sound = await self.checks.prove(content)
        except (OSError, EOFError):
            raise refusal(503, "its content is not here any more") from None
        if sound is False:
            self.app.options.say(f"{content.extents[0].path} is damaged: it is not served")
            raise refusal(500, "its content is damaged here: the operator must fetch it again")
        if ranges and len(ranges) > 1:
            return self._multipart(headers, content, ranges)
        start, stop = ranges[0] if ranges else (0, size)
        status = 206 if ranges else 200
        if ranges:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["Content-Length"] = str(stop - start)
        extents = part_of(content.extents, start, stop)
        if sound is None:
            send = partial(self.streams.send, status, headers, self.checks.proving(content))
        elif not extents:
            send = partial(_bytes, status, headers, b"")
        elif len(extents) == 1:
            send = partial(_file, status, headers, extents[0])
        else:
            send = partial(self.streams.send, status, headers, read(extents))
        return status, stop - start, send

    async def _live(self, response: HttpResponse, ranges: Ranges) -> Sending:
        headers, size = response.headers, response.size
        start, stop, status = 0, size, 200
        if ranges and len(ranges) == 1:
            start, stop = ranges[0]
            status = 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["Content-Length"] = str(stop - start)
        assert response.live is not None
        source = response.live(start, stop)
        # The first piece tells whether there is anything to send at all.
        first = await self.streams.first(source)
        return (
            status,
            stop - start,
            partial(self.streams.send, status, headers, _again(first, source)),
        )

    def _multipart(
        self, headers: dict[str, str], content: Content, ranges: Sequence[tuple[int, int]]
    ) -> Sending:
        """Several ranges in one body (RFC 9110, multipart/byteranges)."""
        boundary = token_hex(16)
        kind = headers.pop("Content-Type", "application/octet-stream")
        headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
        parts: list[Part] = []
        for start, stop in ranges:
            head = f"--{boundary}\r\nContent-Type: {kind}\r\n"
            head += f"Content-Range: bytes {start}-{stop - 1}/{content.size}\r\n\r\n"
            parts += [head.encode(), part_of(content.extents, start, stop), b"\r\n"]
        parts.append(f"--{boundary}--\r\n".encode())
        size = sum(len(p) if isinstance(p, bytes) else sum(e.length for e in p) for p in parts)
        headers["Content-Length"] = str(size)

        def source() -> Iterator[bytes]:
            for part in parts:
                yield from [part] if isinstance(part, bytes) else read(part)

        return 206, size, partial(self.streams.send, 206, headers, source())


def _unsatisfiable(headers: dict[str, str], size: int) -> Sending:
    kept = {k: v for k, v in headers.items() if not k.startswith("Content-")}
    kept |= {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
    return 416, 0, partial(_empty, 416, kept)


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


async def _empty(status: int, headers: dict[str, str], proto: Any) -> None:
    proto.response_empty(status, list(headers.items()))


async def _bytes(status: int, headers: dict[str, str], body: bytes, proto: Any) -> None:
    proto.response_bytes(status, list(headers.items()), body)


async def _file(status: int, headers: dict[str, str], extent: Extent, proto: Any) -> None:
    start, stop = extent.offset, extent.offset + extent.length
    proto.response_file_range(status, list(headers.items()), extent.path, start, stop)
