"""Files that end in zeros as no trained model does: room was made for a download that never ended.

Sane weights may end in zeros as well: a bias, rows of words that nobody uses, a matrix that
training begins with at zero. Those begin where a tensor or a row does; an interrupted download
seldom.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, NamedTuple

from fetcher.verify.contract.probe_errors import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fetcher.verify.weights.safetensors_header import TensorEntry

_LEAST = 4096  # bytes
_PIECE = 1 << 20


class Span(NamedTuple):
    """A tensor's bytes in a file, `begin` to `end`, and of how many `rows` it is."""

    name: str
    begin: int
    end: int
    rows: int


def refuse(path: Path, tensors: Mapping[str, TensorEntry]) -> None:
    """Raise ProbeError for a .safetensors file that was never written to its end."""
    if not tensors:
        return
    spans = [
        Span(name, one.begin, one.end, one.shape[0] if len(one.shape) > 1 else 1)
        for name, one in tensors.items()
    ]
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            told = complaint(data, spans)
    if told:
        raise ProbeError(f"not whole: {told}", "remove the file and fetch the artifact again")


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
    start = cut.begin + into
    begun = into // row
    # Where the row before ends in zeros as well, columns were left out, and rows behind them.
    if into % row == 0 or not 0 < begun < cut.rows - 1:
        return ""
    if not any(data[start - row : cut.begin + begun * row]):
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
