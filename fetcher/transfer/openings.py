"""What an answer with a large body is, judged at its first byte: judgement only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from fetcher.errors import Failure
from fetcher.fs.atomic import git_blob_hasher
from fetcher.i18n import t
from fetcher.network import content_encoding
from fetcher.sources.base import FileEntry
from fetcher.transfer.outcomes import Decode, RequestOutcome, Retry, WithoutRange

if TYPE_CHECKING:
    from fetcher.transfer.download import Download

_SPAN = re.compile(
    r"bytes[ =:]\s*(\d{1,19})\s*-\s*(\d{1,19})\s*/\s*(\d{1,19}|\*)", re.IGNORECASE | re.ASCII
)


class Opening(Enum):
    """What to do with a body whose answer has just begun."""

    APPEND = auto()
    RESTART = auto()  # the server sends from the beginning
    ASIDE = auto()  # this is not the file: keep only the beginning, to be judged


class Asked(NamedTuple):
    """What a request asked for: bytes from `start` up to `stop` (None: to the end).

    `ranged`: by a range; else the whole is asked for, while `start` bytes are there.
    """

    start: int = 0
    stop: int | None = None
    ranged: bool = False


class Span(NamedTuple):
    """What Content-Range says: bytes [start, stop) of `size`, None where that is not told."""

    start: int
    stop: int
    size: int | None

    @property
    def whole(self) -> bool:
        """Whether it is the whole body."""
        return self.start == 0 and self.stop == self.size


def span_of(headers: Mapping[str, str]) -> Span | None:
    """The one range that an answer says to be, None where it says nothing of the kind."""
    found = _SPAN.fullmatch(headers.get("content-range", "").strip())
    if found is None or int(found[2]) < int(found[1]):
        return None
    size = None if found[3] == "*" else int(found[3])
    return Span(int(found[1]), int(found[2]) + 1, size)


def opening(
    download: Download,
    asked: Asked,
    status: int,
    headers: dict[str, str],
    host: str,
    head: bytes = b"",
) -> Opening | RequestOutcome:
    """Judge an HTTP answer that begins with `head`."""
    if status not in {200, 206}:
        return Opening.ASIDE
    if must_unpack(download, headers, head):
        return Decode()
    span = span_of(headers)
    if asked.ranged and (status == 206 or span is not None):
        return _of_range(download, asked, span, headers, host)
    if status == 206 and (span is None or not span.whole):
        return Opening.ASIDE
    if asked.ranged and _is_page(download, head):
        return WithoutRange(Failure("network", t("{host}: a page in place of a range", host=host)))
    if _wrong_length(download, headers):
        return Opening.ASIDE
    return Opening.RESTART if asked.ranged or asked.start else Opening.APPEND


def _wrong_length(download: Download, headers: Mapping[str, str]) -> bool:
    """Whether the length that is told is not the file's; chunks have none."""
    size, length = download.file.size, told_length(headers)
    if size is None or length is None or length == size or download.unmeasured:
        return False
    return not (download.decode or content_encoding.codings(headers))


def told_length(headers: Mapping[str, str]) -> int | None:
    """The bytes that Content-Length tells of, None where it is absent, no number or not in use."""
    length = headers.get("content-length", "")
    counts = "transfer-encoding" not in headers and re.fullmatch(r"\d{1,19}", length)
    return int(length) if counts else None


def _is_page(download: Download, head: bytes) -> bool:
    from fetcher.fs.sniff import page_complaint

    return bool(page_complaint(head, download.file.path))


def must_unpack(download: Download, headers: Mapping[str, str], head: bytes) -> bool:
    """Whether a body that begins with `head` came compressed, and is wanted as it was before.

    Servers call the compression of an archive an encoding of the transfer, or an encoding what is
    none. A digest decides, raw bytes first, except where the length shows that they are not it.
    """
    found = content_encoding.codings(headers)
    if not found or download.decode or download.undecodable:
        return False
    if not content_encoding.looks_packed(found, head):
        return False
    from fetcher.fs.formats import begins_as_named

    if begins_as_named(head, download.file.path):
        return False
    return not download.key or told_length(headers) != download.file.size


def _of_range(
    download: Download, asked: Asked, span: Span | None, headers: dict[str, str], host: str
) -> Opening | RequestOutcome:
    other = Failure("network", t("{host} answers with another range", host=host))
    size = download.file.size
    if span is None or (span.size is not None and size not in {None, span.size}):
        return WithoutRange(other)
    tag = headers.get("etag", download.validator)
    if download.validator and tag != download.validator:
        return Retry(other, anew=True)
    if span.start == asked.start and (asked.stop is None or span.stop <= asked.stop):
        return Opening.APPEND
    return Opening.RESTART if span.whole else WithoutRange(other)


def without_coding(file: FileEntry, data: bytes, coded: Sequence[str]) -> bytes:
    """A small body that is said to be compressed: as it came, or unpacked.

    A digest decides, raw bytes first; without one the bytes and the file's name do.
    """
    from fetcher.fs.formats import begins_as_named

    doubtful = not file.key and (
        begins_as_named(data, file.path) or not content_encoding.looks_packed(coded, data)
    )
    if doubtful or not content_encoding.can_unpack(coded) or (file.key and _is(file, data)):
        return data
    try:
        most = len(data) * 1100 if file.size is None else file.size
        plain = content_encoding.unpacked(data, coded, most)
    except (content_encoding.DamagedError, content_encoding.TooLongError):
        return data
    return plain if not file.key or _is(file, plain) else data


def _is(file: FileEntry, data: bytes) -> bool:
    """Whether these bytes have the file's digest."""
    if file.sha256:
        return hashlib.sha256(data).hexdigest() == file.sha256
    hasher = git_blob_hasher(len(data))
    hasher.update(data)
    return bool(hasher.hexdigest() == file.git_blob)
