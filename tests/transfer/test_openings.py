"""What an answer is at its first byte: every kind of answer, without a server."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from fetcher.sources.base import FileEntry, UrlCandidate
from fetcher.transfer.download import Download
from fetcher.transfer.openings import Asked, Opening, Span, must_unpack, opening, span_of
from fetcher.transfer.outcomes import Decode, RequestOutcome, Retry, WithoutRange
from tests.kit import with_facts

SHA = "a" * 64
ALL, REST = Asked(), Asked(5, None, True)
SOME = Asked(5, 50, True)
PACKED = gzip.compress(b"x" * 100, mtime=0)
ZIP = b"PK\x03\x04" + bytes(80)
ZSTD = b"\x28\xb5\x2f\xfd" + bytes(80)
PAGE = b"<!doctype html><html><title>Sign in</title></html>"
WHOLE = {"content-range": "bytes 0-99/100"}


def download(size: int | None = 100, **facts: Any) -> Download:
    name, sha256 = facts.pop("name", "f.bin"), facts.pop("sha256", SHA)
    candidate = UrlCandidate("url", "https://h/f")
    return with_facts(Download("art", FileEntry(name, size, sha256), [candidate]), facts)


@pytest.mark.parametrize(
    ("asked", "status", "headers", "found"),
    [
        (ALL, 200, {}, Opening.APPEND),
        (ALL, 200, {"content-length": "100"}, Opening.APPEND),
        (ALL, 200, {"content-length": "99"}, Opening.ASIDE),
        (ALL, 200, {"content-length": "99", "transfer-encoding": "chunked"}, Opening.APPEND),
        (ALL, 200, {"content-length": "x"}, Opening.APPEND),
        (ALL, 206, WHOLE, Opening.APPEND),
        (ALL, 206, {"content-range": "bytes 0-98/100"}, Opening.ASIDE),
        (ALL, 206, {}, Opening.ASIDE),
        (Asked(5), 200, {}, Opening.RESTART),
        (REST, 200, {}, Opening.RESTART),
        (Asked(0, None, True), 200, {"content-length": "100"}, Opening.RESTART),
        (REST, 200, {"content-length": "95"}, Opening.ASIDE),
        (REST, 200, {"content-range": "bytes 5-99/100", "content-length": "95"}, Opening.APPEND),
        (REST, 200, WHOLE, Opening.RESTART),
        (REST, 206, WHOLE, Opening.RESTART),
        (REST, 206, {"content-range": "bytes 5-99/100"}, Opening.APPEND),
        (REST, 206, {"content-range": "Bytes=5-99/100"}, Opening.APPEND),
        (REST, 206, {"content-range": "bytes 5-99/*"}, Opening.APPEND),
        (SOME, 206, {"content-range": "bytes 5-49/100"}, Opening.APPEND),
        (SOME, 206, {"content-range": "bytes 5-20/100"}, Opening.APPEND),
        *((ALL, status, {}, Opening.ASIDE) for status in (0, 201, 302, 403, 404, 500)),
    ],
)
def test_an_answer_begins(
    asked: Asked, status: int, headers: dict[str, str], found: Opening | RequestOutcome
) -> None:
    assert opening(download(), asked, status, headers, "h") == found


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize(
    ("asked", "span"),
    [
        (REST, "bytes 6-99/100"),
        (REST, "bytes 4-99/100"),
        (REST, "bytes 5-99/101"),
        (SOME, "bytes 5-50/100"),
        (SOME, "bytes 5-99/100"),
        (REST, "items 5-99/100"),
        (REST, "bytes 5-/100"),
        (REST, "bytes 9-5/100"),
        (REST, ""),
    ],
)
def test_another_range_than_asked(status: int, asked: Asked, span: str) -> None:
    found = opening(download(), asked, status, {"content-range": span}, "h")
    if status == 200 and span_of({"content-range": span}) is None:
        assert found is Opening.RESTART  # it says nothing of a range
    else:
        assert isinstance(found, WithoutRange) and found.otherwise is None


def test_a_range_of_another_version_is_begun_anew() -> None:
    wanted = download(size=None, sha256=None, validator='"one"')
    span = {"content-range": "bytes 5-99/100"}
    for tag in ("one", "two"):
        found = opening(wanted, REST, 206, {**span, "etag": f'"{tag}"'}, "h")
        anew = isinstance(found, Retry) and found.anew
        assert (found is Opening.APPEND, anew) == (tag == "one", tag == "two")
    # A server that states no tag this time has not stated another one.
    assert opening(wanted, REST, 206, span, "h") is Opening.APPEND
    # Nor does a tag matter where none was known.
    unknown = download(size=None, sha256=None)
    assert opening(unknown, REST, 206, {**span, "etag": '"two"'}, "h") is Opening.APPEND


def test_a_length_is_no_matter_where_the_size_is_unknown_compressed_or_disbelieved() -> None:
    assert opening(download(size=None), ALL, 200, {"content-length": "7"}, "h") is Opening.APPEND
    shorter = {"content-length": "40", "content-encoding": "gzip"}
    assert opening(download(decode="here"), ALL, 200, shorter, "h") is Opening.APPEND
    assert opening(download(decode="here"), REST, 200, shorter, "h") is Opening.RESTART
    told = opening(download(), ALL, 200, {"content-length": "9"}, "h")
    assert told is Opening.ASIDE


def test_a_page_in_place_of_a_range() -> None:
    assert isinstance(opening(download(), REST, 200, {}, "h", PAGE), WithoutRange)
    assert opening(download(name="f.html"), REST, 200, {}, "h", PAGE) is Opening.RESTART


@pytest.mark.parametrize(
    ("coding", "head", "facts", "unpack"),
    [
        ("gzip", PACKED, {}, True),
        ("GZIP", PACKED, {}, True),
        ("aws-chunked, gzip", PACKED, {}, True),
        ("", PACKED, {}, False),
        ("identity", PACKED, {}, False),
        ("binary", PACKED, {}, False),
        ("gzip", b"plain", {}, False),
        ("gzip", PACKED, {"decode": "here"}, False),
        ("gzip", PACKED, {"undecodable": True}, False),
        ("gzip", PACKED, {"name": "f.tar.gz"}, False),
        ("gzip", PACKED, {"name": "f.tar.gz", "sha256": None}, False),
        ("gzip", PACKED, {"sha256": None}, True),
        ("gzip", PACKED, {"sha256": None, "name": "f.json"}, True),
        ("deflate", ZIP, {"sha256": None, "name": "f.npz"}, False),
        ("zstd", ZSTD, {"sha256": None, "name": "f.tar.zst"}, False),
        ("br", b"PK\3\4", {"sha256": None, "name": "f.zip"}, False),
    ],
)
def test_a_compression_that_is_undone(
    coding: str, head: bytes, facts: dict[str, Any], unpack: bool
) -> None:
    told = {"content-encoding": coding}
    assert must_unpack(download(**facts), told, head) is unpack
    assert (opening(download(**facts), ALL, 200, told, "h", head) == Decode()) is unpack
    # A length that is the file's own: raw bytes first, where a digest tells.
    fits = {**told, "content-length": "100"}
    digest = facts.get("sha256", SHA)
    assert must_unpack(download(**facts), fits, head) is (unpack and not digest)


def test_spans() -> None:
    assert span_of({"content-range": "bytes 0-99/100"}) == Span(0, 100, 100)
    assert span_of({"content-range": " bytes  3 - 9 / * "}) == Span(3, 10, None)
    for wrong in ("", "bytes */100", "bytes 5-3/9", "bytes 1-2", "bytes 1-2/3/4", "lines 1-2/3"):
        assert span_of({"content-range": wrong}) is None
