"""Addresses: their origin, how they are shown, and what leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.errors import Failure
from fetcher.network.urls import (
    ascii_url,
    host_of,
    joined,
    origin_of,
    public_url,
    without_login,
)


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://H/x", ("https", "h", 443), "h"),
        ("HTTPS://h:443", ("https", "h", 443), "h"),
        ("http://h:443/", ("http", "h", 443), "h:443"),
        ("http://h", ("http", "h", 80), "h"),
        ("ftp://u:p@h/x", ("ftp", "h", 21), "h"),
        ("ftps://h:991/x", ("ftps", "h", 991), "h:991"),
        ("ftps://h/x", ("ftps", "h", 990), "h"),
        ("http://[::1]:8080/x", ("http", "::1", 8080), "[::1]:8080"),
        ("http://[::1]/x", ("http", "::1", 80), "[::1]"),
        ("http://h:1", ("http", "h", 1), "h:1"),
        ("http://[fe80::1%25eth0]/x", ("http", "fe80::1%25eth0", 80), "[fe80::1%25eth0]"),
    ],
)
def test_origin_and_host(url: str, origin: tuple[str, str, int], host: str) -> None:
    assert origin_of(url) == origin
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url",
    ["", "h/x", "https://", "gopher://h/", "gopher://h:70/", "http://h:0/", "http://h:x/",
     "http://h:65536/", "http://h/ x", "http://h/\\x", "http://[x/",
     "http://a%2eb/", "http://%68/"],
)  # fmt: skip
def test_what_has_no_origin(url: str) -> None:
    with pytest.raises(Failure) as caught:
        origin_of(url)
    assert caught.value.problem.code == "refused"


def test_a_refused_address_is_shown_short_and_without_its_query() -> None:
    with pytest.raises(Failure) as caught:
        origin_of("gopher://h/?token=secret")
    assert "secret" not in caught.value.message and "gopher://h/" in caught.value.message
    with pytest.raises(Failure) as caught:
        origin_of("gopher://h/" + "a" * 189)
    assert "…" not in caught.value.message
    with pytest.raises(Failure) as caught:
        origin_of("gopher://h/" + "a" * 190)
    assert "a…" in caught.value.message
    assert "a" * 189 in caught.value.message and "a" * 190 not in caught.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h:1/a/b?token=x#y", "https://h:1/a/b"),
        ("https://u@v@h/a", "https://h/a"),
        ("https://h", "https://h"),
        ("https://h/\x1b[2J", "https://h/\\x1b[2J"),
        # What no parser reads is cut by hand.
        ("http://u:p@[x/a?token=x", "[x/a"),
        ("http://u:p@v@[x/a", "[x/a"),
        ("http://[x/\x07?a?b", "http://[x/\\x07"),
    ],
)
def test_a_shown_address_has_no_secret(url: str, shown: str) -> None:
    assert public_url(url) == shown


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("b?c=d", "https://u:p@h/a/b?c=d"),
        ("/b", "https://u:p@h/b"),
        ("../b", "https://u:p@h/b"),
        ("//other/b", "https://other/b"),
        ("ftp://other/b", "ftp://other/b"),
        ("", "https://u:p@h/a/x?token=secret"),
    ],
)
def test_where_an_answer_leads(reference: str, whole: str) -> None:
    assert joined("https://u:p@h/a/x?token=secret", reference) == whole


def test_an_answer_that_leads_to_what_is_no_address() -> None:
    with pytest.raises(Failure) as caught:
        joined("https://u:p@h/a?token=secret", "http://[no-address/b")
    assert caught.value.problem.code == "refused"
    assert "https://h/a leads" in caught.value.message
    assert "secret" not in caught.value.message and "u:p" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://h/a b?c=%20", b"https://h/a b?c=%20"),
        ("https://h/모", b"https://h/%EB%AA%A8"),
        ("https://h/é/b/c", b"https://h/%C3%A9/b/c"),
        ("https://h/é?to=http://i/é", b"https://h/%C3%A9?to=http://i/%C3%A9"),
        ("https://h/a/é?x=é&y=%41#z", b"https://h/a/%C3%A9?x=%C3%A9&y=%41#z"),
        ("https://h/!#$%&'()*+,/:;=?@[]~é", b"https://h/!#$%&'()*+,/:;=?@[]~%C3%A9"),
        ("https://모.example", "https://모.example".encode()),
        ("https://모.example/é", "https://모.example/%C3%A9".encode()),
    ],
)
def test_an_address_for_libcurl(url: str, sent: bytes) -> None:
    assert ascii_url(url) == sent


@pytest.mark.parametrize(
    ("url", "bare", "login"),
    [
        ("https://h/a", "https://h/a", None),
        ("https://u:p@h/a", "https://h/a", ("u", "p")),
        ("https://u@h", "https://h", ("u", "")),
        ("https://aX:bX@X/a", "https://X/a", ("aX", "bX")),
        ("https://u%40v:p%3a@h:1?q", "https://h:1?q", ("u@v", "p:")),
        ("https://u:p:q@h#x", "https://h#x", ("u", "p:q")),
        ("https://u@v@h/", "https://h/", ("u@v", "")),
        ("https://h/a@b", "https://h/a@b", None),
        ("https://h?a@b", "https://h?a@b", None),
        ("https://h#a@b", "https://h#a@b", None),
        ("https://@h/a", "https://h/a", ("", "")),
    ],
)
def test_a_login_is_taken_out(url: str, bare: str, login: tuple[str, str] | None) -> None:
    assert without_login(url) == (bare, login)


@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_the_login_is_it_is_not_shown(user: str, password: str) -> None:
    from urllib.parse import quote

    url = f"https://{quote(user, safe='')}:{quote(password, safe='')}@host/a"
    assert public_url(url) == "https://host/a"
    assert without_login(url) == ("https://host/a", (user, password))
