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
from fetcher.transfer.links import Renew
from fetcher.transfer.outcomes import (
    GiveUp,
    Mismatch,
    Redirect,
    RequestOutcome,
    Retry,
    Unreachable,
    Wait,
    Whole,
    WithoutRange,
    is_sign_in,
    manual_hint,
    not_a_file,
    outcome_of,
)
from tests.kit import with_facts

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
    link: object = None
    derived: bool = False
    candidate: UrlCandidate | None = None
    curl: Any = field(default_factory=Handle)
    ranged: bool = False
    began_well: bool = False
    all_there: bool = False

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
    return with_facts(Download("art", FileEntry(name, size, sha256), [candidate]), facts)


def judged(status: int, headers: dict[str, str] | None = None, **facts: Any) -> RequestOutcome:
    wanted = facts.pop("download", None) or download()
    number = facts.pop("number", 0)
    return outcome_of(Request(wanted, status, headers or {}, **facts), number, "said")


# At the end


def test_a_whole_body() -> None:
    assert judged(200) == Whole()
    assert judged(206, ranged=True) == Whole()
    assert judged(206, all_there=True) == Whole()
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


@pytest.mark.parametrize("status", [400, 403, 404, 405, 412, 416, 501, 304])
def test_a_range_that_is_refused(status: int) -> None:
    refused = judged(status, ranged=True)
    assert isinstance(refused, WithoutRange) and refused.otherwise is None
    assert isinstance(judged(status), GiveUp)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_fault_that_may_be_about_the_range(status: int) -> None:
    found = judged(status, ranged=True)
    assert isinstance(found, WithoutRange) and type(found.otherwise) is type(judged(status))
    # Where ranges were served, or bytes have come, it is a fault as any.
    served: list[dict[str, Any]] = [{"download": download(ranges=True)}, {"began_well": True}]
    for facts in served:
        assert type(judged(status, ranged=True, **facts)) is type(judged(status))
    assert isinstance(judged(status, {"retry-after": "3"}, ranged=True), Wait)


@pytest.mark.parametrize("status", [401, 402, 407, 410, 423, 429, 451, 511])
def test_what_is_not_about_the_range(status: int) -> None:
    assert type(judged(status, ranged=True)) is type(judged(status))
    gated = judged(403, {"x-error-code": "GatedRepo"}, ranged=True)
    assert isinstance(gated, GiveUp)


def test_a_body_that_is_all_there_is_whole_whatever_ends_it() -> None:
    for number in (pycurl.E_PARTIAL_FILE, pycurl.E_RECV_ERROR, pycurl.E_OPERATION_TIMEDOUT):
        assert judged(200, number=number, all_there=True) == Whole()
        unproven = download(sha256=None)
        assert judged(200, number=number, all_there=True, download=unproven) != Whole()


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (401, {}, "auth"),
        (403, {}, "auth"),
        (404, {}, "not-found"),
        (410, {}, "not-found"),
        (400, {}, "network"),
        (451, {}, "refused"),
        (402, {}, "quota"),
        (423, {}, "busy"),
        (511, {}, "network"),
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


S3_EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
SIGNED = "https://cdn/f?X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-Signature=x"
LANDED = "https://cdn/f"


@pytest.mark.parametrize(
    ("status", "facts", "headers", "code"),
    [
        # where a redirect led, or what an API gave
        (403, {"hops": 1}, {}, "link-expired"),
        (401, {"hops": 1}, {}, "link-expired"),
        (410, {"hops": 1}, {}, "link-expired"),
        (400, {"hops": 1, "head_": S3_EXPIRED}, {}, "link-expired"),
        (403, {"hops": 1, "link": LANDED}, {}, "link-expired"),
        (403, {"derived": True, "url": SIGNED}, {}, "link-expired"),
        (401, {"derived": True, "url": SIGNED}, {"www-authenticate": "Bearer"}, "link-expired"),
        (403, {"derived": True}, {}, "auth"),  # perhaps the file is restricted
        # one that has served bytes, or that is no longer the newest, whatever is answered
        (404, {"hops": 1, "link": LANDED}, {}, "not-found"),
        (400, {"hops": 1, "link": LANDED}, {}, "network"),
        (404, {"hops": 1, "link": "https://older"}, {}, "not-found"),
        (200, {"hops": 1, "link": LANDED, "aside": True, "head_": PAGE}, {}, "not-a-file"),
    ],
)
def test_another_link_is_asked_for(
    status: int, facts: dict[str, Any], headers: dict[str, str], code: str
) -> None:
    wanted = download(landed=LANDED, link_uses=1) if "link" in facts else download()
    found = judged(status, headers, download=wanted, candidate=wanted.candidates[0], **facts)
    assert isinstance(found, Renew) and found.failure.problem.code == code
    if code == "link-expired":
        assert "https://h/f: " in found.failure.message and "token" not in found.failure.message
        assert f"HTTP {status}" in found.failure.message and found.failure.problem.hint


