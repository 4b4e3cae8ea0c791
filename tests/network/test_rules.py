"""The rules of one run, without a server: credentials, redirects, rewriting, bodies."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fetcher.verify.contract import json_text

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure, UsageError
from fetcher.network import session
from fetcher.network.credentials import basic
from fetcher.network.session import Network, Response


def network(origin: str = "test", said: list[str] | None = None, **values: str) -> Network:
    settings = Settings(Path("/nowhere"), {k: Value(v, origin) for k, v in values.items()})
    return Network(settings) if said is None else Network(settings, said.append)


@pytest.fixture
def netrc(hermetic: Path) -> Path:
    path = hermetic / ".netrc"
    path.write_text(
        "machine h login u password p\nmachine hub login hu password hp\n"
        "machine api.github.com login gu password gp\ndefault login d password dp\n",
        "utf-8",
    )
    path.chmod(0o600)
    return path


def refused(call: Any, *arguments: Any, **more: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        call(*arguments, **more)
    return caught.value


# Bodies


def answer(body: bytes, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(200, named, body, "https://u:p@h/x?token=t")


def test_json() -> None:
    assert answer(b'{"a": [1, 2]}').json() == {"a": [1, 2]}
    for body in (b"", b"<html>", b"[" * 100_000, b"\xff"):
        found = refused(answer(body).json)
        assert found.problem.code == "refused" and "https://h/x" in found.message
        assert "web page" not in found.message and "token" not in found.message and found.hint
    page = refused(answer(b"<html>", content_type="text/html; charset=utf-8").json)
    assert "web page" in page.message
    assert (
        "web page" not in refused(answer(b"<", content_type="application/text/html").json).message
    )


def test_values_that_take_too_much_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(answer(b"[" + b"0," * 9999 + b"0]").json()) == 10_000
    monkeypatch.setattr(json_text, "SMALL", 100)
    monkeypatch.setattr(session, "MAX_JSON_MEMORY", 10_000)
    assert answer(b"[0]").json() == [0]
    found = refused(answer(b"[" + b"0," * 9999 + b"0]").json)
    assert found.problem.code == "refused" and found.message.startswith("https://h/x answers")
    assert "token" not in found.message


# How a request leaves


def test_a_login_of_netrc_leaves_as_a_header_or_for_ftp_as_a_login(netrc: Path) -> None:
    net = network()
    for scheme in ("http", "https"):
        found = net.outgoing(f"{scheme}://h/f", [("A", "b")])
        assert found.headers == (("A", "b"), ("Authorization", basic(("u", "p"))))
        assert found.login is None and found.url == f"{scheme}://h/f"
    assert net.outgoing("ftp://h/f").login == ("u", "p")
    assert net.outgoing("ftp://h/f").headers == ()
    assert net.outgoing("ftp://other/f").login == ("d", "dp")
    assert net.outgoing("https://other/f").headers == ()


def test_a_login_in_the_url_counts_before_netrc(netrc: Path) -> None:
    found = network().outgoing("https://v:q@h/f")
    assert found.url == "https://h/f" and dict(found.headers)["Authorization"] == basic(("v", "q"))
    found = network().outgoing("ftp://v:q@h/f")
    assert (found.url, found.login, found.headers) == ("ftp://h/f", ("v", "q"), ())


@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION"])
def test_what_the_caller_gives_counts_first(netrc: Path, name: str) -> None:
    net = network(hf_endpoint="http://h", hf_token="hf_t")
    found = net.outgoing("http://v:q@h/f", [(name, "Bearer mine")])
    assert (found.url, found.headers, found.login) == ("http://h/f", ((name, "Bearer mine"),), None)


def test_a_token_counts_before_logins(netrc: Path) -> None:
    net = network(hf_endpoint="http://hub:81", hf_token="hf_t", github_token="gh_t")
    for url, token in (("http://v:q@hub:81/f", "hf_t"), ("https://api.github.com/f", "gh_t")):
        found = net.outgoing(url)
        assert found.headers == (("Authorization", f"Bearer {token}"),) and found.login is None
        assert net.authorization(url) == f"Bearer {token}"
    # A host with a token gets no other login, whatever the port.
    for url in ("http://hub/f", "http://api.github.com/f", "ftp://hub/f"):
        found = net.outgoing(url)
        assert found.headers == () and found.login is None
        assert net.authorization(url) is None


def test_a_hub_without_an_account_may_have_a_login(netrc: Path) -> None:
    found = network(hf_endpoint="http://hub").outgoing("http://hub/f")
    assert dict(found.headers)["Authorization"] == basic(("hu", "hp"))


@pytest.mark.parametrize("origin", ["fetch.yaml", ".env"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hf_endpoint", "http://h"),
        ("rewrite", "https://huggingface.co/=http://h/"),
        ("mirrors", "http://h/m"),
        ("rewrite", "https://huggingface.co/=https://h/"),
        ("rewrite", "ftp://elsewhere/=ftp://h/"),
        ("rewrite", "ftps://elsewhere/=ftps://h/"),
    ],
)
def test_a_login_stays_here_where_the_project_chose_the_host(
    netrc: Path, origin: str, name: str, value: str
) -> None:
    said: list[str] = []
    net = network(origin, said, **{name: value})
    for _ in range(2):
        assert net.outgoing("http://h/f").headers == ()
    assert len(said) == 1 and "h" in said[0] and "not sent" in said[0]
    assert f"FETCH_{name.upper()}" in said[0] or "HF_ENDPOINT" in said[0]
    # What the person chose gets it.
    own = network("environment", said, **{name: value})
    assert dict(own.outgoing("http://h/f").headers) and len(said) == 1
    # Hosts that the project did not name are no matter.
    assert net.outgoing("http://hub/f").headers != () or name == "hf_endpoint"
    # A host without a login needs no word.
    network(origin, said, **{name: value.replace("//h", "//nobody")}).outgoing("http://nobody/f")
    assert len(said) == 1


@pytest.mark.parametrize(
    "header", [("X", "a\r\nb"), ("X\n", "a"), ("X", "é"), ("X\x7f", ""), ("X", "a\tb")]
)
def test_headers_that_cannot_be_sent(header: tuple[str, str]) -> None:
    found = refused(network().outgoing, "http://h/f", [("A", "b"), header])
    assert found.problem.code == "refused" and found.message.startswith("h: ")


def test_the_proxy_of_each_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:1")
    monkeypatch.setenv("no_proxy", "h")
    net = network()
    assert net.outgoing("http://other/f").proxy == "http://proxy:1"
    assert net.outgoing("http://h/f").proxy == net.outgoing("https://other/f").proxy == ""
    monkeypatch.delenv("http_proxy")
    assert net.proxy("http://other/g") == "http://proxy:1"  # looked up once for an origin


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "ftp_proxy", "SSL_CERT_FILE"])
def test_a_wrong_variable_is_told_before_anything_begins(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "gopher://x" if "proxy" in name.lower() else "/not/there")
    with pytest.raises(UsageError, match=name):
        network()
    network(offline="true")


def test_authorities_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    first = net.trust()
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there")
    assert net.trust() is first


# Where it may go on


def test_redirects() -> None:
    net = network(rewrite="https://cdn/=http://proxy/ http://old/=https://new/")
    for url, location, target in (
        ("https://h/a", "https://g/b", "https://g/b"),
        ("http://h/a", "http://g/b", "http://g/b"),
        ("http://h/a", "https://g/b", "https://g/b"),
        ("https://h/a", "https://cdn/b", "http://proxy/b"),  # the user's own rule
        ("https://h/a", "http://old/b", "https://new/b"),
    ):
        assert net.redirected(url, location) == target
    for url, location in (("https://h/a", "http://g/b"), ("http://h/a", "ftp://g/b"),
                          ("ftp://h/a", "ftps://g/b"), ("http://h/a", "file:///b")):  # fmt: skip
        assert refused(net.redirected, url, location).problem.code == "refused"
    assert "plain http" in refused(net.redirected, "https://h/a", "http://g/b").message
    assert "ftp://" in refused(net.redirected, "http://h/a", "ftp://g/b").message


@pytest.mark.parametrize(
    ("rule", "url", "target"),
    [
        ("https://h=http://p", "https://h", "http://p"),
        ("https://h=http://p", "https://h/a", "http://p/a"),
        ("https://h=http://p", "https://h?a", "http://p?a"),
        ("https://h=http://p", "https://h#a", "http://p#a"),
        ("https://h=http://p", "https://h.evil/a", "https://h.evil/a"),
        ("https://h=http://p", "https://h:1/a", "https://h:1/a"),
        ("https://h=http://p", "https://h@evil/a", "https://h@evil/a"),
        ("https://h/=http://p/", "https://h/a", "http://p/a"),
        ("https://h/a=http://p/b", "https://h/ac", "http://p/bc"),
        ("https://=http://p/", "https://h/a", "https://h/a"),
        ("https://h/=http://p/", "http://h/a", "http://h/a"),
        ("https://h=http://p https://h/x=http://q", "https://h/x/a", "http://q/a"),
        ("https://h=http://p https://h/x=http://q", "https://h/y/a", "http://p/y/a"),
        ("https://hu=http://p https://h=http://q", "https://hub/a", "https://hub/a"),
    ],
)
def test_rewriting(rule: str, url: str, target: str) -> None:
    assert network(rewrite=rule).rewrite(url) == target


# Tokens that are refused


def test_a_refused_token_may_have_a_successor(hermetic: Path) -> None:
    path = hermetic / "huggingface/token"
    path.parent.mkdir(parents=True)
    path.write_text("hf_old", "ascii")
    net = network(hf_endpoint="http://hub")
    assert net.authorization("http://hub/f") == "Bearer hf_old"
    path.write_text("hf_new", "ascii")
    for url, sent in (
        ("http://other/f", "Bearer hf_old"),
        ("http://hub:81/f", "Bearer hf_old"),
        ("http://hub/f", "Basic hf_old"),
        ("http://hub/f", ""),
    ):
        assert net.renew_token(url, sent) is False
    assert net.authorization("http://hub/f") == "Bearer hf_old"
    assert net.renew_token("http://hub/f", "Bearer hf_old") is True
    assert net.authorization("http://hub/f") == "Bearer hf_new"
    assert net.renew_token("http://hub/f", "Bearer hf_new") is False


# Requests that are not sent


@pytest.mark.parametrize("url", ["ftp://h/f", "ftps://h/f"])
def test_small_requests_are_http(url: str) -> None:
    found = refused(network().request, url)
    assert found.problem.code == "refused" and url in found.message


def test_what_a_rule_makes_of_an_address_decides() -> None:
    found = refused(network(rewrite="http://h/=ftp://g/").request, "http://h/f")
    assert "ftp" in found.message
    found = refused(network(rewrite="http://h/=https://g:81/", offline="1").request, "http://h/f")
    assert found.problem.code == "offline" and "g:81 is needed" in found.message


def test_after_an_interrupt_nothing_is_asked() -> None:
    net = network()
    assert not net.ended
    net.pause(0)
    net.interrupt()
    assert "interrupted" in refused(net.request, "http://127.0.0.1:9/").message
    assert refused(net.pause, 0).problem.code == "network"


def test_an_interrupt_ends_a_pause() -> None:
    net = network()
    threading.Timer(0.2, net.interrupt).start()
    started = time.monotonic()
    assert "interrupted" in refused(net.pause, 60).message
    assert time.monotonic() - started < 30


def test_one_session_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    assert net.session is net.session
    ended: list[bool] = []
    monkeypatch.setattr(type(net.session), "end_all", lambda self: ended.append(True))
    net.interrupt()
    assert ended == [True]


class Exchanged:
    """A session that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def make(self, method: str, url: str, headers: list[tuple[str, str]], data: Any) -> Any:
        return method, url, headers, data

    def exchange(
        self, request: Any, follow: bool, patience: float | None, deadline: float | None
    ) -> Any:
        self.asked.append((*request, follow, patience))

        raw = SimpleNamespace(headers={"ETag": "x", "Content-Type": "T"})
        return SimpleNamespace(raw=raw, status_code=418, content=b"body", url="http://h/final")


