"""The rules every request obeys (rewriting, credentials, TLS, redirects), and small requests.

Bytes of artifacts are moved by `fetcher.transfer`, under the same rules; listings and other
metadata are asked for here, with retries.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pycurl

from fetcher import __version__
from fetcher.config.settings import Settings
from fetcher.errors import Failure
from fetcher.network.credentials import ca_bundle, netrc_text, sound_token
from fetcher.network.curl_errors import TLS_ERRORS, UNREACHABLE, explain, never_connected
from fetcher.network.retry import LONGEST_WAIT, RETRY_STATUS, backoff, rate_limited, retry_after
from fetcher.network.urls import Origin, ascii_url, host_of, origin_of, public_url

MAX_REDIRECTS = 10
MAX_METADATA_BYTES = 256 * 1024 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})

USER_AGENT = f"fetch/{__version__}"
_GITHUB = {
    ("https", "api.github.com", 443),
    ("https", "github.com", 443),
    ("https", "raw.githubusercontent.com", 443),
    ("https", "media.githubusercontent.com", 443),
}


@dataclass(frozen=True)
class Response:
    """An answer: status, headers by lower-case name (the last one wins), body, final URL."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str

    def json(self) -> Any:
        """The body as JSON. Raises Failure if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Failure(
                "refused",
                f"{public_url(self.url)} did not answer with JSON",
                "a proxy or sign-in page may stand in between: open the address in a browser",
            ) from error


def parse_header(headers: dict[str, str], line: bytes) -> None:
    """Add one raw header line to `headers`; a status line starts them anew."""
    text = line.decode("latin-1").strip()
    if text.startswith("HTTP/"):
        headers.clear()
        return
    name, colon, value = text.partition(":")
    if colon:
        headers[name.strip().lower()] = value.strip()


def redirect_target(curl: Any) -> str:
    """The absolute address that a 3xx answer points at, "" if it names none."""
    location: bytes | None = curl.getinfo_raw(pycurl.REDIRECT_URL)
    return (location or b"").decode("utf-8", "replace")


@dataclass
class Network:
    """The rules of one run; safe to share among threads."""

    settings: Settings
    say: Callable[[str], None] = lambda _: None
    _local: threading.local = field(default_factory=threading.local)
    # Hosts found unreachable in this run: nobody waits for them twice.
    unreachable: dict[str, Failure] = field(default_factory=dict)
    # Mirrors opened in this run, by their location.
    mirrors: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        self._rewrite = settings.rewrite
        self.offline = settings.offline
        self.hub = settings.hf_endpoint
        self._bundle = ca_bundle()
        self._netrc: str | None = None
        self._ended = threading.Event()
        self._tokens: dict[Origin, str] = {}
        if token := sound_token("HF_TOKEN", settings.hf_token):
            self._tokens[origin_of(self.hub)] = token
        if token := sound_token("GITHUB_TOKEN", settings.text("github_token")):
            self._tokens |= dict.fromkeys(_GITHUB, token)
        host = settings.text("github_host")
        token = sound_token("GH_ENTERPRISE_TOKEN", settings.text("github_enterprise_token"))
        if host and token:
            url = host if "://" in host else f"https://{host}"
            self._tokens[origin_of(url)] = token

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
        """The Authorization header for this very origin, if there is a token for it."""
        token = self._tokens.get(origin_of(url))
        return f"Bearer {token}" if token else None

    def redirected(self, url: str, location: str) -> str:
        """Check one redirect and return the next URL, rewritten. Raises Failure."""
        before, after = origin_of(url), origin_of(location)
        if after[0] not in {"http", "https"}:
            raise Failure("refused", f"{host_of(url)} redirects to {after[0]}://, which is refused")
        target = self.rewrite(location)
        # What the user's own rewriting rules lead to is the user's choice.
        if before[0] == "https" and origin_of(target)[0] == "http" and target == location:
            raise Failure(
                "refused", f"{host_of(url)} redirects from https to plain http, which is refused"
            )
        return target

    def interrupt(self) -> None:
        """End every request and pause now and for good: the run is over."""
        self._ended.set()

    def pause(self, seconds: float) -> None:
        """Wait; raises Failure if the run ends meanwhile."""
        if self._ended.wait(seconds):
            raise Failure("network", "interrupted")

    def configure(self, curl: Any, url: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Set a handle up for one request to `url` (already rewritten)."""
        lines = [f"{name}: {value}" for name, value in headers]
        if any(not line.isascii() or not line.isprintable() for line in lines):
            raise Failure("refused", f"{host_of(url)}: a header that cannot be sent is asked for")
        given = any(name.lower() == "authorization" for name, _ in headers)
        authorization = None if given else self.authorization(url)
        if authorization:
            lines.append(f"Authorization: {authorization}")
        curl.setopt(pycurl.URL, ascii_url(url))
        curl.setopt(pycurl.HTTPHEADER, lines)
        netrc = not (authorization or given) and self._in_netrc(origin_of(url)[1])
        curl.setopt(pycurl.NETRC, pycurl.NETRC_OPTIONAL if netrc else pycurl.NETRC_IGNORED)

    def configure_once(self, curl: Any) -> None:
        """Set what holds for every request of a handle's life."""
        protocols = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS | pycurl.PROTO_FTP | pycurl.PROTO_FTPS
        curl.setopt(pycurl.PROTOCOLS, protocols)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.USERAGENT, USER_AGENT)
        curl.setopt(pycurl.CAINFO, self._bundle)
        curl.setopt(pycurl.CONNECTTIMEOUT, self.settings.connect_timeout)
        if netrc := os.environ.get("NETRC"):
            curl.setopt(pycurl.NETRC_FILE, netrc)

    def _in_netrc(self, host: str) -> bool:
        """Whether libcurl may find a login there: it would read the file for each request."""
        if self._netrc is None:
            self._netrc = netrc_text()
        return host in self._netrc or "default" in self._netrc or not host.isascii()

    def _handle(self) -> Any:
        curl = getattr(self._local, "curl", None)
        if curl is None:
            curl = self._local.curl = pycurl.Curl()
        curl.reset()
        self.configure_once(curl)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, 30)
        curl.setopt(pycurl.ACCEPT_ENCODING, "gzip")
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, lambda *_: int(self._ended.is_set()))
        return curl

    def _once(
        self, url: str, method: str, headers: Sequence[tuple[str, str]], data: bytes | None
    ) -> Response:
        curl, body = self._handle(), BytesIO()
        received: dict[str, str] = {}
        self._local.url = url
        self.configure(curl, url, headers)

        def write(chunk: bytes) -> int | None:
            if body.tell() + len(chunk) > MAX_METADATA_BYTES:
                return 0
            body.write(chunk)
            return None

        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        if data is not None:
            curl.setopt(pycurl.POSTFIELDS, data)
        curl.setopt(pycurl.WRITEFUNCTION, write)
        curl.setopt(pycurl.HEADERFUNCTION, lambda line: parse_header(received, line))
        curl.perform()
        return Response(curl.getinfo(pycurl.RESPONSE_CODE), received, body.getvalue(), url)

    def _follow(
        self,
        url: str,
        method: str,
        headers: Sequence[tuple[str, str]],
        data: bytes | None,
        follow: bool,
    ) -> Response:
        current = self.rewrite(url)
        for _ in range(MAX_REDIRECTS):
            self._check_reachable(host_of(current))
            response = self._once(current, method, headers, data)
            if not follow or response.status not in REDIRECTS:
                return response
            location = redirect_target(self._local.curl)
            if not location:
                return response
            current = self.redirected(current, location)
            if response.status not in {307, 308} and data is not None:
                method, data = "GET", None
        raise Failure("refused", f"{host_of(url)} redirects more than {MAX_REDIRECTS} times")

    def _check_reachable(self, host: str) -> None:
        if known := self.unreachable.get(host):
            # One object is raised by many: it must not gather all their tracebacks.
            raise known.with_traceback(None)

    def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        data: bytes | None = None,
        follow: bool = True,
        tries: int = 4,
    ) -> Response:
        """Ask once, and again after passing faults; any HTTP status is an answer.

        Raises Failure ('offline', 'network', 'refused').
        """
        host = host_of(self.rewrite(url))
        if self.offline:
            raise Failure("offline", f"{host} is needed, but the network may not be used")
        for attempt in range(1, tries + 1):
            try:
                response = self._follow(url, method, headers, data, follow)
            except pycurl.error as error:
                self._judge(error, attempt, attempt == tries)
                self.pause(backoff(attempt))
                continue
            wait = self._wait_after(response, host, attempt == tries)
            if wait is None:
                return response
            self.pause(max(wait, backoff(attempt)))
        raise AssertionError("unreachable")

    def _judge(self, error: pycurl.error, attempt: int, last: bool) -> None:
        """Raise what a failed request means, unless another try may mend it."""
        number, message = error.args
        curl, url = self._local.curl, self._local.url
        if number == pycurl.E_ABORTED_BY_CALLBACK:
            raise Failure("network", "interrupted") from None
        if number == pycurl.E_WRITE_ERROR:
            size = f"{MAX_METADATA_BYTES >> 20} MiB"
            raise Failure("refused", f"{host_of(url)} answers with more than {size}") from None
        failure = explain(number, message, url)
        if never_connected(curl, number) and (attempt >= 2 or number not in UNREACHABLE):
            self.unreachable[host_of(url)] = failure
            raise failure from None
        if last or number in TLS_ERRORS or failure.problem.code != "network":
            raise failure from None

    def _wait_after(self, response: Response, host: str, last: bool) -> float | None:
        """Seconds to wait before another try, or None if this is the answer."""
        limited = rate_limited(response.status, response.headers)
        if response.status not in RETRY_STATUS and not limited:
            return None
        wait = retry_after(response.headers) or 0.0
        if last or wait > LONGEST_WAIT:
            return None
        if wait > 2:
            self.say(f"{host} asks to wait {wait:.0f} s (HTTP {response.status})")
        return wait

    def get_json(self, url: str, headers: Sequence[tuple[str, str]] = ()) -> Response:
        """GET with `Accept: application/json`; the status is the caller's to judge."""
        return self.request(url, headers=[("Accept", "application/json"), *headers])
