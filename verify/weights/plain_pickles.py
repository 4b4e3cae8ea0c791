"""Reads pickles that Python, numpy or joblib wrote, without importing what they name.

What a pickle may name is decided before anything of it is called: arrays and plain containers have
stand-ins, everything else is refused unless the person allows it for this file.
"""

from __future__ import annotations

import gzip
import importlib
import io
import pickle
import zlib
from collections import OrderedDict
from typing import IO, TYPE_CHECKING, Any, ClassVar

from fetcher.verify.contract.inert_globals import is_numpy, present_name
from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights import arrays, fileformat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_JOBLIB = "joblib.numpy_pickle.NumpyArrayWrapper"
_REBUILD = ("_rebuild_tensor_v2", "_rebuild_parameter")


class RefusedGlobalError(Exception):
    """The pickle names something that it may not."""


class _Wrapper:
    """Stands for joblib's mark of an array whose bytes follow in the stream."""

    def __init__(self, *_: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state)

    def read(self, stream: IO[bytes]) -> arrays.Array:
        dtype, shape = self.state.get("dtype"), self.state.get("shape", ())
        found = arrays.Array().fill(shape, dtype, self.state.get("order") == "F", [])
        if not found.is_numbers and not (isinstance(dtype, arrays.Dtype) and dtype.code):
            raise RefusedGlobalError("an array of objects")
        if self.state.get("numpy_array_alignment_bytes") is not None:
            stream.read(stream.read(1)[0])
        count = int(found.dtype.code[1:])
        for size in found.shape:
            count *= size
        found.data = bytearray(stream.read(count))
        return found


# The one in Python: joblib's arrays need a step of their own.
_InPython: Any = pickle._Unpickler


class _Unpickler(_InPython):  # type: ignore[misc]
    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def __init__(self, stream: IO[bytes], find: Callable[[str], Any]) -> None:
        super().__init__(stream, encoding="latin1")
        self._stream, self._find = stream, find

    def find_class(self, module: str, name: str) -> Any:
        return self._find(present_name(f"{module}.{name}"))

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedGlobalError("a persistent id")

    def load_build(self) -> None:
        super().load_build()
        if isinstance(self.stack[-1], _Wrapper):
            self.stack[-1] = self.stack[-1].read(self._stream)

    dispatch[pickle.BUILD[0]] = load_build


def load(path: Path, torch: Any, allowed: Callable[[str], Any]) -> Any:
    """Return what a pickle holds; `allowed` gives what stands for a global that is let through,
    or None. Raises RefusedGlobalError for any other, and whatever a broken pickle raises.
    """

    def find(name: str) -> Any:
        known = _known(name, torch)
        found = allowed(name) if known is None else known
        if found is None:
            raise RefusedGlobalError(name)
        return found

    with path.open("rb") as stream:
        return _Unpickler(_unpacked(stream), find).load()


def is_known(name: str) -> bool:
    """Tell whether a global needs nobody's word."""
    return _known(name, None) is not None


def _known(name: str, torch: Any) -> Any:
    if is_numpy(name):
        return arrays.stand_in(name)
    plain = {
        "collections.OrderedDict": OrderedDict,
        "builtins.set": set,
        "builtins.frozenset": frozenset,
        "builtins.bytearray": bytearray,
        "builtins.complex": complex,
        "_codecs.encode": _encode,
        _JOBLIB: _Wrapper,
        "joblib.numpy_pickle.NDArrayWrapper": None,
        "torch.storage._load_from_bytes": lambda data: _storage(torch, data),
    }
    if name in plain:
        return plain[name]
    module, _, last = name.rpartition(".")
    if module == "torch._utils" and last in _REBUILD:
        return getattr(torch._utils, last) if torch else last
    return None


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise RefusedGlobalError("_codecs.encode")
    return str(text).encode(encoding)


def _storage(torch: Any, data: bytes) -> Any:
    """Return a tensor's storage, which torch wrote as a file of its own."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream, unpacked where joblib or somebody else packed it."""
    head = stream.read(8)
    stream.seek(0)
    if not head.startswith(fileformat.PACKED):
        return stream
    if head.startswith(b"\x1f\x8b"):
        return io.BytesIO(gzip.decompress(stream.read()))
    if head.startswith(b"\x78"):
        return io.BytesIO(zlib.decompress(stream.read()))
    name = "bz2" if head.startswith(b"BZh") else "lzma"
    try:
        packer = importlib.import_module(name)  # a Python may have been built without it
    except ImportError as error:
        raise ProbeError(
            f"it is packed by {name}, which this Python lacks", "save it without compression"
        ) from error
    return io.BytesIO(packer.decompress(stream.read()))
