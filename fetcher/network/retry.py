"""When to ask again: what a server says about it, and how long to wait otherwise."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
STALL_SECONDS = 30  # without a byte (or next to none): the connection is dead
LONGEST_WAIT = 330.0  # the Hub counts requests per five minutes
_A_MOMENT = 1e8  # larger numbers are moments, smaller ones seconds to wait
# From 520 on: a content network that does not reach the server behind it, or has no time.
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait (Retry-After, RateLimit), or None.

    `headers` are by lower-case name. A moment is measured against the answer's own `Date`: the
    server's clock and ours may differ.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return float(text)
    if text:
        moment = _moment(text)
        return None if moment is None else max(0.0, moment - _now(headers))
    # draft-ietf-httpapi-ratelimit-headers, as a list of policies: "name";r=remaining;t=seconds
    waits = [
        float(found[1]) + 1
        for policy in headers.get("ratelimit", "").split(",")
        if re.search(r";\s*r=0\b", policy) and (found := re.search(r";\s*t=(\d{1,7})\b", policy))
    ]
    if waits:
        return max(waits)
    for prefix in ("x-ratelimit-", "ratelimit-"):
        if headers.get(f"{prefix}remaining") == "0":
            seconds = limit_ends(prefix, headers)
            if seconds is not None:
                return seconds
    return None


def limit_ends(prefix: str, headers: Mapping[str, str]) -> float | None:
    """Seconds to the end of a limit that is told in headers with this prefix, or None."""
    reset = headers.get(f"{prefix}reset", "")
    if not re.fullmatch(r"\d{1,12}", reset):
        return None
    # A moment (GitHub), or seconds from now (GitLab's and others' RateLimit-Reset).
    seconds = float(reset)
    return max(0.0, seconds - _now(headers)) if seconds > _A_MOMENT else seconds


def _moment(text: str) -> float | None:
    """An HTTP date as seconds since 1970."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _now(headers: Mapping[str, str]) -> float:
    """The moment of the answer, by the clock of whoever made it."""
    moment = _moment(headers["date"]) if "date" in headers else None
    return time.time() if moment is None else moment


def rate_limited(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a refusal means "later": 429, or GitHub's 403 with the time to come back."""
    told = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return status == 429 or (
        status == 403
        and told
        and "x-error-code" not in headers
        and retry_after(headers) is not None
    )


def backoff(attempt: int) -> float:
    """Seconds to wait before try `attempt` (from 1): exponential, with full jitter."""
    return random.uniform(0.1, 1.0) * min(30.0, 0.5 * 2.0 ** min(attempt - 1, 10))
