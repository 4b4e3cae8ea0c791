"""A few numbers of each tensor, by which other values are told from the same ones.

They are sums with pseudorandom signs, over the root mean square: a change of any part moves them,
a conversion between number types hardly does.
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, Any

from fetcher.verify.contract.signs import ROW, like, one_thread, signs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context

_LABELS = tuple(f"fetch tensor sketch {level}" for level in range(4))
BLOCK = 128 * ROW  # stays in a core's cache
_SUMS = 8
_KNOWN = re.compile(r"u?int\d+|float(16|32|64)")  # to numpy
_LEAST = 1e-6  # root mean square below which a tensor counts as zeros
# The same file gives the same numbers but for the order of sums; across types the types decide.
TOLERANCE = 1e-5


def keep(context: Context, name: str, sketches: Mapping[str, list[float]]) -> None:
    """Keep the numbers of several tensors, by their names, as one fingerprint.

    Every tensor counts alike, however many numbers it has, or a small one would not be seen. What
    a probe draws or answers hides what a weight does elsewhere; this does not.
    """
    if sketches:
        values = [sketches[tensor] for tensor in sorted(sketches)]
        context.fingerprint(name, values, TOLERANCE)


def of_blocks(blocks: Iterable[Any]) -> list[float]:
    """Return the numbers of one tensor, given as flat float arrays (torch or numpy) of BLOCK
    values, the last one shorter. NaN and infinities count as zeros.
    """
    sums, squares, count = [0.0] * _SUMS, 0.0, 0
    with one_thread():
        for number, block in enumerate(blocks):
            part, squared = _sums(block, number)
            if not math.isfinite(squared):
                part, squared = _sums(_cleared(block), number)
            sums = [a + b for a, b in zip(sums, part)]
            squares, count = squares + squared, count + len(block)
    typical = math.sqrt(squares / count) if count else 0.0
    scale = typical * math.sqrt(count)
    level = math.log10(max(typical, _LEAST))
    return [level, *(value / scale if scale else 0.0 for value in sums)]


def of_tensor(torch: Any, tensor: Any) -> Iterator[Any]:
    """Yield a torch tensor's values as `of_blocks` takes them."""
    if tensor.is_meta:
        return
    if tensor.layout != torch.strided:
        tensor = tensor.coalesce().values() if tensor.is_sparse else tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    wide = not tensor.is_floating_point() or tensor.dtype == torch.float64
    flat = tensor.detach().contiguous().view(-1)
    for start in range(0, len(flat), BLOCK):
        yield flat[start : start + BLOCK].to(torch.float64 if wide else torch.float32)


def of_array(numpy: Any, array: Any) -> Iterator[Any]:
    """Yield a numpy array's values as `of_blocks` takes them."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "c":
        flat = flat.view(f"{flat.dtype.byteorder}f{flat.dtype.itemsize // 2}")
    kind = numpy.float32 if flat.dtype.str[1:] in ("f2", "f4") else numpy.float64
    for start in range(0, len(flat), BLOCK):
        yield flat[start : start + BLOCK].astype(kind)


def of_buffer(numpy: Any, data: Any, dtype: str) -> Iterator[Any]:
    """Yield the values of a buffer of torch's `dtype`; those unknown to numpy as their bytes."""
    if dtype == "bfloat16":  # the upper half of a float32
        halves = numpy.frombuffer(data, dtype="<u2")
        for start in range(0, len(halves), BLOCK):
            yield (halves[start : start + BLOCK].astype("<u4") << 16).view("<f4")
        return
    known = dtype in ("bool", "complex64") or _KNOWN.fullmatch(dtype)
    yield from of_array(numpy, numpy.frombuffer(data, dtype=dtype if known else "uint8"))


def of_bytes(path: Path, begin: int, end: int) -> list[float]:
    """Return the numbers of a file's bytes, taken as integers."""
    torch = sys.modules["torch"]
    with path.open("rb") as stream:
        stream.seek(begin)
        data = bytearray(stream.read(end - begin))
    return of_blocks(of_tensor(torch, torch.frombuffer(data, dtype=torch.uint8)) if data else ())


def _sums(block: Any, number: int) -> tuple[list[float], float]:
    within, among = (like(block, label, _SUMS) for label in _LABELS[:2])
    rows = len(block) // ROW
    total = (block[: rows * ROW].reshape(-1, ROW) @ within * among[:rows]).sum(0)
    rest = block[rows * ROW :]
    if len(rest):
        total = total + rest @ within[: len(rest)] * among[rows]
    third, fourth = (signs(label, _SUMS) for label in _LABELS[2:])
    beyond = zip(third[number % ROW], fourth[number // ROW % ROW])
    signed = [float(s) * a * b for s, (a, b) in zip(total, beyond)]
    return signed, float(block @ block)


def _cleared(block: Any) -> Any:
    if hasattr(block, "detach"):
        finite = block.nan_to_num(0.0, 0.0, 0.0).double()
        return finite.clamp(-1e100, 1e100)
    finite = sys.modules["numpy"].nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    return finite.astype("float64").clip(-1e100, 1e100)
