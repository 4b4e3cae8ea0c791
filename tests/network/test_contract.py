"""One set of rules for both HTTP clients: each case is asked by requests and by libcurl."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from fetcher.config.settings import Settings, Value
from fetcher.errors import Failure, UsageError
from fetcher.network.session import Network
from fetcher.sources.base import FileEntry, UrlCandidate
from tests.kit import Run, watchdog
from tests.servers.plain import FileServer
from tests.servers.tls import TlsServer

BODY = b"the body"
Headers = tuple[tuple[str, str], ...]


class Client:
    """One of the two; `ask` gives the body or raises the Failure."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root = root
        self.kind = kind
        self.said: list[str] = []
        self.count = 0

    def ask(self, url: str, headers: Headers = (), /, **settings: str) -> bytes:
        values = {name: Value(text, "test") for name, text in settings.items()}
        if self.kind == "requests":
            network = Network(Settings(self.root, values), self.said.append)
            answer = network.request(url, headers=headers)
            if answer.status != 200:
                raise Failure("network", f"HTTP {answer.status}")
            return answer.body
        self.count += 1
        run = Run(self.root / f"run{self.count}", **settings)
        outcome = run.get(run.download(FileEntry("f"), UrlCandidate("url", url, headers)))
        self.said += run.said.splitlines()
        if outcome.failed:
            problem = outcome.failed[0][1]
            raise Failure(problem.code, problem.message, problem.hint)
        return Path(run.store.blob_path(outcome.delivered[0].sha256)).read_bytes()


