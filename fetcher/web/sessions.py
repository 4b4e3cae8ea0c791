"""Who is signed in: a cookie for a token, and proof that a form was sent from our own page."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from secrets import token_urlsafe
from urllib.parse import urlsplit

from fetcher.server.http import HttpRequest
from fetcher.server.tokens import Identity, Tokens

COOKIE = "fetch_session"
_SECONDS = 12 * 3600
_MOST = 10_000


@dataclass
class WebSession:
    """One sign-in; `csrf` stands in every form that it is shown."""

    token: str
    ends: float
    csrf: str = field(default_factory=lambda: token_urlsafe(24))


class WebSessions:
    """Sign-ins of this process; a token that is taken back ends its sessions."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._open: dict[str, WebSession] = {}

    def begin(self, token: str) -> str | None:
        """The cookie's value for a token that somebody has, None for any other."""
        known = self.tokens.identify(f"Bearer {token}") if token.strip() else None
        if known is None or not known.name:
            return None
        now = time.monotonic()
        self._open = {key: found for key, found in self._open.items() if found.ends > now}
        while len(self._open) >= _MOST:
            del self._open[next(iter(self._open))]
        name = token_urlsafe(32)
        self._open[name] = WebSession(token, now + _SECONDS)
        return name

    def end(self, request: HttpRequest) -> None:
        """Forget the sign-in that a request carries."""
        self._open.pop(cookie(request, COOKIE), None)

    def of(self, request: HttpRequest) -> WebSession | None:
        """The sign-in that a request carries."""
        found = self._open.get(cookie(request, COOKIE))
        return found if found and found.ends > time.monotonic() else None

    def identity(self, request: HttpRequest) -> Identity | None:
        """Whoever is signed in."""
        session = self.of(request)
        return self.tokens.identify(f"Bearer {session.token}") if session else None

    def allows(self, request: HttpRequest, csrf: str) -> bool:
        """Whether a request that changes something comes from its user: with a bearer token, which
        no other site can make a browser send, or from a form of ours."""
        if not same_origin(request):
            return False
        if (request.headers("authorization") or "").lower().startswith("bearer "):
            return True
        session = self.of(request)
        given = csrf.encode("utf-8", "surrogatepass")
        return session is not None and hmac.compare_digest(session.csrf.encode(), given)


def same_origin(request: HttpRequest) -> bool:
    """Whether a browser says that a request comes from our own pages; other clients say nothing."""
    site = request.headers("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        return False
    origin = request.headers("origin")
    if origin is None:
        return True
    own = {request.host, urlsplit(request.base).netloc}
    try:
        return urlsplit(origin).netloc in own
    except ValueError:
        return False


def cookie(request: HttpRequest, name: str) -> str:
    """A cookie's value, "" without one."""
    for part in (request.headers("cookie") or "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def set_cookie(
    request: HttpRequest, name: str, value: str, seconds: int, script: bool = False
) -> str:
    """A Set-Cookie header for this server's own path."""
    base = urlsplit(request.base)
    parts = [f"{name}={value}", f"Path={base.path}/", f"Max-Age={seconds}", "SameSite=Lax"]
    parts += [] if script else ["HttpOnly"]
    parts += ["Secure"] if base.scheme == "https" else []
    return "; ".join(parts)
