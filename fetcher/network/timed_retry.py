"""urllib3's `Retry` with a clock in place of its counters."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from urllib3 import Retry
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, ResponseError
from urllib3.response import BaseHTTPResponse

from fetcher.network import retry
from fetcher.network.retry import LONGEST_WAIT

# It would write our own state at each fault; what matters is said by the client.
logging.getLogger("urllib3.util.retry").setLevel(logging.INFO)

# A server that says 500 has more often a fault of its own than no time.
_SHARE_OF_500 = 0.1


class TimedRetry(Retry):
    """When to ask again, and until when.

    `patience` is in seconds from the first fault on; a server that says itself how long to wait
    gets up to three times as much. Nothing lasts beyond `deadline`, on the monotonic clock.
    """

    patience: float
    deadline: float
    faults: int
    first_fault: float
    pause: float  # seconds to wait before the next try
    asked: bool  # the server said so

    @classmethod
    def begin(cls, patience: float, deadline: float) -> TimedRetry:
        """For one request, redirects included."""
        made = cls(
            total=None,
            allowed_methods=None,
            status_forcelist=retry.RETRY_STATUS,
            respect_retry_after_header=False,
        )
        made.patience, made.deadline = patience, deadline
        made.faults, made.first_fault = 0, 0.0
        made.pause, made.asked = 0.0, False
        return made

    def is_exhausted(self) -> bool:
        """Time decides, not numbers: see `increment`."""
        return False

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> TimedRetry:
        """The state after one more fault. Raises MaxRetryError if there is no time left."""
        made = super().increment(method, url, response, error, _pool, _stacktrace)
        now = time.monotonic()
        made.patience, made.deadline = self.patience, self.deadline
        made.faults = self.faults + 1
        made.first_fault = self.first_fault or now
        asked = None if response is None else retry.retry_after(lower_case(response.headers))
        made.asked = asked is not None
        made.pause = max(asked or 0.0, retry.backoff(made.faults))
        until = made._until(500 if response is None else response.status, response is None)
        if now + made.pause > until or (asked or 0.0) > LONGEST_WAIT:
            why = f"the wait is {made.pause:.0f} s, and {max(0.0, until - now):.0f} s are left"
            if (asked or 0.0) > LONGEST_WAIT:
                why = f"it asks to wait {asked:.0f} s, and {LONGEST_WAIT:.0f} s are the most"
            raise MaxRetryError(_pool, url, error or ResponseError(why))  # type: ignore[arg-type]
        return made

    def _until(self, status: int, broken: bool) -> float:
        patience = self.patience
        if self.asked:
            patience *= 3
        elif status == 500 and not broken:
            patience *= _SHARE_OF_500
        return min(self.first_fault + patience, self.deadline)

    def left(self) -> float:
        """Seconds until this gives up."""
        return max(0.0, min(self.first_fault + self.patience, self.deadline) - time.monotonic())


def lower_case(headers: Any) -> Mapping[str, str]:
    """Headers by lower-case name; of several the last one."""
    return {name.lower(): value for name, value in headers.items()}
