"""The rules that every request of a run obeys, and the way to ask.

Bytes of artifacts are moved by `fetcher.transfer` with libcurl, small requests by `requests`
(`fetcher.network.client`): neither is imported before it is needed. What both obey stands here:
`outgoing` says how a request leaves, `redirected` where it may go on.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fetcher.config.project_choices import choose_yourself
from fetcher.config.settings import Settings
from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network import credentials
from fetcher.network.credentials import Login, Netrc, Trust
from fetcher.network.hub_account import HubAccount
from fetcher.network.outgoing import Outgoing
from fetcher.network.proxies import proxy_for
from fetcher.network.urls import Origin, host_of, origin_of, public_url, without_login
from fetcher.verify.contract import json_text

if TYPE_CHECKING:
    from http.cookiejar import Cookie

    from fetcher.network.client import RuledSession
    from fetcher.network.rate_limit import Allowance

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

MAX_JSON_MEMORY = 1 << 30  # bytes that the values of one answer may take
PATIENCE = 120.0
DEADLINE = 600.0
HINT_SECONDS = 6.0
_KAGGLE = ("https", "www.kaggle.com", 443)


@dataclass(frozen=True)
class Response:
    """An answer: status, headers by lower-case name (the last one wins), body, final URL."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON. Raises Failure if it is none, or has too many values."""
        try:
            return json_text.loads(self.body, most=MAX_JSON_MEMORY)
        except json_text.TooManyValuesError:
            text = t("{url} answers with too many values", url=public_url(self.url))
            raise Failure("refused", text) from None
        except (ValueError, RecursionError) as error:
            page = self.headers.get("content-type", "").startswith("text/html")
            raise Failure(
                "refused",
                t(
                    "{url} did not answer with JSON{which}",
                    url=public_url(self.url),
                    which=t(" but with a web page") if page else "",
                ),
                t("a proxy or sign-in page may stand in between: open the address in a browser"),
            ) from error


