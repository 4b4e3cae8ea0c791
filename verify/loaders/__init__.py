"""Loads laid-out models with their own libraries; shared by probes and by applications.

Each module holds one kind of model and imports its libraries inside functions. Read by the
project's interpreter as well: syntax of Python 3.8. What cannot be loaded raises LoadError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..protocol import ProbeError

if TYPE_CHECKING:
    from types import ModuleType


class LoadError(ProbeError):
    """The model cannot be loaded: `reason` in one sentence, `hint` what to do about it."""


def version(module: ModuleType) -> tuple[int, ...]:
    """Return a library's version as numbers, `4.51.3` as (4, 51, 3)."""
    numbers = []
    for part in str(getattr(module, "__version__", "0")).split(".")[:3]:
        digits = "".join(c for c in part if c.isdigit())
        numbers.append(int(digits or 0))
    return tuple(numbers)


def dtype_argument(transformers: ModuleType, dtype: Any) -> dict[str, Any]:
    """Return the keyword that `from_pretrained` of this release calls the number type."""
    return {"dtype" if version(transformers) >= (4, 56) else "torch_dtype": dtype}


def quiet(transformers: ModuleType) -> None:
    """Keep a library from telling in passing what is told here in words of its own."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
