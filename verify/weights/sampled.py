"""A few numbers of a tensor by which another one is told, made of all its values.

Runs under the project's interpreter; torch is the caller's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fetcher.verify.weights.finite import count_in_tensor, pieces

_LARGE = 64  # elements: biases and scalars may well be zero
# The same file gives the same numbers but for the order of sums in float32.
TOLERANCE = 2e-4
_PERIOD = 4099  # a prime, so that rows of no usual width have the same signs


class Sums(NamedTuple):
    """`nonfinite` values; whether all are `zero`, and the tensor `large`; `kept`: what tells it.

    That is the logarithm of its root mean square, and a sum with pseudorandom signs in units of it.
    """

    nonfinite: int
    zero: bool
    large: bool
    kept: tuple[float, float]


def of_tensor(torch: Any, tensor: Any) -> Sums:
    """Return what is found in a tensor, on the CPU."""
    count = tensor.numel()
    large = count >= _LARGE and tensor.dim() > 1
    bad = count_in_tensor(torch, tensor, "cpu")
    if bad or not count or tensor.is_complex():
        return Sums(bad, False, large, (0.0, 0.0))
    signs = _signs(torch)
    squares, signed = 0.0, 0.0
    for piece in pieces(tensor.contiguous()):
        values = piece.float()
        squares += float((values * values).sum(dtype=torch.float64))
        whole = len(values) // _PERIOD * _PERIOD
        signed += float((values[:whole].view(-1, _PERIOD) @ signs).sum(dtype=torch.float64))
        signed += float(values[whole:] @ signs[: len(values) - whole])
    size = math.sqrt(squares / count)
    if not size:
        return Sums(0, True, large, (-20.0, 0.0))
    return Sums(0, False, large, (math.log(size), signed / size / math.sqrt(count)))


def _signs(torch: Any) -> Any:
    # Made without a generator of torch, whose numbers a release may change.
    numbers = torch.arange(_PERIOD, dtype=torch.int64)
    mixed = (numbers * 2654435761 + 12345) % 4294967296
    mixed = (mixed * (mixed % 65521 + 7)) % 1000003
    return (mixed % 2).float() * 2 - 1
