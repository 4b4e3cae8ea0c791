"""JSON Schemas as tables: every key with its type, default, meaning and an example."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
_SCALARS = {"string", "number", "boolean"}
# What YAML reads as the text that it is, without quotes.
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|null|[\d.]+)$)[\w./@~-][\w./@:=~ -]*(?<! )", re.I)


@dataclass(frozen=True)
class Key:
    """One row. `path` leads to it through its objects; `ID` stands for a name of the reader's."""

    path: tuple[str, ...]
    kind: str
    required: bool
    default: str
    meaning: str
    schema: Schema


@dataclass(frozen=True)
class Table:
    """The keys of one object; `path` is empty for the document itself."""

    path: tuple[str, ...]
    keys: list[Key]


def tables(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Table]:
    """A table for each object, outer ones first; objects of one shape have one table."""
    required = schema.get("required", ())
    rows = [_key(path, name, value, name in required) for name, value in _properties(schema)]
    if rows:
        yield Table(path, rows)
    for name, value in _properties(schema):
        if name != "mirrors":  # as `source`
            yield from _below((*path, name), value)


def _properties(schema: Schema) -> Iterator[tuple[str, Schema]]:
    yield from schema.get("properties", {}).items()


def _below(path: tuple[str, ...], schema: Schema) -> Iterator[Table]:
    if schema.get("type") == "object" or "properties" in schema:
        yield from tables(schema, path)
    if isinstance(inner := schema.get("additionalProperties"), dict):
        yield from _below((*path, "ID"), inner)
    if isinstance(inner := schema.get("items"), dict):
        yield from _below(path, inner)
    for choice in schema.get("anyOf", ()):
        constant = choice.get("properties", {}).get("type", {}).get("const")
        yield from _below((*path, constant) if constant else path, choice)


def _key(path: tuple[str, ...], name: str, schema: Schema, required: bool) -> Key:
    meaning, _, default = str(schema.get("description", "")).partition("default: ")
    meaning = meaning.rstrip("; ")
    if schema.get("const") is not None and not meaning:
        meaning = "the kind of source"
    return Key((*path, name), kind(schema), required, default, meaning, schema)


def kind(schema: Schema) -> str:
    """The type of a value in words."""
    if "$ref" in schema:
        return "mapping: folders and files"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        lower = dict.fromkeys(str(value).lower().replace(" ", "-") for value in schema["enum"])
        return ", ".join(f"`{value}`" for value in lower)
    if choices := schema.get("anyOf"):
        return _either([kind(choice) for choice in choices])
    types = schema.get("type", "")
    if types == "array":
        inner = kind(schema.get("items", {}))
        return f"list of {'mappings' if inner == 'mapping' else inner}"
    if types == "object":
        return "mapping"
    if isinstance(types, str) and types in {"integer", "number"}:
        return _number(schema, "whole number" if types == "integer" else "number")
    if types == "boolean":
        return "true or false"
    if types == "string" or set(types or ()) & _SCALARS:
        return "text"
    return "any value"


def _either(kinds: list[str]) -> str:
    """`text, or a list of it` for what may be one or several; words that are named are texts."""
    distinct = list(dict.fromkeys(kinds))
    if "text" in distinct:
        distinct = [one for one in distinct if not one.startswith("`")]
    lists = [one for one in distinct if one.startswith("list of ")]
    single = [one for one in distinct if one not in lists]
    lists = ["a list" if one.removeprefix("list of ") in single else one for one in lists]
    return " or ".join([*single, *lists])


def _number(schema: Schema, word: str) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None and high < 2**63 - 1:
        return f"{word}, {low} to {high}"
    return f"{word}, at least {low}" if low is not None else word


def example(key: Key, known: Mapping[str, Any]) -> Any:
    """A value for a key: the one that is stated for its path or name, else what its type says.

    Raises `KeyError` where nothing is stated and the type says too little.
    """
    for end in range(len(key.path)):
        if (name := ".".join(key.path[end:])) in known:
            return known[name]
    return _obvious(key.schema, ".".join(key.path))


def _obvious(schema: Schema, name: str) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "boolean":
        return True
    raise KeyError(f"website/examples.py has no example for {name}")


def flow(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and ": " not in value:
        return value
    return json.dumps(value, ensure_ascii=False)


def markdown(table: Table, known: Mapping[str, Any], heading: str) -> str:
    """A table with its heading."""
    lines = [heading, ""]
    lines += ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for key in table.keys:
        default = "**required**" if key.required else _default(key.default)
        cells = [f"`{key.path[-1]}`", key.kind, default, key.meaning, ""]
        cells[-1] = _code(flow(example(key, known)))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _default(text: str) -> str:
    """A default is a value, or words: the manifest's."""
    return (text if " " in text or "'" in text else _code(text)) if text else "–"


def _code(text: str) -> str:
    return f"`{text}`"
