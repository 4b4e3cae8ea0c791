"""YAML text as a tree of nodes that know their line and column; nothing is interpreted here.

Scalars stay text: what they mean is the schema's business, so that `no`, `12:30`, `1e5` and dates
are never silently changed. Built from the parser's events, so depth, size and aliases are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fetcher.errors import DocumentProblem
from fetcher.fs.logins import hidden
from fetcher.i18n import t
from fetcher.verify.contract.regular import read_regular

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 2_000_000
MAX_GUESSES = 200

BROKEN = "broken"
_TEXT_TAGS = {None, "!", "tag:yaml.org,2002:str"}
_NULLS = {"", "~", "null", "Null", "NULL"}


class Node:
    """A scalar (`text`), a sequence (`items`) or a mapping (`pairs`), and where it stands.

    `line` and `column` count from 1. `quoted` tells 'no' in quotes from a bare no. `dropped`
    are the values of a mapping's keys that are already reported and left out. A node of the
    kind BROKEN is one that is already reported: nothing more is said of it. `size` is the number
    of nodes that it stands for (aliases counted each time), `height` how deep they nest.
    """

    __slots__ = (
        "column",
        "dropped",
        "height",
        "items",
        "kind",
        "line",
        "pairs",
        "quoted",
        "size",
        "text",
    )

    def __init__(
        self, kind: str, line: int, column: int, text: str = "", quoted: bool = False
    ) -> None:
        self.kind = kind
        self.line = line
        self.column = column
        self.text = text
        self.quoted = quoted
        self.size = self.height = 1
        # Most nodes are scalars, which have no parts: they share these.
        leaf = kind == "scalar"
        self.items: list[Node] = _NO_ITEMS if leaf else []
        self.pairs: list[tuple[Node, Node]] = _NO_PAIRS if leaf else []
        self.dropped: list[Node] = _NO_ITEMS if leaf else []

    @property
    def is_null(self) -> bool:
        """Whether this is YAML's null: nothing at all, `~` or `null`."""
        return self.kind == "scalar" and not self.quoted and self.text in _NULLS

    def describe(self) -> str:
        """What was found, in words, for messages."""
        if self.kind == "mapping":
            return t("a mapping") if self.pairs else t("an empty mapping")
        if self.kind == "sequence":
            return t("a list") if self.items else t("an empty list")
        if self.is_null:
            return t("nothing")
        text = hidden(self.text)
        shown = text if len(text) <= 60 else text[:57] + "…"
        return repr(shown)


_NO_ITEMS: list[Node] = []
_NO_PAIRS: list[tuple[Node, Node]] = []


