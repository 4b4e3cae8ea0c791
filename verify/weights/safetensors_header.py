"""The header of a .safetensors file, read and checked without a library."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract import json_text
from fetcher.verify.contract.dtypes import CODES
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import open_regular

if TYPE_CHECKING:
    from pathlib import Path

_HEADER_LIMIT = 100_000_000  # bytes, the format's own


@dataclass(frozen=True)
class TensorEntry:
    """One tensor: its `code` in the format, and bytes `begin` to `end` of the file."""

    code: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def dtype(self) -> str:
        """Return torch's name of the element type."""
        return CODES[self.code][0]


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Return the tensors of a .safetensors file by name, in the order of their bytes.

    Raises ProbeError if the header is not valid, if tensors leave holes or overlap, or if the file
    is shorter or longer than they need.
    """
    size = path.stat().st_size
    with open_regular(path) as stream:
        first = stream.read(8)
        if len(first) < 8:
            raise _truncated(f"it has {size} bytes, too few for a header")
        length = struct.unpack("<Q", first)[0]
        if length > _HEADER_LIMIT:
            raise ProbeError(f"not a safetensors file: a header of {length} bytes is too large")
        raw = stream.read(length)
    if len(raw) < length:
        raise _truncated(f"it has {size} bytes, its header alone needs {8 + length}")
    table = _parse(raw)
    table.pop("__metadata__", None)
    entries = {name: _entry(name, value, 8 + length) for name, value in table.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_extent(ordered, 8 + length, size)
    return ordered


def _parse(raw: bytes) -> dict[str, object]:
    try:
        table = json_text.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ProbeError(f"the header is not valid: {error}", "fetch the file again") from None
    if not isinstance(table, dict):
        raise ProbeError("the header is not a table of tensors", "fetch the file again")
    return table


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"{name!r} is in it twice")
        table[name] = value
    return table


def _entry(name: str, value: Any, start: int) -> TensorEntry:
    try:
        code, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
        sizes = [*shape, begin, end]
    except (TypeError, KeyError, ValueError):
        raise ProbeError(f"the header's entry for {name!r} is not valid") from None
    if any(isinstance(number, bool) or not isinstance(number, int) for number in sizes):
        raise ProbeError(f"the header's numbers for {name!r} are not whole")
    if not isinstance(code, str) or code not in CODES:
        raise ProbeError(f"tensor {name!r} has a type that is not known here: {code!r}")
    bits = CODES[code][1]
    for number in shape:
        bits *= number
    if min(sizes, default=0) < 0 or end - begin != (bits + 7) // 8:
        raise ProbeError(f"the header's shape and offsets for {name!r} contradict each other")
    return TensorEntry(code, tuple(shape), start + begin, start + end)


def _check_extent(ordered: dict[str, TensorEntry], start: int, size: int) -> None:
    position = start
    for name, entry in ordered.items():
        if entry.begin != position:
            what = "overlap" if entry.begin < position else "leave a hole"
            raise ProbeError(f"the header is not valid: tensors {what} before {name!r}")
        position = entry.end
    if size < position:
        raise _truncated(f"it has {size} bytes, its header says {position}")
    if size > position:
        raise ProbeError(f"{size - position} bytes follow the last tensor", "fetch the file again")


def _truncated(detail: str) -> ProbeError:
    return ProbeError(f"truncated: {detail}", "remove the file and fetch it again")
