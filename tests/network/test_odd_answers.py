"""Small requests to servers as they are: the same JSON comes out, or a failure that says why."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fetcher.errors import Failure
from tests.kit import Run
from tests.servers.odd import CLOSE, Asked, OddServer, Reply, answer, chunked, until_closed

VALUE = {"files": ["a" * 50, "b"] * 20}
BODY = json.dumps(VALUE).encode()
PAGE = b"<!DOCTYPE html><html><title>Sign in to this network</title></html>"


@dataclass(frozen=True)
class Row:
    """What a server does; the value comes out, or a failure of this code with these words."""

    name: str
    reply: Reply
    code: str = ""
    words: str = ""
    most: int = 2


def encoded(name: str, body: bytes = BODY) -> Reply:
    return lambda asked: answer(200, f"Content-Encoding: {name}", body=body)


def moved(location: str) -> Reply:
    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.request.path.startswith("/there"):
            return asked.plain()
        host = asked.url.partition("//")[2]
        return answer(302, "Set-Cookie: pass=1", "Location: " + location.replace("HOST", host))

    return reply


def with_cookie(asked: Asked) -> Iterable[bytes]:
    if "pass=1" in asked.request.headers.get("cookie", ""):
        return asked.plain()
    return answer(302, "Set-Cookie: pass=1; Path=/", f"Location: {asked.request.target}")


ROWS = [
    *(
        Row(f"Content-Encoding: {name!r}, untrue", encoded(name))
        for name in ("UTF-8", "binary", "aws-chunked", "none", "", "gzip", "gzip, gzip", "br")
    ),
    Row("deflate, untrue", encoded("deflate")),
    Row("gzip", encoded("gzip", gzip.compress(BODY))),
    Row("GZIP", encoded("GZIP", gzip.compress(BODY))),
    Row("gzip twice", encoded("gzip, gzip", gzip.compress(gzip.compress(BODY)))),
    Row("gzip and a word", encoded("aws-chunked, gzip", gzip.compress(BODY))),
    Row("deflate", encoded("deflate", zlib.compress(BODY))),
    Row("bare deflate", encoded("deflate", zlib.compress(BODY)[2:-4])),
    Row("garbage behind gzip", encoded("gzip", gzip.compress(BODY) + b"\0\0garbage")),
    Row("103 first", lambda a: [b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n", *a.plain()]),
    Row("100 first", lambda a: [b"HTTP/1.1 100 Continue\r\n\r\n", *a.plain()]),
    Row("HTTP/1.0", lambda a: until_closed(200, body=a.data, version="1.0")),
    Row("chunks", lambda a: chunked(200, body=a.data, step=7)),
    Row("chunks and a length", lambda a: chunked(200, "Content-Length: 3", body=a.data)),
    Row("garbage behind", lambda a: [*a.plain(), b"garbage", CLOSE]),
    Row("long and folded lines", lambda a: a.plain("X: " + "y" * 30_000, "Z: 1\r\n 2")),
    Row("a path", moved("/there")),
    Row("no scheme", moved("//HOST/there")),
    Row("spaces and letters", moved("/there/\u00e9 x")),
    Row("a fragment", moved("/there#x")),
    Row("a cookie on the way", with_cookie),
    Row("a circle", lambda a: answer(302, "Location: /"), "refused", "without end", most=10),
    Row("file:", moved("file:///etc/passwd"), "refused", "file"),
    Row("511", lambda a: answer(511, body=PAGE), "network", "sign in first"),
    Row(
        "451",
        lambda a: answer(451, body=b'{"error": "court \x1b[31morder 17"}'),
        "refused",
        "order 17",
    ),
    Row("407", lambda a: answer(407), "network", "a proxy that nobody has set"),
    Row("520", lambda a: answer(520) if a.number == 1 else a.plain()),
    Row(
        "a page",
        lambda a: answer(200, "Content-Type: text/html", body=PAGE),
        "refused",
        "a web page",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_comes_out(tmp_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.network.retry.backoff", lambda attempt: 0.01)
    network = Run(tmp_path).network
    with OddServer(BODY, row.reply) as server:
        try:
            found = network.get_json(f"{server.url}/").json()
        except Failure as failure:
            assert row.code, failure
            assert (failure.problem.code, row.words in failure.message) == (row.code, True), failure
            assert failure.message.isprintable()
        else:
            assert not row.code and found == VALUE
    assert len(server.requests) <= row.most and server.errors == []
