"""When to ask again: what a server says about it, and how long to wait otherwise."""

from __future__ import annotations

import random
import re
import time

LONGEST_WAIT = 330.0  # the Hub counts requests per five minutes
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def retry_after(headers: dict[str, str]) -> float | None:
    """Seconds that the server asks to wait (Retry-After, RateLimit), or None."""
    text = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,7}(\.\d{1,3})?", text):
        return float(text)
    if text:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return None
    limit = re.search(r"\br=0\b.*?\bt=(\d{1,7})\b", headers.get("ratelimit", ""))
    if limit:
        return float(limit[1]) + 1
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and re.fullmatch(r"\d{1,12}", reset):
        return max(0.0, float(reset) - time.time())
    return None


def rate_limited(status: int, headers: dict[str, str]) -> bool:
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
