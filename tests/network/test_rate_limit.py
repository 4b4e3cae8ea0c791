"""What hosts say of how many requests they allow."""

from __future__ import annotations

import pytest

from fetcher.network.rate_limit import Allowance, allowance

POLICY = '"fixed window";"resolvers";q=3000;w=300'


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"ratelimit": '"resolvers";r=7;t=120', "ratelimit-policy": POLICY},
            Allowance(7, 120, 3000, 300),
        ),
        ({"ratelimit": '"other";r=7;t=120', "ratelimit-policy": POLICY}, Allowance(7, 120)),
        ({"ratelimit": '"a";r=9;t=5, "b"; t=60; r=2'}, Allowance(2, 60)),
        ({"ratelimit": '"a";r=9'}, None),
        ({"ratelimit-policy": POLICY}, None),
        ({"ratelimit-remaining": "3", "ratelimit-reset": "40"}, Allowance(3, 40)),
        ({"x-ratelimit-remaining": "many", "x-ratelimit-reset": "40"}, None),
        ({}, None),
    ],
)
def test_what_headers_allow(headers: dict[str, str], expected: Allowance | None) -> None:
    assert allowance(headers) == expected


@pytest.mark.parametrize(
    ("told", "requests", "seconds"),
    [
        (Allowance(3000, 300, 3000, 300), 3000, 0),
        (Allowance(3000, 300, 3000, 300), 3001, 300),
        (Allowance(3000, 300, 3000, 300), 10_000, 900),
        (Allowance(5000, 300, 5000, 300), 10_000, 300),
        (Allowance(0, 12, 3000, 300), 1, 12),
        (Allowance(10, 12), 99, 0),  # nobody says what comes after
    ],
)
def test_how_long_it_takes(told: Allowance, requests: int, seconds: float) -> None:
    assert told.least_seconds(requests) == seconds
