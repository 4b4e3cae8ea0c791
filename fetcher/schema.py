"""Types of the project's YAML files: each decodes a node and describes itself as JSON Schema.

One table of fields serves the loader and the published JSON Schema, so that the two cannot
drift apart. A decoder notes every mistake in the document and returns INVALID; it never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fetcher.patterns import nearest
from fetcher.yamltree import Document, Node

INVALID: Final = object()

JsonSchema = dict[str, Any]


class Type:
    """A kind of value: `decode` reads it from a node, `json_schema` describes it."""

    expected = "a value"

    def decode(self, node: Node, document: Document) -> Any:
        """The value, or INVALID after noting what is wrong."""
        raise NotImplementedError

    def json_schema(self) -> JsonSchema:
        """This type as JSON Schema (draft 2020-12)."""
        raise NotImplementedError

    def wrong(self, node: Node, document: Document, hint: str = "") -> Any:
        """Note that something else was expected here."""
        document.problem(node, f"found {node.describe()}, expected {self.expected}", hint)
        return INVALID


@dataclass(frozen=True)
class Text(Type):
    """Text, taken as it stands; `pattern` must match all of it."""

    pattern: str = ""
    expected: str = "text"
    choices: tuple[str, ...] = ()
    check: Callable[[str], str | None] | None = None
    multiline: bool = False

    def decode(self, node: Node, document: Document) -> Any:
        """The text, unchanged."""
        if node.kind != "scalar" or node.is_null:
            return self.wrong(node, document)
        if not self.multiline and any(ord(char) < 32 or ord(char) == 127 for char in node.text):
            return self.wrong(node, document, "write it in one line, without control characters")
        if self.choices and node.text not in self.choices:
            close = nearest(node.text, self.choices)
            document.problem(
                node,
                f"found {node.describe()}, expected one of {', '.join(self.choices)}",
                f"did you mean {close!r}?" if close else "",
            )
            return INVALID
        if self.pattern and not re.fullmatch(self.pattern, node.text):
            return self.wrong(node, document)
        if self.check and (complaint := self.check(node.text)):
            document.problem(node, f"{node.describe()} {complaint}")
            return INVALID
        return node.text

    def json_schema(self) -> JsonSchema:
        """A string; bare numbers and booleans are read as the text that stands there."""
        if self.choices:
            return {"enum": list(self.choices)}
        if self.pattern:
            return {"type": "string", "pattern": f"^(?:{self.pattern})$"}
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True)
class Integer(Type):
    """A whole number in decimal digits."""

    minimum: int = 0
    maximum: int = 2**63 - 1

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What is expected, in words."""
        return f"a whole number of at least {self.minimum}"

    def decode(self, node: Node, document: Document) -> Any:
        """The number as int."""
        if node.kind != "scalar" or node.quoted or not re.fullmatch(r"[+-]?\d{1,19}", node.text):
            return self.wrong(node, document)
        if re.fullmatch(r"[+-]?0\d+", node.text):
            return self.wrong(node, document, "a leading 0 means octal to some readers: drop it")
        value = int(node.text)
        if not self.minimum <= value <= self.maximum:
            return self.wrong(node, document)
        return value

    def json_schema(self) -> JsonSchema:
        """An integer with its bounds."""
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Number(Type):
    """A number, whole or with a fraction."""

    expected: str = "a number"

    def decode(self, node: Node, document: Document) -> Any:
        """The number as int or float."""
        number = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
        if node.kind != "scalar" or node.quoted or not re.fullmatch(number, node.text):
            return self.wrong(node, document)
        return int(node.text) if re.fullmatch(r"[+-]?\d+", node.text) else float(node.text)

    def json_schema(self) -> JsonSchema:
        """A number."""
        return {"type": "number"}


