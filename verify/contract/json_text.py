"""JSON from outside, bounded by the memory that its values would take before they are made.

Few bytes of text may stand for many values: `[[],[],[]…` takes twenty times its size. Nothing
that is written for a purpose is like that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# Values of a text as small as this take a bearable amount of memory whatever they are.
SMALL = 8 << 20
# Bytes of memory that each sign in the text may announce: a value, a list, an object.
_COSTS = ((",", 72), ("[", 72), ("{", 240))
# What may be taken, at least; and for each byte of a longer text.
LEAST_MEMORY = 256 << 20
MEMORY_FOR_BYTE = 8


class TooManyValuesError(ValueError):
    """A JSON text whose values would take far more memory than it has bytes."""


def loads(
    text: str | bytes,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    most: int | None = None,
) -> Any:
    """The value that a JSON text stands for; `most` bytes of memory at most, if that is given.

    Raises ValueError for no JSON, its kind TooManyValuesError for too much of it, and
    RecursionError.
    """
    if len(text) > SMALL:
        needed = memory_of(text)
        allowed = max(LEAST_MEMORY, MEMORY_FOR_BYTE * len(text))
        if needed > min(allowed, most or allowed):
            raise TooManyValuesError(f"its {len(text):,} bytes stand for too many values")
    return json.loads(text, object_pairs_hook=object_pairs_hook)


def memory_of(text: str | bytes) -> int:
    """Bytes that the values of a JSON text take at most."""
    if isinstance(text, bytes):
        signs = sum(text.count(sign.encode()) * cost for sign, cost in _COSTS)
    else:
        signs = sum(text.count(sign) * cost for sign, cost in _COSTS)
    # One character from beyond the alphabets makes four bytes of every other.
    return signs if text.isascii() else signs + 3 * len(text)
