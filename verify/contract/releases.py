"""Releases of libraries as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

# Until then `weights_only` could be got round, by files in torch's oldest format.
SAFE_TORCH = (2, 6)


def version(module: ModuleType) -> tuple[int, ...]:
    """Return a library's version as numbers, `4.51.3` as (4, 51, 3)."""
    numbers = []
    for part in str(getattr(module, "__version__", "0")).split(".")[:3]:
        digits = "".join(c for c in part.partition("+")[0] if c.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)