def test_a_request_and_its_answer() -> None:
    net = network()
    net._session = exchanged = Exchanged()  # type: ignore[assignment]
    found = net.request("http://h/f", headers=[("A", "b")])
    assert found == Response(418, {"etag": "x", "content-type": "T"}, b"body", "http://h/final")
    net.request("http://h/f", method="POST", data=b"x", follow=False, patience=3.0)
    net.request("http://h/f", method="POST", headers=[("content-TYPE", "t")])
    net.get_json("http://h/f", [("A", "b")])
    form = ("Content-Type", "application/x-www-form-urlencoded")
    assert exchanged.asked == [
        ("GET", "http://h/f", [("A", "b")], None, True, None),
        ("POST", "http://h/f", [form], b"x", False, 3.0),
        ("POST", "http://h/f", [("content-TYPE", "t")], None, True, None),
        ("GET", "http://h/f", [("Accept", "application/json"), ("A", "b")], None, True, None),
    ]


# libcurl's handles


class Curl:
    def __init__(self) -> None:
        self.set: dict[int, Any] = {}

    def setopt(self, option: int, value: Any) -> None:
        self.set[option] = value

    def unsetopt(self, option: int) -> None:
        self.set[option] = None


@pytest.mark.parametrize(
    ("url", "proxy", "secure"),
    [
        ("http://h/f", "", False),
        ("https://h/f", "", True),
        ("ftps://h/f", "", True),
        ("ftp://h/f", "", False),
        ("http://h/f", "https://proxy:1", True),
        ("http://h/f", "http://proxy:1", False),
    ],
)
def test_a_handle_for_one_request(
    url: str, proxy: str, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pycurl

    monkeypatch.setenv("all_proxy", proxy)
    curl = Curl()
    net = network(connect_timeout="7")
    net.configure_once(curl, 99)
    net.configure(curl, url, [("A", "b")])
    assert curl.set[pycurl.URL] == url.encode() and curl.set[pycurl.HTTPHEADER] == ["A: b"]
    assert curl.set[pycurl.PROXY] == proxy
    assert (pycurl.CAINFO in curl.set) is secure
    assert curl.set[pycurl.CONNECTTIMEOUT] == 7 and curl.set[pycurl.LOW_SPEED_LIMIT] == 99
    net.configure_once(curl)
    assert curl.set[pycurl.LOW_SPEED_LIMIT] == 1024
