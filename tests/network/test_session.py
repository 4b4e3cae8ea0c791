"""The rules of requests: origins, tokens, rewriting, waiting."""

from __future__ import annotations

import socket
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure, UsageError
from fetcher.network.curl import parse_header
from fetcher.network.retry import rate_limited, retry_after
from fetcher.network.session import Network
from fetcher.network.urls import host_of, origin_of, public_url
from tests.kit import watchdog
from tests.servers.plain import FileServer


def network(**settings: str) -> Network:
    return Network(Settings(Path("/nowhere"), {k: Value(v, "test") for k, v in settings.items()}))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Api.GitHub.com/x", ("https", "api.github.com", 443)),
        ("HTTP://h:8080", ("http", "h", 8080)),
        ("https://user:secret@h/x", ("https", "h", 443)),
        ("https://api.github.com@evil.com/", ("https", "evil.com", 443)),
        ("https://evil.com#@api.github.com/", ("https", "evil.com", 443)),
        ("https://evil.com?@api.github.com/", ("https", "evil.com", 443)),
        ("ftp://h/x", ("ftp", "h", 21)),
        ("http://[::1]:5/x", ("http", "::1", 5)),
    ],
)
def test_origins(url: str, origin: tuple[str, str, int]) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//h/x",
        "https:///h/x",
        "https:/h",
        "file:///etc/passwd",
        "gopher://h:70/",
        "foo://h:1/",
        "http://h:0/",
        "http://h:99999/",
        "http://h:x/",
        "http://[::1/",
        "https://api.github.com\\@evil.com/",
        "https://evil.com\\.api.github.com/",
        "https://api.git\thub.com/",
        "https://h/a b",
        "https://h/\r\nX: y",
        " https://h/",
    ],
)
def test_hostile_addresses_have_no_origin(url: str) -> None:
    with pytest.raises(Failure) as caught:
        origin_of(url)
    assert caught.value.problem.code == "refused"


@given(st.text(max_size=60))
@example("http://[")
@example("https://h?token=secret")
def test_any_text_as_an_address(text: str) -> None:
    for url in (text, f"https://{text}", f"https://h/{text}"):
        public_url(url)
        try:
            assert host_of(url)
        except Failure as failure:
            assert failure.problem.code == "refused"


def test_what_is_shown_holds_no_secret() -> None:
    assert public_url("https://user:secret@h:1/p?sig=secret#x") == "https://h:1/p"
    assert "secret" not in public_url("http://user:secret@[h/p?sig=secret")
    assert host_of("http://[::1]:80/") == "[::1]" and host_of("https://h:80/") == "h:80"


def test_parse_header() -> None:
    found: dict[str, str] = {}
    for line in (
        b"HTTP/1.1 200 Connection established\r\n",
        b"X-Proxy: 1\r\n",
        b"\r\n",
        b"HTTP/2 206\r\n",
        b'ETag:  "a:b" \r\n',
        b"etag: last\r\n",
        b"nonsense\r\n",
        b"\xff: \xfe\r\n",
    ):
        parse_header(found, line)
    assert found == {"etag": "last", "\xff": "\xfe"}


def test_retry_after() -> None:
    assert retry_after({}) is None
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "-1"}) is None
    assert retry_after({"retry-after": "9" * 400}) is None
    later = retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert later is not None and 55 < later <= 60
    assert retry_after({"retry-after": formatdate(0, usegmt=True)}) == 0
    assert retry_after({"ratelimit": '"api";r=0;t=55'}) == 56
    assert retry_after({"ratelimit": '"api";r=3;t=55'}) is None
    reset = str(int(time.time()) + 30)
    limited = retry_after({"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset})
    assert limited is not None and 25 < limited <= 30
    assert retry_after({"x-ratelimit-remaining": "1", "x-ratelimit-reset": reset}) is None


@given(st.text(max_size=40))
@example("Mon, 01 Jan 0001 00:00:00 -0000")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_any_text_as_retry_after(text: str) -> None:
    found = retry_after({"retry-after": text, "ratelimit": text, "x-ratelimit-reset": text})
    assert found is None or found >= 0


def test_a_gate_is_no_limit() -> None:
    assert rate_limited(403, {"retry-after": "1"}) and rate_limited(429, {})
    assert not rate_limited(403, {"ratelimit": '"resolvers";r=0;t=100'})
    assert not rate_limited(403, {"retry-after": "1", "x-error-code": "GatedRepo"})


def test_tokens_go_to_their_origin_only() -> None:
    net = network(
        hf_endpoint="http://hub:81",
        hf_token="hf_secret",
        github_token="gh_secret",
        github_host="ghe:8443",
        github_enterprise_token="ghe_secret",
    )
    assert net.authorization("http://hub:81/x") == "Bearer hf_secret"
    assert net.authorization("https://api.github.com/x") == "Bearer gh_secret"
    assert net.authorization("https://ghe:8443/x") == "Bearer ghe_secret"
    for other in (
        "https://hub:81/",
        "http://hub/",
        "http://api.github.com/",
        "https://ghe/",
        "https://api.github.com.evil.com/",
        "https://codeload.github.com/",
    ):
        assert net.authorization(other) is None


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "tökén"])
def test_a_token_that_is_none_is_refused_unseen(token: str) -> None:
    with pytest.raises(UsageError, match="HF_TOKEN") as caught:
        network(hf_token=token)
    assert token not in str(caught.value.message)


