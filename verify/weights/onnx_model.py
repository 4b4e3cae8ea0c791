"""What an ONNX model consists of, read without a library: operators, and the numbers it holds.

Syntax of Python 3.8, standard library only.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.verify.contract.regular import open_regular
from fetcher.verify.weights.protobuf import Field, UnreadableProtobufError, fields, varint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Domains whose operators onnxruntime has itself.
DOMAINS = frozenset(
    ["", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training",
     "com.microsoft", "com.microsoft.experimental", "com.microsoft.nchwc", "com.ms.internal.nhwc",
     "org.pytorch.aten"]
)  # fmt: skip
_DEEPEST = 100  # graphs in each other
_MOST_DIMENSIONS = 64
_LONGEST_NAME = 65_536  # bytes
_EXTERNAL = 1  # a tensor's data_location
_INSIDE_ATTRIBUTES = (5, 6, 10, 11, 22)  # tensors and graphs, one or several; sparse tensors
_LISTS = (4, 5, 6, 7, 10, 11)  # of float, int32, string, int64, double, uint64
# Types of elements by number: torch's name where it has one, and the bits of one.
TYPES = {
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16),
    6: ("int32", 32), 7: ("int64", 64), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64),
    12: ("uint32", 32), 13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128),
    16: ("bfloat16", 16), 17: ("float8_e4m3fn", 8), 18: ("float8_e4m3fnuz", 8),
    19: ("float8_e5m2", 8), 20: ("float8_e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4),
    23: ("float4_e2m1", 4), 24: ("float8_e8m0fnu", 8),
}  # fmt: skip
# Operators whose input of this place is a row number of the table at that place.
_LOOKUPS = {
    "Gather": {1: 0},
    "GatherBlockQuantized": {1: 0},
    "EmbedLayerNormalization": {0: 2, 1: 4},
}
_OF_THE_FILE = frozenset(["author", "date", "description", "docs", "license", "version"])
_PASSING = frozenset(["Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten"])


class Operator(NamedTuple):
    """An operator by the domain that it belongs to, '' being ONNX's own."""

    domain: str
    name: str


