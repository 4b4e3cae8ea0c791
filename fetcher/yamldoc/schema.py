"""Types of the project's YAML files: each decodes a node and describes itself as JSON Schema.

One table of fields serves the loader and the published JSON Schema, so that the two cannot
drift apart. A decoder notes every mistake in the document and returns INVALID; it never raises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from fetcher.errors import DocumentProblem
from fetcher.i18n import t
from fetcher.yamldoc.nodes import BROKEN, Document, Node

INVALID: Final = object()

_TRUTHS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FLOAT = r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?"
_OCTAL = r"[+-]?0[0-9]"
_ONE_LINE = r"[^\x00-\x1f\x7f]+"

# What a record decodes to: each value is of the type that its field says.
Values = dict[str, Any]
JsonSchema = dict[str, Any]


# Types are made once and never compared; each method made for that would cost start-up time.


class Type:
    """A kind of value: `decode` reads it from a node, `json_schema` describes it."""

    expected = t("a value")

    def decode(self, node: Node, document: Document) -> Any:
        """The value, or INVALID after noting what is wrong."""
        raise NotImplementedError

    def json_schema(self) -> JsonSchema:
        """This type as JSON Schema (draft 2020-12)."""
        raise NotImplementedError

    def wrong(self, node: Node, document: Document, hint: str = "") -> Any:
        """Note that something else was expected here."""
        document.problem(
            node,
            t("found {found}, expected {expected}", found=node.describe(), expected=self.expected),
            hint,
        )
        return INVALID


@dataclass(eq=False, repr=False)
class Raw(Type):
    """What other code reads from the tree: the node itself."""

    schema: Mapping[str, object] = field(default_factory=dict)

    def decode(self, node: Node, document: Document) -> Any:
        """The node."""
        return node

    def json_schema(self) -> JsonSchema:
        """As given."""
        return dict(self.schema)


@dataclass(eq=False, repr=False)
class Text(Type):
    """Text, taken as it stands and never empty; `pattern` must match all of it."""

    pattern: str = ""
    expected: str = t("text")
    choices: tuple[str, ...] = ()
    check: Callable[[str], str | None] | None = None
    multiline: bool = False
    advice: Callable[[str], str] = lambda _: ""  # what to do about what `check` complains of

    @cached_property
    def _fits(self) -> Callable[[str], object]:
        """The pattern, compiled with the first text: most types of a schema meet none."""
        return re.compile(self.pattern).fullmatch

    def decode(self, node: Node, document: Document) -> Any:
        """The text, unchanged."""
        if node.kind != "scalar" or not node.text or node.is_null:
            return self.wrong(node, document)
        # What is printable, as nearly all is, has no control characters.
        is_line = self.multiline or node.text.isprintable() or re.fullmatch(_ONE_LINE, node.text)
        if not is_line:
            return self.wrong(node, document, t("write it in one line, without control characters"))
        if self.choices and node.text not in self.choices:
            close = document.nearest(node.text, self.choices)
            document.problem(
                node,
                t(
                    "found {found}, expected one of {choices}",
                    found=node.describe(),
                    choices=", ".join(self.choices),
                ),
                t("did you mean {close!r}?", close=close) if close else "",
            )
            return INVALID
        if self.pattern and not self._fits(node.text):
            return self.wrong(node, document)
        if self.check and (complaint := self.check(node.text)):
            document.problem(
                node,
                t("{found} {complaint}", found=node.describe(), complaint=complaint),
                self.advice(node.text),
            )
            return INVALID
        return node.text

    def json_schema(self) -> JsonSchema:
        """A string; bare numbers and booleans are read as the text that stands there."""
        if self.choices:
            return {"enum": list(self.choices)}
        pattern = self.pattern or (r"[\s\S]+" if self.multiline else _ONE_LINE)
        bare = {"number": "1", "boolean": "true"}
        types = [name for name, text in bare.items() if re.fullmatch(pattern, text)]
        return {"type": ["string", *types] if types else "string", "pattern": f"^(?:{pattern})$"}


@dataclass(eq=False, repr=False)
class Integer(Type):
    """A whole number in decimal digits."""

    minimum: int = 0
    maximum: int = 2**63 - 1

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What is expected, in words."""
        if self.maximum < 2**63 - 1:
            return t(
                "a whole number from {minimum} to {maximum}",
                minimum=self.minimum,
                maximum=self.maximum,
            )
        return t("a whole number of at least {minimum}", minimum=self.minimum)

    def decode(self, node: Node, document: Document) -> Any:
        """The number as int."""
        if node.kind != "scalar" or node.quoted or not re.fullmatch(r"[+-]?[0-9]{1,19}", node.text):
            return self.wrong(node, document)
        if re.match(_OCTAL, node.text):
            return self.wrong(node, document, t("a leading 0 means octal to some readers: drop it"))
        value = int(node.text)
        if not self.minimum <= value <= self.maximum:
            return self.wrong(node, document)
        return value

    def json_schema(self) -> JsonSchema:
        """An integer with its bounds."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


def _number(text: str) -> int | float | None:
    """The number that `text` is, None if it is none or cannot be kept exactly enough."""
    if re.fullmatch(r"[+-]?(?:0|[1-9][0-9]{0,18})", text):
        return int(text)
    if re.fullmatch(_FLOAT, text) and not re.match(_OCTAL, text):
        value = float(text)
        return value if math.isfinite(value) else None
    return None


@dataclass(eq=False, repr=False)
class Number(Type):
    """A number, whole or with a fraction."""

    expected: str = t("a number")

    def decode(self, node: Node, document: Document) -> Any:
        """The number as int or float."""
        number = None if node.kind != "scalar" or node.quoted else _number(node.text)
        return self.wrong(node, document) if number is None else number

    def json_schema(self) -> JsonSchema:
        """A number."""
        return {"type": "number"}


@dataclass(eq=False, repr=False)
class Boolean(Type):
    """true or false, and no other word."""

    expected: str = t("true or false")

    def decode(self, node: Node, document: Document) -> Any:
        """The truth value."""
        if node.kind == "scalar" and not node.quoted:
            if node.text in _TRUTHS:
                return _TRUTHS[node.text]
            if node.text.lower() in {"yes", "no", "on", "off", "y", "n"}:
                truth = "true" if node.text.lower() in {"yes", "on", "y"} else "false"
                return self.wrong(node, document, t("write {truth}", truth=truth))
        return self.wrong(node, document)

    def json_schema(self) -> JsonSchema:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(eq=False, repr=False)
class Either(Type):
    """A value of the first type that takes it."""

    types: tuple[Type, ...]

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What is expected, in words."""
        first, *others = (item.expected for item in self.types)
        for other in others:
            first = t("{first} or {other}", first=first, other=other)
        return first

    def decode(self, node: Node, document: Document) -> Any:
        """The value as the first type that has no complaint reads it.

        Where one of them takes the value as a whole and complains of a part, that is told.
        """
        inside: list[DocumentProblem] = []
        for item in self.types:
            scratch = Document(document.name)
            value = item.decode(node, scratch)
            if value is not INVALID:
                return value
            place = (node.line, node.column)
            if all((found.line, found.column) != place for found in scratch.problems):
                inside = inside or scratch.problems
        if not inside:
            return self.wrong(node, document)
        document.problems += inside
        return INVALID

    def json_schema(self) -> JsonSchema:
        """Any of them."""
        return {"anyOf": [item.json_schema() for item in self.types]}


