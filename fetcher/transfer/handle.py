"""How a libcurl handle is set up for a transfer, in the engine and in its workers alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pycurl

from fetcher.network.session import Network

_SLOWEST = 1024  # bytes a second, below which a transfer has stalled
# Bytes of one callback. Larger ones make the lists between two turns outgrow the caches.
_BUFFER = 64 << 10
_IDENTITY = ("Accept-Encoding", "identity")


def set_up(
    curl: Any,
    network: Network,
    write: Callable[[bytes], int | None],
    rate: int = 0,
) -> None:
    """Set what holds for every request of a handle; `rate` in bytes a second, 0 for no limit."""
    network.configure_once(curl, slowest=1 if rate else _SLOWEST)
    curl.setopt(pycurl.BUFFERSIZE, _BUFFER)
    curl.setopt(pycurl.WRITEFUNCTION, write)
    if rate:
        curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, rate)


def aim(
    curl: Any,
    network: Network,
    url: str,
    headers: Sequence[tuple[str, str]],
    decode: bool = False,
) -> None:
    """Aim a handle at one (rewritten) address; `decode` lets libcurl undo a compression.

    Raises Failure.
    """
    if decode:
        curl.setopt(pycurl.ACCEPT_ENCODING, "")  # all that it knows
    else:
        headers = [*headers, _IDENTITY]
    network.configure(curl, url, headers)
