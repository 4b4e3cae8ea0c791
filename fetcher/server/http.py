"""Requests and responses, as handlers see them: no handler knows the server underneath."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from fetcher.fs.extents import Extent
from fetcher.i18n import t
from fetcher.server.tokens import ANONYMOUS, Identity

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# A form with the paths that one call asks for, or a small JSON.
MAX_FORM = 8 << 20


@dataclass
class HttpRequest:
    """One request. `path` is percent-decoded; `headers` gives a header's value by its name."""

    method: str
    path: str
    query: str = ""
    headers: Callable[[str], str | None] = lambda _: None
    scheme: str = "http"
    host: str = "localhost"
    client: str = ""
    chunks: Callable[[], AsyncIterator[bytes]] | None = None
    identity: Identity = ANONYMOUS
    public_url: str = ""
    trust_forwarded: bool = False

    @cached_property
    def segments(self) -> list[str]:
        """The path's segments; an empty one is an empty text."""
        return self.path[1:].split("/")

    @cached_property
    def params(self) -> dict[str, str]:
        """The query's parameters; the last of a name counts. Raises HttpError."""
        try:
            return dict(parse_qsl(self.query, keep_blank_values=True, max_num_fields=100))
        except ValueError:
            raise refusal(400, t("too many parameters")) from None

    def truth(self, name: str) -> bool:
        """Whether a parameter says yes."""
        return self.params.get(name, "").lower() in {"true", "1"}

    def whole_number(self, name: str, default: int, low: int, high: int) -> int:
        """A parameter's number within its bounds; the default if it is none."""
        text = self.params.get(name, "")
        return min(max(int(text), low), high) if re.fullmatch(r"\d{1,9}", text) else default

    @property
    def base(self) -> str:
        """What clients put in front of a path to come here again, without a slash at its end."""
        if self.public_url:
            return self.public_url
        scheme, host, prefix = self.scheme, self.host, ""
        if self.trust_forwarded:
            told = (self.headers("x-forwarded-proto") or "").split(",")[0].strip().lower()
            scheme = told if told in {"http", "https"} else scheme
            host = (self.headers("x-forwarded-host") or "").split(",")[0].strip() or host
            told = (self.headers("x-forwarded-prefix") or "").strip().rstrip("/")
            prefix = told if _PREFIX.fullmatch(told) else ""
        return f"{scheme}://{host}{prefix}" if _is_host(host) else ""

    async def body(self, limit: int = MAX_FORM) -> bytes:
        """The whole body. Raises HttpError if it is longer than `limit`."""
        data = bytearray()
        if self.chunks is not None:
            async for chunk in self.chunks():
                data += chunk
                if len(data) > limit:
                    raise refusal(413, t("the request's body is too long"))
        return bytes(data)


def _is_host(text: str) -> bool:
    """Whether a host, with a port if wanted, can stand in an address."""
    if not _HOST.fullmatch(text):
        return False
    try:
        return bool(urlsplit(f"//{text}").netloc)
    except ValueError:  # brackets that hold no IPv6 address
        return False


class Content(NamedTuple):
    """A body that lies on disk: a content by its digest, and where its bytes are."""

    sha256: str
    size: int
    extents: tuple[Extent, ...]


Live = Callable[[int, int], Iterator[bytes]]


@dataclass
class HttpResponse:
    """What to answer. A `Content` honours ranges and conditions.

    `live` gives the bytes from one offset up to another of a content that still arrives, in a
    thread that may wait for them; `size` is that of the whole.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Content = b""
    live: Live | None = None
    size: int = 0


class HttpError(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, response: HttpResponse, message: str = "") -> None:
        super().__init__(response.status)
        self.response = response
        self.message = message

    def saying(self, message: str) -> HttpError:
        """The same, in other words."""
        if message == self.message:
            return self
        body = json_response({"error": message}).body
        return HttpError(replace(self.response, body=body), message)


def json_response(value: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A value as JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(
        200,
        {"Content-Type": JSON_TYPE, **(headers or {})},
        text.encode("utf-8", "surrogatepass"),
    )


def text_response(text: str, status: int = 200, kind: str = TEXT_TYPE) -> HttpResponse:
    """A text."""
    return HttpResponse(status, {"Content-Type": kind}, text.encode())


def refusal(
    status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
) -> HttpError:
    """An error as the Hub words it; `code` is the X-Error-Code that its clients go by."""
    made = json_response({"error": message}, headers)
    made.status = status
    if code:
        made.headers["X-Error-Code"] = code
    shown = message.encode("ascii", "backslashreplace").decode("ascii")
    made.headers["X-Error-Message"] = re.sub(r"[^\x20-\x7e]", "?", shown)[:500]
    return HttpError(made, message)
