"""What a request that has ended means: judgement only, nothing is done here.

The engine acts on the outcome. `fetcher.transfer.openings` judges answers at their first byte.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import pycurl

from fetcher.errors import Failure
from fetcher.i18n import Message, t
from fetcher.network.curl import redirect_target
from fetcher.network.curl_errors import TLS_ERRORS, explain, never_connected, refused_by_proxy
from fetcher.network.retry import LONGEST_WAIT, REDIRECTS, RETRY_STATUS, rate_limited, retry_after
from fetcher.network.status_words import refusal
from fetcher.network.urls import public_url
from fetcher.sources.base import UrlCandidate, browser_hint
from fetcher.transfer.links import Linked, Renew, refused_link, served

if TYPE_CHECKING:
    from fetcher.transfer.download import Download

_RANGE_REFUSED = {
    pycurl.E_RANGE_ERROR,
    pycurl.E_FTP_COULDNT_USE_REST,
    pycurl.E_BAD_DOWNLOAD_RESUME,
}
# Refusals that have nothing to do with how much is asked for.
_NOT_OF_RANGES = frozenset({401, 402, 407, 410, 423, 429, 451, 511})
# No head at all, one that is damaged, or a length that is no number.
_NO_HTTP = {pycurl.E_UNSUPPORTED_PROTOCOL, pycurl.E_FTP_WEIRD_SERVER_REPLY}
_SIGN_IN = re.compile(
    r"(?:/|^)(?:signin|sign_in|sign-in|login|authenticate)(?:\.aspx)?/?$", re.IGNORECASE
)


class Whole(NamedTuple):
    """The body is there, as far as the transfer can tell."""


class NextPart(NamedTuple):
    """What came is a part of the range that was asked for: go on behind it."""


class Redirect(NamedTuple):
    """The answer points elsewhere."""

    location: str


class Decode(NamedTuple):
    """The same again at once, from the first byte, and undo the compression."""


class TakeRaw(NamedTuple):
    """The same again at once, as the bytes come: they are not compressed as is said."""

    failure: Failure


class Retry(NamedTuple):
    """A passing fault: another try after a pause; from the first byte if `anew`."""

    failure: Failure
    anew: bool = False


class WithoutRange(NamedTuple):
    """A range is not served as it should be: the whole may be, in one stream.

    `otherwise` is what the answer means if it is not about the range.
    """

    failure: Failure
    otherwise: Retry | Wait | None = None


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


RequestOutcome = (
    Whole
    | NextPart
    | Redirect
    | Decode
    | TakeRaw
    | Retry
    | WithoutRange
    | Mismatch
    | Wait
    | Unreachable
    | GiveUp
    | Renew
    | Fatal
)


class Ended(Linked, Protocol):
    """What a request has left behind; a Connection."""

    download: Download | None
    stopped: RequestOutcome | None
    aside: bool
    complaint: str
    curl: Any

    @property
    def ranged(self) -> bool:
        """Whether a range was asked for."""

    @property
    def began_well(self) -> bool:
        """Whether bytes of what was asked for have come."""

    @property
    def all_there(self) -> bool:
        """Whether every byte that was asked for is there, as far as their number is known."""

    def status(self) -> int:
        """The HTTP status, 0 without one."""


def outcome_of(ended: Ended, number: int, message: str) -> RequestOutcome:
    """Judge a request that ended with libcurl's error `number` (0: none)."""
    download = ended.download
    assert download is not None
    if ended.stopped is not None:
        return ended.stopped
    found = _judged(ended, download, number, message)
    ranged = ended.ranged and not ended.began_well and not ended.url.startswith("ftp")
    return _of_ranged(ended.status(), download, found) if ranged else found


def _judged(ended: Ended, download: Download, number: int, message: str) -> RequestOutcome:
    http = not ended.url.startswith("ftp")
    status = ended.status() if http else 200
    found = _judge(ended, download, number, message, status)
    # What has served bytes before and does not now has run out, whatever it answers.
    if isinstance(found, GiveUp) and served(ended, download):
        return Renew(found.failure)
    return found


def _judge(
    ended: Ended, download: Download, number: int, message: str, status: int
) -> RequestOutcome:
    http = not ended.url.startswith("ftp")
    # An error page may be cut off, here or by libcurl's limit: its status is what counts.
    page_cut = number in {pycurl.E_FILESIZE_EXCEEDED, pycurl.E_WRITE_ERROR}
    if number and not (http and page_cut and (status >= 300 or ended.aside)):
        if status in {200, 206} and download.key and ended.all_there and not ended.aside:
            return Whole()  # whatever the length was said to be: the digest decides
        return _of_curl_error(ended, download, number, message)
    if status in REDIRECTS:
        return _of_redirect(ended, download, redirect_target(ended.curl))
    if status in {200, 206} and ended.aside:
        return _of_other_content(ended, download)
    if status == 200 or (status == 206 and (ended.ranged or ended.all_there)):
        return Whole()
    return _of_status(ended, download, status)


