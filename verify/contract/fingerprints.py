"""Takes fingerprints of outputs, and compares them so that a device's rounding does not matter.

Read by both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

import math
from typing import Any

from fetcher.verify.contract.exhibits import Fingerprint

SAMPLES = 32
# What one model's outputs may differ by between devices, library versions and kernels, as a share
# of their spread. Other weights give some 100 %, a short fine-tuning several percent.
_TOLERANCES = {"float64": 0.002, "float32": 0.005, "float16": 0.03, "bfloat16": 0.1}
_DEFAULT_TOLERANCE = 0.25  # quantised weights
_WORST = 4.0  # a single sample may deviate by so many tolerances
_DIGITS = 7


def take(name: str, values: Any, tolerance: float | None = None) -> Fingerprint:
    """Return the fingerprint of a torch tensor, numpy array, number or nested lists of numbers.

    Raises ValueError if there is no value, or one that is not finite.
    """
    shape, flat = _flattened(values)
    count = len(flat)
    if count == 0:
        raise ValueError(f"{name}: it is empty")
    picked = [flat[(2 * n + 1) * count // (2 * SAMPLES)] for n in range(SAMPLES)]
    if count <= SAMPLES:
        picked = [flat[n] for n in range(count)]
    mean, std, low, high = _statistics(flat)
    numbers = [mean, std, low, high, *(float(value) for value in picked)]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{name}: it holds NaN or infinity")
    mean, std, low, high, *samples = (_rounded(number) for number in numbers)
    return Fingerprint(name, shape, mean, std, low, high, tuple(samples), tolerance)


def tolerance_of(dtype: str | None) -> float:
    """Return the deviation allowed for outputs of weights of this type, as a share of their spread.

    Of several types, as in `float32, int64`, the coarsest decides.
    """
    names = [name.strip() for name in (dtype or "float32").split(",")]
    known = [_TOLERANCES[name] for name in names if name in _TOLERANCES]
    return max(known) if known else _DEFAULT_TOLERANCE


def difference(golden: Fingerprint, found: Fingerprint, dtype: str | None) -> str:
    """Return in words how an output differs from what was stored; '' if it is the same."""
    if golden.shape != found.shape:
        return f"the shape is {list(found.shape)}, it was {list(golden.shape)}"
    allowed = found.tolerance if found.tolerance is not None else tolerance_of(dtype)
    # Next to a large mean, rounding is of the mean's size.
    scale = max(golden.std, 0.01 * max(abs(golden.low), abs(golden.high)), 1e-12)
    apart = [
        abs(now - then) / scale
        for now, then in zip(found.samples, golden.samples)  # noqa: B905
    ]
    typical = math.sqrt(sum(value * value for value in apart) / len(apart))
    drift = max(abs(found.mean - golden.mean), abs(found.std - golden.std)) / scale
    if len(found.samples) == len(golden.samples) and (
        typical <= allowed and drift <= allowed and max(apart) <= _WORST * allowed
    ):
        return ""
    return (
        f"the values differ by {max(typical, drift, max(apart) / _WORST):.2g} of their spread, "
        f"{allowed:.2g} is allowed"
    )


def _flattened(values: Any) -> tuple[tuple[int, ...], Any]:
    """Return the shape, and the values as something one-dimensional that can be indexed."""
    if hasattr(values, "detach"):  # torch
        flat = values.detach().reshape(-1).cpu()
        return tuple(int(size) for size in values.shape), flat.double()
    if hasattr(values, "reshape") and hasattr(values, "shape"):  # numpy
        return tuple(int(size) for size in values.shape), values.reshape(-1).astype("float64")
    if isinstance(values, (list, tuple)):
        parts = [_flattened(value) for value in values]
        inner = parts[0][0] if parts else ()
        if any(shape != inner for shape, _ in parts):
            raise ValueError("the lists are of different lengths")
        return (len(parts), *inner), [number for _, flat in parts for number in flat]
    return (), [float(values)]


def _statistics(flat: Any) -> tuple[float, float, float, float]:
    if isinstance(flat, list):
        mean = math.fsum(flat) / len(flat)
        variance = math.fsum((value - mean) ** 2 for value in flat) / len(flat)
        return mean, math.sqrt(variance), min(flat), max(flat)
    mean = float(flat.mean())
    variance = float(((flat - mean) ** 2).mean())
    return mean, math.sqrt(variance), float(flat.min()), float(flat.max())


def _rounded(number: float) -> float:
    """Return a number with the digits that float32 has: more would be noise in a diff."""
    return float(f"{number:.{_DIGITS}g}")
