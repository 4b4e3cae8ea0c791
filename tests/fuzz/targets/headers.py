"""Headers of answers: waits are finite and not negative, ranges are those that were asked for."""

from __future__ import annotations

import math

from fetcher.network.error_text import error_text
from fetcher.network.retry import rate_limited, retry_after
from tests.fuzz.kit import Target, parts_of, response_of, seed

LONGEST = 1e12  # seconds: twelve digits; who waits bounds it by the run's patience


def check(data: bytes) -> None:
    head, body = parts_of(data, 2)
    answer = response_of(head + b"\n\n" + body)
    wait = retry_after(answer.headers)
    assert wait is None or (math.isfinite(wait) and 0 <= wait <= LONGEST), wait
    limited = rate_limited(answer.status, answer.headers)
    assert limited or answer.status != 429
    told = error_text(answer.headers, answer.body)
    assert len(told) <= 300 and "\n" not in told


TARGET = Target(
    check,
    [
        seed("429\nRetry-After: 120", '{"error": "slow"}'),
        seed("429\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\nDate: Fri, 31 Dec 1999 23:59:00 GMT"),
        seed('403\nRateLimit: "api";r=0;t=55, "x";r=1;t=9'),
        seed("403\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 1900000000"),
        seed("500\nratelimit-remaining: 0\nratelimit-reset: 9", "<Error><Code>No</Code></Error>"),
        seed("500\nx-error-message: a", "<html><title>Sign in &amp; go</title>"),
        seed("400", '{"errors": [{"message": "m", "detail": {"error": "e"}}]}'),
    ],
    ["Retry-After:", "RateLimit:", "Date:", "x-ratelimit-reset:", "x-ratelimit-remaining: 0", "r=0",
     ";t=", "GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "-0000", "+9999", "1e9", "nan", "inf", "429",
     "<title>", "<Code>", "[[[[", '{"error":', "\n", "0", "99999999"],
    longest=400,
)  # fmt: skip
