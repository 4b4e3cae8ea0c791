"""Headers of .safetensors files: what is accepted, the format's own library accepts and reads so."""

from __future__ import annotations

import json
import struct
from typing import Any

from fetcher.verify.contract.probe_errors import ProbeError
from fetcher.verify.weights.safetensors_header import read_header

from tests.fuzz.kit import Target, file_with


def check(data: bytes) -> None:
    whole = _framed(data)
    with file_with(whole, "w.safetensors") as path:
        try:
            found = read_header(path)
        except ProbeError as error:
            assert str(error)
            return
    position = None
    for entry in found.values():
        assert 0 < entry.begin <= entry.end <= len(whole)
        assert position is None or entry.begin == position
        position = entry.end
        assert entry.dtype and all(type(number) is int and number >= 0 for number in entry.shape)
    _elsewhere(whole, {name: entry.shape for name, entry in found.items()})


def _framed(data: bytes) -> bytes:
    """The length in front, and bytes behind, that fit, unless the input begins with its own."""
    if data[:1] == b"\0":
        return data[1:]
    header, _, tail = data.partition(b"\n")
    return struct.pack("<Q", len(header)) + header + tail


def _elsewhere(whole: bytes, shapes: dict[str, tuple[int, ...]]) -> None:
    import safetensors

    try:
        read: Any = safetensors.deserialize
        theirs = read(whole)
    except safetensors.SafetensorError as error:
        # What the library of today is stricter in: metadata that is not text, a type it lacks.
        assert any(word in str(error) for word in _STRICTER), error
        return
    assert {name: tuple(item["shape"]) for name, item in theirs} == shapes


_STRICTER = ("InvalidHeaderDeserialization", "invalid JSON", "InvalidHeaderStart", "ValidationOverflow",
             "MisalignedSlice", "deserializ")  # fmt: skip


def _file(table: object, tail: bytes) -> bytes:
    return json.dumps(table).encode() + b"\n" + tail


ONE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
TARGET = Target(
    check,
    [
        _file(ONE, bytes(4)),
        _file({**ONE, "__metadata__": {"format": "pt"}}, bytes(4)),
        _file({"b": {"dtype": "BF16", "shape": [2, 0], "data_offsets": [0, 0]}}, b""),
        _file({**ONE, "b": {"dtype": "U8", "shape": [], "data_offsets": [4, 5]}}, bytes(5)),
        b"\0" + struct.pack("<Q", 2) + b"{}",
        b"\0" + struct.pack("<Q", 2**63) + b"{}",
    ],
    ['"dtype": "F32"', '"shape": [', '"data_offsets": [0, 4]', '"__metadata__": {', "F64", "I64", "BOOL",
     "F8_E4M3", "F4", "1e3", "-0", "-1", "true", "null", "9" * 20, "9" * 5000, "[" * 40, "\\ud800", "NaN",
     '"a": {', "}", "]", ", ", "\n", "4294967296"],
    longest=1500,
)  # fmt: skip
