"""Small requests: bounds on time, size and shape, cookies, and what waiting looks like."""

from __future__ import annotations

import gc
import gzip
import threading
import time
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from fetcher.verify.contract import json_text
from hypothesis import given
from hypothesis import strategies as st

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure
from fetcher.network import client
from fetcher.network.client import _unpacked
from fetcher.network.proxies import is_left_out, proxy_for
from fetcher.network.session import Network, Response
from fetcher.network.urls import origin_of, without_login
from tests.kit import wait_for, watchdog
from tests.servers.plain import FileServer


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    with watchdog(60):
        yield


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
        assert server.errors == []


def network(said: list[str] | None = None, **settings: str) -> Network:
    values = {name: Value(text, "test") for name, text in settings.items()}
    return Network(Settings(Path("/nowhere"), values), ([] if said is None else said).append)


def test_where_a_token_lets_in() -> None:
    """Whether one is set or not; elsewhere a login of netrc does."""
    asking = network(github_host="git.example")
    for host in ("huggingface.co", "api.github.com", "civitai.com", "git.example"):
        assert asking.takes_token(f"https://{host}/f")
    for url in ("https://example.org/f", "http://civitai.com/f", "https://git.example:8443/f"):
        assert not asking.takes_token(url)


def test_a_network_that_is_gone_keeps_no_connection(files: FileServer) -> None:
    """A notebook or a server makes one for each thing that it does."""
    url = files.add("f", b"body")
    gone = []
    for _ in range(3):
        asking = network()
        assert asking.request(url).body == b"body"
        gone.append(weakref.ref(asking))
        del asking
    # The thread that watches deadlines looks around once more.
    wait_for(lambda: gc.collect() >= 0 and all(one() is None for one in gone))


# Time


def test_a_503_for_long_is_a_wait_with_a_line_that_says_so(files: FileServer) -> None:
    url = files.add("f", b"body")
    files.faults.add("/f", "status", code=503, times=6)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fetcher.network.retry.backoff", lambda attempt: 0.5)
        assert network(said).request(url).body == b"body"
    assert len(said) == 1
    assert said[0].startswith(f"127.0.0.1:{files.port} is busy (HTTP 503), waiting up to 11")


@pytest.mark.parametrize(("code", "least", "most"), [(503, 2.0, 5.0), (500, 0.0, 1.9)])
def test_patience_ends(files: FileServer, code: int, least: float, most: float) -> None:
    files.faults.add("/f", "status", code=code)
    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fetcher.network.retry.backoff", lambda attempt: 0.2)
        assert network().request(files.url + "/f", patience=2.5).status == code
    assert least <= time.monotonic() - started < most


def test_no_patience_asks_once(files: FileServer) -> None:
    files.faults.add("/f", "status", code=503, retry_after=1)
    assert network().request(files.url + "/f", patience=0).status == 503
    assert len(files.requests) == 1


@pytest.mark.parametrize("fault", ["slow", "redirects", "busy"])
def test_the_whole_request_has_a_deadline(files: FileServer, fault: str) -> None:
    """What sends a byte now and then never runs into a timeout."""
    url = files.add("f", b"x" * 2000)
    if fault == "slow":
        files.faults.add("/f", "slow", rate=50)
    if fault == "redirects":
        files.faults.add("/f", "delay", s=0.4)
        files.faults.add("/f", "redirect", to=url)
    if fault == "busy":
        files.faults.add("/f", "status", code=503)
    asking = network()
    asking.deadline = 1.0
    started = time.monotonic()
    try:
        assert asking.request(url).status == 503
    except Failure as failure:
        assert failure.problem.code == "network" and "within 1 s" in failure.message
    assert time.monotonic() - started < 5


def test_an_interrupt_ends_a_request_that_waits(files: FileServer) -> None:
    url = files.add("f", b"body")
    files.faults.add("/f", "stall", n=0)
    asking = network()
    threading.Timer(0.3, asking.interrupt).start()
    started = time.monotonic()
    with pytest.raises(Failure, match="interrupted"):
        asking.request(url)
    assert time.monotonic() - started < 3
    with pytest.raises(Failure, match="interrupted"):
        asking.request(url)


def test_nothing_of_it_is_left_running(files: FileServer) -> None:
    network().request(files.add("f", b"body"))
    for _ in range(40):
        if "deadlines" not in {thread.name for thread in threading.enumerate()}:
            return
        time.sleep(0.1)
    pytest.fail("a thread is left, and processes cannot be forked")


# Size and shape


def test_a_bomb_is_refused_before_it_bursts(files: FileServer) -> None:
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(300)) + bomb.flush()
    url = files.add("f", packed, headers={"Content-Encoding": "gzip"})
    with pytest.raises(Failure, match="answers with more than 256 MiB"):
        network().request(url)
    assert len(files.requests) == 1


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "UTF-8", "binary", "aws-chunked", "br"])
def test_an_encoding_that_is_untrue_or_unknown(files: FileServer, encoding: str) -> None:
    url = files.add("f", b'{"a": 1}', headers={"Content-Encoding": encoding})
    assert network().request(url).json() == {"a": 1}


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_gzip_in_any_number_of_members(parts: list[bytes]) -> None:
    packed = b"".join(map(gzip.compress, parts))
    assert _unpacked(packed, {"content-encoding": "gzip"}, "h") == b"".join(parts)