@dataclass(eq=False, repr=False)
class Json(Type):
    """Any value, read by the rules of YAML 1.2's core schema: what JSON can hold."""

    expected: str = t("a value")

    def decode(self, node: Node, document: Document) -> Any:
        """The value as JSON types."""
        if node.kind == "sequence":
            items = [self.decode(item, document) for item in node.items]
            return INVALID if INVALID in items else items
        if node.kind == "mapping":
            values = {key.text: self.decode(value, document) for key, value in node.pairs}
            return INVALID if INVALID in values.values() else values
        if node.kind == BROKEN:
            return INVALID
        return node.text if node.quoted else self._bare(node, document)

    def _bare(self, node: Node, document: Document) -> Any:
        if node.is_null:
            return None
        if node.text in _TRUTHS:
            return _TRUTHS[node.text]
        number = _number(node.text)
        if number is None and re.fullmatch(rf"[+-]?[1-9][0-9]*|{_FLOAT}", node.text):
            hint = t("put quotes around it, if it is meant as text")
            document.problem(node, t("{found} is too large a number", found=node.describe()), hint)
            return INVALID
        return node.text if number is None else number

    def json_schema(self) -> JsonSchema:
        """Anything."""
        return {}


@dataclass(eq=False, repr=False)
class ListOf(Type):
    """A list; with `or_one`, a single item may stand without its brackets.

    `length` is how many items there must be, 0 for any number.
    """

    item: Type
    or_one: bool = False
    unique: bool = False
    length: int = 0

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What is expected, in words."""
        each = self.item.expected
        if self.length:
            return t("a list of {length} items, each {each}", length=self.length, each=each)
        return t("a list of items, each {each}", each=each)

    def decode(self, node: Node, document: Document) -> Any:
        """The items as a tuple."""
        if self.or_one and node.kind == "scalar" and not node.is_null:
            value = self.item.decode(node, document)
            return INVALID if value is INVALID else (value,)
        if node.kind != "sequence":
            return self.wrong(node, document)
        if self.length and len(node.items) != self.length:
            document.problem(
                node,
                t(
                    "found a list of {count} items, expected {expected}",
                    count=len(node.items),
                    expected=self.expected,
                ),
            )
            return INVALID
        values = [self.item.decode(item, document) for item in node.items]
        if self.unique and not self._is_unique(node, values, document):
            return INVALID
        return INVALID if any(value is INVALID for value in values) else tuple(values)

    def _is_unique(self, node: Node, values: Sequence[Any], document: Document) -> bool:
        first: dict[Any, Node] = {}
        for item, value in zip(node.items, values, strict=True):
            other = first.setdefault(value, item)
            if value is not INVALID and other is not item:
                document.problem(
                    item,
                    t(
                        "{value!r} is listed twice, first in line {line}",
                        value=value,
                        line=other.line,
                    ),
                )
        return len(first) == len(values)

    def json_schema(self) -> JsonSchema:
        """An array, or the bare item."""
        array: JsonSchema = {"type": "array", "items": self.item.json_schema()}
        if self.unique:
            array["uniqueItems"] = True
        if self.length:
            array["minItems"] = array["maxItems"] = self.length
        return {"anyOf": [array, self.item.json_schema()]} if self.or_one else array


@dataclass(eq=False, repr=False)
class MapOf(Type):
    """A mapping from names to values of one type, with at least one pair if `filled`."""

    key: Type
    value: Type
    filled: bool = False

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What is expected, in words."""
        return t("a mapping with at least one pair") if self.filled else t("a mapping")

    def decode(self, node: Node, document: Document) -> Any:
        """The mapping as dict, in file order."""
        if node.kind != "mapping" or (self.filled and not node.pairs and not node.dropped):
            return self.wrong(node, document)
        result: dict[Any, Any] = {}
        sound = True
        for key_node, value_node in node.pairs:
            key = self.key.decode(key_node, document)
            value = self.value.decode(value_node, document)
            if key is INVALID or value is INVALID:
                sound = False
            else:
                result[key] = value
        return result if sound else INVALID

    def json_schema(self) -> JsonSchema:
        """An object with free keys."""
        schema: JsonSchema = {
            "type": "object",
            "additionalProperties": self.value.json_schema(),
        }
        if isinstance(self.key, Text) and self.key.pattern:
            schema["propertyNames"] = {"pattern": f"^(?:{self.key.pattern})$"}
        if self.filled:
            schema["minProperties"] = 1
        return schema


