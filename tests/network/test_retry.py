"""When to ask again, by the headers that servers of several makes send."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.network.retry import backoff, rate_limited, retry_after

NOW = 1_900_000_000


def at(seconds: float) -> str:
    return formatdate(NOW + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7.25 "}, 7.25),
        ({"retry-after": "1234567"}, 1234567.0),
        ({"retry-after": "12345678"}, 12345678.0),
        ({"retry-after": "1" * 16}, None),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": at(90), "date": at(0)}, 90.0),
        ({"retry-after": at(-90), "date": at(0)}, 0.0),
        # Retry-After is heard before a limit, even where it says nothing.
        ({"retry-after": "soon", "ratelimit": '"a";r=0;t=5'}, None),
        ({"retry-after": "3", "ratelimit": '"a";r=0;t=5'}, 3.0),
        ({"ratelimit": '"a";r=0;t=5'}, 6.0),
        ({"ratelimit": '"a"; t=5; r=0'}, 6.0),
        ({"ratelimit": '"a";r=0;t=5, "b";r=0;t=9, "c";r=4;t=90'}, 10.0),
        ({"ratelimit": '"a";r=1;t=5'}, None),
        ({"ratelimit": '"a";r=05;t=5'}, None),
        ({"ratelimit": '"a";r=0'}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}, 60.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "61"}, 61.0),
        ({"x-ratelimit-remaining": "1", "x-ratelimit-reset": "60"}, None),
        ({"x-ratelimit-remaining": "0", "ratelimit-reset": "60"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1e9"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        (
            {
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(NOW + 30),
                "date": at(0),
            },
            30.0,
        ),
        (
            {
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(NOW - 30),
                "date": at(0),
            },
            0.0,
        ),
        # A hundred million is still a number of seconds; one more is a moment.
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "100000000"}, 1e8),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "100000001", "date": at(0)}, 0.0),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_without_a_date_of_its_own_our_clock_counts(date: str | None) -> None:
    headers = {"retry-after": formatdate(time.time() + 100, usegmt=True)}
    if date is not None:
        headers["date"] = date
    found = retry_after(headers)
    assert found is not None and 90 < found <= 100


@pytest.mark.parametrize(
    ("status", "headers", "limited"),
    [
        (429, {}, True),
        (429, {"retry-after": "soon"}, True),
        (403, {}, False),
        (403, {"retry-after": "5"}, True),
        (403, {"retry-after": "soon"}, False),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}, True),
        (403, {"x-ratelimit-remaining": "0"}, False),
        (403, {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "5"}, False),
        (403, {"ratelimit": '"a";r=0;t=5'}, False),
        (403, {"retry-after": "5", "x-error-code": "GatedRepo"}, False),
        (401, {"retry-after": "5"}, False),
        (404, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}, False),
    ],
)
def test_a_refusal_that_means_later(status: int, headers: dict[str, str], limited: bool) -> None:
    assert rate_limited(status, headers) is limited


@pytest.mark.parametrize(
    ("attempt", "most"),
    [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (11, 30.0), (10_000, 30.0)],
)
def test_pauses_double_up_to_half_a_minute(
    attempt: int, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for drawn in (0.1, 1.0):
        monkeypatch.setattr(
            "random.uniform", lambda low, high, drawn=drawn: (low, high).index(drawn) * 0.9 + 0.1
        )
        assert backoff(attempt) == pytest.approx(most * drawn)


@given(st.dictionaries(st.sampled_from(["retry-after", "ratelimit", "date"]), st.text()))
def test_any_text_is_a_time_or_none(headers: dict[str, str]) -> None:
    found = retry_after(headers)
    assert found is None or found >= 0
