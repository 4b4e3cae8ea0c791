"""What servers say beside a refusal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.network.error_text import error_text

S3 = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>ExpiredToken</Code>'
    b"<Message>The provided token has expired.</Message><Token-0>FwoGZXIvYXdzEXAMPLE</Token-0>"
    b"<AWSAccessKeyId>AKIAEXAMPLE</AWSAccessKeyId></Error>"
)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", ""),
        (b"quota\r\nexceeded\n", "quota exceeded"),
        (S3, "ExpiredToken: The provided token has expired."),
        (b'{"error": "Invalid credentials", "token": "abc"}', "Invalid credentials"),
        (
            b'{"errors": [{"code": "DENIED", "message": "no access", "detail": {"Class": "x"}}]}',
            "no access; DENIED",
        ),
        (b'{"message": "Bad \\u0041"}', "Bad A"),
        (b"<!DOCTYPE html><html><title>Sign &amp; in</title><p>token=abc", "Sign & in"),
        (b"<html><p>x", ""),
        (b'{"error": "cut o', ""),
        (b"[" * 100_000, ""),
        (b"x" * 5000, "x" * 300),
    ],
)
def test_the_words_of_a_refusal(body: bytes, wanted: str) -> None:
    assert error_text({}, body) == wanted


def test_the_hubs_header_counts_first() -> None:
    assert error_text({"x-error-message": "Access is restricted"}, b"x") == "Access is restricted"


NAMES = st.sampled_from(["error", "message", "x"])
JSONS = st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(st.one_of(st.binary(), JSONS.map(lambda value: json.dumps(value).encode())))
def test_any_body_is_one_short_line(body: bytes) -> None:
    told = error_text({}, body)
    assert len(told) <= 300 and "\n" not in told and "\r" not in told