@pytest.mark.parametrize(
    ("status", "facts", "headers"),
    [
        (404, {"hops": 1}, {}),
        (400, {"hops": 1}, {}),
        (400, {"hops": 1, "head_": b"no such thing"}, {}),
        (403, {}, {}),
        (401, {"hops": 1}, {"www-authenticate": "Bearer"}),
        (403, {"hops": 1}, {"x-error-code": "GatedRepo"}),  # the Hub itself, under a new name
    ],
)
def test_no_link_helps(status: int, facts: dict[str, Any], headers: dict[str, str]) -> None:
    assert isinstance(judged(status, headers, **facts), GiveUp)


@pytest.mark.parametrize(
    ("url", "said"),
    [(SIGNED, "ended at 2020-01-01"), ("https://b/f?sig=x&se=2999-01-01T00:00:00Z", "is refused")],
)
def test_a_signed_link_of_the_manifest_cannot_be_renewed(url: str, said: str) -> None:
    found = judged(403, url=url, head_=S3_EXPIRED)
    assert isinstance(found, GiveUp) and found.failure.problem.code == "link-expired"
    assert said in found.failure.message and "Request has expired" in found.failure.message
    assert "manifest" in found.failure.problem.hint
    assert isinstance(judged(404, url=url), GiveUp)


def test_where_there_is_no_address_the_host_is_named() -> None:
    wanted = Download("art", FileEntry("f", 1, SHA), [PathCandidate("p", "/x")])
    found = judged(404, download=wanted)
    assert isinstance(found, GiveUp) and found.failure.message.startswith("h: ")
    assert manual_hint(wanted) == ""


def test_what_to_do_by_hand_names_the_artifact() -> None:
    assert manual_hint(download(hint="adopt --as {artifact}")) == "adopt --as art"


def test_no_file_at_all() -> None:
    sure, doubtful = download(hint="by hand"), download(sha256=None)
    assert not_a_file(sure, "a page", b"<html>").message == "a page"
    assert not_a_file(sure, "a page", b"<html>").problem.code == "not-a-file"
    assert not_a_file(sure, "a page", b"<html>").problem.hint == "by hand"
    assert "--first-trust" in not_a_file(doubtful, "a page", b"<html>").message


@pytest.mark.parametrize(
    ("candidate", "says"),
    [
        (UrlCandidate("url", "https://h/a%20b"), "open https://h/a%20b in a browser, then: fetch"),
        (UrlCandidate("huggingface", "https://h/f"), "adopt DOWNLOADED_FILE --as m/art/f.bin"),
        (UrlCandidate("url", "https://h/f?sig=x"), "check the address in the manifest"),
        (UrlCandidate("oci", "https://h/f", (("Accept", "a/b"),)), "check the address"),
        (PathCandidate("local", "/f"), ""),
    ],
)
def test_what_to_do_about_a_page(candidate: UrlCandidate | PathCandidate, says: str) -> None:
    """A browser is named where it gets there, and the artifact as commands know it."""
    wanted = Download("art", FileEntry("f.bin", 1, SHA), [candidate], called="m/art")
    hint = not_a_file(wanted, "a page", b"<html>").problem.hint
    assert says in hint if says else not hint


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("url", "hf:, github: or git:"),
        ("mirror:lab", "hf:, github: or git:"),
        ("huggingface", "ask its owner"),
        ("local", "git lfs pull"),
    ],
)
def test_what_to_do_about_a_pointer(origin: str, says: str) -> None:
    wanted = Download("art", FileEntry("f", 1, SHA), [UrlCandidate(origin, "https://h/f")])
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"
    assert says in not_a_file(wanted, "a pointer", pointer).problem.hint


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
