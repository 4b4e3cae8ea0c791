"""Links that carry their own permission: recognised, and what they say of their end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.network.signed_links import ends_at, is_signed, says_refused, unsigned

NEW_YEAR = 1_577_836_800.0  # 2020-01-01 00:00 UTC
BASE = "https://h/a%20b.bin"

LINKS = [
    ("X-Amz-Algorithm=A&X-Amz-Date=20191231T235900Z&X-Amz-Expires=60&X-Amz-Signature=f", NEW_YEAR),
    ("X-Goog-Date=20191231T235900Z&X-Goog-Expires=60&X-Goog-Signature=f", NEW_YEAR),
    ("AWSAccessKeyId=k&Signature=s%3D&Expires=1577836800", NEW_YEAR),
    ("GoogleAccessId=k&Signature=s&Expires=1577836800", NEW_YEAR),
    ("Expires=1577836800&Policy=p&Signature=s&Key-Pair-Id=K", NEW_YEAR),
    ("sv=2021-08-06&se=2020-01-01T00%3A00%3A00Z&sr=b&sp=r&sig=x%2F", NEW_YEAR),
    ("OSSAccessKeyId=k&Expires=1577836800&Signature=s", NEW_YEAR),
    ("q-sign-algorithm=sha1&q-ak=a&q-sign-time=1;2&q-signature=s", None),
    ("hdnts=exp=1577836800~hmac=f", None),
    ("md5=x&expires=1577836800", NEW_YEAR),
    ("X-Xet-Signed-Range=bytes%3D0-9&Policy=p&Signature=s&Key-Pair-Id=K", None),
]


@pytest.mark.parametrize(("query", "ends"), LINKS)
def test_signed(query: str, ends: float | None) -> None:
    url = f"{BASE}?{query}"
    assert is_signed(url) and ends_at(url) == ends
    assert unsigned(f"{BASE}?versionId=v&{query}") == f"{BASE}?versionId=v"


@pytest.mark.parametrize("query", ["", "?download=true", "?token=x", "?expires=1577836800", "?e=1"])
def test_plain(query: str) -> None:
    assert not is_signed(BASE + query) and unsigned(BASE + query) == BASE + query


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("AccessDenied: Request has expired", True),
        ("ExpiredToken: The provided token has expired.", True),
        ("SignatureDoesNotMatch: x", True),
        ("AuthenticationFailed: Server failed to authenticate the request", True),
        ("no such thing", False),
        ("", False),
    ],
)
def test_words_of_servers(text: str, about: bool) -> None:
    assert says_refused(text) is about


@given(st.text(max_size=60))
def test_any_address_is_borne(text: str) -> None:
    for url in (text, f"https://h/f?{text}", f"https://h/f?se={text}&sig=x"):
        is_signed(url)
        ends_at(url)
        assert unsigned(unsigned(url)) == unsigned(url)
