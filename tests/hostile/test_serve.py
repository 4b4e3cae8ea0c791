"""Clients of `fetch serve` that keep it waiting, or look for what they may not see."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fetcher.server import listen
from fetcher.server.http import HttpError
from fetcher.server.request_body import SILENCE, paced
from tests.kit import sha256
from tests.server.conftest import PARTS, SECRET, Held, held, mirror  # noqa: F401
from tests.server.kit import Mirror, bearer, serving

HEAD = b"Host: x\r\nContent-Type: application/json\r\n"
ASKS = b"POST /api/models/o/m/paths-info/main HTTP/1.1\r\n" + HEAD
PUTS = b"PUT /blobs/sha256/" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\n"
PUTS += b"Authorization: Bearer writer-token-1\r\n"
HALVES = {
    "nothing at all": b"",
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
    "one request, then nothing": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no body": ASKS + b"Content-Length: 1000\r\n\r\n",
    "half a body": ASKS + b"Content-Length: 1000\r\n\r\n{",
    "half a chunk": ASKS + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half an upload": PUTS + b"Content-Length: 1000\r\n\r\nabc",
    "a refused body": b"POST /nowhere HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n{",
    "a body that nobody wants": b"GET / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n{",
    "the start of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def seconds_open(
    url: str, data: bytes, most: float, found: dict[bytes, tuple[float, bytes]]
) -> None:
    """Send this and no more; how long the connection lives, and what came back."""
    split = urlsplit(url)
    began = time.monotonic()
    answer = b""
    with socket.create_connection((split.hostname or "", split.port or 0)) as line:
        line.sendall(data)
        line.settimeout(most)
        try:
            while block := line.recv(1 << 16):
                answer += block
        except TimeoutError:
            pass
        except ConnectionError:
            pass
    found[data] = time.monotonic() - began, answer


# The same server with less patience, so that the test need not have so much.
SHORT = 3.0
IMPATIENT = f"""
from fetcher.server import listen, request_body
listen._HEAD_SECONDS = {SHORT:.0f}
request_body.paced.__defaults__ = ({SHORT}, *request_body.paced.__defaults__[1:])
"""


def test_who_sends_half_of_anything_is_not_waited_for(
    held: Held,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Connections that say nothing, half a head, or half a body, each to be kept for ever."""
    assert max(SILENCE, listen._HEAD_SECONDS) <= 30
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"writer upload sha256:{sha256(b'writer-token-1')}\n")
    found: dict[bytes, tuple[float, bytes]] = {}
    most = SHORT + 20
    own = {"PYTHONPATH": str(tmp_path)}
    with serving(held.home, "--tokens", tokens, cwd=held.root, **own) as short:
        threads = [
            threading.Thread(target=seconds_open, args=(short.url, data, most, found))
            for data in HALVES.values()
        ]
        for thread in threads:
            thread.start()
        assert short.ask("/healthz").status == 200, "others are served meanwhile"
        for thread in threads:
            thread.join()
    for name, data in HALVES.items():
        assert found[data][0] < most - 1, name
    for name in ("no body", "half a body", "half a chunk", "half an upload"):
        assert b" 408 " in found[HALVES[name]][1], name


async def _slow(pieces: list[tuple[float, bytes]]) -> AsyncIterator[bytes]:
    for pause, data in pieces:
        await asyncio.sleep(pause)
        yield data


def read(pieces: list[tuple[float, bytes]]) -> bytes:
    """A body that comes in such pieces, with bounds of tenths of a second."""

    async def whole() -> bytes:
        body = paced(_slow(pieces), silence=0.3, grace=0.5, slowest=100)
        return b"".join([chunk async for chunk in body])

    return asyncio.run(whole())


def test_a_body_that_trickles() -> None:
    """A byte now and then, each just before the server would stop waiting."""
    with pytest.raises(HttpError) as caught:
        read([(0.1, b"x")] * 20)
    assert caught.value.response.status == 408
    with pytest.raises(HttpError):
        read([(0, b"x" * 1000), (1, b"x")])


def test_a_slow_line_is_no_attack() -> None:
    """Beside it: an upload over a slow line, and one that is small."""
    assert len(read([(0.1, b"x" * 100)] * 12)) == 1200
    assert read([(0.2, b"x"), (0.2, b"y")]) == b"xy"
    assert read([]) == b""


def numbers(text: str) -> dict[str, float]:
    """The samples of an exposition by name and labels."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_do_not_tell_the_size_of_what_is_private(mirror: Mirror) -> None:  # noqa: F811
    """Sums over all files, and counts of bytes that others get, of which the rest is known."""
    assert mirror.ask("/healthz").status == 200, "something is counted"
    whole = numbers(mirror.ask("/metrics", headers=bearer("reader-token-1")).body.decode())
    before = numbers(mirror.ask("/metrics").body.decode())
    private = len(SECRET) + len(PARTS["part3.bin"])
    assert whole["fetch_held_bytes"] - before["fetch_held_bytes"] == private
    assert whole["fetch_files"] - before["fetch_files"] == 2
    assert whole["fetch_artifacts"] - before["fetch_artifacts"] == 2
    secret = "/o/secret/resolve/main/secret.txt"
    assert mirror.ask(secret, headers=bearer("reader-token-1")).body == SECRET
    after = numbers(mirror.ask("/metrics").body.decode())
    grown = {name for name in after if after[name] != before.get(name)}
    assert not any("bytes" in name for name in grown - {"process_resident_memory_bytes"})
    # Who may see a part sees the sums of that.
    part = numbers(mirror.ask("/metrics", headers=bearer("partial-token-1")).body.decode())
    assert part["fetch_files"] == before["fetch_files"] + 1
    assert "fetch_response_bytes_total" in whole and "fetch_response_bytes_total" not in part


PAGES = (
    *("/", "/metrics", "/healthz", "/files/", "/files/p", "/files/p/secret", "/models", "/status"),
    *("/api/models", "/api/models?full=true", "/api/models/o/secret", "/api/models/o/parts"),
    *("/api/models/o/parts/tree/main?recursive=true", "/api/whoami-v2", "/v2/", "/v2/_catalog"),
    *("/v2/p/secret/tags/list", "/v2/all/manifests/latest", "/v2/p/secret/manifests/latest"),
    *("/projects/fetch.lock", "/projects/manifests/p.yaml", "/-/", "/-/artifacts", "/-/api"),
    *("/-/leaderboard", "/-/api/models", "/-/api/artifacts", "/api/datasets", "/api/spaces"),
    *("/o/secret", "/o/secret/tree/main", f"/blobs/sha256/{sha256(SECRET)}", "/-/p/secret"),
)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_page_tells_of_what_is_private(mirror: Mirror, method: str) -> None:  # noqa: F811
    """Every page without a token: neither name, size nor digest of a private file stands there."""
    digests = [sha256(SECRET), sha256(PARTS["part3.bin"])]
    sizes = [rf"\b{len(PARTS['part3.bin'])}\b"]
    for page in PAGES:
        answer = mirror.ask(page, method)
        text = answer.body.decode("utf-8", "replace") + repr(answer.headers)
        asked = "secret" in page
        assert not any(digest in text for digest in digests), page
        assert not any(re.search(size, text) for size in sizes), page
        assert asked or "secret" not in text, page
        if asked or page.startswith("/blobs"):
            assert answer.status in {401, 404}, page
