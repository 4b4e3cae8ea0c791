"""Content-Encoding and bodies under it; the links of a listing."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import Failure
from fetcher.network import content_encoding
from fetcher.network.session import Network, Response
from fetcher.sources.pages import next_link
from tests.fuzz.kit import Target, parts_of, seed

_MOST = 5_000
_HERE = "https://mirror.example/hf/api/models/o/r/tree/main"
_NETWORK = Network(Settings(Path(), {}))


def check(data: bytes) -> None:
    header, body = parts_of(data, 2)
    text = header.decode("latin-1")
    found = content_encoding.codings({"content-encoding": text})
    content_encoding.looks_packed(found, body)
    content_encoding.beginning(body, found)
    for at_once in (1, len(body) or 1):
        _unpack(found, body, at_once)
    try:
        url = next_link(Response(200, {"link": text}, b"", _HERE), _NETWORK, "x")
    except Failure:
        return
    assert not url or url.startswith("https://mirror.example/"), url


def _unpack(found: tuple[str, ...], body: bytes, at_once: int) -> None:
    try:
        unpacker = content_encoding.Unpacker(found, _MOST)
        out = sum(
            len(unpacker.feed(body[at : at + at_once])) for at in range(0, len(body), at_once)
        )
    except (content_encoding.DamagedError, content_encoding.TooLongError):
        return
    assert out <= _MOST


TARGET = Target(
    check,
    [
        seed("gzip", gzip.compress(b"x" * 99, mtime=0)),
        seed("gzip, gzip", gzip.compress(gzip.compress(b"x" * 99, mtime=0), mtime=0)),
        seed("aws-chunked,deflate", zlib.compress(b"x" * 99)),
        seed("deflate", zlib.compress(b"x" * 99)[2:-4]),
        seed('</a/tree/main?cursor=1>; rel="next"', ""),
        seed("<https://evil/hf/api/models/o/r/tree/main?c=1>;rel=next", ""),
    ],
    ["gzip", "deflate", ", ", "br", "zstd", "<", ">", ";", "rel=", '"next"', "?c=", "//", "@"],
    longest=400,
)
