"""Takes fingerprints of outputs, and compares them so that a device's rounding does not matter.

Read by both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from fetcher.verify.contract.exhibits import Fact, Fingerprint
from fetcher.verify.contract.signs import ROW, like, one_thread, signs

SAMPLES = 32
SKETCH = 16
_LABELS = ("fetch sketch 0", "fetch sketch 1", "fetch sketch 2")
# What one model's outputs may differ by between devices, library versions and kernels, as a share
# of their spread. Measured on MiniLM against float32: float16 0.0014, bfloat16 0.010. Other weights
# give some 100 %, a short fine-tuning several percent.
_TOLERANCES = {"float64": 0.002, "float32": 0.005, "float16": 0.01, "bfloat16": 0.03}
_DEFAULT_TOLERANCE = 0.25  # quantised weights
# What a fingerprint of the weights themselves, which no layer has made coarser, may differ by when
# they are saved in another type, as a share of the tolerance: measured are 0.043 and 0.019 of it.
_OF_WEIGHTS = 0.15
_WORST = 4.0  # a single sample may deviate by so many tolerances
_DIGITS = 7
_BITS = ": bits of "
_MAX_FACT = 80  # characters: what is longer is kept as its digest


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
    with one_thread():
        sketch = tuple(_rounded(number) for number in _sketch(flat, mean))
    mean, std, low, high, *samples = (_rounded(number) for number in numbers)
    return Fingerprint(name, shape, mean, std, low, high, tuple(samples), tolerance, sketch)


def fact(name: str, value: Any) -> Fact:
    """Return a fact: the text itself, or JSON of what is none; of a long one its digest."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    plain = "".join(c if c.isprintable() else " " for c in text)
    if len(text) > _MAX_FACT or plain != text:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        plain = f"{plain[: _MAX_FACT // 2]}… ({len(text):,} characters, sha256 {digest})"
    return Fact(name, plain)


def bits_of(title: str, kind: str) -> str:
    """Return the name of a fact that holds checksums of numbers of this type, or of `integers`."""
    return f"{title}{_BITS}{kind}"


def outlives_a_conversion(fact_name: str) -> bool:
    """Tell whether a fact holds in every number type of the weights: bits of floats do not."""
    return f"{_BITS}float" not in fact_name


def tolerance_of(dtype: str | None) -> float:
    """Return the deviation allowed for outputs of weights of this type, as a share of their spread.

    Of several types, as in `float32, int64`, the coarsest decides.
    """
    names = [name.strip() for name in (dtype or "float32").split(",")]
    known = [_TOLERANCES[name] for name in names if name in _TOLERANCES]
    return max(known) if known else _DEFAULT_TOLERANCE


def coarser(one: str, other: str) -> str:
    """Return that of two number types with the larger tolerance; the first if it is the same."""
    return max((one, other), key=tolerance_of)


def difference(golden: Fingerprint, found: Fingerprint, *dtypes: str | None) -> str:
    """Return in words how an output differs from what was stored; '' if it is the same.

    `dtypes` are the number types that the weights had, then and now: the coarser decides.
    """
    if golden.shape != found.shape:
        return f"the shape is {list(found.shape)}, it was {list(golden.shape)}"
    allowed = max(map(tolerance_of, dtypes))
    if found.tolerance is not None and len({*dtypes}) == 1:
        allowed = found.tolerance
    elif found.tolerance is not None:
        # Below what rounding does to outputs it is of weights.
        weights = found.tolerance < _TOLERANCES["float64"]
        allowed = max(allowed * (_OF_WEIGHTS if weights else 1), found.tolerance)
    apart = deviation(golden, found)
    if apart <= allowed:
        return ""
    return f"the values differ by {apart:.2g} of their spread, {allowed:.2g} is allowed"


def deviation(golden: Fingerprint, found: Fingerprint) -> float:
    """Return how far an output is from what was stored, as a share of the values' spread.

    It is what is typical of the values, or a quarter of what the worst of them deviates by.
    """
    # Next to a large mean, rounding is of the mean's size.
    scale = max(golden.std, 0.01 * max(abs(golden.low), abs(golden.high)), 1e-12)
    if len(golden.samples) != len(found.samples):
        return math.inf
    found_by = [
        abs(found.mean - golden.mean) / scale,
        abs(found.std - golden.std) / scale,
        _apart(golden.samples, found.samples, scale),
    ]
    if len(golden.sketch) == len(found.sketch):  # older files have none
        found_by.append(_apart(golden.sketch, found.sketch, scale))
    return max(found_by)


def _apart(then: tuple[float, ...], now: tuple[float, ...], scale: float) -> float:
    each = [abs(one - other) / scale for one, other in zip(then, now)]
    if not each:
        return 0.0
    typical = math.sqrt(sum(value * value for value in each) / len(each))
    return max(typical, max(each) / _WORST)


def _sketch(flat: Any, mean: float) -> list[float]:
    """Return sums of all values with pseudorandom signs, over the root of their number."""
    count = len(flat)
    if isinstance(flat, list):
        inner, outer, last = (signs(label, SKETCH) for label in _LABELS)
        sums = [0.0] * SKETCH
        for number, value in enumerate(flat):
            row = number // ROW
            one, two, three = inner[number % ROW], outer[row % ROW], last[row // ROW % ROW]
            for k in range(SKETCH):
                sums[k] += (value - mean) * one[k] * two[k] * three[k]
        return [value / math.sqrt(count) for value in sums]
    within, among, beyond = (like(flat, label, SKETCH) for label in _LABELS)
    rows = count // ROW
    total = (flat[rows * ROW :] - mean) @ within[: count - rows * ROW]
    total = total * among[rows % ROW] * beyond[rows // ROW % ROW]
    for first in range(0, rows, ROW):  # a block at a time: what is copied stays small
        block = flat[first * ROW : min(first + ROW, rows) * ROW].reshape(-1, ROW) - mean
        sums = block @ within
        total = total + (sums * among[: len(sums)]).sum(0) * beyond[first // ROW % ROW]
    return [float(value) / math.sqrt(count) for value in total]


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