def test_rewriting() -> None:
    net = network(
        rewrite="https://hub=http://proxy https://hub/a/=http://other/ ftp://=http://ftp."
    )
    assert net.rewrite("https://hub/x") == "http://proxy/x"
    assert net.rewrite("https://hub") == "http://proxy"
    assert net.rewrite("https://hub/a/x") == "http://other/x"
    assert net.rewrite("https://hub.evil.com/x") == "https://hub.evil.com/x"


def test_redirects() -> None:
    net = network(rewrite="https://cdn/=http://proxy/")
    assert net.redirected("http://h/", "https://other/x") == "https://other/x"
    assert net.redirected("https://h/", "https://cdn/x") == "http://proxy/x"
    for location in ("http://h/x", "ftp://h/x", "file:///x", "https:///x"):
        with pytest.raises(Failure):
            net.redirected("https://h/", location)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.network.retry.backoff", lambda attempt: 0.01)


@pytest.mark.usefixtures("quick")
def test_requests_are_tried_again() -> None:
    with FileServer() as files:
        url = files.add("f", b"body")
        files.faults.add("/f", "drop", times=1)
        files.faults.add("/f", "status", code=503, times=1, after=1)
        assert network().request(url).body == b"body"
        files.faults.add("/f", "status", code=429, retry_after=400)
        assert network().request(url).status == 429
        files.faults.clear()
        files.faults.add("/f", "gzip")
        assert network().request(url).body == b"body"


@pytest.mark.usefixtures("quick")
def test_too_much_metadata_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetcher.network.client.MAX_METADATA_BYTES", 1000)
    with FileServer() as files:
        url = files.add("f", bytes(2000))
        with pytest.raises(Failure, match="answers with more than"):
            network().request(url)
        assert len(files.requests) == 1


@pytest.mark.usefixtures("quick")
def test_a_redirect_to_an_unreachable_host_names_that_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with FileServer() as files:
        url = files.add("f", b"")
        files.faults.add("/f", "redirect", to=f"http://127.0.0.1:{port}/x")
        net = network()
        with pytest.raises(Failure, match=f"127.0.0.1:{port}: no connection"):
            net.request(url)
        files.faults.clear()
        assert net.request(url).status == 200
        assert set(net.unreachable) == {f"127.0.0.1:{port}"}


def test_a_post_is_not_sent_again_to_where_a_302_leads() -> None:
    with FileServer() as files:
        url = files.add("f", b"answer")
        files.faults.add("POST /start", "redirect", to=url)
        assert network().request(files.url + "/start", method="POST", data=b"x").body == b"answer"
        assert [request.method for request in files.requests] == ["POST", "GET"]


@pytest.mark.parametrize("fault", ["stall", "status"])
def test_an_interrupt_ends_requests_at_once(fault: str) -> None:
    with FileServer() as files, watchdog(30):
        url = files.add("f", b"body")
        parameters = {"n": 0} if fault == "stall" else {"code": 429, "retry_after": 300}
        files.faults.add("/f", fault, **parameters)
        net = network()
        threading.Timer(0.3, net.interrupt).start()
        started = time.monotonic()
        with pytest.raises(Failure, match="interrupted"):
            net.request(url)
        assert time.monotonic() - started < 20


@pytest.mark.parametrize("header", [("X", "a\r\nEvil: 1"), ("X\n", "a"), ("X", "\xe4")])
def test_headers_from_outside_cannot_smuggle(header: tuple[str, str]) -> None:
    with pytest.raises(Failure, match="header"):
        network().request("http://127.0.0.1:9/", headers=[header])
