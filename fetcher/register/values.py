"""Values from forms, flags and JSON as nodes that the manifest's own schema judges."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fetcher.fs.logins import hidden
from fetcher.i18n import t
from fetcher.project.manifest import FilesType
from fetcher.project.spellings import Methods
from fetcher.yamldoc.nodes import Document, Node, parse
from fetcher.yamldoc.schema import INVALID, Json, ListOf, MapOf, Record, Text, Type

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_BREAK = re.compile(r"[\n\t]")
_PAIR = re.compile(r"(?<![\w.-])([\w.-]+)[ \t]{0,9}=[ \t]{0,9}")


def node_of_value(value: Any) -> Node:
    """A JSON value as a node; text is taken as quoted."""
    if isinstance(value, Mapping):
        node = Node("mapping", 1, 1)
        node.pairs = [(node_of_value(str(key)), node_of_value(item)) for key, item in value.items()]
        return node
    if isinstance(value, list | tuple):
        node = Node("sequence", 1, 1)
        node.items = [node_of_value(item) for item in value]
        return node
    if isinstance(value, str):
        return Node("scalar", 1, 1, value, quoted=True)
    return Node("scalar", 1, 1, json.dumps(value))


def node_of_text(text: str, kind: Type) -> tuple[Node | None, str]:
    """What a person typed for a field of this type: (node, "") or (None, what is wrong).

    Lists may be written with commas alone, mappings as `key=value` with commas.
    """
    text = text.strip()
    if isinstance(kind, FilesType) and text[:1] not in {"{", "["}:
        kind = ListOf(Text())
    structured = isinstance(kind, ListOf | MapOf | Record | Json | FilesType)
    if not structured:
        return Node("scalar", 1, 1, text, quoted=_is_text(kind)), ""
    if isinstance(kind, Methods):  # brackets are a form's boxes here: [x] encode(x)
        plain = text.strip("[]") if re.fullmatch(r"\[[\w\s,]+\]", text) else text
        lines = [line for line in re.split(r"[,\n]", plain) if line.strip()]
        return node_of_value([line.strip() for line in lines]), ""
    if isinstance(kind, ListOf) and not (text.startswith("[") and text.endswith("]")):
        text = f"[{text}]" if not _with_brackets(text) else text
    elif isinstance(kind, MapOf | Record) and not text.startswith("{"):
        pairs = _PAIR.sub(r"\1: ", ", ".join(text.splitlines()))
        text = "{" + pairs + "}"
    document = parse(text.encode(), "value")
    if document.root is None or document.problems:
        return None, t("cannot be read: write it as in YAML, such as [1, 2] or {key: value}")
    return document.root, ""


def _is_text(kind: Type) -> bool:
    return isinstance(kind, Text)


def _with_brackets(text: str) -> bool:
    return text.startswith("-") and "\n" in text


def printable(value: Any) -> bool:
    """Whether all text in a JSON value can stand in a file: no control characters."""
    if isinstance(value, str):
        return not _CONTROL.search(value)
    if isinstance(value, Mapping):
        return all(not _BREAK.search(str(key)) for key in value) and all(
            printable(item) for pair in value.items() for item in pair
        )
    return not isinstance(value, list | tuple) or all(printable(item) for item in value)


def short(text: str) -> str:
    """What somebody wrote, cut for a message, without a login."""
    text = hidden(text)
    return text if len(text) <= 100 else text[:99] + "…"


def with_hint(message: str, hint: str) -> str:
    """A message, and the hint in brackets behind it."""
    return t("{message} ({hint})", message=message, hint=hint) if hint else message


def judge(node: Node, kind: Type) -> tuple[Any, list[str]]:
    """(the value, []) or (INVALID, what is wrong in words)."""
    document = Document("value")
    value = kind.decode(node, document)
    words = [with_hint(problem.message, problem.hint) for problem in document.problems]
    return (
        (INVALID, words or [t("expected {expected}", expected=kind.expected)])
        if value is INVALID
        else (value, [])
    )
