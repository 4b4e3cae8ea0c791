"""What an answer means: judgement only, nothing is done here.

`opening` judges an answer at its first byte, `outcome_of` a request that has ended. The engine
acts on the outcome.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import pycurl

from fetcher.errors import Failure
from fetcher.i18n import Message, t
from fetcher.network.curl import redirect_target
from fetcher.network.curl_errors import TLS_ERRORS, explain, never_connected
from fetcher.network.retry import LONGEST_WAIT, REDIRECTS, RETRY_STATUS, rate_limited, retry_after
from fetcher.network.urls import public_url
from fetcher.sources.base import UrlCandidate

if TYPE_CHECKING:
    from fetcher.transfer.download import Download

_RANGE_REFUSED = {
    pycurl.E_RANGE_ERROR,
    pycurl.E_FTP_COULDNT_USE_REST,
    pycurl.E_BAD_DOWNLOAD_RESUME,
}
_SIGN_IN = re.compile(
    r"(?:/|^)(?:signin|sign_in|sign-in|login|authenticate)(?:\.aspx)?/?$", re.IGNORECASE
)


class Opening(Enum):
    """What to do with a body whose answer has just begun."""

    APPEND = auto()
    RESTART = auto()  # the server sends from the beginning
    ASIDE = auto()  # this is not the file: keep only the beginning, to be judged


class Whole(NamedTuple):
    """The body is there, as far as the transfer can tell."""


class Redirect(NamedTuple):
    """The answer points elsewhere."""

    location: str


class Decode(NamedTuple):
    """The same again at once, and let libcurl undo the compression."""


class Retry(NamedTuple):
    """A passing fault: another try after a pause; from the first byte if `anew`."""

    failure: Failure
    anew: bool = False


class Mismatch(NamedTuple):
    """Not the bytes that were asked for: one more try tells damage on the way from a lie."""

    failure: Failure


class Wait(NamedTuple):
    """The host asks for patience; None where it does not say how long."""

    failure: Failure
    seconds: float | None
    status: int


class Unreachable(NamedTuple):
    """The host cannot be reached; `final` where another try would change nothing."""

    failure: Failure
    final: bool


class GiveUp(NamedTuple):
    """This place does not have the file."""

    failure: Failure


class Fatal(NamedTuple):
    """No other place would help."""

    failure: Failure


RequestOutcome = Whole | Redirect | Decode | Retry | Mismatch | Wait | Unreachable | GiveUp | Fatal


class Ended(Protocol):
    """What a request has left behind; a Connection."""

    download: Download | None
    url: str
    host: str
    hops: int
    stopped: RequestOutcome | None
    aside: bool
    complaint: str
    curl: Any

    @property
    def ranged(self) -> bool:
        """Whether a range was asked for."""

    def status(self) -> int:
        """The HTTP status, 0 without one."""

    def headers(self) -> dict[str, str]:
        """The answer's headers."""

    def head(self) -> bytes:
        """The first bytes of a body that is not the file."""


def opening(
    download: Download,
    asked: tuple[int, int | None] | None,
    status: int,
    headers: dict[str, str],
    host: str,
) -> Opening | RequestOutcome:
    """Judge an HTTP answer to the request for a large body, or for the range `asked` of it."""
    if status not in {200, 206}:
        return Opening.ASIDE
    encoded = headers.get("content-encoding", "identity") != "identity"
    if is_encoded(download, headers):
        return Decode()
    if status == 206:
        return Opening.ASIDE if asked is None else _opening_of_range(download, asked, headers, host)
    length = headers.get("content-length", "")
    wrong = (
        length.isdecimal() and download.file.size is not None and int(length) != download.file.size
    )
    if wrong and not encoded:
        return Opening.ASIDE
    return Opening.APPEND if asked is None else Opening.RESTART


def is_encoded(download: Download, headers: dict[str, str]) -> bool:
    """Whether a body came compressed, and libcurl was not told to undo it.

    Servers call the compression of an archive an encoding of the transfer; it is the file's own.
    """
    encoded = headers.get("content-encoding", "identity") != "identity"
    if not encoded or download.decode:
        return False
    from fetcher.fs.formats import is_packed_name

    return not is_packed_name(download.file.path)


def _opening_of_range(
    download: Download, asked: tuple[int, int | None], headers: dict[str, str], host: str
) -> Opening | RequestOutcome:
    start, stop = asked
    span = re.match(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("content-range", ""))
    size_fits = span and (span[3] == "*" or download.file.size in {None, int(span[3])})
    end_fits = span and (stop is None or int(span[2]) < stop)
    tag = headers.get("etag", download.validator)
    same = not download.validator or tag == download.validator
    if not span or int(span[1]) != start or not (size_fits and end_fits and same):
        return Retry(
            Failure("network", t("{host} answers with another range", host=host)), anew=True
        )
    return Opening.APPEND