class Document:
    """One YAML file: its tree and the problems found in it so far.

    `empty` tells a file without content from one that cannot be parsed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Node | None = None
        self.empty = False
        self.problems: list[DocumentProblem] = []
        self._guesses = MAX_GUESSES

    def problem(self, node: Node, message: str, hint: str = "") -> None:
        """Note a mistake at `node`, unless it is reported already."""
        if node.kind != BROKEN:
            self.at(node.line, node.column, message, hint)

    def nearest(self, name: str, candidates: Iterable[str]) -> str | None:
        """What a wrong name may be meant for; a file with very many is not guessed at for ever."""
        from fetcher.fs.nearest import nearest

        self._guesses -= 1
        return nearest(name, candidates) if self._guesses >= 0 else None

    def at(self, line: int, column: int, message: str, hint: str = "") -> None:
        """Note a mistake at a place."""
        self.problems.append(DocumentProblem(self.name, line, column, message, hint))


class _Stop(Exception):
    """The rest of the file is not looked at; the reason is noted."""


class _TreeBuilder:
    """Puts the parser's events together; raises _Stop where a bound is crossed."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.anchors: dict[str, Node] = {}
        self.stack: list[Node] = []
        self.pending_keys: list[Node | None] = []
        self.root: Node | None = None

    def build(self, events: Iterator[Any]) -> Node | None:
        """The root of the first document, None for an empty stream."""
        steps: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": lambda event: self._open(event, "mapping"),
            "SequenceStartEvent": lambda event: self._open(event, "sequence"),
            "MappingEndEvent": self._close,
            "SequenceEndEvent": self._close,
            "AliasEvent": self._alias,
        }
        for event in events:
            kind = type(event).__name__
            if (step := steps.get(kind)) is not None:
                step(event)
            elif kind == "DocumentStartEvent" and self.root is not None:
                self._note(
                    event, t("a second document starts here"), t("keep one document in a file")
                )
                break
        return self.root

    def _stop(self, event: Any, message: str, hint: str = "") -> NoReturn:
        self._note(event, message, hint)
        raise _Stop

    def _note(self, event: Any, message: str, hint: str = "") -> None:
        mark = event.start_mark
        self.document.at(mark.line + 1, mark.column + 1, message, hint)

    def _node(self, event: Any, kind: str, text: str = "", quoted: bool = False) -> Node:
        mark = event.start_mark
        node = Node(kind, mark.line + 1, mark.column + 1, text, quoted)
        if event.tag not in _TEXT_TAGS:
            self._note(
                event,
                t("tag {tag!r} is not allowed", tag=event.tag),
                t("remove the tag and quote the text"),
            )
            node.kind = BROKEN if kind == "scalar" else kind
        self.count += 1
        if self.count > MAX_NODES:
            self._stop(event, t("more than {most:,} nodes", most=MAX_NODES))
        return node

    def _scalar(self, event: Any) -> None:
        node = self._node(event, "scalar", event.value, bool(event.style or event.tag))
        self._add(node, event.anchor)

    def _open(self, event: Any, kind: str) -> None:
        node = self._node(event, kind)
        self._add(node, None)
        if event.anchor:
            # Registered at the end only: an alias inside itself is then an unknown anchor.
            node.text = event.anchor
        self.stack.append(node)
        self.pending_keys.append(None)
        if len(self.stack) > MAX_DEPTH:
            self._stop(event, t("nested deeper than {most} levels", most=MAX_DEPTH))

    def _close(self, _: Any) -> None:
        node = self.stack.pop()
        self.pending_keys.pop()
        if node.text:
            self.anchors[node.text] = node
            node.text = ""
        size, below = node.size, 0
        for item in node.items:
            size += item.size
            below = max(below, item.height)
        for key, value in node.pairs:
            size += key.size + value.size
            if value.height > below or key.height > below:
                below = max(key.height, value.height)
        node.size, node.height = size, below + 1
        if node.size > MAX_NODES:
            self.document.problem(
                node,
                t("stands for more than {most:,} nodes", most=MAX_NODES),
                t("use fewer aliases"),
            )
            raise _Stop

    def _alias(self, event: Any) -> None:
        target = self.anchors.get(event.anchor)
        if target is None:
            self._note(
                event,
                t("alias *{anchor} has no finished anchor", anchor=event.anchor),
                t("quote the text if it shall start with a star: '*{anchor}'", anchor=event.anchor),
            )
            target = Node(BROKEN, event.start_mark.line + 1, event.start_mark.column + 1)
        if len(self.stack) + target.height > MAX_DEPTH:
            self._stop(
                event,
                t(
                    "alias *{anchor} nests deeper than {most} levels",
                    anchor=event.anchor,
                    most=MAX_DEPTH,
                ),
            )
        self._add(target, None)

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


def _check_keys(document: Document, root: Node) -> None:
    """Report keys that cannot be meant, and leave their pairs out."""
    seen: set[int] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        pending += [item for item in node.items if item.kind != "scalar"]
        pending += [value for _, value in node.pairs if value.kind != "scalar"]
        first: dict[str, Node] = {}
        sound = []
        for key, value in node.pairs:
            text = key.text
            usual = key.kind == "scalar" and text and text != "<<" and text not in first
            if not usual and (complaint := _key_complaint(key, first)):
                document.problem(key, *complaint)
                node.dropped.append(value)
            else:
                first[text] = key
                sound.append((key, value))
        if node.dropped:
            node.pairs = sound


