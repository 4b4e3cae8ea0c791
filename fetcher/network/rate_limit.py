"""How many requests a host allows in a time, as its own headers count them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from fetcher.network.retry import limit_ends

_NUMBER = r"\s*([0-9]{1,9})\b"


class Allowance(NamedTuple):
    """What a host still allows: `left` requests within `seconds`, then `quota` in each `window`.

    `quota` and `window` (seconds) are 0 where the host does not tell them.
    """

    left: int
    seconds: float
    quota: int = 0
    window: float = 0.0

    def least_seconds(self, requests: int) -> float:
        """Seconds that so many requests take at the least; 0 while the limit is not met."""
        more = requests - self.left
        if more <= 0 or not self.quota:
            return 0.0
        return self.seconds + (math.ceil(more / self.quota) - 1) * self.window


def allowance(headers: Mapping[str, str]) -> Allowance | None:
    """What an answer's headers (by lower-case name) allow, None where they do not say.

    Of several policies the one counts that ends first.
    """
    policies = _policies(headers.get("ratelimit-policy", ""))
    found: list[Allowance] = []
    for item in headers.get("ratelimit", "").split(","):
        left, seconds = _parameter("r", item), _parameter("t", item)
        if left is not None and seconds is not None:
            found.append(Allowance(left, float(seconds), *policies.get(_name(item), (0, 0.0))))
    if found:
        return min(found)
    for prefix in ("x-ratelimit-", "ratelimit-"):  # GitHub, GitLab
        remaining, ends = headers.get(f"{prefix}remaining", ""), limit_ends(prefix, headers)
        if re.fullmatch(r"[0-9]{1,9}", remaining) and ends is not None:
            return Allowance(int(remaining), ends)
    return None


def _policies(text: str) -> dict[str, tuple[int, float]]:
    """Quota and window by the names that an item of the policy has."""
    found: dict[str, tuple[int, float]] = {}
    for item in text.split(","):
        quota, window = _parameter("q", item), _parameter("w", item)
        if quota and window:
            for name in re.findall(r'"([^"]*)"', item):
                found[name] = quota, float(window)
    return found


def _name(item: str) -> str:
    found = re.match(r'\s*"([^"]*)"', item)
    return found[1] if found else ""


def _parameter(name: str, item: str) -> int | None:
    found = re.search(rf";\s*{name}={_NUMBER}", item)
    return int(found[1]) if found else None