def outcome_of(ended: Ended, number: int, message: str) -> RequestOutcome:
    """Judge a request that ended with libcurl's error `number` (0: none)."""
    download = ended.download
    assert download is not None
    if ended.stopped is not None:
        return ended.stopped
    http = not ended.url.startswith("ftp")
    status = ended.status() if http else 200
    # An error page may be cut off, here or by libcurl's limit: its status is what counts.
    page_cut = number in {pycurl.E_FILESIZE_EXCEEDED, pycurl.E_WRITE_ERROR}
    if number and not (http and page_cut and (status >= 300 or ended.aside)):
        return _of_curl_error(ended, download, number, message)
    if status in REDIRECTS:
        return Redirect(redirect_target(ended.curl))
    if status == 200 and ended.aside:
        return _of_other_content(ended, download)
    if status == 200 or (status == 206 and ended.ranged):
        return Whole()
    return _of_status(ended, download, status)


def _of_curl_error(ended: Ended, download: Download, number: int, message: str) -> RequestOutcome:
    failure = explain(ended.curl, number, message, ended.url)
    if number == pycurl.E_FILESIZE_EXCEEDED:
        size = download.file.size or 0
        text = t("{host} delivers more than {size:,} bytes", host=ended.host, size=size)
        return Mismatch(Failure("size-mismatch", text))
    if number in TLS_ERRORS or never_connected(ended.curl, number):
        return Unreachable(failure, number in TLS_ERRORS)
    if number in _RANGE_REFUSED:
        return Retry(failure, anew=True)
    return Retry(failure) if failure.problem.code == "network" else GiveUp(failure)


def _of_other_content(ended: Ended, download: Download) -> RequestOutcome:
    from fetcher.fs.sniff import junk_complaint

    declared = ended.headers().get("content-type", "")
    name = download.file.path
    complaint = ended.complaint or junk_complaint(ended.head(), name, declared)
    if complaint:
        text = t("{host} delivers {complaint}", host=ended.host, complaint=complaint)
        return GiveUp(not_a_file(download, text))
    length, size = ended.headers().get("content-length", "?"), download.file.size or 0
    text = t(
        "{host} offers {length} bytes instead of {size:,}",
        host=ended.host,
        length=length,
        size=size,
    )
    return Mismatch(Failure("size-mismatch", text))


def _of_status(ended: Ended, download: Download, status: int) -> RequestOutcome:
    headers, host = ended.headers(), ended.host
    asked = retry_after(headers)
    if status in RETRY_STATUS or rate_limited(status, headers):
        failure = Failure(
            "network",
            t("{host} answers HTTP {status}", host=host, status=status),
            t("try again later"),
        )
        if asked is not None and asked > LONGEST_WAIT:
            text = t(
                "{host} asks to wait {wait:.0f} s ({why})",
                host=host,
                wait=asked,
                why=f"HTTP {status}",
            )
            return GiveUp(Failure("network", text, t("run again later: what is there is kept")))
        if status in {429, 503} or asked is not None:
            return Wait(failure, asked, status)
        return Retry(failure)
    if status == 416 and ended.ranged:
        return Retry(Failure("network", t("{host}: range refused", host=host)), anew=True)
    failure = _refusal(ended, download, status, headers)
    # Behind a redirect stands a signed link, and its time may have run out: ask for another.
    signed = ended.hops and download.tries < 2 and (status == 403 or download.landed)
    return Retry(failure) if signed else GiveUp(failure)


def _refusal(ended: Ended, download: Download, status: int, headers: dict[str, str]) -> Failure:
    from fetcher.fs.sniff import page_complaint

    candidate = download.candidate
    where = public_url(candidate.url) if isinstance(candidate, UrlCandidate) else ended.host
    page = page_complaint(ended.head(), download.file.path)
    manual = manual_hint(download)
    if headers.get("x-error-code") == "GatedRepo":
        hint = t("ask for access on the repository's page, then set HF_TOKEN")
        return Failure(
            "gated",
            t("{where}: the repository is gated (HTTP {status})", where=where, status=status),
            hint,
        )
    if status in {401, 403}:
        if manual and page:
            return Failure(
                "link-expired", t("{host} answers with a sign-in page", host=ended.host), manual
            )
        return Failure(
            "auth", t("{where}: access denied (HTTP {status})", where=where, status=status), manual
        )
    if status in {404, 410}:
        gone = bool(manual and page)
        what = t("the link has expired or is gone") if gone else t("not there")
        code = "link-expired" if gone else "not-found"
        return Failure(
            code,
            t("{where}: {what} (HTTP {status})", where=where, what=what, status=status),
            manual,
        )
    return Failure("network", t("{where}: HTTP {status}", where=where, status=status))


def manual_hint(download: Download) -> str:
    """What to do by hand where a page answers in place of the file, or ""."""
    candidate = download.candidate
    if isinstance(candidate, UrlCandidate):
        hint = candidate.manual_hint
        if isinstance(hint, Message):
            return hint.having(artifact=download.artifact)
        return hint.replace("{artifact}", download.artifact)
    return ""


def not_a_file(download: Download, text: str) -> Failure:
    """What has come is no file. `text` says what it is, and who delivered it."""
    if download.doubtful:
        text = t("{text} (--first-trust takes it all the same)", text=text)
    return Failure("not-a-file", text, manual_hint(download))


def is_sign_in(location: str) -> bool:
    """Whether a redirect leads to a page that wants a person to sign in."""
    try:
        parts = urlsplit(location)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    return host == "login.microsoftonline.com" or bool(_SIGN_IN.search(parts.path))