def _key_complaint(key: Node, first: Mapping[str, Node]) -> tuple[str, str] | None:
    """What is wrong with a key, given those before it; (message, hint)."""
    if key.kind != "scalar" or (key.is_null and not key.text):
        hint = (
            t("put quotes around text that starts with '{' or '['") if key.kind != "scalar" else ""
        )
        return t("a key must be text, found {found}", found=key.describe()), hint
    if key.text == "<<" and not key.quoted:
        return t("merge keys (<<) are not supported"), t("write the keys out in each place")
    if key.text in first:
        where = first[key.text].line
        return (
            t(
                "duplicate key {text!r}: it already stands in line {where}",
                text=key.text,
                where=where,
            ),
            t("remove one of the two, or rename it"),
        )
    return None


def _decode(document: Document, data: bytes) -> str | None:
    if len(data) > MAX_BYTES:
        document.at(1, 1, t("larger than {most} MiB", most=MAX_BYTES // 1024**2))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        document.at(line, column, t("not UTF-8 text"), t("save the file as UTF-8"))
        return None


def _place_of(text: str, error: yaml.YAMLError) -> tuple[int, int]:
    """Line and column of a syntax error, from 1."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return mark.line + 1, mark.column + 1
    # Only the reader has no mark: a character that YAML does not allow.
    from yaml.reader import Reader

    bad = Reader.NON_PRINTABLE.search(text)
    start = bad.start() if bad else 0
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


_CONFLICT = re.compile(r"^<{7}(?: |\r?$)", re.MULTILINE)


def _syntax_error(document: Document, text: str, error: yaml.YAMLError) -> None:
    from yaml import MarkedYAMLError

    if (marker := _CONFLICT.search(text)) is not None:
        hint = t(
            "keep what is wanted of both sides, and delete the lines <<<<<<<, ======= and >>>>>>>"
        )
        line = text.count("\n", 0, marker.start()) + 1
        document.at(line, 1, t("a merge is unfinished: git's conflict markers"), hint)
        return
    line, column = _place_of(text, error)
    if isinstance(error, MarkedYAMLError):
        what = " ".join(filter(None, [error.context, error.problem]))
    else:
        what = str(error).splitlines()[0]
    if "maximum nesting depth" in what:  # the parser's own bound, met before ours
        document.at(line, column, t("nested deeper than {most} levels", most=MAX_DEPTH))
        return
    lines = text.split("\n")
    found = lines[line - 1] if line <= len(lines) else ""
    hint = ""
    if "\t" in found[: len(found) - len(found.lstrip())]:
        hint = t("indent with spaces, not with tabs")
    elif found[max(column - 2, 0) : column].strip(" -[,:")[:1] in {*"*@`%&!"}:
        hint = t("put quotes around text that starts with such a character")
    elif "could not find expected ':'" in what or "mapping values are not allowed" in what:
        hint = t("a key ends in a colon, here or in the line above; text with a colon wants quotes")
    document.at(line, column, t("not valid YAML: {what}", what=what), hint)


def _loader() -> Any:
    """The fastest that is there."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(data: bytes, name: str) -> Document:
    """Parse one YAML document; mistakes are collected in `document.problems`."""
    document = Document(name)
    text = _decode(document, data)
    if text is None:
        return document
    import yaml  # here, since a run with nothing to do needs none

    try:
        root = _TreeBuilder(document).build(yaml.parse(text, Loader=_loader()))
    except _Stop:
        return document
    except yaml.YAMLError as error:
        _syntax_error(document, text, error)
        return document
    if root is None:
        document.empty = True
        document.at(1, 1, t("the file is empty"))
        return document
    _check_keys(document, root)
    document.root = root
    return document


def read(path: Path, name: str | None = None) -> Document:
    """Read and parse a file; a file that cannot be read is a problem of the document."""
    shown = name or str(path)
    try:
        return parse(read_regular(path, MAX_BYTES), shown)
    except OSError as error:
        document = Document(shown)
        document.at(1, 1, t("cannot be read: {strerror}", strerror=error.strerror or error))
        return document
