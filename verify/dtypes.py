"""Number types by the names that people use."""

from __future__ import annotations

from typing import Any

from .protocol import ProbeError

SHORT_NAMES = {
    "fp64": "float64",
    "double": "float64",
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
}
FLOATING = ("float64", "float32", "float16", "bfloat16")


def is_floating(name: Any) -> bool:
    """Tell whether this is a type that a model may be loaded with."""
    return isinstance(name, str) and SHORT_NAMES.get(name, name) in FLOATING


def of_torch(torch: Any, name: str) -> Any:
    """Return torch's type of this name. Raises ProbeError for one to which no model is loaded."""
    if not is_floating(name):
        raise ProbeError(
            f"dtype {name!r} is not a type to load a model with", "use " + ", ".join(FLOATING)
        )
    return getattr(torch, SHORT_NAMES.get(name, name))