class Initializer(NamedTuple):
    """A tensor of the model: `begin` to `end` are its bytes in `location`, '' for the model itself.

    `end` is -1 for the rest of an external file. Numbers that are kept one by one are in `lists`:
    the kind of list, and the bytes of the model that a part of it takes.
    """

    name: str
    type: int
    shape: tuple[int, ...]
    location: str
    begin: int
    end: int
    lists: tuple[tuple[int, int, int], ...] = ()

    @property
    def numbers(self) -> int:
        """Return how many elements it has."""
        total = 1
        for side in self.shape:
            total *= side
        return total

    @property
    def size(self) -> int | None:
        """Return the bytes that its shape and type need, None for texts and unknown types."""
        known = TYPES.get(self.type)
        return None if known is None else -(-self.numbers * known[1] // 8)


@dataclass
class OnnxModel:
    """`operators` that are used, `functions` that the model itself defines; its `initializers`,
    with the tensors that nodes hold themselves.

    `rows` are the least numbers of rows of the tables that an input of the model looks up in.
    `graph` is a digest of all nodes and what is set in them, but for the tensors; `interface` of
    what else its users rely on: inputs and outputs in their order, releases of operators, and what
    exporters note beside it, such as the names of classes.
    """

    operators: set[Operator] = field(default_factory=set)
    functions: set[Operator] = field(default_factory=set)
    initializers: list[Initializer] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    graph: str = ""
    interface: str = ""


def read(file: Path) -> OnnxModel:
    """Return what a model consists of. Raises UnreadableProtobufError, OSError."""
    with open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if not size:
            raise UnreadableProtobufError("it is empty")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).model(size)


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._found = OnnxModel()
        self._digest = hashlib.sha256()
        self._interface = hashlib.sha256()

    def model(self, size: int) -> OnnxModel:
        graphs = 0
        for one in fields(self._data, 0, size):
            if one.field == 7 and one.number is None:
                graphs += 1
                self._graph(one, 1)
            elif one.field == 25 and one.number is None:
                self._function(one)
            elif one.field == 8 or (one.field == 14 and not self._is_of_the_file(one)):
                self._note(self._data[one.start : one.end], self._interface)
        if not graphs:
            raise UnreadableProtobufError("it holds no graph")
        self._found.graph = self._digest.hexdigest()[:16]
        self._found.interface = self._interface.hexdigest()[:16]
        return self._found

    def _inner(self, one: Field) -> Iterator[Field]:
        return fields(self._data, one.start, one.end)

    def _text(self, one: Field) -> str:
        if one.number is not None or one.end - one.start > _LONGEST_NAME:
            raise UnreadableProtobufError("a name that is too long, or none")
        return self._data[one.start : one.end].decode("utf-8", "surrogateescape")

    def _graph(self, graph: Field, depth: int) -> None:
        if depth > _DEEPEST:
            raise UnreadableProtobufError("graphs too deep in each other")
        tables: dict[str, tuple[int, ...]] = {}
        nodes = []
        for one in self._inner(graph):
            if one.number is not None:
                continue
            if one.field == 5:
                made = self._initializer(one)
                self._found.initializers.append(made)
                tables[made.name] = made.shape
            elif one.field == 1:
                known = len(self._found.initializers)
                nodes.append(self._node(one, depth))
                for made in self._found.initializers[known:]:  # of a constant
                    tables.setdefault(made.name, made.shape)
            elif one.field == 15:
                self._sparse(one)
            elif one.field in (11, 12):
                self._note(self._data[one.start : one.end], self._interface)
        if depth == 1:
            self._look_ups(nodes, tables)

    def _look_ups(
        self,
        nodes: list[tuple[str, list[str], list[str]]],
        tables: Mapping[str, tuple[int, ...]],
    ) -> None:
        alias: dict[str, str] = {}
        for name, taken, given in nodes:
            if name in _PASSING and taken and given:
                alias[given[0]] = alias.get(taken[0], taken[0])
            for place, table in _LOOKUPS.get(name, {}).items():
                if max(place, table) < len(taken) and tables.get(taken[table]):
                    source = alias.get(taken[place], taken[place])
                    rows = tables[taken[table]][0]
                    self._found.rows[source] = min(rows, self._found.rows.get(source, rows))

    def _node(self, node: Field, depth: int) -> tuple[str, list[str], list[str]]:
        name, domain = "", ""
        taken, given = [], []
        attributes = []
        for one in self._inner(node):
            if one.field == 1:
                taken.append(self._text(one))
            elif one.field == 2:
                given.append(self._text(one))
            elif one.field == 4:
                name = self._text(one)
            elif one.field == 7:
                domain = self._text(one)
            elif one.field == 5 and one.number is None:
                attributes.append(one)
        domain = "" if domain == "ai.onnx" else domain
        self._found.operators.add(Operator(domain, name))
        self._note(repr((domain, name, taken, given)).encode("utf-8", "surrogateescape"))
        for one in attributes:
            self._attribute(one, (given or [""])[0], depth)
        return name, taken, given

    def _attribute(self, attribute: Field, owner: str, depth: int) -> None:
        """Go into the graphs and tensors of an attribute of the node that gives `owner`."""
        plain = True
        for one in self._inner(attribute):
            if one.number is not None or one.field not in _INSIDE_ATTRIBUTES:
                continue
            plain = False
            if one.field in (6, 11):
                self._graph(one, depth + 1)
            elif one.field in (5, 10):
                made = self._initializer(one)
                self._found.initializers.append(made._replace(name=owner or made.name))
            else:
                self._sparse(one)
        if plain:
            self._note(self._data[attribute.start : attribute.end])

    def _sparse(self, tensor: Field) -> None:
        """Go into a tensor that is kept as numbers and their places."""
        for one in self._inner(tensor):
            if one.field in (1, 2) and one.number is None:
                self._found.initializers.append(self._initializer(one))

    def _is_of_the_file(self, entry: Field) -> bool:
        """Tell whether an entry of the metadata says who made the file, when, and by what."""
        keys = [one for one in self._inner(entry) if one.field == 1 and one.number is None]
        return any(self._text(one).lower() in _OF_THE_FILE for one in keys)

    def _note(self, what: bytes, digest: Any = None) -> None:
        (digest or self._digest).update(b"%d:" % len(what) + what)

    def _function(self, function: Field) -> None:
        name, domain = "", ""
        for one in self._inner(function):
            if one.field == 1:
                name = self._text(one)
            elif one.field == 10:
                domain = self._text(one)
            elif one.field == 7 and one.number is None:
                self._node(one, 2)
        self._found.functions.add(Operator(domain, name))

    def _initializer(self, tensor: Field) -> Initializer:
        name, kind, place, begin, end = "", 0, 0, 0, 0
        shape: list[int] = []
        entries: dict[str, str] = {}
        lists: list[tuple[int, int, int]] = []
        for one in self._inner(tensor):
            if one.field in _LISTS:
                lists.append((one.field, one.start, one.end))
            elif one.field == 1:
                shape += self._sizes(one)
                if len(shape) > _MOST_DIMENSIONS:
                    raise UnreadableProtobufError("a tensor of too many dimensions")
            elif one.field == 2:
                kind = one.number or 0
            elif one.field == 8:
                name = self._text(one)
            elif one.field == 9 and one.number is None:
                begin, end = one.start, one.end
            elif one.field == 13 and one.number is None:
                entries.update([self._entry(one)])
            elif one.field == 14:
                place = one.number or 0
        if place == _EXTERNAL:
            if not entries.get("location"):
                raise UnreadableProtobufError(f"the tensor {name[:40]!r} lies in a file of no name")
            begin = _whole(entries.get("offset", "0"))
            length = _whole(entries["length"]) if "length" in entries else None
            end = -1 if length is None else begin + length
        location = entries.get("location", "") if place else ""
        return Initializer(name, kind, tuple(shape), location, begin, end, tuple(lists))

    def _sizes(self, one: Field) -> list[int]:
        if one.number is not None:
            return [one.number]
        found: list[int] = []
        at = one.start
        while at < one.end and len(found) <= _MOST_DIMENSIONS:
            number, at = varint(self._data, at, one.end)
            found.append(number)
        return found

    def _entry(self, entry: Field) -> tuple[str, str]:
        parts = {one.field: self._text(one) for one in self._inner(entry) if one.field in (1, 2)}
        return parts.get(1, ""), parts.get(2, "")


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise UnreadableProtobufError(f"external data at {text[:40]!r}")
    return int(text)
