"""Pseudorandom signs for sums that tell one set of values from another: the same for ever.

What is stored of such sums is compared with what another device, library or release finds. Read by
both interpreters: syntax of Python 3.8.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROW = 1024  # values that one row of signs is for


@lru_cache(maxsize=16)
def signs(label: str, sums: int) -> list[list[float]]:
    """Return ROW rows of `sums` times +1 or -1; another `label` gives others."""
    bits = hashlib.shake_128(label.encode()).digest(ROW * sums // 8)
    return [
        [1.0 if bits[(n * sums + k) // 8] >> (k % 8) & 1 else -1.0 for k in range(sums)]
        for n in range(ROW)
    ]


def like(values: Any, label: str, sums: int) -> Any:
    """Return `signs` as what the values are, (ROW, sums): a tensor of torch or array of numpy."""
    return _matrix(hasattr(values, "detach"), str(values.dtype).replace("torch.", ""), label, sums)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread meanwhile: sums of small blocks wait longer for several
    than they take, above all where other processes have the cores as well.
    """
    torch: Any = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 1
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=64)
def _matrix(of_torch: bool, dtype: str, label: str, sums: int) -> Any:
    if of_torch:
        torch = sys.modules["torch"]
        return torch.tensor(signs(label, sums), dtype=getattr(torch, dtype))
    return sys.modules["numpy"].array(signs(label, sums), dtype=dtype)
