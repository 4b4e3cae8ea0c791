"""The session for small requests: `requests` under the rules of the run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any, Protocol

import requests
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import MaxRetryError

from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.network import content_encoding, faults
from fetcher.network.adapter import Activity, RuledAdapter
from fetcher.network.credentials import Trust
from fetcher.network.error_text import error_text
from fetcher.network.outgoing import USER_AGENT, Outgoing
from fetcher.network.request_errors import ERRORS, Kind, explain
from fetcher.network.retry import (
    MAX_REDIRECTS,
    REDIRECTS,
    RETRY_STATUS,
    STALL_SECONDS,
    rate_limited,
)
from fetcher.network.status_words import refusal
from fetcher.network.timed_retry import TimedRetry, lower_case
from fetcher.network.urls import Origin, host_of, joined, origin_of, public_url

_log = logging.getLogger(__name__)

MAX_METADATA_BYTES = 256 * 1024 * 1024
# A server that ignores ranges begins to send the whole file, however large; a page is shorter.
_MOST_IN_PLACE_OF_A_RANGE = 1 << 20
_PIECE = 64 << 10
# What no server of ours says: a proxy, the network's sign-in page, or a court.
_NOBODYS = frozenset({407, 451, 511})
_TOLD_AGAIN = 30.0  # seconds: many requests wait for one host
_COMPUTED = frozenset({"content-length", "transfer-encoding"})
# What may be said to another origin than the one that a request was made for.
_HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "range", "user-agent"})


class Rules(Protocol):
    """What the session needs to know of the run."""

    offline: bool
    patience: float
    deadline: float
    unreachable: dict[str, Failure]

    def say(self, line: str, /) -> None:
        """Tell the person."""

    def rewrite(self, url: str) -> str:
        """FETCH_REWRITE."""

    def redirected(self, url: str, location: str) -> str:
        """Check a redirect."""

    def outgoing(self, url: str, headers: list[tuple[str, str]]) -> Outgoing:
        """Credentials and proxy."""

    def renew_token(self, url: str, sent: str) -> bool:
        """Whether there is another token for this origin than the one that was refused."""

    def pause(self, seconds: float) -> None:
        """Wait."""

    def trust(self) -> Trust:
        """Certificate authorities."""

    @property
    def connect_timeout(self) -> float:
        """Seconds."""

    @property
    def ended(self) -> bool:
        """Whether the run was interrupted."""


class RuledSession(requests.Session):
    """A `requests.Session` that keeps the rules of the run, whoever uses it; safe among threads.

    - Addresses are rewritten (`FETCH_REWRITE`); offline, nothing is asked.
    - Tokens, logins and cookies go to their own origin alone, redirects included.
    - Proxies and certificate authorities are those of the run.
    - Passing faults are waited out, by time; there is a deadline for the whole request.
    - Bodies are read at once, at most MAX_METADATA_BYTES, unpacked.

    Raises Failure ('offline', 'network', 'refused', 'auth') in place of what requests raises.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.trust_env = False
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._activity = Activity(lambda: rules.ended)
        self._jars: dict[Origin, RequestsCookieJar] = {}
        self._told: dict[str, float] = {}
        self._guard = threading.Lock()
        self.mount("http://", RuledAdapter(self._activity, rules.trust))
        self.mount("https://", RuledAdapter(self._activity, rules.trust))

    def end_all(self) -> None:
        """Cut every request short: the run is over."""
        self._activity.end_all()

    def make(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: Any
    ) -> requests.PreparedRequest:
        """A request that is not changed in any way before the rules are applied."""
        made = requests.PreparedRequest()
        made.method, made.url, made.body = method, url, body
        named = [(name, _text(value)) for name, value in self.headers.items()]
        made.headers = CaseInsensitiveDict([*named, *headers])
        return made

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Redirects are followed by `exchange`: requests would read their whole bodies."""
        return None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request; of requests' own options only `allow_redirects` counts."""
        return self.exchange(request, follow=bool(kwargs.get("allow_redirects", True)))

    def exchange(
        self,
        request: requests.PreparedRequest,
        follow: bool,
        patience: float | None = None,
        deadline: float | None = None,
    ) -> requests.Response:
        """Ask until there is an answer or no time left; the last answer counts, whatever it is."""
        rules, url = self.rules, str(request.url)
        host = host_of(rules.rewrite(url))
        if rules.offline:
            raise Failure(
                "offline", t("{host} is needed, but the network may not be used", host=host)
            )
        now = time.monotonic()
        retry = TimedRetry.begin(
            rules.patience if patience is None else patience,
            now + (rules.deadline if deadline is None else deadline),
        )
        renewed = False
        while True:
            hop = _Hop(rules.rewrite(url))
            try:
                with self._activity.until(retry.deadline):
                    answer = self._follow(request, hop, follow, retry)
            except (Failure, UsageError):
                raise
            except ERRORS as error:
                retry = self._after_error(error, hop, retry)
                continue
            if answer.status_code == 401 and not renewed:
                sent = answer.request.headers.get("Authorization", "")
                renewed = rules.renew_token(str(answer.url), str(sent))
                if renewed:
                    _log.info("%s refused the token: asking with a newer one", host)
                    continue
            following = self._after_answer(answer, hop, retry)
            if following is None:
                return answer
            retry = following

    def _follow(
        self, request: requests.PreparedRequest, hop: _Hop, follow: bool, retry: TimedRetry
    ) -> requests.Response:
        """One try: the request and the redirects after it."""
        method, body = str(request.method), request.body
        headers = [(name, _text(value)) for name, value in request.headers.items()]
        for _ in range(MAX_REDIRECTS):
            if known := self.rules.unreachable.get(host_of(hop.url)):
                # One object is raised by many: it must not gather all their tracebacks.
                raise known.with_traceback(None)
            answer = self._once(method, hop, headers, body, retry)
            location = _location(answer)
            if not follow or answer.status_code not in REDIRECTS or not location:
                return answer
            target = self.rules.redirected(hop.url, joined(hop.url, location))
            _log.debug("%s redirects to %s", public_url(hop.url), public_url(target))
            if _becomes_get(answer.status_code, method):
                method, body = "GET", None
                headers = [(n, v) for n, v in headers if not n.lower().startswith("content-")]
            if origin_of(target) != origin_of(hop.url):
                if body is not None:
                    text = t(
                        "{url} redirects what is sent to it to another host", url=host_of(hop.url)
                    )
                    raise Failure("refused", text)
                headers = [(n, v) for n, v in headers if n.lower() in _HARMLESS]
            hop.url = target
        raise Failure("refused", t("{url} redirects without end", url=host_of(hop.url)))

    def _once(
        self,
        method: str,
        hop: _Hop,
        headers: list[tuple[str, str]],
        body: Any,
        retry: TimedRetry,
    ) -> requests.Response:
        """One request, its body read."""
        started = time.monotonic()
        out = self.rules.outgoing(hop.url, headers)
        jar = self._jar(origin_of(hop.url))
        named = {name: value for name, value in out.headers if name.lower() not in _COMPUTED}
        prepared = requests.Request(method, out.url, named, data=body, cookies=jar).prepare()
        _check_host(str(prepared.url), out.url)
        answer = super().send(
            prepared,
            stream=True,
            allow_redirects=False,
            verify=True,
            proxies={origin_of(out.url)[0]: out.proxy} if out.proxy else {},
            timeout=self._timeouts(body, retry.deadline - started),
        )
        with answer:
            ignored = answer.status_code == 200 and any(n.lower() == "range" for n, _ in headers)
            most = _MOST_IN_PLACE_OF_A_RANGE if ignored else 0
            answer._content = _body_of(answer, method, host_of(out.url), most)
        extract_cookies_to_jar(jar, prepared, answer.raw)  # type: ignore[no-untyped-call]
        status, spent = answer.status_code, time.monotonic() - started
        size = len(answer.content)
        shown = public_url(out.url)
        _log.debug("%s %s: %d, %d bytes, %.0f ms", method, shown, status, size, spent * 1000)
        if status >= 400 and _log.isEnabledFor(logging.DEBUG):
            told = error_text(lower_case(answer.headers), answer.content)
            if told:
                _log.debug("%s says %r", host_of(out.url), told)
        lower = lower_case(answer.headers) if status in _NOBODYS else {}
        if status in _NOBODYS and "x-error-code" not in lower:  # a Hub's own word is for its source
            refused = refusal(status, host_of(out.url), out.url, lower, answer.content)
            if refused is not None:
                raise refused
        return answer

    def _timeouts(self, body: Any, left: float) -> tuple[float, float]:
        connect = self.rules.connect_timeout
        if body is not None and not isinstance(body, (bytes, str)):
            connect = max(connect, 2 * STALL_SECONDS)  # it also bounds each wait while sending
        left = max(left, 0.1)
        return min(connect, left), min(STALL_SECONDS, left)

    def _jar(self, origin: Origin) -> RequestsCookieJar:
        with self._guard:
            return self._jars.setdefault(origin, RequestsCookieJar())

    def cookies_of(self, origin: Origin) -> list[Cookie]:
        """The cookies that an origin has set."""
        cookies: CookieJar = self._jar(origin)
        return [*cookies]

    # What a try came to

    def _after_error(self, error: Exception, hop: _Hop, retry: TimedRetry) -> TimedRetry:
        """Wait after a request without an answer. Raises Failure if it was the last."""
        if self.rules.ended:
            raise Failure("network", t("interrupted")) from None
        fault = explain(error, hop.url)
        host = host_of(hop.url)
        if time.monotonic() >= retry.deadline:
            text = t("not done within {deadline:.0f} s", deadline=self.rules.deadline)
            raise faults.too_slow(host, text) from None
        gone = fault.kind is Kind.SILENT or (fault.kind is Kind.UNREACHABLE and retry.faults)
        if gone:
            self.rules.unreachable[host] = fault.failure
        if gone or fault.kind is Kind.FINAL:
            raise fault.failure from None
        try:
            following = retry.increment("GET", error=error)
        except MaxRetryError:
            raise fault.failure from None
        _log.info("%s; asking again in %.1f s", fault.failure.message, following.pause)
        text = t(
            "{message}, trying for up to {seconds:.0f} s",
            message=fault.failure.message,
            seconds=following.left(),
        )
        self._tell(host, text, following)
        self.rules.pause(following.pause)
        return following

    def _after_answer(
        self, answer: requests.Response, hop: _Hop, retry: TimedRetry
    ) -> TimedRetry | None:
        """Wait if the answer means "later"; None if it is the answer."""
        status, host = answer.status_code, host_of(hop.url)
        if status not in RETRY_STATUS and not rate_limited(status, lower_case(answer.headers)):
            return None
        try:
            following = retry.increment("GET", response=answer.raw)
        except MaxRetryError as error:
            _log.info("%s: HTTP %d; not asked again: %s", host, status, error.reason)
            return None
        _log.info("%s: HTTP %d; asking again in %.1f s", host, status, following.pause)
        if following.asked and following.pause > 2:
            self.rules.say(
                t(
                    "{host} asks to wait {pause:.0f} s (HTTP {status})",
                    host=host,
                    pause=following.pause,
                    status=status,
                )
            )
        elif not following.asked:
            text = t(
                "{host} is busy (HTTP {status}), waiting up to {seconds:.0f} s",
                host=host,
                status=status,
                seconds=following.left(),
            )
            self._tell(host, text, following)
        self.rules.pause(following.pause)
        return following

    def _tell(self, host: str, text: str, retry: TimedRetry) -> None:
        """Say that we wait, once it is noticeable; one line for many requests."""
        now = time.monotonic()
        if now + retry.pause - retry.first_fault < 2:
            return
        with self._guard:
            if now - self._told.get(host, float("-inf")) < _TOLD_AGAIN:
                return
            self._told[host] = now
        self.rules.say(text)


