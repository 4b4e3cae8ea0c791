"""A request's body as it comes: who sends half of one is not waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator

from fetcher.i18n import t
from fetcher.server.http import refusal

# Seconds without a byte; seconds after which a body must have come at this rate (bytes/second).
SILENCE = 30.0
GRACE, SLOWEST = 60.0, 1024.0


async def paced(
    chunks: AsyncIterable[bytes],
    silence: float = SILENCE,
    grace: float = GRACE,
    slowest: float = SLOWEST,
) -> AsyncIterator[bytes]:
    """The body's pieces. Raises HttpError, status 408, where they stop or trickle."""
    source = aiter(chunks)
    began = time.monotonic()
    received = 0
    while True:
        try:
            chunk = await asyncio.wait_for(anext(source), silence)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            text = t("nothing of the request's body came for {silence:.0f} s", silence=silence)
            raise refusal(408, text, headers={"Connection": "close"}) from None
        received += len(chunk)
        spent = time.monotonic() - began
        if spent > grace and received < slowest * spent:
            text = t("the request's body comes too slowly")
            raise refusal(408, text, headers={"Connection": "close"})
        yield bytes(chunk)
