"""Number types by the names that people use."""

from __future__ import annotations

from typing import Any

from fetcher.verify.contract.probe_errors import ProbeError

SHORT_NAMES = {
    "fp64": "float64",
    "double": "float64",
    "fp32": "float32",
    "float": "float32",
    "fp16": "float16",
    "half": "float16",
    "bf16": "bfloat16",
}
# Codes of safetensors: torch's name and the bits of one element.
CODES = {
    "BOOL": ("bool", 8),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "U16": ("uint16", 16),
    "I16": ("int16", 16),
    "U32": ("uint32", 32),
    "I32": ("int32", 32),
    "U64": ("uint64", 64),
    "I64": ("int64", 64),
    "F4": ("float4_e2m1fn_x2", 4),
    "F6_E2M3": ("float6_e2m3", 6),
    "F6_E3M2": ("float6_e3m2", 6),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "F32": ("float32", 32),
    "F64": ("float64", 64),
    "C64": ("complex64", 64),
}
TENSORS = frozenset(name for name, _ in CODES.values()) | {"complex128"}
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
