"""Counts NaN and infinities in tensors, a bounded piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 16 * 1024 * 1024  # elements

# By torch's name of a type: the unsigned integer of its size, and the bits that are all set in
# NaN and infinities (the exponent).
_EXPONENTS = {
    "float16": ("<u2", 0x7C00),
    "bfloat16": ("<u2", 0x7F80),
    "float32": ("<u4", 0x7F800000),
    "complex64": ("<u4", 0x7F800000),
    "float64": ("<u8", 0x7FF0000000000000),
    "float8_e5m2": ("u1", 0x7C),
    "float8_e4m3fn": ("u1", 0x7F),
    "float8_e8m0fnu": ("u1", 0xFF),
}
_QUICK = ("float32", "float64")  # whose minimum numpy finds at once
# Types whose only value that is not finite is one pattern.
_PATTERNS = {"float8_e4m3fnuz": 0x80, "float8_e5m2fnuz": 0x80}


def count_in_bytes(numpy: Any, data: Any, dtype: str) -> int:
    """Return how many values of `data`, a buffer of `dtype`, are NaN or infinite.

    The bits decide, so that types unknown to numpy (bfloat16, float8) can be checked.
    """
    if len(data) == 0:
        return 0
    if dtype in _PATTERNS:
        return int((numpy.frombuffer(data, dtype="u1") == _PATTERNS[dtype]).sum())
    if dtype not in _EXPONENTS:
        return 0
    integer, mask = _EXPONENTS[dtype]
    values = numpy.frombuffer(data, dtype=integer)
    found = 0
    for start in range(0, values.size, PIECE):
        piece = values[start : start + PIECE]
        found += int(numpy.count_nonzero((piece & mask) == mask))
    return found


def count_nan_in_bytes(numpy: Any, data: Any, dtype: str) -> int:
    """Return how many values of `data`, a buffer of 16, 32 or 64-bit floats, are NaN."""
    if dtype not in _EXPONENTS or dtype.startswith(("complex", "float8")):
        return 0
    integer, exponent = _EXPONENTS[dtype]
    values = numpy.frombuffer(data, dtype=integer)
    if dtype in _QUICK and values.size:
        with numpy.errstate(invalid="ignore"):
            if not numpy.isnan(values.view(integer.replace("u", "f")).min()):  # NaN comes through
                return 0
    sign = 1 << (8 * values.dtype.itemsize - 1)
    return int(numpy.count_nonzero((values & (sign - 1)) > exponent))


def count_in_tensor(torch: Any, tensor: Any, device: str) -> int:
    """Return how many values of a torch tensor are NaN or infinite, computed on `device`.

    The tensor goes there in pieces, so that a model larger than the device's memory can be checked.
    """
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return 0
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if device == "mps" and tensor.dtype == torch.float64:
        device = "cpu"  # Metal has no doubles
    found = 0
    for piece in pieces(tensor):
        there = piece.to(device)
        if there.element_size() == 1:
            there = there.to(torch.float32)  # reductions are not there for float8
        # One pass without temporaries; NaN and infinities come through both.
        low, high = torch.aminmax(there)
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            found += int((~torch.isfinite(there)).sum())
    return found


def pieces(tensor: Any) -> Iterator[Any]:
    """Yield parts of a tensor, of at most `PIECE` elements if it is contiguous."""
    if tensor.numel() == 0:
        return
    if tensor.is_contiguous():
        flat = tensor.detach().view(-1)
        for start in range(0, flat.shape[0], PIECE):
            yield flat[start : start + PIECE]
    else:
        rows = max(1, PIECE * tensor.shape[0] // tensor.numel())
        for start in range(0, tensor.shape[0], rows):
            yield tensor.detach()[start : start + rows]
