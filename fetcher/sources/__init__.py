"""All kinds of sources, built in or from the entry-point group `fetcher.sources`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from fetcher.patterns import nearest
from fetcher.schema import INVALID, Field, JsonSchema, Record, Text, Type, node_of
from fetcher.sources.base import Source
from fetcher.sources.genforce import GenForce
from fetcher.sources.github import GitHub
from fetcher.sources.huggingface import HuggingFace
from fetcher.sources.plain import BlobMirror, Local, PyPI, Url
from fetcher.yamltree import Document, Node

BUILT_IN: tuple[type[Source], ...] = (HuggingFace, GitHub, GenForce, Url, Local, PyPI, BlobMirror)
_TYPE_FIELD = Field(Text(), "kind of source", required=True)
_SHORT = {"hf": "huggingface", "gh": "github", "file": "local"}


@lru_cache(maxsize=1)
def plugins() -> dict[str, type[Source]]:
    """Sources that other packages register; read only when a built-in type does not fit."""
    from importlib.metadata import entry_points

    return {point.name: point.load() for point in entry_points(group="fetcher.sources")}


def source_type(name: str) -> type[Source] | None:
    """The source class of a `type`, or None."""
    for kind in BUILT_IN:
        if kind.type == name:
            return kind
    return plugins().get(name)


def _type_names(mirror: bool) -> list[str]:
    kinds = [*BUILT_IN, *plugins().values()]
    return [kind.type for kind in kinds if mirror or not kind.mirror_only]


class SourceType(Type):
    """A source: a mapping with `type`, or its short form as text."""

    expected = "a source such as hf:owner/name@revision, or a mapping with a type"

    def __init__(self, mirror: bool = False) -> None:
        self.mirror = mirror

    def decode(self, node: Node, document: Document) -> Any:
        """The Source, or INVALID."""
        if node.kind == "scalar" and not node.is_null:
            return self._short(node, document)
        if node.kind != "mapping":
            return self.wrong(node, document)
        kind_node = node_of(node, "type")
        if kind_node is node:
            document.problem(
                node,
                "the source needs the key 'type'",
                f"one of {', '.join(_type_names(self.mirror))}",
            )
            return INVALID
        kind = self._kind(kind_node.text, kind_node, document)
        if kind is None:
            return INVALID
        return self._build(kind, node, document)

    def _kind(self, name: str, node: Node, document: Document) -> type[Source] | None:
        kind = source_type(name)
        if kind is None:
            names = _type_names(self.mirror)
            close = nearest(name, names)
            document.problem(
                node,
                f"no source type {name!r}, expected one of {', '.join(names)}",
                f"did you mean {close!r}?" if close else "",
            )
        elif kind.mirror_only and not self.mirror:
            document.problem(
                node,
                f"{name!r} can only stand under 'mirrors'",
                "bytes from a mirror count only if their digest is known from a source",
            )
            return None
        return kind

    def _build(self, kind: type[Source], node: Node, document: Document) -> Any:
        fields = {"type": _TYPE_FIELD, **kind.fields}
        values = Record(f"a source of type {kind.type}", fields).decode(node, document)
        if values is INVALID or not kind.check_fields(node, values, document):
            return INVALID
        values.pop("type")
        return kind(**values)

    def _short(self, node: Node, document: Document) -> Any:
        if re.match(r"(?:https?|ftps?)://", node.text):
            kind, rest = source_type("url"), node.text
        else:
            prefix, colon, rest = node.text.partition(":")
            if not colon:
                return self.wrong(node, document)
            kind = self._kind(_SHORT.get(prefix, prefix), node, document)
        if kind is None:
            return INVALID
        try:
            return kind(**kind.from_short(rest))
        except ValueError as error:
            document.problem(node, str(error))
            return INVALID

    def json_schema(self) -> JsonSchema:
        """Text, or one object per type."""
        variants: list[JsonSchema] = [{"type": "string"}]
        for kind in BUILT_IN:
            if kind.mirror_only and not self.mirror:
                continue
            schema = Record(kind.type, kind.fields).json_schema()
            schema["properties"] = {"type": {"const": kind.type}, **schema["properties"]}
            schema["required"] = ["type", *schema.get("required", [])]
            variants.append(schema)
        return {"anyOf": variants}