@dataclass(frozen=True)
class Boolean(Type):
    """true or false, and no other word."""

    expected: str = "true or false"

    def decode(self, node: Node, document: Document) -> Any:
        """The truth value."""
        if node.kind == "scalar" and not node.quoted:
            if node.text in {"true", "True", "TRUE"}:
                return True
            if node.text in {"false", "False", "FALSE"}:
                return False
            if node.text.lower() in {"yes", "no", "on", "off", "y", "n"}:
                truth = "true" if node.text.lower() in {"yes", "on", "y"} else "false"
                return self.wrong(node, document, f"write {truth}")
        return self.wrong(node, document)

    def json_schema(self) -> JsonSchema:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Json(Type):
    """Any value, read by the rules of YAML 1.2's core schema: what JSON can hold."""

    expected: str = "a value"

    def decode(self, node: Node, document: Document) -> Any:
        """The value as JSON types."""
        if node.kind == "sequence":
            return [self.decode(item, document) for item in node.items]
        if node.kind == "mapping":
            return {key.text: self.decode(value, document) for key, value in node.pairs}
        if node.quoted:
            return node.text
        if node.is_null:
            return None
        if node.text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
            return node.text.lower() == "true"
        if re.fullmatch(r"[+-]?(0|[1-9]\d{0,18})", node.text):
            return int(node.text)
        if re.fullmatch(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", node.text):
            return float(node.text)
        return node.text

    def json_schema(self) -> JsonSchema:
        """Anything."""
        return {}


@dataclass(frozen=True)
class ListOf(Type):
    """A list; with `or_one`, a single item may stand without its brackets."""

    item: Type
    or_one: bool = False
    unique: bool = False
    minimum: int = 0

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What is expected, in words."""
        return f"a list of items, each {self.item.expected}"

    def decode(self, node: Node, document: Document) -> Any:
        """The items as a tuple."""
        if self.or_one and node.kind == "scalar" and not node.is_null:
            value = self.item.decode(node, document)
            return INVALID if value is INVALID else (value,)
        if node.kind != "sequence" or len(node.items) < self.minimum:
            return self.wrong(node, document)
        values = [self.item.decode(item, document) for item in node.items]
        if self.unique:
            self._unique(node, values, document)
        return INVALID if any(value is INVALID for value in values) else tuple(values)

    def _unique(self, node: Node, values: Sequence[Any], document: Document) -> None:
        first: dict[Any, Node] = {}
        for item, value in zip(node.items, values, strict=True):
            if value is not INVALID and value in first:
                document.problem(
                    item, f"{value!r} is listed twice, first in line {first[value].line}"
                )
            else:
                first.setdefault(value, item)

    def json_schema(self) -> JsonSchema:
        """An array, or the bare item."""
        array: JsonSchema = {"type": "array", "items": self.item.json_schema()}
        if self.unique:
            array["uniqueItems"] = True
        if self.minimum:
            array["minItems"] = self.minimum
        return {"anyOf": [array, self.item.json_schema()]} if self.or_one else array


@dataclass(frozen=True)
class MapOf(Type):
    """A mapping from names to values of one type; values come with their key's node."""

    key: Type
    value: Type
    minimum: int = 0
    expected: str = "a mapping"

    def decode(self, node: Node, document: Document) -> Any:
        """The mapping as dict, in file order."""
        if node.kind != "mapping" or len(node.pairs) < self.minimum:
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
        if self.minimum:
            schema["minProperties"] = self.minimum
        return schema


@dataclass(frozen=True)
class Field:
    """One field of a Record: its type, whether it must be there, and a line for the docs."""

    type: Type
    doc: str
    required: bool = False


@dataclass(frozen=True)
class Record(Type):
    """A mapping with known keys; decodes to a dict of the keys that are there."""

    name: str
    fields: Mapping[str, Field]
    expected: str = "a mapping"
    check: Callable[[Node, dict[str, Any], Document], bool] | None = field(default=None)
    open: bool = False

    def decode(self, node: Node, document: Document) -> Any:
        """The known fields as a dict; unknown and missing keys are noted."""
        if node.kind != "mapping":
            return self.wrong(node, document)
        values: dict[str, Any] = {}
        sound = True
        for key, value_node in node.pairs:
            known = self.fields.get(key.text)
            if known is None:
                if self.open:
                    values[key.text] = Json().decode(value_node, document)
                    continue
                self._unknown(key, document)
                sound = False
                continue
            value = known.type.decode(value_node, document)
            sound = sound and value is not INVALID
            if value is not INVALID:
                values[key.text] = value
        present = {key.text for key, _ in node.pairs}
        for name, item in self.fields.items():
            if item.required and name not in present:
                document.problem(node, f"{self.name} needs the key {name!r}", item.doc)
                sound = False
        if sound and self.check:
            sound = self.check(node, values, document)
        return values if sound else INVALID

    def _unknown(self, key: Node, document: Document) -> None:
        close = nearest(key.text, self.fields)
        document.problem(
            key,
            f"{self.name} has no key {key.text!r}",
            f"did you mean {close!r}?" if close else f"known keys: {', '.join(self.fields)}",
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
        required = [name for name, item in self.fields.items() if item.required]
        if required:
            schema["required"] = required
        return schema


def node_of(mapping: Node, key: str) -> Node:
    """The value that stands under `key`, or the mapping itself."""
    return next((value for name, value in mapping.pairs if name.text == key), mapping)