@pytest.fixture(params=["requests", "libcurl"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    with watchdog(120):
        yield Client(tmp_path, request.param)


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
        assert server.errors == []


@pytest.fixture
def other() -> Iterator[FileServer]:
    with FileServer() as server:
        server.add("g", BODY)
        yield server


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[TlsServer]:
    with TlsServer(tmp_path) as server:
        server.add("f", BODY)
        yield server


def sent(server: FileServer, name: str = "authorization") -> list[str | None]:
    return [request.headers.get(name) for request in server.requests]


# Addresses


def test_rewriting(client: Client, files: FileServer) -> None:
    files.add("x/f", BODY)
    rules = f"https://far.invalid/={files.url}/x/"
    assert client.ask("https://far.invalid/f", rewrite=rules) == BODY


def test_redirects_are_rewritten_too(client: Client, files: FileServer, other: FileServer) -> None:
    files.faults.add("/f", "redirect", to="https://far.invalid/g")
    rules = f"https://far.invalid/={other.url}/"
    assert client.ask(files.url + "/f", rewrite=rules) == BODY


def test_offline_asks_nobody(client: Client, files: FileServer) -> None:
    with pytest.raises(Failure) as caught:
        client.ask(files.add("f", BODY), offline="1")
    assert caught.value.problem.code == "offline" and files.requests == []


def test_no_step_down_to_plain_http(
    client: Client, secure: TlsServer, other: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    secure.faults.add("/f", "redirect", to=other.url + "/g")
    with pytest.raises(Failure, match="from https to plain http"):
        client.ask(secure.url + "/f")
    assert other.requests == []


@pytest.mark.parametrize("target", ["ftp://h/x", "file:///etc/passwd", "gopher://h/x"])
def test_no_other_scheme(client: Client, files: FileServer, target: str) -> None:
    files.faults.add("/f", "redirect", to=target)
    with pytest.raises(Failure) as caught:
        client.ask(files.url + "/f")
    assert caught.value.problem.code == "refused"


def test_redirects_end(client: Client, files: FileServer) -> None:
    files.faults.add("/f", "redirect", to=files.url + "/f")
    with pytest.raises(Failure, match="redirects without end"):
        client.ask(files.url + "/f")
    assert len(files.requests) < 100


# Credentials


def test_a_token_stays_with_its_origin(
    client: Client, files: FileServer, other: FileServer
) -> None:
    files.faults.add("/f", "redirect", to=other.url + "/g")
    settings = {"hf_endpoint": files.url, "hf_token": "hf_secret"}
    assert client.ask(files.url + "/f", **settings) == BODY
    assert sent(files) == ["Bearer hf_secret"] and sent(other) == [None]


def test_a_given_header_stays_with_its_origin(
    client: Client, files: FileServer, other: FileServer
) -> None:
    files.faults.add("/f", "redirect", to=other.url + "/g")
    given = (("Authorization", "Bearer given"), ("X-Api-Key", "key"))
    assert client.ask(files.url + "/f", given) == BODY
    assert sent(files) == ["Bearer given"] and sent(files, "x-api-key") == ["key"]
    assert sent(other) == sent(other, "x-api-key") == [None]


def test_what_is_given_counts_before_a_token(client: Client, files: FileServer) -> None:
    settings = {"hf_endpoint": files.url, "hf_token": "hf_secret"}
    client.ask(files.add("f", BODY), (("Authorization", "Bearer given"),), **settings)
    assert sent(files) == ["Bearer given"]


def test_a_login_in_the_address(client: Client, files: FileServer) -> None:
    url = files.add("f", BODY).replace("//", "//me:se%20cret@")
    assert client.ask(url) == BODY
    assert sent(files) == ["Basic bWU6c2UgY3JldA=="]
    files.faults.add("/f", "status", code=404)
    with pytest.raises(Failure) as caught:
        client.ask(url)
    assert "cret" not in caught.value.message


NETRC = "machine 127.0.0.1 login me password secret\nmachine other login x password y\n"


@pytest.mark.parametrize("place", ["NETRC", ".netrc", "_netrc"])
def test_netrc(
    client: Client, files: FileServer, hermetic: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hermetic / (place if place != "NETRC" else "elsewhere")
    path.write_text(NETRC)
    if place == "NETRC":
        monkeypatch.setenv("NETRC", str(path))
    files.faults.add("/f", "redirect", to=files.url.replace("127.0.0.1", "localhost") + "/g")
    files.add("g", BODY)
    assert client.ask(files.url + "/f") == BODY
    assert sent(files) == ["Basic bWU6c2VjcmV0", None]


def test_netrc_is_not_for_a_host_that_has_a_token(
    client: Client, files: FileServer, other: FileServer, hermetic: Path
) -> None:
    (hermetic / ".netrc").write_text(NETRC)
    settings = {"hf_endpoint": files.url, "hf_token": "hf_secret"}
    client.ask(files.add("f", BODY), **settings)
    client.ask(other.url + "/g", **settings)  # the same host at another port
    assert sent(files) == ["Bearer hf_secret"] and sent(other) == [None]


@pytest.mark.parametrize(
    "text",
    [
        "default login me password secret\n",
        "machine 127.0.0.1 nonsense\n",
        "\0\xff",
    ],
)
def test_netrc_files_that_give_no_login(
    client: Client, files: FileServer, hermetic: Path, text: str
) -> None:
    (hermetic / ".netrc").write_bytes(text.encode("latin-1"))
    assert client.ask(files.add("f", BODY)) == BODY
    assert sent(files) == [None]


# Proxies


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("bare", [False, True])
def test_a_proxy_in_either_case(
    client: Client, files: FileServer, name: str, bare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = files.url.removeprefix("http://") if bare else files.url
    monkeypatch.setenv(name, address if bare else address.replace("//", "//me:sec%40ret@"))
    files.add("f", BODY)
    assert client.ask("http://far.invalid/f") == BODY
    request = files.requests[0]
    assert request.target == "http://far.invalid/f"
    wanted = None if bare else "Basic bWU6c2VjQHJldA=="
    assert request.headers.get("proxy-authorization") == wanted


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize("value", ["*", "127.0.0.1", "127.0.0.0/8", "x, 127.0.0.1:{port}"])
def test_left_out_of_the_proxy(
    client: Client, files: FileServer, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value.format(port=files.port))
    assert client.ask(files.add("f", BODY)) == BODY


@pytest.mark.parametrize("name", ["https_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("login", ["", "me:secret@"])
def test_a_proxy_that_wants_a_login_says_so(
    client: Client, files: FileServer, name: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, files.url.replace("//", f"//{login}"))
    files.faults.add("CONNECT|GET", "status", code=407)
    says = "refuses its login" if login else "wants a login"
    with pytest.raises(Failure, match=f"the proxy {files.url} {says}") as caught:
        client.ask(f"{name[:-6].lower()}://far.invalid/f")
    assert "secret" not in caught.value.message + caught.value.hint
    assert "USER:PASSWORD@HOST" in caught.value.hint
    assert len(files.requests) == 1


def test_a_proxy_that_is_not_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    with pytest.raises(Failure) as caught:
        client.ask("http://far.invalid/f")
    assert caught.value.problem.code == "network" and "secret" not in caught.value.message
    assert caught.value.message.startswith("the proxy does not work (")
    assert caught.value.hint == "check http(s)_proxy"


def test_a_proxy_that_forbids_the_host(
    client: Client, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", files.url)
    files.faults.add("CONNECT", "status", code=403)
    with pytest.raises(Failure, match=r"the proxy does not work \(.*403") as caught:
        client.ask("https://far.invalid/f")
    assert caught.value.hint == "check http(s)_proxy"


def test_a_host_behind_a_rewritten_address_is_no_proxy(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(Failure, match="no connection"):
        client.ask("https://far.invalid/f", rewrite="https://far.invalid/=http://127.0.0.1:9/")


@pytest.mark.parametrize("value", ["ftp://p:1", "http://", "http://me:secret@"])
def test_what_is_no_proxy_is_told_at_once(
    client: Client, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(UsageError, match=r"HTTPS_PROXY: .* is no proxy's address") as caught:
        client.ask("https://far.invalid/f")
    assert "secret" not in caught.value.message


# Certificates


def test_an_unknown_certificate(client: Client, secure: TlsServer) -> None:
    with pytest.raises(Failure, match="TLS failed") as caught:
        client.ask(secure.url + "/f")
    assert "SSL_CERT_FILE" in caught.value.hint and secure.requests == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_by_variable(
    client: Client, secure: TlsServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(secure.certificate))
    assert client.ask(secure.url + "/f") == BODY


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not there")
@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_a_folder_by_variable(
    client: Client, secure: TlsServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    shutil.copy(secure.certificate, folder / "loopback.pem")
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    monkeypatch.setenv(name, str(folder))
    assert client.ask(secure.url + "/f") == BODY
    if name == "SSL_CERT_DIR":  # a list, as OpenSSL reads it
        monkeypatch.setenv(name, os.pathsep.join(["", str(tmp_path), str(folder)]))
        assert client.ask(secure.url + "/f") == BODY


def test_another_name_than_the_certificates(
    client: Client, secure: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.certificate))
    with pytest.raises(Failure, match="TLS failed"):
        client.ask(secure.url.replace("127.0.0.1", "localhost") + "/f")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"])
def test_authorities_that_are_not_there(
    client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/nowhere/ca.pem")
    with pytest.raises(UsageError, match=f"{name}: /nowhere/ca.pem is not there"):
        client.ask("https://127.0.0.1:9/f")


# Waiting


def test_a_busy_server_is_waited_for(client: Client, files: FileServer) -> None:
    url = files.add("f", BODY)
    files.faults.add("/f", "status", code=503, times=6)
    with pytest.MonkeyPatch.context() as patch:
        for place in ("network.retry", "transfer.hosts", "transfer.engine", "transfer.recovery"):
            patch.setattr(f"fetcher.{place}.backoff", lambda attempt: 0.02)
        assert client.ask(url) == BODY
    assert len(files.requests) == 7


SKEWED = time.time() - 5000  # what the server's clock says


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "1"}, 1.0),
        ({"Retry-After": "0.7"}, 0.7),
        (
            {
                "Date": formatdate(SKEWED, usegmt=True),
                "Retry-After": formatdate(SKEWED + 2, usegmt=True),
            },
            1.0,
        ),
        ({"RateLimit": '"resolvers";r=0;t=1'}, 2.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, 1.0),
    ],
)
def test_what_the_server_asks_for_is_obeyed(
    client: Client, files: FileServer, headers: dict[str, str], seconds: float
) -> None:
    url = files.add("f", BODY)
    files.faults.add("/f", "status", code=429, headers=headers, times=1)
    started = time.monotonic()
    assert client.ask(url) == BODY
    assert seconds <= time.monotonic() - started < seconds + 4


def test_a_dead_connection_is_given_up(
    client: Client, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("client", "curl"):
        monkeypatch.setattr(f"fetcher.network.{place}.STALL_SECONDS", 1)
    url = files.add("f", BODY)
    files.faults.add("/f", "stall", n=3, times=1)
    assert client.ask(url) == BODY
    assert len(files.requests) == 2


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_a_connection_that_breaks(client: Client, files: FileServer, fault: str) -> None:
    url = files.add("f", BODY)
    files.faults.add("/f", fault, times=2)
    assert client.ask(url) == BODY


def test_a_host_that_is_not_there(client: Client) -> None:
    with pytest.raises(Failure, match=r"127\.0\.0\.1:9: no connection"):
        client.ask("http://127.0.0.1:9/f")


# Silence


def test_no_secret_in_any_log(
    client: Client,
    files: FileServer,
    other: FileServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", files.url.replace("//", "//me:proxy-secret@"))
    monkeypatch.setenv("NO_PROXY", f"127.0.0.1:{other.port}")
    files.add("f", BODY)
    other.faults.add("/g", "status", code=503, times=1)
    other.faults.add("/g", "drop", times=1, after=1)
    files.faults.add("/f", "redirect", times=1, to=other.url + "/g?sig=link-secret")
    settings = {"hf_endpoint": "http://far.invalid", "hf_token": "hf_token-secret"}
    with caplog.at_level(logging.DEBUG):
        url = "http://far.invalid/f?key=query-secret"
        assert client.ask(url, (("X-Api-Key", "header-secret"),), **settings) == BODY
        caplog.records[:] = [r for r in caplog.records if not r.name.startswith("tests.")]
    text = "\n".join(r.getMessage() for r in caplog.records) + "\n".join(client.said)
    assert "secret" not in text
    if client.kind == "requests":
        assert "http://far.invalid/f" in text and "redirects to" in text