class _Hop:
    """Where a request has got to: the address that a fault is about."""

    def __init__(self, url: str) -> None:
        self.url = url


def _becomes_get(status: int, method: str) -> bool:
    """What browsers do, and so what servers expect."""
    return (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _location(answer: requests.Response) -> str:
    """Where a redirect leads; servers send UTF-8 there, which arrives as Latin-1, and spaces."""
    text: str = answer.headers.get("location", "").strip().replace(" ", "%20")
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _check_host(prepared: str, meant: str) -> None:
    """What requests makes of an address must be what our rules were applied to."""
    there, here = origin_of(prepared), origin_of(meant)
    if there[::2] != here[::2] or (there[1] != here[1] and here[1].isascii()):
        raise Failure("refused", t("{meant} can be read in two ways", meant=public_url(meant)))


def _body_of(answer: requests.Response, method: str, host: str, most: int) -> bytes:
    """The body, unpacked; of one with more than `most` bytes (0: any number) its beginning.

    Raises Failure if it is too large, urllib3's errors if it is cut.
    """
    received = bytearray()
    while piece := answer.raw.read(_PIECE, decode_content=False):
        received += piece
        if most and len(received) > most:
            return bytes(received)
        if len(received) > MAX_METADATA_BYTES:
            raise _too_large(host)
    length = answer.headers.get("content-length", "")
    bare = method == "HEAD" or answer.status_code in {204, 304}
    counts = length.isdecimal() and "transfer-encoding" not in answer.headers and not bare
    if counts and len(received) != int(length):
        raise requests.ConnectionError(t("the answer is cut off"))
    return _unpacked(bytes(received), answer.headers, host)


def _unpacked(data: bytes, headers: Mapping[str, str], host: str) -> bytes:
    """The body without its compressions, if it has any: what the header says may be untrue."""
    found = content_encoding.codings(lower_case(headers))
    if not content_encoding.can_unpack(found) or not content_encoding.looks_packed(found, data):
        return data
    try:
        return content_encoding.unpacked(data, found, MAX_METADATA_BYTES)
    except content_encoding.TooLongError:
        raise _too_large(host) from None
    except content_encoding.CutOffError:
        if found[-1] == "deflate":  # which has no beginning of its own to be known by
            return data
        raise requests.ConnectionError(t("the answer is cut off")) from None
    except content_encoding.DamagedError as error:
        if not error.begun:
            return data
        raise Failure("refused", t("{host} answers with damaged gzip", host=host)) from None


def _too_large(host: str) -> Failure:
    size = f"{MAX_METADATA_BYTES >> 20} MiB"
    return Failure("refused", t("{host} answers with more than {size}", host=host, size=size))
