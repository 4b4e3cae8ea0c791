"""What requests and answers are made of: parts, ranges, and bodies read while they are sent."""

from __future__ import annotations

import hashlib
import html
import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

Content = bytes | Path  # a Path is read only when somebody asks for it

BLOCK = 1 << 20


@dataclass
class Request:
    """One request as it arrived; the server fills in `status` and `bytes_sent` as it answers."""

    method: str
    target: str  # as sent: percent-encoded, with the query
    headers: dict[str, str]  # names in lower case
    body: bytes = b""
    time: float = 0.0
    client: tuple[str, int] = ("", 0)  # tells connections apart
    status: int = 0
    bytes_sent: int = 0  # of the body

    @cached_property
    def _parts(self) -> tuple[str, str]:
        if self.target.startswith("/"):
            path, _, query = self.target.partition("?")
            return path, query
        split = urlsplit(self.target)  # the absolute form, as sent to a proxy
        return split.path or "/", split.query

    @cached_property
    def path(self) -> str:
        """The decoded path, without the query."""
        return unquote(self._parts[0])

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self._parts[1], keep_blank_values=True))

    @cached_property
    def segments(self) -> list[str]:
        """Path segments, decoded after the split: `refs%2Fpr%2F1` is one segment."""
        return [unquote(part) for part in self._parts[0].split("/")[1:]]

    @property
    def line(self) -> str:
        """What a fault's pattern is searched in."""
        return f"{self.method} {self.target}"

    @property
    def token(self) -> str | None:
        """The credential in `Authorization`, whichever scheme carries it."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return b64decode(value).decode("utf-8", "replace").partition(":")[2]
        return value.strip() or None

    def json(self) -> Any:
        return json.loads(self.body or b"null")


@dataclass
class Response:
    """An answer before ranges, HEAD and faults are applied to it."""

    status: int = 200
    body: Content = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    etag: str | None = None  # with its quotes
    ranges: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Response:
        body = json.dumps(value, separators=(",", ":")).encode()
        return cls(status, body, _names(headers), "application/json; charset=utf-8")

    @classmethod
    def text(cls, value: str, status: int = 200, **headers: str) -> Response:
        return cls(status, value.encode(), _names(headers), "text/plain; charset=utf-8")

    @classmethod
    def page(cls, title: str, text: str, status: int = 200, **headers: str) -> Response:
        title, text = html.escape(title), html.escape(text)
        page = (
            "<!DOCTYPE html>\n<html><head><meta charset='utf-8'>"
            f"<title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
        )
        return cls(status, page.encode(), _names(headers), "text/html; charset=utf-8")

    @classmethod
    def redirect(cls, location: str, status: int = 302, **headers: str) -> Response:
        answer = cls.text(f"{reason(status)}. Redirecting to {location}", status, **headers)
        answer.headers["Location"] = location
        return answer


class Refused(Exception):
    """Raised anywhere in a handler to answer with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def size_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def read(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def blocks(content: Content, start: int, stop: int) -> Iterator[bytes]:
    """Bytes [start, stop) of `content`, no more than `BLOCK` at a time."""
    if isinstance(content, bytes):
        for at in range(start, stop, BLOCK):
            yield content[at : min(at + BLOCK, stop)]
        return
    with content.open("rb", buffering=0) as file:
        file.seek(start)
        while start < stop:
            block = file.read(min(BLOCK, stop - start))
            if not block:
                raise OSError(f"{content.name} became shorter while it was served")
            start += len(block)
            yield block


def digest(content: Content, name: str = "sha256", prefix: bytes = b"") -> str:
    running = hashlib.new(name, prefix)
    for block in blocks(content, 0, size_of(content)):
        running.update(block)
    return running.hexdigest()


def git_blob_id(content: Content) -> str:
    return digest(content, "sha1", b"blob %d\0" % size_of(content))


def lfs_pointer(sha256: str, size: int) -> bytes:
    spec = "version https://git-lfs.github.com/spec/v1"
    return f"{spec}\noid sha256:{sha256}\nsize {size}\n".encode()


def attachment(name: str) -> str:
    plain = name.encode("ascii", "replace").decode().replace('"', "'")
    return f"attachment; filename*=UTF-8''{quote(name)}; filename=\"{plain}\""


def wanted_range(request: Request, etag: str | None, size: int) -> tuple[int, int] | None:
    """The one range asked for as [start, stop), None for the whole; ValueError if out of reach."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", "").replace(" ", ""))
    if not found or found[0] == "bytes=-":
        return None  # none, several or malformed: a server may send the whole
    condition = request.headers.get("if-range")
    if condition is not None and (condition != etag or condition.startswith("W/")):
        return None
    first, last = found[1], found[2]
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise ValueError(f"no byte of {size} in {found[0]}")
    return start, stop
