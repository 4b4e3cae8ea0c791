"""Arrays of numpy in pickles, .npy and .npz: read here from their bytes, numpy takes no part.

Whatever a pickle names of numpy gets a stand-in that does nothing but keep shape, type and bytes.
"""

from __future__ import annotations

import ast
import math
import struct
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TORCH_NAMES = {
    **{f"f{n}": f"float{8 * n}" for n in (2, 4, 8)},
    **{f"i{n}": f"int{8 * n}" for n in (1, 2, 4, 8)},
    **{f"u{n}": f"uint{8 * n}" for n in (1, 2, 4, 8)},
    **{f"c{n}": f"complex{8 * n}" for n in (8, 16)},
    "b1": "bool",
    "V2": "bfloat16",  # numpy has no name for it, and saves it as two bytes
}
_SWAPS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_NPY = b"\x93NUMPY"
_MAX_HEADER = 1 << 16


class Dtype:
    """Stands for `numpy.dtype`: `code` such as `f4`, and whether its bytes are swapped."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = str(code).lstrip("<>|=") if isinstance(code, str) else ""
        self.swapped = isinstance(code, str) and code.startswith(">")

    def __setstate__(self, state: Any) -> None:
        """Take the order of bytes; a type with fields or below another is not known here."""
        if not isinstance(state, tuple) or len(state) < 5 or any(state[2:5]):
            self.code = ""
        else:
            self.swapped = state[1] in (">", b">")


class Array:
    """Stands for `numpy.ndarray`: shape, type, order and bytes, nothing else."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = ()
        self.dtype = Dtype()
        self.fortran = False
        self.data: Any = b""

    def __setstate__(self, state: Any) -> None:
        """Take what numpy pickles: version, shape, type, order, bytes (or a list of objects)."""
        _, shape, dtype, fortran, data = state
        self.fill(shape, dtype, bool(fortran), data)

    def fill(self, shape: Any, dtype: Any, fortran: bool, data: Any) -> Array:
        """Keep them. Raises ValueError where they do not fit one another."""
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        if not all(isinstance(size, int) and size >= 0 for size in sizes):
            raise ValueError(f"an array's shape is {shape!r}")
        if isinstance(data, str):  # as Python 2 wrote bytes
            data = data.encode("latin-1")
        self.shape, self.fortran = sizes, fortran
        self.dtype = dtype if isinstance(dtype, Dtype) else Dtype()
        self.data = data
        return self

    @property
    def is_numbers(self) -> bool:
        """Whether it holds numbers, and not objects, texts or fields."""
        return self.dtype.code in _TORCH_NAMES and not isinstance(self.data, list)

    def tensor(self, torch: Any) -> Any:
        """Return it as a tensor. Raises ValueError if its bytes are not as many as it needs."""
        dtype = getattr(torch, _TORCH_NAMES[self.dtype.code])
        width = int(self.dtype.code[1:])
        raw = self.data if isinstance(self.data, bytearray) else bytearray(self.data)
        if len(raw) != math.prod(self.shape) * width:
            raise ValueError(f"an array of {list(self.shape)} has {len(raw)} bytes")
        if self.dtype.swapped and width > 1:
            numbers = array(_SWAPS[width // (2 if self.dtype.code[0] == "c" else 1)], bytes(raw))
            numbers.byteswap()
            raw = bytearray(numbers.tobytes())
        flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        if self.fortran:
            return flat.view(self.shape[::-1]).permute(*reversed(range(len(self.shape))))
        return flat.view(self.shape)


def _reconstruct(*_: Any) -> Array:
    return Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any = "C", *_: Any) -> Array:
    return Array().fill(shape, dtype, order == "F", bytes(data))


class Scalar:
    """Stands for a number of numpy: nobody looks at it."""

    def __init__(self, *_: Any) -> None:
        """Keep nothing."""

    def __setstate__(self, state: Any) -> None:
        """Keep nothing."""


def stand_in(name: str) -> Callable[..., Any]:
    """Return what takes the place of a global for which `inert_globals.is_numpy` holds."""
    last = name.rpartition(".")[2]
    known: dict[str, Callable[..., Any]] = {
        "ndarray": Array,
        "dtype": Dtype,
        "_reconstruct": _reconstruct,
        "_frombuffer": _frombuffer,
    }
    return known.get(last, Scalar)


def from_npy(data: bytes) -> Array:
    """Return the array of a .npy file. Raises ValueError if it is none, or is cut off."""
    if not data.startswith(_NPY) or len(data) < 12:
        raise ValueError("not an array of numpy")
    wide = data[6] > 1
    length = struct.unpack_from("<I" if wide else "<H", data, 8)[0]
    start = 8 + (4 if wide else 2)
    if length > _MAX_HEADER:
        raise ValueError("its header is too large")
    try:
        header = ast.literal_eval(data[start : start + length].decode("utf-8").strip())
        described, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError, MemoryError):
        raise ValueError("its header is damaged") from None
    return Array().fill(shape, Dtype(described), bool(fortran), data[start + length :])
