"""Conditions and ranges of a request for a body (RFC 9110): 200, 206, 304, 412 or 416."""

from __future__ import annotations

import re
from itertools import pairwise

_SPEC = re.compile(r"(\d{0,18})-(\d{0,18})")
_MAX_RANGES = 32


def _same(tag: str, etag: str) -> bool:
    tag = tag.strip()
    return tag.removeprefix("W/") == etag


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has it already."""
    if not if_none_match:
        return False
    return if_none_match.strip() == "*" or any(_same(t, etag) for t in if_none_match.split(","))


def precondition_failed(if_match: str | None, etag: str) -> bool:
    """Whether the client wants another one."""
    if not if_match or if_match.strip() == "*":
        return False
    return all(tag.strip() != etag for tag in if_match.split(","))


def wanted(
    header: str | None, if_range: str | None, etag: str, size: int
) -> list[tuple[int, int]] | None:
    """The ranges to send as (start, stop), [] where none can be satisfied; None: all of it.

    A header that is no byte range is ignored, as are more ranges than anyone needs and ranges
    that overlap, which would only make work.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    unit, equals, text = header.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    found = []
    specs = text.split(",")
    if len(specs) > _MAX_RANGES:
        return None
    for spec in specs:
        match = _SPEC.fullmatch(spec.strip())
        if not match or not (match[1] or match[2]):
            return None
        if not match[1]:
            start, stop = max(size - int(match[2]), 0), size
        else:
            start, stop = int(match[1]), int(match[2]) + 1 if match[2] else size
            if match[2] and stop <= start:
                return None
        if start < min(stop, size):
            found.append((start, min(stop, size)))
    ordered = sorted(found)
    if any(second[0] < first[1] for first, second in pairwise(ordered)):
        return None
    return found