@dataclass(eq=False, repr=False)
class Network:
    """The rules of one run; safe to share among threads."""

    settings: Settings
    say: Callable[[str], None] = lambda _: None
    # Hosts found unreachable in this run: nobody waits for them twice.
    unreachable: dict[str, Failure] = field(default_factory=dict)
    # Hosts that let us wait when they were asked for no more than a hint.
    tells_nothing: set[str] = field(default_factory=set)
    # What hosts allowed when they were last asked for a file, and counted it.
    allowances: dict[str, Allowance] = field(default_factory=dict)
    # Mirrors opened in this run, by their location.
    mirrors: dict[str, Any] = field(default_factory=dict)
    # Seconds to go on asking a small request's host after a first fault, and for all of it.
    patience: float = PATIENCE
    deadline: float = DEADLINE

    def __post_init__(self) -> None:
        settings = self.settings
        self._rewrite = settings.rewrite
        self.offline = settings.offline
        self.hub = settings.hf_endpoint
        self.account = HubAccount(settings)
        self._ended = threading.Event()
        self._guard = threading.Lock()
        self._read: dict[str, tuple[float, Any]] = {}  # when (time.monotonic()), and what
        self._ends = float("-inf")  # what holds links and was read before is read again
        self._guards: dict[str, threading.Lock] = {}
        self._tokens = credentials.settings_tokens(settings)
        self._hub_origin = origin_of(self.hub)
        self._netrc = Netrc()
        self._withheld = _hosts_of_project(settings)
        self._trust: Trust | None = None
        self._proxies: dict[Origin, str] = {}
        if not self.offline:  # a wrong variable is told before anything begins
            self.trust()
            for scheme in ("http", "https", "ftp"):
                self.proxy(f"{scheme}://proxy.invalid")
        self._session: RuledSession | None = None

    # What both clients obey

    def rewrite(self, url: str) -> str:
        """The URL after the longest matching prefix of FETCH_REWRITE was replaced."""
        for source, target in self._rewrite:
            if url.startswith(source):
                rest = url[len(source) :]
                # A prefix that ends within a host name would match other hosts as well.
                if source.count("/") > 2 or not rest or rest[0] in "/?#":
                    return target + rest
        return url

    def authorization(self, url: str) -> str | None:
        """The Authorization header for this very origin, if there is a token for it.

        Raises Failure, UsageError if the Hub's account cannot be used.
        """
        token = self._token(origin_of(url))
        return f"Bearer {token}" if token else None

    def _token(self, origin: Origin) -> str:
        if origin == self._hub_origin:
            return self.account.token()
        if origin == _KAGGLE:
            from fetcher.network.kaggle_login import kaggle_token

            return self.once("kaggle-token", kaggle_token)
        return self._tokens.get(origin, "")

    def takes_token(self, url: str) -> bool:
        """Whether it is a token that lets in there, and no login of netrc."""
        known = credentials.token_origins(self.settings)
        return origin_of(url) in {self._hub_origin, _KAGGLE, *known}

    def asking(self, hub: str) -> Network:
        """The same network with another place asked for what the Hub is asked for.

        The Hub's token does not go there.
        """
        other = copy.copy(self)
        other.hub = hub.rstrip("/")
        return other

    def sends_login(self, url: str) -> bool:
        """Whether a request to `url` (already rewritten) goes with a login of any kind."""
        sent = self.outgoing(url)
        return bool(sent.login) or any(name == "Authorization" for name, _ in sent.headers)

    def renew_token(self, url: str, sent: str) -> bool:
        """Whether there is another token for this URL than the one that was refused."""
        kind, _, token = sent.partition(" ")
        ours = origin_of(url) == self._hub_origin and kind == "Bearer"
        return ours and self.account.renew(token)

    def outgoing(self, url: str, headers: Iterable[tuple[str, str]] = ()) -> Outgoing:
        """How a request to `url` (already rewritten) leaves: with its credentials and proxy.

        What the caller gives as Authorization counts first, then the token for this origin, then
        a login in the URL, then one in netrc. Raises Failure, UsageError.
        """
        origin = origin_of(url)
        url, login = without_login(url)
        found = list(headers)
        given = any(name.lower() == "authorization" for name, _ in found)
        if any(not _can_be_sent(name + value) for name, value in found):
            raise Failure(
                "refused", t("{url}: a header that cannot be sent is asked for", url=host_of(url))
            )
        token = "" if given else self._token(origin)
        login = None if given or token else login or self._own_login(origin)
        if token:
            found.append(("Authorization", f"Bearer {token}"))
        elif login and origin[0] in {"http", "https"}:
            found.append(("Authorization", credentials.basic(login)))
            login = None
        return Outgoing(url, tuple(found), login, self.proxy(url))

    def _own_login(self, origin: Origin) -> Login | None:
        """Name and password for a host, of its own program's files or of netrc."""
        if origin == _KAGGLE:
            from fetcher.network.kaggle_login import kaggle_login

            return self.once("kaggle-login", kaggle_login) or self._netrc_login(origin)
        return self._netrc_login(origin)

    def _netrc_login(self, origin: Origin) -> Login | None:
        """A login for a host that has no token; a host with one never gets another."""
        scheme, host, _ = origin
        if any(host == known for _, known, _ in self._tokens):
            return None
        if host == self._hub_origin[1] and self.account.origin():
            return None
        found = self._netrc.login(scheme, host)
        if found and host in self._withheld:
            self._say_withheld(host)
            return None
        return found

    def _say_withheld(self, host: str) -> None:
        """Say once that a login stays here, and what to do where it should not."""
        with self._guard:
            setting, said = self._withheld[host]
            self._withheld[host] = setting, True
        if not said:
            note = t(
                "note: your login for {host} is not sent: the project chose that host. {advice}",
                host=host,
                advice=choose_yourself(setting),
            )
            _log.info("%s", str.__str__(note))
            self.say(note)

    def proxy(self, url: str) -> str:
        """The proxy for this URL, "" for none."""
        origin = origin_of(url)
        found = self._proxies.get(origin)
        if found is None:
            found = self._proxies[origin] = proxy_for(url)
        return found

    def trust(self) -> Trust:
        """The certificate authorities. Raises UsageError."""
        if self._trust is None:
            self._trust = credentials.trust()
        return self._trust

    def redirected(self, url: str, location: str) -> str:
        """Check one redirect and return the next URL, rewritten. Raises Failure."""
        before, after = origin_of(url), origin_of(location)
        if after[0] not in {"http", "https"}:
            raise Failure(
                "refused",
                t(
                    "{url} redirects to {after}://, which is refused",
                    url=host_of(url),
                    after=after[0],
                ),
            )
        target = self.rewrite(location)
        # What the user's own rewriting rules lead to is the user's choice.
        if before[0] == "https" and origin_of(target)[0] == "http" and target == location:
            raise Failure(
                "refused",
                t("{url} redirects from https to plain http, which is refused", url=host_of(url)),
            )
        return target

    @property
    def connect_timeout(self) -> float:
        """Seconds to wait for a connection."""
        return float(self.settings.connect_timeout)

    @property
    def ended(self) -> bool:
        """Whether the run was interrupted."""
        return self._ended.is_set()

    def interrupt(self) -> None:
        """End every request and pause now and for good: the run is over."""
        self._ended.set()
        with self._guard:
            session = self._session
        if session is not None:
            session.end_all()

    def pause(self, seconds: float) -> None:
        """Wait; raises Failure if the run ends meanwhile."""
        if self._ended.wait(seconds):
            raise Failure("network", t("interrupted"))

    # libcurl's handles

    def configure_once(self, curl: Any, slowest: int = 1024) -> None:
        """Set what holds for every request of a handle's life.

        Fewer than `slowest` bytes per second for half a minute are a failure.
        """
        from fetcher.network import curl as handles

        handles.set_up(curl, self.connect_timeout, slowest)

    def configure(self, curl: Any, url: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Set a handle up for one request to `url` (already rewritten)."""
        from fetcher.network import curl as handles

        request = self.outgoing(url, headers)
        secure = url.startswith(("https", "ftps")) or request.proxy.startswith("https")
        handles.aim(curl, request, self.trust() if secure else None)

    # Small requests

    @property
    def session(self) -> RuledSession:
        """A `requests.Session` under these rules, for what `request` does not do."""
        with self._guard:
            if self._session is None:
                from fetcher.network.client import RuledSession

                self._session = RuledSession(self)
            return self._session

    def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        data: bytes | Iterable[bytes] | None = None,
        follow: bool = True,
        patience: float | None = None,
        deadline: float | None = None,
    ) -> Response:
        """Ask for `url`, and again after passing faults; any HTTP status is an answer.

        `data` may be an iterable with a length, which begins anew each time. `patience` is how
        many seconds to go on asking after a first fault (default: two minutes; 0: ask once),
        `deadline` how many all of it may take (default: ten minutes).
        Raises Failure ('offline', 'network', 'refused', 'auth'), UsageError.
        """
        scheme = origin_of(self.rewrite(url))[0]
        if scheme not in {"http", "https"}:
            raise Failure(
                "refused",
                t("{url}: {scheme} is for files alone", url=public_url(url), scheme=scheme),
            )
        if self.offline:
            host = host_of(self.rewrite(url))
            raise Failure(
                "offline", t("{host} is needed, but the network may not be used", host=host)
            )
        if self.ended:
            raise Failure("network", t("interrupted"))
        headers = list(headers)
        if method == "POST" and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        session = self.session
        made = session.make(method, url, headers, data)
        answer = session.exchange(made, follow, patience, deadline)
        raw = {name.lower(): value for name, value in answer.raw.headers.items()}
        return Response(answer.status_code, raw, answer.content, str(answer.url))

    def head(self, url: str, by_get: bool = False) -> Response | None:
        """What a server says of `url` in passing, None where it does not: a hint, never needed.

        `by_get`: asked by GET, for one byte, of a server that answers nothing else.

        Asked once, for some seconds; of a host that lets us wait nothing more is asked in this
        run, and it does not count as unreachable.
        """
        try:
            host = host_of(self.rewrite(url))
            if host in self.unreachable or host in self.tells_nothing:
                return None
            began = time.monotonic()
            headers = [("Accept-Encoding", "identity")]
            headers += [("Range", "bytes=0-0")] if by_get else []
            method = "GET" if by_get else "HEAD"
            answer = self.request(
                url, method=method, headers=headers, patience=0, deadline=HINT_SECONDS
            )
        except Failure as failure:
            if failure.problem.code not in {"offline", "refused"}:
                self.unreachable.pop(host, None)
                if time.monotonic() - began > HINT_SECONDS / 2:
                    self.tells_nothing.add(host)
            _log.info("%s: no hint: %s", public_url(url), failure.message)
            return None
        return answer

    def once(self, key: str, read: Callable[[], _T], links: bool = False) -> _T:
        """What `read` returns, read once in a run for this `key`: a listing, say.

        `links`: it holds links or keys whose time may run out; see `renewing`.
        """
        with self._guard:
            guard = self._guards.setdefault(key, threading.Lock())
        with guard:
            when, found = self._read.get(key, (None, None))
            if when is None or (links and when < self._ends):
                when, found = self._read[key] = time.monotonic(), read()
            return cast("_T", found)

    def renewing(self, since: float) -> Network:
        """The same network, which reads listings with links again that are older than `since`.

        `since`: a time.monotonic() value, when a link was made that is refused now.
        """
        other = copy.copy(self)
        other._ends = since
        return other

    def cookies(self, url: str) -> Sequence[Cookie]:
        """What the origin of `url` (already rewritten) has set in answers to small requests."""
        with self._guard:
            session = self._session
        return session.cookies_of(origin_of(url)) if session is not None else ()

    def get_json(self, url: str, headers: Sequence[tuple[str, str]] = ()) -> Response:
        """GET with `Accept: application/json`; the status is the caller's to judge."""
        return self.request(url, headers=[("Accept", "application/json"), *headers])


def _hosts_of_project(settings: Settings) -> dict[str, tuple[str, bool]]:
    """Hosts that the project's own settings lead to, with the setting, and whether it was said."""
    chosen = {
        "hf_endpoint": () if settings.hub_login_allowed else (settings.hf_endpoint,),
        "rewrite": [target for _, target in settings.rewrite],
        "mirrors": settings.mirrors,
    }
    found = {}
    for setting, places in chosen.items():
        for place in places if settings.is_from_project(setting) else ():
            if place.startswith(("http://", "https://", "ftp://", "ftps://")):
                found[origin_of(place)[1]] = setting, False
    return found


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable()