@dataclass(eq=False, repr=False)
class Field:
    """One field of a Record: its type, whether it must be there, and a line for the docs."""

    type: Type
    doc: str
    required: bool = False


@dataclass(eq=False, repr=False)
class Record(Type):
    """A mapping with known keys; decodes to a dict of the keys that are there."""

    name: str
    fields: Mapping[str, Field]
    expected: str = t("a mapping")
    open: bool = False

    @cached_property
    def _required(self) -> tuple[str, ...]:
        return tuple(name for name, item in self.fields.items() if item.required)

    def decode(self, node: Node, document: Document) -> Any:
        """The known fields as a dict; unknown and missing keys are noted."""
        if node.kind != "mapping":
            return self.wrong(node, document)
        values, sound = self.read(node, document)
        return values if sound else INVALID

    def read(self, node: Node, document: Document) -> tuple[Values, bool]:
        """The fields of a mapping that are as they should be, and whether nothing was wrong."""
        values: Values = {}
        unknown: list[Node] = []
        for key, value in node.pairs:
            known = self.fields.get(key.text)
            if known is not None:
                values[key.text] = known.type.decode(value, document)
            elif self.open:
                values[key.text] = Json().decode(value, document)
            else:
                unknown.append(key)
        missing = [name for name in self._required if name not in values]
        for key in unknown:
            self._unknown(key, missing, document)
        if not node.dropped:
            for name in missing:
                hint = self.fields[name].doc
                document.problem(
                    node, t("{name} needs the key {name2!r}", name=self.name, name2=name), hint
                )
        good = {name: value for name, value in values.items() if value is not INVALID}
        return good, len(good) == len(values) and not (unknown or missing or node.dropped)

    def _unknown(self, key: Node, missing: list[str], document: Document) -> None:
        """Note an unknown key; a missing one that it must be meant for is not missed again."""
        close = document.nearest(key.text, [*missing, *self.fields])
        if close in missing:
            missing.remove(close)
        document.problem(
            key,
            t("{name} has no key {text!r}", name=self.name, text=key.text),
            t("did you mean {close!r}?", close=close)
            if close
            else t("known keys: {fields}", fields=", ".join(self.fields)),
        )

    def json_schema(self) -> JsonSchema:
        """An object with its properties."""
        schema: JsonSchema = {
            "type": "object",
            "properties": {
                name: {**item.type.json_schema(), "description": item.doc}
                for name, item in self.fields.items()
            },
        }
        if not self.open:
            schema["additionalProperties"] = False
        if self._required:
            schema["required"] = [*self._required]
        return schema


def root_of(document: Document, expected: str) -> Node | None:
    """The mapping that a whole document must be; else None, and a problem if it holds anything."""
    root = document.root
    if root is None or root.kind == "mapping":
        return root
    document.problem(
        root, t("found {found}, expected {expected}", found=root.describe(), expected=expected)
    )
    return None


def document_schema(title: str, record: Record) -> JsonSchema:
    """A format's JSON Schema as a document of its own."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **record.json_schema(),
    }


def node_of(mapping: Node, key: str) -> Node:
    """The value that stands under `key`, or the mapping itself."""
    return next((value for name, value in mapping.pairs if name.text == key), mapping)
