"""A request as it leaves, whichever client sends it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fetcher import __version__
from fetcher.network.credentials import Login

USER_AGENT = f"fetch/{__version__}"


@dataclass(frozen=True)
class Outgoing:
    """One request, all rules applied.

    `url` holds no login; over HTTP the login is one of the headers, over FTP it is `login`.
    `proxy` is an address, with the proxy's own login if it has one, "" for none.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    login: Login | None = field(default=None, repr=False)
    proxy: str = field(default="", repr=False)
