"""What an answer means: every kind of answer, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetcher.network.retry import LONGEST_WAIT
from fetcher.sources.base import FileEntry, PathCandidate, UrlCandidate
from fetcher.transfer.download import Download
from fetcher.transfer.outcomes import (
    Decode,
    GiveUp,
    Mismatch,
    Opening,
    Redirect,
    RequestOutcome,
    Retry,
    Unreachable,
    Wait,
    Whole,
    is_encoded,
    is_sign_in,
    manual_hint,
    not_a_file,
    opening,
    outcome_of,
)

PAGE = b"<!doctype html><html><title>Sign in</title></html>"
SHA = "a" * 64


class Handle:
    """A libcurl handle that has ended."""

    def __init__(self, connected: bool = True, location: str = "") -> None:
        self.info = {
            pycurl.CONNECT_TIME: 0.1 if connected else 0,
            pycurl.REQUEST_SIZE: 100 if connected else 0,
            pycurl.EFFECTIVE_URL: "https://h/f",
        }
        self.location = location

    def getinfo(self, what: int) -> Any:
        return self.info[what]

    def getinfo_raw(self, what: int) -> bytes:
        assert what == pycurl.REDIRECT_URL
        return self.location.encode()


@dataclass
class Request:
    """A request as a connection leaves it."""

    download: Download | None
    status_: int = 200
    headers_: dict[str, str] = field(default_factory=dict)
    head_: bytes = b""
    url: str = "https://h/f"
    host: str = "h"
    hops: int = 0
    stopped: RequestOutcome | None = None
    aside: bool = False
    complaint: str = ""
    curl: Any = field(default_factory=Handle)
    ranged: bool = False

    def status(self) -> int:
        return self.status_

    def headers(self) -> dict[str, str]:
        return self.headers_

    def head(self) -> bytes:
        return self.head_


def download(size: int | None = 100, **facts: Any) -> Download:
    hint = facts.pop("hint", "")
    name = facts.pop("name", "f.bin")
    sha256 = facts.pop("sha256", SHA)
    candidate = UrlCandidate("url", "https://u:p@h/f?token=x", manual_hint=hint)
    return Download("art", FileEntry(name, size, sha256), [candidate], **facts)


def judged(status: int, headers: dict[str, str] | None = None, **facts: Any) -> RequestOutcome:
    wanted = facts.pop("download", None) or download()
    number = facts.pop("number", 0)
    return outcome_of(Request(wanted, status, headers or {}, **facts), number, "said")


# At the first byte


@pytest.mark.parametrize(
    ("asked", "status", "headers", "found"),
    [
        (None, 200, {}, Opening.APPEND),
        (None, 200, {"content-length": "100"}, Opening.APPEND),
        (None, 200, {"content-length": "99"}, Opening.ASIDE),
        (None, 200, {"content-length": "x"}, Opening.APPEND),
        ((5, None), 200, {}, Opening.RESTART),
        ((0, None), 200, {"content-length": "100"}, Opening.RESTART),
        ((5, None), 200, {"content-length": "95"}, Opening.ASIDE),
        (None, 200, {"content-encoding": "identity"}, Opening.APPEND),
        (None, 200, {"content-encoding": "gzip"}, Decode()),
        ((5, None), 206, {"content-encoding": "gzip"}, Decode()),
        (None, 206, {"content-range": "bytes 0-99/100"}, Opening.ASIDE),
        ((5, None), 206, {"content-range": "bytes 5-99/100"}, Opening.APPEND),
        ((5, None), 206, {"content-range": "bytes 5-99/*"}, Opening.APPEND),
        ((5, 50), 206, {"content-range": "bytes 5-49/100"}, Opening.APPEND),
        ((5, 50), 206, {"content-range": "bytes 5-20/100"}, Opening.APPEND),
        *((None, status, {}, Opening.ASIDE) for status in (0, 201, 302, 403, 404, 500)),
    ],
)
def test_an_answer_begins(
    asked: tuple[int, int | None] | None,
    status: int,
    headers: dict[str, str],
    found: Opening | RequestOutcome,
) -> None:
    assert opening(download(), asked, status, headers, "h") == found


@pytest.mark.parametrize(
    ("stop", "span"),
    [
        (None, "bytes 6-99/100"),
        (None, "bytes 4-99/100"),
        (None, "bytes 5-99/101"),
        (50, "bytes 5-50/100"),
        (50, "bytes 5-99/100"),
        (None, "items 5-99/100"),
        (None, "bytes 5-/100"),
        (None, ""),
    ],
)
def test_another_range_than_asked_is_begun_anew(stop: int | None, span: str) -> None:
    found = opening(download(), (5, stop), 206, {"content-range": span}, "h")
    assert isinstance(found, Retry) and found.anew
    assert found.failure.problem.code == "network"


def test_a_range_of_another_version_is_begun_anew() -> None:
    wanted = download(size=None, sha256=None, validator='"one"')
    span = {"content-range": "bytes 5-99/100"}
    for tag, kept in (("one", True), ("two", False)):
        found = opening(wanted, (5, None), 206, {**span, "etag": f'"{tag}"'}, "h")
        assert (found is Opening.APPEND) is kept
    # A server that states no tag this time has not stated another one.
    assert opening(wanted, (5, None), 206, span, "h") is Opening.APPEND
    # Nor does a tag matter where none was known.
    anew = download(size=None, sha256=None)
    assert opening(anew, (5, None), 206, {**span, "etag": '"two"'}, "h") is Opening.APPEND


def test_a_length_is_no_matter_where_the_size_is_unknown_or_compressed() -> None:
    assert opening(download(size=None), None, 200, {"content-length": "7"}, "h") is Opening.APPEND
    shorter = {"content-length": "40", "content-encoding": "gzip"}
    assert opening(download(decode=True), None, 200, shorter, "h") is Opening.APPEND
    assert opening(download(decode=True), (5, None), 200, shorter, "h") is Opening.RESTART


def test_the_compression_of_an_archive_is_its_own() -> None:
    for headers, name, decode, encoded in (
        ({}, "f.bin", False, False),
        ({"content-encoding": "identity"}, "f.bin", False, False),
        ({"content-encoding": "gzip"}, "f.bin", False, True),
        ({"content-encoding": "gzip"}, "f.bin", True, False),
        ({"content-encoding": "gzip"}, "f.tar.gz", False, False),
    ):
        assert is_encoded(download(name=name, decode=decode), headers) is encoded


# At the end


def test_a_whole_body() -> None:
    assert judged(200) == Whole()
    assert judged(206, ranged=True) == Whole()
    assert isinstance(judged(206), GiveUp)
    assert judged(0, url="ftp://h/f") == Whole()


def test_what_stopped_a_request_stands() -> None:
    stopped = Redirect("https://elsewhere/")
    assert judged(200, stopped=stopped, number=pycurl.E_WRITE_ERROR) is stopped


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(status: int) -> None:
    assert judged(status, curl=Handle(location="https://b/f")) == Redirect("https://b/f")
    # A page behind a redirect may be cut off: its status counts.
    cut = judged(status, curl=Handle(location="https://b/f"), number=pycurl.E_WRITE_ERROR)
    assert cut == Redirect("https://b/f")


@pytest.mark.parametrize("number", [pycurl.E_FILESIZE_EXCEEDED, pycurl.E_WRITE_ERROR])
def test_a_page_that_was_cut_off(number: int) -> None:
    assert isinstance(judged(404, number=number), GiveUp)
    assert isinstance(judged(503, number=number), Wait)
    assert isinstance(judged(300, number=number), GiveUp)
    found = judged(200, number=number, aside=True, head_=PAGE)
    assert isinstance(found, GiveUp) and found.failure.problem.code == "not-a-file"
    # Without a status that refuses, the error itself counts: also over FTP, which has none.
    for status, url in ((200, "https://h/f"), (299, "https://h/f"), (404, "ftp://h/f")):
        found = judged(status, number=number, url=url)
        too_much = number == pycurl.E_FILESIZE_EXCEEDED
        assert isinstance(found, Mismatch if too_much else Retry), (status, url)


def test_other_errors_count_before_a_status() -> None:
    found = judged(404, number=pycurl.E_PARTIAL_FILE)
    assert isinstance(found, Retry) and not found.anew


def test_more_bytes_than_there_should_be() -> None:
    found = judged(200, number=pycurl.E_FILESIZE_EXCEEDED, download=download(size=1234))
    assert isinstance(found, Mismatch) and found.failure.problem.code == "size-mismatch"
    assert "more than 1,234 bytes" in found.failure.message
    found = judged(200, number=pycurl.E_FILESIZE_EXCEEDED, download=download(size=None))
    assert isinstance(found, Mismatch) and "more than 0 bytes" in found.failure.message


@pytest.mark.parametrize(
    ("number", "connected", "final"),
    [
        (pycurl.E_COULDNT_CONNECT, False, False),
        (pycurl.E_COULDNT_RESOLVE_HOST, False, False),
        (pycurl.E_OPERATION_TIMEDOUT, False, False),
        (pycurl.E_PEER_FAILED_VERIFICATION, True, True),
        (pycurl.E_SSL_CONNECT_ERROR, False, True),
    ],
)
def test_hosts_that_cannot_be_reached(number: int, connected: bool, final: bool) -> None:
    found = judged(0, number=number, curl=Handle(connected))
    assert isinstance(found, Unreachable) and found.final is final
    assert "h" in found.failure.message


@pytest.mark.parametrize(
    ("number", "kind", "anew", "code"),
    [
        (pycurl.E_RANGE_ERROR, Retry, True, "network"),
        (pycurl.E_FTP_COULDNT_USE_REST, Retry, True, "network"),
        (pycurl.E_BAD_DOWNLOAD_RESUME, Retry, True, "network"),
        (pycurl.E_RECV_ERROR, Retry, False, "network"),
        (pycurl.E_OPERATION_TIMEDOUT, Retry, False, "network"),
        (pycurl.E_REMOTE_FILE_NOT_FOUND, GiveUp, None, "not-found"),
        (pycurl.E_LOGIN_DENIED, GiveUp, None, "auth"),
    ],
)
def test_other_errors(number: int, kind: type, anew: bool | None, code: str) -> None:
    found = judged(0, number=number, url="ftp://h/f")
    assert isinstance(found, kind) and getattr(found, "anew", None) is anew
    assert isinstance(found, Retry | GiveUp) and found.failure.problem.code == code


def test_something_else_in_place_of_the_file() -> None:
    found = judged(200, {"content-type": "text/html"}, aside=True, head_=PAGE)
    assert isinstance(found, GiveUp) and found.failure.problem.code == "not-a-file"
    assert found.failure.message.startswith("h delivers")
    found = judged(200, aside=True, complaint="junk of its own", head_=b"\0" * 8)
    assert isinstance(found, GiveUp) and "junk of its own" in found.failure.message
    found = judged(200, {"content-length": "7"}, aside=True, head_=b"\0" * 7)
    assert isinstance(found, Mismatch) and found.failure.problem.code == "size-mismatch"
    assert found.failure.message == "h offers 7 bytes instead of 100"
    found = judged(200, aside=True, head_=b"\0", download=download(size=None))
    assert isinstance(found, Mismatch)
    assert found.failure.message == "h offers ? bytes instead of 0"


def test_a_declared_type_helps_to_tell_a_page() -> None:
    facts: dict[str, Any] = {"aside": True, "head_": b"<p>Please sign in"}
    facts["download"] = download(name="f.txt")
    assert isinstance(judged(200, **facts), Mismatch)
    found = judged(200, {"content-type": "text/html"}, **facts)
    assert isinstance(found, GiveUp) and found.failure.problem.code == "not-a-file"


# Statuses


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_for_patience_without_a_time(status: int) -> None:
    found = judged(status)
    assert isinstance(found, Wait)
    assert (found.seconds, found.status) == (None, status)
    assert found.failure.problem.code == "network" and f"HTTP {status}" in found.failure.message


@pytest.mark.parametrize("status", [403, 408, 425, 429, 500, 502, 503, 504])
def test_a_host_that_says_how_long(status: int) -> None:
    found = judged(status, {"retry-after": "7"})
    assert isinstance(found, Wait) and (found.seconds, found.status) == (7.0, status)
    longest = judged(status, {"retry-after": str(LONGEST_WAIT)})
    assert isinstance(longest, Wait) and longest.seconds == LONGEST_WAIT
    found = judged(status, {"retry-after": str(LONGEST_WAIT + 1)})
    assert isinstance(found, GiveUp) and found.failure.problem.code == "network"
    assert "asks to wait 331 s" in found.failure.message and f"{status}" in found.failure.message


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
def test_a_passing_fault(status: int) -> None:
    found = judged(status)
    assert isinstance(found, Retry) and not found.anew
    assert found.failure.problem.code == "network" and f"{status}" in found.failure.message


def test_a_range_that_is_refused() -> None:
    found = judged(416, ranged=True)
    assert isinstance(found, Retry) and found.anew
    assert isinstance(judged(416), GiveUp)


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (401, {}, "auth"),
        (403, {}, "auth"),
        (404, {}, "not-found"),
        (410, {}, "not-found"),
        (400, {}, "network"),
        (451, {}, "network"),
        (403, {"x-error-code": "GatedRepo"}, "gated"),
        (401, {"x-error-code": "RepoNotFound"}, "auth"),
        (404, {"retry-after": "5"}, "not-found"),
    ],
)
def test_a_refusal(status: int, headers: dict[str, str], code: str) -> None:
    found = judged(status, headers)
    assert isinstance(found, GiveUp) and found.failure.problem.code == code
    assert f"HTTP {status}" in found.failure.message
    # The address is named without login and query.
    assert found.failure.message.startswith("https://h/f: ")


@pytest.mark.parametrize(
    ("status", "hint", "head", "code"),
    [
        (403, "by hand", PAGE, "link-expired"),
        (403, "by hand", b"", "auth"),
        (403, "", PAGE, "auth"),
        (404, "by hand", PAGE, "link-expired"),
        (404, "by hand", b"", "not-found"),
        (410, "", PAGE, "not-found"),
    ],
)
def test_a_share_link_that_has_expired(status: int, hint: str, head: bytes, code: str) -> None:
    found = judged(status, download=download(hint=hint), head_=head)
    assert isinstance(found, GiveUp) and found.failure.problem.code == code
    assert found.failure.problem.hint == hint


@pytest.mark.parametrize(
    ("status", "hops", "tries", "landed", "again"),
    [
        (403, 1, 0, "", True),
        (403, 1, 1, "", True),
        (403, 1, 2, "", False),
        (403, 0, 0, "", False),
        (404, 1, 0, "", False),
        (404, 1, 0, "https://signed/", True),
        (404, 0, 0, "https://signed/", False),
    ],
)
def test_a_signed_link_whose_time_ran_out(
    status: int, hops: int, tries: int, landed: str, again: bool
) -> None:
    found = judged(status, download=download(tries=tries, landed=landed), hops=hops)
    assert isinstance(found, Retry if again else GiveUp)
    assert isinstance(found, Retry | GiveUp)
    assert found.failure.problem.code == ("auth" if status == 403 else "not-found")


def test_where_there_is_no_address_the_host_is_named() -> None:
    wanted = Download("art", FileEntry("f", 1, SHA), [PathCandidate("p", "/x")])
    found = judged(404, download=wanted)
    assert isinstance(found, GiveUp) and found.failure.message.startswith("h: ")
    assert manual_hint(wanted) == ""


def test_what_to_do_by_hand_names_the_artifact() -> None:
    assert manual_hint(download(hint="adopt --as {artifact}")) == "adopt --as art"


def test_no_file_at_all() -> None:
    sure, doubtful = download(hint="by hand"), download(sha256=None)
    assert not_a_file(sure, "a page").message == "a page"
    assert not_a_file(sure, "a page").problem.code == "not-a-file"
    assert not_a_file(sure, "a page").problem.hint == "by hand"
    assert "--first-trust" in not_a_file(doubtful, "a page").message


@pytest.mark.parametrize(
    ("location", "page"),
    [
        ("https://login.microsoftonline.com/x", True),
        ("https://LOGIN.microsoftonline.com/x", True),
        ("https://h/login", True),
        ("https://h/SignIn.aspx", True),
        ("https://h/a/sign-in/", True),
        ("https://h/authenticate?next=/f", True),
        ("https://h/catalogin", False),
        ("https://h/login/f.bin", False),
        ("https://h/f.bin?x=/login", False),
        ("https://login.example/f", False),
        ("https://[x/login", False),
        ("/login", True),
    ],
)
def test_pages_that_want_a_person(location: str, page: bool) -> None:
    assert is_sign_in(location) is page


@given(st.integers(100, 599), st.dictionaries(st.sampled_from(["retry-after"]), st.text()))
def test_any_status_is_judged(status: int, headers: dict[str, str]) -> None:
    assert judged(status, headers) is not None
