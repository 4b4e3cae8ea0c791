from __future__ import annotations

from collections.abc import Iterator
from http.cookiejar import CookieJar
from urllib.parse import urljoin
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from tests.servers.sharepoint import SharePointServer

from .client import ask

LINK = "/:u:/g/personal/someone_example_org/ABC?e=xyz&download=1"


@pytest.fixture
def server() -> Iterator[SharePointServer]:
    with SharePointServer() as found:
        found.add_share("https://mycuhk-my.sharepoint.com" + LINK, "model 1.pth", b"weights")
        yield found
        assert found.errors == []


def test_download_needs_the_cookie(server: SharePointServer) -> None:
    first = ask(server.url + LINK)
    assert first.status == 302
    assert first.headers["set-cookie"].startswith("FedAuth=")
    document = urljoin(server.url, first.headers["location"])
    assert document.startswith(server.url + "/personal/")
    refused = ask(document)
    assert refused.status == 302
    page = ask(urljoin(server.url, refused.headers["location"]))
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    given = ask(document, headers={"Cookie": first.headers["set-cookie"].partition(";")[0]})
    assert given.body == b"weights"
    assert "model%201.pth" in given.headers["content-disposition"]


def test_a_client_that_keeps_cookies(server: SharePointServer) -> None:
    opener = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))
    with opener.open(server.url + LINK) as answer:
        assert answer.read() == b"weights"


def test_without_download_it_is_a_page(server: SharePointServer) -> None:
    answer = ask(server.url + LINK.partition("?")[0])
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("status", [200, 404])
def test_expired(server: SharePointServer, status: int) -> None:
    server.set_mode(LINK, "expired", status)
    answer = ask(server.url + LINK)
    assert answer.status == status
    assert b"This link has expired" in answer.body


def test_login(server: SharePointServer) -> None:
    server.set_mode(LINK, "login", 403)
    answer = ask(server.url + LINK)
    assert (answer.status, b"Sign in" in answer.body) == (403, True)


def test_new_content_has_a_new_etag(server: SharePointServer) -> None:
    opener = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))
    with opener.open(server.url + LINK) as answer:
        before = answer.headers["ETag"]
    server.add_share(LINK, "model 1.pth", b"other weights")
    with opener.open(server.url + LINK) as answer:
        assert answer.headers["ETag"] != before


def test_rewrite(server: SharePointServer) -> None:
    assert server.rewrite == f"https://mycuhk-my.sharepoint.com/={server.url}/"
    assert ask(server.url + "/unknown").status == 404
