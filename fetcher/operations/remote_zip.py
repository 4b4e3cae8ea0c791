"""A zip on a server that answers ranges: only the members that are wanted are downloaded."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Container, Sequence
from typing import BinaryIO, cast

from fetcher.archives.members import Budget
from fetcher.archives.rules import Rules, Selector
from fetcher.archives.zips import Directory
from fetcher.errors import Failure
from fetcher.network.range_file import RangeFile
from fetcher.network.session import Network
from fetcher.sources.base import Candidate, FileEntry, UrlCandidate

_log = logging.getLogger(__name__)
# Of a smaller one, the requests cost more than the bytes.
_LEAST = 256 << 10
# What is wanted must be no more than so much of the whole.
_SHARE = 0.8


def may_be_read_in_part(
    file: FileEntry, rules: Rules, stated: bool, wanted: Container[str] | None
) -> bool:
    """Whether it is worth a look if less than all of an archive would do.

    Where nobody knows yet what its members are (`wanted` is None), one whose digest the manifest
    states is read whole: only all of its bytes can prove it.
    """
    if not file.path.lower().endswith(".zip"):
        return False
    chosen = rules.members is not None or rules.exclude or wanted is not None
    return bool(chosen) and not (stated and wanted is None)


def open_in_part(
    file: FileEntry,
    rules: Rules,
    candidates: Sequence[Candidate],
    wanted: Container[str] | None,
    network: Network,
) -> RangeFile | None:
    """The remote file, if its wanted members are much less than all of it; None if not.

    Whatever is wrong with it is told by who reads all of it.
    """
    place = next((c for c in candidates if isinstance(c, UrlCandidate)), None)
    if place is None or place is not candidates[0] or network.offline:
        return None
    if file.key and wanted is None and not place.pinned:
        return None  # another place's word is not the source's
    try:
        remote = _remote(place, network)
        return remote if remote and _is_less(file, remote, rules, wanted) else None
    except (Failure, OSError) as error:
        _log.info("%s is read whole: %s", file.path, error)
        return None


def _remote(place: UrlCandidate, network: Network) -> RangeFile | None:
    headers = [("Accept-Encoding", "identity"), *place.headers]
    answer = network.request(place.url, method="HEAD", headers=headers, patience=5)
    length = answer.headers.get("content-length", "")
    ranges = answer.headers.get("accept-ranges", "").lower() == "bytes"
    if answer.status != 200 or not ranges or not re.fullmatch(r"\d{1,15}", length):
        return None
    if int(length) < _LEAST or "content-encoding" in answer.headers:
        return None
    etag = answer.headers.get("etag", "")
    return RangeFile(network, place.url, int(length), place.headers, etag)


def _is_less(
    file: FileEntry, remote: RangeFile, rules: Rules, wanted: Container[str] | None
) -> bool:
    if not file.size_hint and file.size not in {None, remote.size}:
        return False
    stream = cast("BinaryIO", io.BufferedReader(remote, 1 << 16))
    directory = Directory(file.path, stream, remote.size, rules.encoding)
    entries = directory.entries(Selector(file.path, rules), Budget(file.path, remote.size))
    needed = sum(e.stop - e.start for e in entries if wanted is None or e.path in wanted)
    _log.info("%s: %d of %d bytes are wanted", file.path, needed, remote.size)
    stream.detach()  # type: ignore[attr-defined]
    return needed + remote.received < remote.size * _SHARE
