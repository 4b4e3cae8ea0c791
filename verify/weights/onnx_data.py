"""Which files an ONNX model takes its numbers from, read before onnxruntime opens any of them.

A tensor of such a model may name another file by a path. onnxruntime follows that out of the
model's folder in its older releases, and takes one name for an address in memory. Runs under the
project's interpreter: syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import mmap
import os
import stat as stats
from typing import TYPE_CHECKING

from fetcher.verify.contract.regular import open_regular
from fetcher.verify.weights import protobuf
from fetcher.verify.weights.config_rules import ELSEWHERE, place
from fetcher.verify.weights.protobuf import UnreadableProtobufError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The messages of onnx.proto that a tensor can stand in: by field, the message that it holds.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_LONGEST_TEXT = 4096  # bytes of a path
_DEEPEST = 100  # messages in each other, as protobuf has it


def complaint(file: Path) -> str:
    """Return why a model's data must not be read: "" if all of it lies with the model.

    What lies with it is in its folder, or beside the file that its name is a link to, as in a
    cache or store. Raises UnreadableProtobufError, OSError.
    """
    bases = dict.fromkeys((os.path.dirname(file), os.path.dirname(os.path.realpath(file))))
    for location in locations(file):
        if place(location) or "*" in location or not location:
            return f"it takes data from {location!r}: {ELSEWHERE}"
        for base in bases:
            whole = os.path.join(base, location)
            real = os.path.realpath(whole)
            if not any(real.startswith(os.path.realpath(one) + os.sep) for one in bases):
                return f"it takes data from {location!r}, a link to {real}: {ELSEWHERE}"
            if os.path.exists(real) and not stats.S_ISREG(os.stat(real).st_mode):
                return f"it takes data from {location!r}, which is no file"
    return ""


def locations(file: Path) -> Iterator[str]:
    """Yield the paths of external data in an ONNX model, each once, in the file's order.

    Raises UnreadableProtobufError, OSError.
    """
    with open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if not size:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            seen = set()
            for start, end in _entries(data, size):
                for location in _location(data, start, end):
                    if location not in seen:
                        seen.add(location)
                        yield location


def _entries(data: mmap.mmap, size: int) -> Iterator[tuple[int, int]]:
    """Yield where each tensor's key and value about external data stand."""
    open_ones = [("model", _fields(data, 0, size))]
    while open_ones:
        kind, fields = open_ones[-1]
        found = next(fields, None)
        if found is None:
            open_ones.pop()
            continue
        field, start, end = found
        inside = _FIELDS[kind].get(field)
        if inside == "entry":
            yield start, end
        elif inside:
            if len(open_ones) >= _DEEPEST:
                raise UnreadableProtobufError("graphs too deep in each other")
            open_ones.append((inside, _fields(data, start, end)))


def _location(data: mmap.mmap, start: int, end: int) -> list[str]:
    """Return every value of an entry called `location`; which one counts, readers decide."""
    texts: dict[int, list[str]] = {1: [], 2: []}
    for field, at, stop in _fields(data, start, end):
        if field in texts:
            if stop - at > _LONGEST_TEXT:
                raise UnreadableProtobufError("a name that is too long")
            texts[field].append(data[at:stop].decode("utf-8", "surrogateescape"))
    return texts[2] if "location" in texts[1] else []


def _fields(data: mmap.mmap, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message that are bytes: number, and where they begin and end."""
    for one in protobuf.fields(data, at, stop):
        if one.number is None:
            yield one.field, one.start, one.end
