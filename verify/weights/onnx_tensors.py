"""The numbers of an ONNX model: whether all are there, a checksum of each, and NaN among them.

Syntax of Python 3.8; numpy is the caller's.
"""

from __future__ import annotations

import mmap
import os
import zlib
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights import zero_tail
from fetcher.verify.weights.finite import count_nan_in_bytes
from fetcher.verify.weights.onnx_model import TYPES, Initializer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from typing import List, Tuple

    TensorSum = Tuple[str, int, List[int], int]  # name, type, shape, checksum

_PIECE = 1 << 20  # bytes: what was summed up is still in a core's cache when NaN is looked for
_LISTS = {4: "float32", 10: "float64"}  # numbers of a tensor that stand in the model as they are


def incomplete(file: Path, tensors: Sequence[Initializer], laid_out: Collection[Path]) -> list[str]:
    """Say which tensors are not whole: their external file is absent, too short, or not `laid_out`.

    `laid_out` are the absolute paths of the artifact's files. Call it for a model whose external
    data was judged. Raises OSError.
    """
    told: dict[str, str] = {}
    for one in tensors:
        if one.location:
            place = file.parent / one.location
            if not place.is_file():
                told.setdefault(
                    one.location, f"{one.location} is not there, which holds {one.name}"
                )
                continue
            size = place.stat().st_size
            end = size if one.end < 0 else one.end
            if end > size or one.begin > end:
                told.setdefault(
                    one.location,
                    f"{one.location} is truncated: {one.name} ends at byte {end:,} of {size:,}",
                )
            elif place not in laid_out:
                told.setdefault(
                    one.location, f"{one.location} is there, but no file of the artifact"
                )
            found = end - one.begin
        else:
            found = one.end - one.begin
        raw = one.location or found  # otherwise its numbers are kept in lists
        if raw and one.size is not None and found != one.size and one.name not in told:
            told[one.name] = f"{one.name} {list(one.shape)} has {found:,} bytes, not {one.size:,}"
    return list(told.values())


def read(
    numpy: Any, file: Path, tensors: Sequence[Initializer]
) -> tuple[list[TensorSum], list[str]]:
    """Return name, type, shape and checksum of each tensor, and the names of those that hold NaN.

    Infinities are no fault: masks have them. Raises OSError, and ProbeError for external data that
    was never written to its end.
    """
    by_place: dict[str, list[Initializer]] = {}
    for one in tensors:
        by_place.setdefault(one.location, []).append(one)
    sums, bad = [], []
    for location, held in by_place.items():
        place = file.parent / location if location else file
        with place.open("rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                sums += [(one.name, one.type, list(one.shape), 0) for one in held]
                continue
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                told = zero_tail.complaint(data, _spans(held, len(data))) if location else ""
                if told:
                    raise ProbeError(
                        f"{location} is not whole: {told}",
                        "remove the file and fetch the artifact again",
                    )
                for one in held:
                    checksum, broken = _of_tensor(numpy, data, one)
                    sums.append((one.name, one.type, list(one.shape), checksum))
                    if broken:
                        bad.append(one.name)
    return sorted(sums), bad


def _spans(held: Sequence[Initializer], size: int) -> list[zero_tail.Span]:
    return [
        zero_tail.Span(
            one.name,
            one.begin,
            size if one.end < 0 else one.end,
            one.shape[0] if len(one.shape) > 1 else 1,
        )
        for one in held
    ]


def _of_tensor(numpy: Any, data: mmap.mmap, one: Initializer) -> tuple[int, bool]:
    checksum, broken = 0, False
    end = len(data) if one.end < 0 else one.end
    dtype = TYPES.get(one.type, ("", 0))[0]
    parts = [(begin, min(begin + _PIECE, end), dtype) for begin in range(one.begin, end, _PIECE)]
    parts += [(begin, stop, _LISTS.get(kind, "")) for kind, begin, stop in one.lists]
    for begin, stop, held in parts:
        with memoryview(data) as whole, whole[begin:stop] as piece:
            checksum = zlib.crc32(piece, checksum)
            broken = broken or bool(count_nan_in_bytes(numpy, piece, held))
    return checksum, broken


def commonest(tensors: Sequence[Initializer]) -> str | None:
    """Return the element type that most numbers have."""
    counted: dict[str, int] = {}
    for one in tensors:
        name = TYPES.get(one.type, ("",))[0]
        counted[name] = counted.get(name, 0) + one.numbers
    return max(sorted(counted), key=lambda name: counted[name]) if counted else None
