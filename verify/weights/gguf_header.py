"""The header of a GGUF file: metadata and the table of tensors, read and checked without a library.

Whoever wrote the file may lie: no count or length is believed before the bytes for it are there,
and arrays are not copied. Syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.contract.regular import open_regular
from fetcher.verify.weights.gguf_types import NEWEST, REMOVED, TYPES, GgufType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TypeGuard

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
FLOAT32 = 6
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "B",
    10: "Q",
    11: "q",
    12: "d",
}
_INTEGERS = (0, 1, 2, 3, 4, 5, 10, 11)
_BOOL = 7
_DEEPEST = 4  # arrays in each other
_MOST_KEYS = 100_000
_MOST_TENSORS = 1_000_000
_MOST_STRINGS = 1 << 24  # in all arrays together; vocabularies have some 2 ** 18
_LONGEST_KEY = 65_535  # bytes, the format's own
_LONGEST_NAME = 63  # bytes, that ggml has room for
_MOST_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32
_LARGEST = 1 << 62

_FETCH_AGAIN = "remove the file and fetch the artifact again"


class Array(NamedTuple):
    """An array of the metadata: how many elements of which kind, and at which bytes of the file."""

    kind: int
    length: int
    begin: int
    end: int


if TYPE_CHECKING:
    Value = int | float | bool | str | Array


@dataclass(frozen=True)
class GgufTensor:
    """One tensor: `shape` as the file has it, the fastest dimension first; its bytes in the file.

    `type` is None for a number that is newer than what is known here; `end` is then `begin`.
    """

    number: int
    type: GgufType | None
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def kind(self) -> str:
        """Return the type's name."""
        return self.type.name if self.type else f"type {self.number}"

    @property
    def numbers(self) -> int:
        """Return how many elements it has."""
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the numbers of a GGUF file. `trailing` bytes follow the last tensor."""

    version: int
    metadata: Mapping[str, Value]
    tensors: Mapping[str, GgufTensor]
    alignment: int
    trailing: int


def read_header(path: Path) -> GgufHeader:
    """Return the header of the GGUF file at `path`.

    Raises ProbeError if it is not valid, if tensors are not aligned, overlap or leave holes, or if
    the file is shorter than they need; OSError.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < 24:
            raise _truncated(f"it has {size} bytes, too few for a header")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, size).header()


def text_of(path: Path, array: Array, number: int) -> bytes:
    """Return one text of an array of texts that `read_header` found. Raises OSError."""
    return texts_of(path, array)[number]


def texts_of(path: Path, array: Array) -> list[bytes]:
    """Return the texts of an array of texts that `read_header` found. Raises OSError."""
    raw, at, found = bytes_of(path, array), 0, []
    for _ in range(array.length):
        (length,) = struct.unpack_from("<Q", raw, at)
        found.append(raw[at + 8 : at + 8 + length])
        at += 8 + length
    return found


def bytes_of(path: Path, array: Array) -> bytes:
    """Return the bytes of an array that `read_header` found. Raises OSError."""
    with path.open("rb") as stream:
        stream.seek(array.begin)
        return stream.read(array.end - array.begin)


def is_texts(value: Value | None) -> TypeGuard[Array]:
    """Tell whether a value of the metadata is an array of texts."""
    return isinstance(value, Array) and value.kind == _STRING


def is_whole_number(value: Value | None) -> TypeGuard[int]:
    """Tell whether a value of the metadata is an integer."""
    return isinstance(value, int) and not isinstance(value, bool)


