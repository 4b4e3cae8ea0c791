"""Files that end in zeros which no trained model has: room was made for a download that never ended.

Sane weights may end in zeros as well: a bias, rows of words that nobody uses, a matrix that training
begins with at zero. Those begin where a tensor or a row does; an interrupted download seldom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable

_LEAST = 4096  # bytes
_PIECE = 1 << 20


class Span(NamedTuple):
    """A tensor's bytes in a file, `begin` to `end`, and of how many `rows` it is."""

    name: str
    begin: int
    end: int
    rows: int


def complaint(data: mmap.mmap, spans: Iterable[Span]) -> str:
    """Say from where on a file of tensors is nothing but zeros; '' if that may well be."""
    if len(data) < 2 * _LEAST or any(data[-_LEAST:]):
        return ""
    first = _end_of_numbers(data)
    cut = next((one for one in spans if one.begin < first < one.end), None)
    if cut is None or cut.rows < 2:
        return ""
    row = (cut.end - cut.begin) // cut.rows
    into = -(-(first - cut.begin) // _WIDEST) * _WIDEST  # the last number may end in a zero byte
    whole = -(-into // row) * row
    # Where nothing but the end of the last row is zero, columns may have been left out.
    if into % row == 0 or whole >= cut.end - cut.begin:
        return ""
    return f"from within {cut.name} on there are nothing but zeros, {len(data) - first:,} bytes"


_WIDEST = 16  # bytes of the largest number


def _end_of_numbers(data: mmap.mmap) -> int:
    """Return the place behind the last byte that is not zero."""
    stop = len(data)
    while stop:
        start = max(0, stop - _PIECE)
        found = len(data[start:stop].rstrip(b"\0"))
        if found:
            return start + found
        stop = start
    return 0
