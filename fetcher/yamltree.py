"""YAML text as a tree of nodes that know their line and column; nothing is interpreted here.

Scalars stay text: what they mean is the schema's business, so that `no`, `12:30`, `1e5` and dates
are never silently changed. Built from the parser's events, so depth, size and aliases are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fetcher.errors import DocumentProblem

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 2_000_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(eq=False)
class Node:
    """A scalar (`text`), a sequence (`items`) or a mapping (`pairs`), and where it stands.

    `line` and `column` count from 1. `quoted` tells 'no' in quotes from a bare no.
    """

    kind: str
    line: int
    column: int
    text: str = ""
    quoted: bool = False
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)

    @property
    def is_null(self) -> bool:
        """Whether this is YAML's null: nothing at all, `~` or `null`."""
        return (
            self.kind == "scalar"
            and not self.quoted
            and self.text
            in {
                "",
                "~",
                "null",
                "Null",
                "NULL",
            }
        )

    def describe(self) -> str:
        """What was found, in words, for messages."""
        if self.kind == "mapping":
            return "a mapping"
        if self.kind == "sequence":
            return "a list"
        if self.is_null:
            return "nothing"
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "…"
        return repr(shown)


class Document:
    """One YAML file: its tree and the problems found in it so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Node | None = None
        self.problems: list[DocumentProblem] = []

    def problem(self, node: Node, message: str, hint: str = "") -> None:
        """Note a mistake at `node`."""
        self.at(node.line, node.column, message, hint)

    def at(self, line: int, column: int, message: str, hint: str = "") -> None:
        """Note a mistake at a place."""
        self.problems.append(DocumentProblem(self.name, line, column, message, hint))


class _TreeBuilder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.anchors: dict[str, Node] = {}
        # Number of nodes below each node (aliases counted each time), and its height.
        self.sizes: dict[int, tuple[int, int]] = {}
        self.stack: list[Node] = []
        self.pending_keys: list[Node | None] = []
        self.root: Node | None = None

    def build(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent" and self.root is not None:
                mark = event.start_mark
                self.document.at(
                    mark.line + 1,
                    mark.column + 1,
                    "a second document starts here",
                    "keep one document in a file",
                )
                return self.root
            if kind == "ScalarEvent":
                self._scalar(event)
            elif kind in {"MappingStartEvent", "SequenceStartEvent"}:
                if not self._open(event, kind[:-10].lower()):
                    return None
            elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
                if not self._close():
                    return None
            elif kind == "AliasEvent" and not self._alias(event):
                return None
        return self.root

    def _node(self, event: Any, kind: str) -> Node:
        mark = event.start_mark
        node = Node(kind, mark.line + 1, mark.column + 1)
        if event.tag and event.tag not in {"!", "tag:yaml.org,2002:str"}:
            self.document.problem(
                node, f"tag {event.tag!r} is not allowed", "remove the tag and quote the text"
            )
        self.sizes[id(node)] = (1, 1)
        return node

    def _scalar(self, event: Any) -> None:
        node = self._node(event, "scalar")
        node.text = event.value
        node.quoted = bool(event.style) or event.tag == "tag:yaml.org,2002:str"
        self._add(node, event.anchor)

    def _open(self, event: Any, kind: str) -> bool:
        node = self._node(event, kind)
        self._add(node, None)
        if event.anchor:
            # Registered at the end only: an alias inside itself is then an unknown anchor.
            node.text = event.anchor
        self.stack.append(node)
        self.pending_keys.append(None)
        if len(self.stack) > MAX_DEPTH:
            self.document.problem(node, f"nested deeper than {MAX_DEPTH} levels")
            return False
        return True

    def _close(self) -> bool:
        node = self.stack.pop()
        self.pending_keys.pop()
        if node.text:
            self.anchors[node.text] = node
            node.text = ""
        below = [self.sizes[id(item)] for item in node.items]
        below += [self.sizes[id(part)] for pair in node.pairs for part in pair]
        size = 1 + sum(count for count, _ in below)
        self.sizes[id(node)] = size, 1 + max((height for _, height in below), default=0)
        if size > MAX_NODES:
            self.document.problem(
                node, f"stands for more than {MAX_NODES:,} nodes", "use fewer aliases"
            )
        return size <= MAX_NODES

    def _alias(self, event: Any) -> bool:
        target = self.anchors.get(event.anchor)
        mark = event.start_mark
        if target is None:
            self.document.at(
                mark.line + 1, mark.column + 1, f"alias *{event.anchor} has no finished anchor"
            )
            target = Node("scalar", mark.line + 1, mark.column + 1)
            self.sizes[id(target)] = (1, 1)
        if len(self.stack) + self.sizes[id(target)][1] > MAX_DEPTH:
            self.document.at(
                mark.line + 1,
                mark.column + 1,
                f"alias *{event.anchor} nests deeper than {MAX_DEPTH} levels",
            )
            return False
        self._add(target, None)
        return True

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if parent.kind == "sequence":
            parent.items.append(node)
            return
        key = self.pending_keys[-1]
        if key is None:
            self.pending_keys[-1] = node
        else:
            parent.pairs.append((key, node))
            self.pending_keys[-1] = None


def _keys_are_sound(document: Document, root: Node) -> None:
    seen_nodes: set[int] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if id(node) in seen_nodes:
            continue
        seen_nodes.add(id(node))
        pending += node.items
        pending += [value for _, value in node.pairs]
        first: dict[str, Node] = {}
        for key, _ in node.pairs:
            if key.kind != "scalar":
                document.problem(key, f"a key must be text, found {key.describe()}")
            elif key.text == "<<" and not key.quoted:
                document.problem(
                    key, "merge keys (<<) are not supported", "write the keys out in each place"
                )
            elif key.text in first:
                document.problem(
                    key,
                    f"duplicate key {key.text!r}: it already stands in line {first[key.text].line}",
                    "remove one of the two, or rename it",
                )
            else:
                first[key.text] = key


def _decode(document: Document, data: bytes) -> str | None:
    if len(data) > MAX_BYTES:
        document.at(1, 1, f"larger than {MAX_BYTES // 1024**2} MiB")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        document.at(line, column, "not UTF-8 text", "save the file as UTF-8")
        return None


def parse(data: bytes, name: str) -> Document:
    """Parse one YAML document; mistakes are collected in `document.problems`."""
    document = Document(name)
    text = _decode(document, data)
    if text is None:
        return document
    builder = _TreeBuilder(document)
    try:
        document.root = builder.build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, [error.context, error.problem]))
        hint = "indent with spaces" if "\\t" in what or "'\t'" in what else ""
        document.at(
            mark.line + 1 if mark else 1,
            mark.column + 1 if mark else 1,
            f"not valid YAML: {what}",
            hint,
        )
        document.root = None
    except yaml.YAMLError as error:
        document.at(1, 1, f"not valid YAML: {str(error).splitlines()[0]}")
        document.root = None
    if document.root is None and not document.problems:
        document.at(1, 1, "the file is empty")
    if document.root is not None:
        _keys_are_sound(document, document.root)
    return document


def read(path: Path, name: str | None = None) -> Document:
    """Read and parse a file; a file that cannot be read is a problem of the document."""
    shown = name or str(path)
    try:
        return parse(path.read_bytes(), shown)
    except OSError as error:
        document = Document(shown)
        document.at(1, 1, f"cannot be read: {error.strerror or error}")
        return document