def _of_ranged(status: int, download: Download, found: RequestOutcome) -> RequestOutcome:
    """The same, where the reason may be that ranges are not served."""
    if status in _NOT_OF_RANGES or status in REDIRECTS:
        return found
    match found:
        case GiveUp(failure) | Mismatch(failure) if failure.problem.code != "gated":
            return WithoutRange(failure)
        case Retry(failure) | Wait(failure, None) if not download.ranges:
            return WithoutRange(failure, found)
        case _:
            return found


def _of_redirect(ended: Ended, download: Download, location: str) -> RequestOutcome:
    if not is_sign_in(location):
        return Redirect(location)
    text = t("{host} redirects to a sign-in page", host=ended.host)
    return GiveUp(Failure("link-expired", text, manual_hint(download)))


def _of_curl_error(ended: Ended, download: Download, number: int, message: str) -> RequestOutcome:
    failure = explain(ended.curl, number, message, ended.url)
    if number == pycurl.E_FILESIZE_EXCEEDED:
        size = download.file.size or 0
        text = t("{host} delivers more than {size:,} bytes", host=ended.host, size=size)
        return Mismatch(Failure("size-mismatch", text))
    if number == pycurl.E_BAD_CONTENT_ENCODING:
        return TakeRaw(damaged(ended.host))
    if number in _NO_HTTP and not ended.url.startswith("ftp"):
        return Mismatch(failure)
    if number in TLS_ERRORS or refused_by_proxy(message):
        return Unreachable(failure, final=True)
    if never_connected(ended.curl, number):
        return Unreachable(failure, final=False)
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
        return GiveUp(not_a_file(download, text, ended.head()))
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
    candidate = download.candidate
    where = public_url(candidate.url) if isinstance(candidate, UrlCandidate) else host
    rare = refusal(status, where, ended.url, headers, ended.head())
    if rare is not None:
        return GiveUp(rare)
    found = refused_link(ended, download, status, _refusal(ended, download, status, where, headers))
    return found if isinstance(found, Renew) else GiveUp(found)


def _refusal(
    ended: Ended, download: Download, status: int, where: str, headers: dict[str, str]
) -> Failure:
    from fetcher.fs.sniff import page_complaint

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
        what = t("not there") if status == 404 else t("gone for good")
        what = t("the link has expired or is gone") if gone else what
        code = "link-expired" if gone else "not-found"
        return Failure(
            code,
            t("{where}: {what} (HTTP {status})", where=where, what=what, status=status),
            manual,
        )
    return Failure("network", t("{where}: HTTP {status}", where=where, status=status))


def damaged(host: str) -> Failure:
    """What comes is not compressed as the server says, nor is it the file as it comes."""
    return Failure("digest-mismatch", t("{host} delivers damaged compressed bytes", host=host))


def manual_hint(download: Download) -> str:
    """What to do by hand where a page answers in place of the file, or ""."""
    candidate = download.candidate
    return _about(download, candidate.manual_hint) if isinstance(candidate, UrlCandidate) else ""


def _about(download: Download, hint: str) -> str:
    if isinstance(hint, Message):
        more = f" --manifest {shlex.quote(download.reach)}" if download.reach else ""
        path = f"{hint.values['path']}{more}" if "path" in hint.values else ""
        return hint.having(artifact=download.called, **({"path": path} if path else {}))
    return hint.replace("{artifact}", download.called)


def not_a_file(download: Download, text: str, head: bytes) -> Failure:
    """What has come is no file. `text` says what it is, and who delivered it; `head` begins it."""
    if download.doubtful:
        text = t("{text} (--first-trust takes it all the same)", text=text)
    return Failure("not-a-file", text, other_hint(download, head))


def other_hint(download: Download, head: bytes) -> str:
    """What to do where something that begins so came in place of a file."""
    from fetcher.fs.pointers import is_pointer

    candidate = download.candidate
    if is_pointer(head):
        return _pointer_hint(candidate.origin)
    hint = manual_hint(download)
    if hint or not isinstance(candidate, UrlCandidate):
        return hint
    url = public_url(candidate.url)
    if url != candidate.url or candidate.headers:  # a browser would not get there
        return t("check the address in the manifest, or add a mirror")
    return _about(download, browser_hint(url, download.file.path))


def _pointer_hint(origin: str) -> str:
    if origin == "url" or origin.startswith("mirror:"):
        return t("name a source that follows it (hf:, github: or git:), or add a mirror")
    if origin == "local":
        return t("get the file itself there: git lfs pull")
    return t("the source holds no more than that: ask its owner for the file, or add a mirror")


def is_sign_in(location: str) -> bool:
    """Whether a redirect leads to a page that wants a person to sign in."""
    try:
        parts = urlsplit(location)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    return host == "login.microsoftonline.com" or bool(_SIGN_IN.search(parts.path))