class _Reader:
    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data = data
        self._size = size
        self._at = 0
        self._strings = 0

    def header(self) -> GgufHeader:
        version, tensors, keys = self._start()
        metadata = {}
        for _ in range(keys):
            key = self._text("a key", _LONGEST_KEY)
            if key in metadata:
                raise _invalid(f"the key {key!r} is in it twice")
            metadata[key] = self._value(self._number("I"), key)
        alignment = _alignment(metadata)
        table = [self._tensor() for _ in range(tensors)]
        start = -(-self._at // alignment) * alignment
        placed, end = _place(table, start, alignment, self._size)
        return GgufHeader(version, metadata, placed, alignment, max(0, self._size - end))

    def _start(self) -> tuple[int, int, int]:
        if self._data[:4] != MAGIC:
            raise ProbeError(f"not a GGUF file: it begins with {self._data[:4]!r}", _FETCH_AGAIN)
        self._at = 4
        version = self._number("I")
        if version not in _VERSIONS:
            if version & 0xFFFF == 0:
                raise ProbeError(
                    "a GGUF file for big-endian machines, which is not read on this one",
                    "take the file for little-endian machines",
                )
            raise ProbeError(
                f"GGUF of version {version}; versions 2 and 3 are read",
                "convert the model again with a llama.cpp of today",
            )
        tensors, keys = self._number("Q"), self._number("Q")
        # The least bytes of an entry: a length, a type and a value; for a tensor an offset as well.
        for what, count, most, least in (
            ("tensors", tensors, _MOST_TENSORS, 24),
            ("keys", keys, _MOST_KEYS, 13),
        ):
            if count > most:
                raise _invalid(f"it announces {count:,} {what}")
            if count * least > self._size - self._at:
                raise _truncated(
                    f"it announces {count:,} {what}, more than its {self._size:,} bytes hold"
                )
        return version, tensors, keys

    def _number(self, code: str) -> int:
        width = struct.calcsize("<" + code)
        if self._at + width > self._size:
            raise _truncated("its header is cut off")
        (found,) = struct.unpack_from("<" + code, self._data, self._at)
        self._at += width
        return found  # type: ignore[no-any-return]

    def _text(self, what: str, longest: int, errors: str = "strict") -> str:
        length = self._number("Q")
        if length > self._size - self._at:
            raise _truncated(f"{what} of {length:,} bytes ends behind the file")
        if length > longest:
            raise _invalid(f"{what} of {length:,} bytes is too long")
        raw = self._data[self._at : self._at + length]
        self._at += length
        try:
            return raw.decode("utf-8", errors)
        except UnicodeDecodeError:
            raise _invalid(f"{what} is not UTF-8: {raw[:40]!r}") from None

    def _value(self, kind: int, key: str) -> Value:
        if kind == _STRING:
            return self._text(f"the value of {key!r}", self._size, "backslashreplace")
        if kind == _ARRAY:
            return self._array(key, 1)
        if kind not in _SCALARS:
            raise _invalid(f"the value of {key!r} is of the type {kind}, which there is not")
        found = self._number(_SCALARS[kind])
        if kind == _BOOL:
            if found > 1:
                raise _invalid(f"the value of {key!r} is neither true nor false: {found}")
            return bool(found)
        return found

    def _array(self, key: str, depth: int) -> Array:
        kind, count = self._number("I"), self._number("Q")
        begin = self._at
        left = self._size - self._at
        if kind in _SCALARS:
            length = count * struct.calcsize("<" + _SCALARS[kind])
            if length > left:
                raise _truncated(f"the array {key!r} of {count:,} elements ends behind the file")
            self._at += length
        elif kind == _STRING or (kind == _ARRAY and depth < _DEEPEST):
            if count * 8 > left:
                raise _truncated(f"the array {key!r} of {count:,} elements ends behind the file")
            self._strings += count
            if self._strings > _MOST_STRINGS:
                raise _invalid(f"the array {key!r} of {count:,} elements is too large")
            for _ in range(count):
                if kind == _ARRAY:
                    self._array(key, depth + 1)
                else:
                    self._skip_text(key)
        else:
            deep = "arrays too deep in each other" if kind == _ARRAY else f"elements of type {kind}"
            raise _invalid(f"the array {key!r} has {deep}")
        return Array(kind, count, begin, self._at)

    def _skip_text(self, key: str) -> None:
        at = self._at + 8
        if at > self._size:
            raise _truncated(f"the array {key!r} is cut off")
        (length,) = struct.unpack_from("<Q", self._data, self._at)
        if length > self._size - at:
            raise _truncated(f"a text of {length:,} bytes in {key!r} ends behind the file")
        self._at = at + length

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text("a tensor's name", _LONGEST_KEY)
        if len(name.encode()) > _LONGEST_NAME:
            raise _invalid(f"the tensor's name {name[:40]!r}… is longer than {_LONGEST_NAME} bytes")
        dimensions = self._number("I")
        if not dimensions <= _MOST_DIMENSIONS:
            raise _invalid(
                f"tensor {name!r} has {dimensions:,} dimensions, {_MOST_DIMENSIONS} is most"
            )
        shape = tuple(self._number("Q") for _ in range(dimensions))
        return name, shape, self._number("I"), self._number("Q")


def _alignment(metadata: Mapping[str, Value]) -> int:
    found = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if (
        isinstance(found, int)
        and 0 < found < 2**32
        and found & (found - 1) == 0
        and found is not True
    ):
        return found
    raise _invalid(f"general.alignment is {found!r}, not a power of two")


def _place(
    table: list[tuple[str, tuple[int, ...], int, int]], start: int, alignment: int, size: int
) -> tuple[dict[str, GgufTensor], int]:
    """Return the tensors by name, and where the last one ends, with what fills it up.

    They must follow each other in the table's order, as llama.cpp wants them.
    """
    placed: dict[str, GgufTensor] = {}
    expected: int | None = 0
    end = start
    for name, shape, number, offset in table:
        if name in placed:
            raise _invalid(f"the tensor {name!r} is in it twice")
        kind, length = _length(name, shape, number)
        if offset % alignment:
            raise _invalid(
                f"tensor {name!r} begins at byte {offset:,}, not at a multiple of {alignment}"
            )
        if expected is not None and offset != expected:
            what = (
                "overlaps the tensor before it" if offset < expected else "leaves a hole before it"
            )
            raise _invalid(
                f"tensor {name!r} {what}: it begins at byte {offset:,}, not {expected:,}"
            )
        expected = None if kind is None else -(-(offset + length) // alignment) * alignment
        end = start + offset + length
        if end > size:
            raise _truncated(f"tensor {name!r} ends at byte {end:,} of {size:,}")
        placed[name] = GgufTensor(number, kind, shape, start + offset, end)
    padded = -(-end // alignment) * alignment
    return placed, padded if expected is not None else size


def _length(name: str, shape: tuple[int, ...], number: int) -> tuple[GgufType | None, int]:
    if number in REMOVED:
        raise ProbeError(
            f"tensor {name!r} is of the type {REMOVED[number]}, which llama.cpp reads no longer",
            "take a file that was quantised anew",
        )
    kind = TYPES.get(number)
    if kind is None:
        if number > NEWEST:
            raise _invalid(f"tensor {name!r} is of the type {number}, which there is not")
        return None, 0
    total = 1
    for side in shape:
        total *= side
    if total > _LARGEST:
        raise _invalid(f"tensor {name!r} of shape {list(shape)} is too large for any file")
    if (shape[0] if shape else 1) % kind.block:
        told = f"tensor {name!r} has rows of {shape[0] if shape else 1}"
        raise _invalid(f"{told}, {kind.name} needs multiples of {kind.block}")
    return kind, total // kind.block * kind.size


def _invalid(detail: str) -> ProbeError:
    return ProbeError(f"the header is not valid: {detail}", _FETCH_AGAIN)


def _truncated(detail: str) -> ProbeError:
    return ProbeError(f"truncated: {detail}", _FETCH_AGAIN)
