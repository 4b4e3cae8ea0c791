"""Ranges, from clients (Range) and from servers (Content-Range)."""

from __future__ import annotations

from fetcher.errors import Failure
from fetcher.server.ranges import not_modified, precondition_failed, wanted
from fetcher.sources.base import FileEntry
from fetcher.transfer import openings
from fetcher.transfer.download import Download
from fetcher.transfer.outcomes import WithoutRange
from tests.fuzz.kit import Target, parts_of, seed


def check(data: bytes) -> None:
    header, tag, size_text = (part.decode("latin-1") for part in parts_of(data, 3))
    size = (
        int(size_text) if size_text.isascii() and size_text.isdigit() and len(size_text) < 19 else 9
    )
    not_modified(tag, '"e"')
    precondition_failed(tag, '"e"')
    found = wanted(header, None, '"e"', size)
    for start, stop in found or ():
        assert 0 <= start < stop <= size
    assert found is None or sum(stop - start for start, stop in found) <= size
    assert found is None or len(found) <= 32
    assert wanted(header, '"other"', '"e"', size) is None
    _content_range(header, size)


def _content_range(header: str, size: int) -> None:
    asked = openings.Asked(size // 2, None, ranged=True)
    download = Download("a", FileEntry("f", size), [])
    told = {"content-range": header}
    for status in (200, 206):
        found = openings.opening(download, asked, status, told, "h")
        span = openings.span_of(told)
        if found is openings.Opening.APPEND:
            assert span is not None and span.start == asked.start < span.stop
        elif found is openings.Opening.RESTART:
            assert span.whole if span is not None else status == 200
        else:
            assert isinstance(found, WithoutRange) and isinstance(found.failure, Failure)


TARGET = Target(
    check,
    [
        seed("bytes=0-4", '"e"', "10"),
        seed("bytes=-5,0-1", 'W/"e", "f"', "100"),
        seed("bytes=5-", "*", "6"),
        seed("bytes 4-8/9", "", "9"),
        seed("bytes 4-8/*", "", "9"),
        seed("bytes=" + "0-0," * 40, "", "5"),
    ],
    ["bytes=", "bytes ", "-", ",", "/", "*", "0-0", "18446744073709551615", "W/", '"e"', "\xb2"],
    longest=300,
)
