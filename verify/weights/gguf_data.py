"""The numbers of a GGUF file: a checksum of each tensor, what is not finite, and what is zero.

Of quantised tensors the scales of the blocks are looked at: the rest are small integers. Needs
numpy for that; without it only checksums are made. Syntax of Python 3.8.
"""

from __future__ import annotations

import mmap
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.weights.finite import count_in_bytes
from fetcher.verify.weights.gguf_types import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fetcher.verify.weights.gguf_header import GgufTensor

_PIECE = 32 << 20  # bytes, at least; a whole number of blocks
_EXPONENT = 0x7C00  # of a 16-bit float: NaN and infinities have all of it


class Numbers(NamedTuple):
    """What was found in one tensor: `zeros` bytes at its end are zero, of `size`.

    `scale` is the mean size of its scales or numbers.
    """

    name: str
    size: int
    checksum: int
    nonfinite: int
    zeros: int
    scale: float | None

    @property
    def zero(self) -> bool:
        """Tell whether the tensor holds nothing but zeros."""
        return self.zeros == self.size > 0


def read(numpy: Any, path: Path, tensors: Mapping[str, GgufTensor]) -> Iterator[Numbers]:
    """Yield what is found in each tensor of a file; `numpy` may be None. Raises OSError."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name, tensor in tensors.items():
            yield _of_tensor(numpy, data, name, tensor)


def _of_tensor(numpy: Any, data: mmap.mmap, name: str, tensor: GgufTensor) -> Numbers:
    checksum, bad, zeros, total, count = 0, 0, 0, 0.0, 0
    width = tensor.type.size if tensor.type else 1
    step = -(-_PIECE // width) * width
    for begin in range(tensor.begin, tensor.end, step):
        piece = data[begin : min(begin + step, tensor.end)]
        checksum = zlib.crc32(piece, checksum)
        told = len(piece.rstrip(b"\0"))
        zeros = len(piece) - told + (0 if told else zeros)
        if numpy is not None and tensor.type is not None:
            found = _scales(numpy, piece, tensor)
            bad += found[0]
            total += found[1]
            count += found[2]
    size = tensor.end - tensor.begin
    return Numbers(name, size, checksum, bad, zeros, total / count if count else None)


def _scales(numpy: Any, piece: bytes, tensor: GgufTensor) -> tuple[int, float, int]:
    """Return how many are not finite, the sum of their sizes, and how many are in that."""
    assert tensor.type is not None
    if tensor.kind in PLAIN:
        bad = count_in_bytes(numpy, piece, PLAIN[tensor.kind])
        values = _plain(numpy, piece, tensor.kind)
    elif tensor.type.scales:
        blocks = numpy.frombuffer(piece, dtype="u1").reshape(-1, tensor.type.size)
        scales = [
            numpy.ascontiguousarray(blocks[:, at : at + 2]).view("<u2") for at in tensor.type.scales
        ]
        bad = sum(int(((one & _EXPONENT) == _EXPONENT).sum()) for one in scales)
        values = scales[0].view("<f2")
    elif tensor.kind in _OTHER_SCALES:
        blocks = numpy.frombuffer(piece, dtype="u1").reshape(-1, tensor.type.size)
        return int(_OTHER_SCALES[tensor.kind](numpy, blocks).sum()), 0.0, 0
    else:
        return 0, 0.0, 0
    if bad:
        return bad, 0.0, 0
    return 0, float(numpy.abs(values).sum(dtype="float64")), values.size


def _of_q8_k(numpy: Any, blocks: Any) -> Any:
    scales = numpy.ascontiguousarray(blocks[:, :4]).view("<f4")
    return ~numpy.isfinite(scales)


def _of_iq1_m(numpy: Any, blocks: Any) -> Any:
    """The scale's four digits stand at the ends of four words."""
    words = numpy.ascontiguousarray(blocks[:, 48:56]).view("<u2")
    return ((words[:, 3] & 0xF000) | ((words[:, 2] & 0xF000) >> 4)) & _EXPONENT == _EXPONENT


def _of_mxfp4(numpy: Any, blocks: Any) -> Any:
    return blocks[:, 0] == 0xFF  # a power of two; this one stands for NaN


def _of_nvfp4(numpy: Any, blocks: Any) -> Any:
    return (blocks[:, :4] & 0x7F) == 0x7F  # NaN of eight bits


# Of each block, whether its scales, which are no 16-bit floats, are not finite.
_OTHER_SCALES = {
    "Q8_K": _of_q8_k, "IQ1_M": _of_iq1_m, "MXFP4": _of_mxfp4, "NVFP4": _of_nvfp4,
}  # fmt: skip


def _plain(numpy: Any, piece: bytes, kind: str) -> Any:
    if kind == "BF16":
        return (numpy.frombuffer(piece, dtype="<u2").astype("<u4") << 16).view("<f4")
    return numpy.frombuffer(piece, dtype={"F16": "<f2", "F32": "<f4", "F64": "<f8"}[kind])
