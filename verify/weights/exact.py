"""Checksums of numbers that no arithmetic touches: integers, truth values, small floats.

Codes of quantised weights are packed into integers, whose low bits a sum with tolerance hides. The
same file gives the same checksums everywhere, so one bit is enough. torch is the caller's.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.fingerprints import bits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from fetcher.verify.contract.context import Context
    from fetcher.verify.weights.safetensors_header import TensorEntry

_INTEGERS = "integers"
_SMALL_FLOATS = ("float8", "float6", "float4")
_PACKED = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
# What releases save or not, in one form or another: buffers, and bitsandbytes' own notes.
_BUFFERS = ("position_ids", "token_type_ids", ".attn.bias", ".masked_bias", "num_batches_tracked")
_NOTES = ("bitsandbytes__nf4", "bitsandbytes__fp4", "weight_format")
_FEW = 1 << 20  # numbers: places and counts, which may be saved in a wider type
_PIECE = 1 << 20  # bytes
_MOST = 1 << 30  # bytes read of a model that is loaded as well: a second's time


class Checksum(NamedTuple):
    """What tells a tensor's bits: `kind` is torch's name of a small float, else `integers`."""

    kind: str
    value: int


def is_exact(dtype: str) -> bool:
    """Tell whether numbers of torch's `dtype` are compared bit by bit."""
    return "int" in dtype or dtype == "bool" or dtype.startswith(_SMALL_FLOATS)


def of_tensor(torch: Any, tensor: Any) -> Checksum | None:
    """Return the checksum of a tensor; None for one of other types, or without numbers."""
    dtype = str(tensor.dtype).replace("torch.", "")
    if tensor.is_meta or not (is_exact(dtype) or tensor.is_quantized):
        return None
    if tensor.layout != torch.strided:
        tensor = tensor.coalesce().values() if tensor.is_sparse else tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    held = tensor.detach().cpu().contiguous()
    if _is_place(dtype, held.numel()):
        held = held.to(torch.int64)
    size = held.numel() * held.element_size()
    # Without numpy a tensor is no buffer.
    import ctypes  # not light

    data = (ctypes.c_char * size).from_address(held.data_ptr()) if size else b""
    return Checksum(_kind(dtype), zlib.crc32(data))


def of_buffer(numpy: Any, data: Any, dtype: str) -> Checksum | None:
    """Return the checksum of a buffer of torch's `dtype`; None for other types."""
    if not is_exact(dtype):
        return None
    if "int" in dtype and _is_place(dtype, len(data) // numpy.dtype(dtype).itemsize):
        data = numpy.frombuffer(data, dtype=dtype).astype("int64").tobytes()
    return Checksum(_kind(dtype), zlib.crc32(data))


def of_bytes(path: Path, begin: int, end: int, dtype: str, step: int = 1) -> Checksum:
    """Return the checksum of a file's bytes, or of every `step`th piece of them. Raises OSError."""
    value = 0
    with path.open("rb") as stream:
        for at in range(begin, end, _PIECE * step):
            stream.seek(at)
            value = zlib.crc32(stream.read(min(_PIECE, end - at)), value)
    return Checksum(_kind(dtype), value)


def keep(context: Context, title: str, found: Mapping[str, Checksum | None]) -> None:
    """Keep the checksums of several tensors, by their names, as one fact for each kind."""
    held = {name: one for name, one in found.items() if one is not None}
    for kind in sorted({one.kind for one in held.values()}):
        sums = {name: held[name].value for name in sorted(held) if held[name].kind == kind}
        context.fact(bits_of(title, kind), sums)


def keep_packed(headers: Mapping[Path, Mapping[str, TensorEntry]], context: Context) -> None:
    """Keep the checksums of packed weights in safetensors files that a library is to load.

    Of more than 1 GiB evenly spread pieces are read: the loading takes its time as well.
    """
    places = list(_packed(headers))
    step = 1 + sum(entry.end - entry.begin for _, _, entry in places) // _MOST
    with context.timed("check_seconds"):
        found = {
            name: of_bytes(path, entry.begin, entry.end, entry.dtype, step)
            for name, path, entry in places
        }
    keep(context, "files", found)


def _packed(
    headers: Mapping[Path, Mapping[str, TensorEntry]],
) -> Iterable[tuple[str, Path, TensorEntry]]:
    for path, held in headers.items():
        for name, entry in held.items():
            small = entry.dtype.startswith(_SMALL_FLOATS)
            if (small or entry.dtype in _PACKED) and not name.endswith(_BUFFERS + _NOTES):
                yield name, path, entry


def _kind(dtype: str) -> str:
    return dtype if dtype.startswith(_SMALL_FLOATS) else _INTEGERS


def _is_place(dtype: str, count: int) -> bool:
    """Tell whether these are few integers of more than 8 bits."""
    return "int" in dtype and not dtype.startswith("q") and dtype[-1] != "8" and count <= _FEW