@given(st.binary(min_size=1, max_size=200), st.integers(1, 30))
def test_gzip_that_is_cut_is_asked_for_again(data: bytes, missing: int) -> None:
    packed = gzip.compress(data)
    with pytest.raises((requests.ConnectionError, Failure)):
        _unpacked(packed[: max(4, len(packed) - missing)], {"content-encoding": "gzip"}, "h")


def test_json_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "SMALL", 100)
    monkeypatch.setattr(json_text, "LEAST_MEMORY", 1000)
    many = b"[" + b",".join([b"0"] * 2000) + b"]"
    with pytest.raises(Failure, match="too many values"):
        Response(200, {}, many, "http://h/").json()
    with pytest.raises(Failure, match="too many values"):
        Response(200, {}, b"[" * 2000, "http://h/").json()
    monkeypatch.undo()
    text = b'{"a": "' + b",[{:" * 2000 + b'\\", x"}'
    assert len(Response(200, {}, text, "http://h/").json()["a"]) > 8000


def test_a_page_in_place_of_json(files: FileServer) -> None:
    files.faults.add("/f", "html")
    with pytest.raises(Failure, match="but with a web page"):
        network().get_json(files.url + "/f").json()


def test_too_much_is_not_read(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_METADATA_BYTES", 1 << 20)
    with pytest.raises(Failure, match="more than 1 MiB"):
        network().request(files.add("f", bytes(64 << 20)))
    assert files.requests[0].bytes_sent < 32 << 20


# Cookies, and what is sent


def test_cookies_are_kept_for_their_origin(files: FileServer) -> None:
    url = files.add("f", b"body", headers={"Set-Cookie": "a=secret; Path=/"})
    with FileServer() as other:
        elsewhere = other.add("g", b"body")
        asking = network()
        asking.request(url)
        asking.request(url)
        asking.request(elsewhere)  # the same host at another port
        assert [r.headers.get("cookie") for r in files.requests] == [None, "a=secret"]
        assert other.requests[0].headers.get("cookie") is None
    network().request(url)
    assert files.requests[-1].headers.get("cookie") is None


def test_a_body_stays_with_its_origin(files: FileServer) -> None:
    with FileServer() as other:
        files.faults.add("/f", "redirect", code=307, to=other.url + "/g")
        with pytest.raises(Failure, match="redirects what is sent to it"):
            network().request(files.url + "/f", method="POST", data=b"refresh_token=secret")
        assert other.requests == []


def test_other_packages_get_the_session(files: FileServer) -> None:
    files.add("f", b'{"a": 1}')
    asking = network(rewrite=f"https://far.invalid/={files.url}/")
    answer = asking.session.get("https://far.invalid/f", params={"q": "1"}, timeout=3)
    assert answer.json() == {"a": 1} and files.requests[0].query == {"q": "1"}
    asking.offline = True
    with pytest.raises(Failure, match="may not be used"):
        asking.session.get("https://far.invalid/f")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/f", "file:///etc/passwd", "http://", "x"])
def test_what_is_no_web_address(url: str) -> None:
    with pytest.raises(Failure) as caught:
        network().request(url)
    assert caught.value.problem.code == "refused"


# Proxies and addresses as values


@pytest.mark.parametrize(
    ("host", "port", "no_proxy", "out"),
    [
        ("a.example.org", 443, "example.org", True),
        ("a.example.org", 443, ".example.org", True),
        ("a.example.org", 443, "*.example.org", True),
        ("example.org", 443, ".example.org", True),
        ("badexample.org", 443, "example.org", False),
        ("a.example.org", 443, "example.org:80", False),
        ("a.example.org", 80, "x example.org:80", True),
        ("10.1.2.3", 80, "10.0.0.0/8", True),
        ("11.1.2.3", 80, "10.0.0.0/8", False),
        ("10.1.2.3", 80, "1.2.3", False),
        ("::1", 80, "[::1]", True),
        ("::1", 80, "::1", True),
        ("::1", 8080, "[::1]:80", False),
        ("fd00::5", 80, "fd00::/8", True),
        ("h", 80, "", False),
        ("h", 80, ",, ,", False),
        ("h", 80, "*", True),
    ],
)
def test_no_proxy(host: str, port: int, no_proxy: str, out: bool) -> None:
    assert is_left_out(host, port, no_proxy) is out


@given(st.text(max_size=40), st.sampled_from(["h.example", "10.0.0.1", "::1"]))
def test_any_text_as_no_proxy(text: str, host: str) -> None:
    is_left_out(host, 80, text)


def test_which_proxy_counts() -> None:
    values = {"HTTP_PROXY": "u", "http_proxy": "l", "ALL_PROXY": "socks5h://s:1"}
    assert proxy_for("http://h/", values) == "http://l"
    assert proxy_for("https://h/", values) == "socks5h://s:1"
    assert proxy_for("http://h/", {"HTTP_PROXY": "u:3128"}) == "http://u:3128"
    assert proxy_for("http://h/", {"HTTP_PROXY": "u:3128", "REQUEST_METHOD": "GET"}) == ""
    assert proxy_for("http://h/", {"http_proxy": "", "HTTP_PROXY": "u:1"}) == "http://u:1"


@given(st.text(max_size=30))
def test_a_login_is_taken_out_of_an_address(text: str) -> None:
    for url in (f"https://{text}@h.example/p", f"https://h.example/{text}", f"https://{text}"):
        try:
            before = origin_of(url)
        except Failure:
            continue
        bare, login = without_login(url)
        assert origin_of(bare) == before and (login is None) == (bare == url)
