"""Changes of YAML files that people wrote: comments, order and layout of the rest stay.

A new entry is inserted as text, so that nothing else moves; only where that is not possible (a
mapping in braces, a key that is there already) ruamel.yaml rewrites the file, keeping comments.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.yamldoc.nodes import Document, Node, parse
from fetcher.yamldoc.schema import INVALID, Json, node_of

_WIDTH = 96
_UNBROKEN = 1 << 20
# Text that every reader takes as it stands, within brackets too (words such as `true` are quoted
# by ruamel itself), and text that can be written line by line.
_PLAIN = re.compile(r"[\w./(](?:[\w./ ()=+@~-]*[\w./()=+@~-])?(?::[\w/][\w./()=+@~-]*)*")
_PARAGRAPHS = re.compile(r"(?:[^\s\x00-\x1f\x7f-\xa0][^\x00-\x1f\x7f-\xa0]*\n+)+")


def _ruamel(width: int = _WIDTH) -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = width
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _styled(value: Any, block_levels: int) -> Any:
    """A value for ruamel: short flat parts in one line, but for the outer levels.

    `block_levels` is how many levels of mappings are to be written out, line by line.
    """
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, Mapping):
        pairs = ((_scalar(key), _styled(item, block_levels - 1)) for key, item in value.items())
        result = CommentedMap(pairs)
        if block_levels < 1 and _is_flat(value.values()) and len(repr(dict(value))) < 90:
            result.fa.set_flow_style()
        return result
    if isinstance(value, list | tuple):
        items = CommentedSeq(_styled(item, -1) for item in value)
        if _is_flat(value) and len(repr(list(value))) < 90:
            items.fa.set_flow_style()
        return items
    return _scalar(value, block_levels)


def _scalar(value: Any, block_levels: int = 0) -> Any:
    """Text in quotes where readers of YAML might differ about it; long text in lines."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

    if not isinstance(value, str):
        return value
    if "\n" in value and block_levels >= 0 and _PARAGRAPHS.fullmatch(value):
        return LiteralScalarString(value)
    return value if _PLAIN.fullmatch(value) else DoubleQuotedScalarString(value)


def _is_flat(values: Iterable[Any]) -> bool:
    return all(not isinstance(item, Mapping | list | tuple) for item in values)


def dump(value: Mapping[str, object], block_levels: int = 2) -> str:
    """A mapping as YAML: the outer levels in blocks, short parts below in one line."""
    text = _dumped(value, block_levels, _WIDTH)
    if _value_or_none(text, "") is None:  # a long key was broken in lines, and is none then
        text = _dumped(value, block_levels, _UNBROKEN)
    return text


def _dumped(value: Mapping[str, object], block_levels: int, width: int) -> str:
    out = io.StringIO()
    _ruamel(width).dump(_styled(value, block_levels), out)
    return out.getvalue()


def spaced(body: str) -> str:
    """The text with an empty line between the entries of its one mapping."""
    lines = body.splitlines()
    out = lines[:1]
    for index, line in enumerate(lines[1:], 1):
        if re.match(r"  [^ ]", line) and index > 1:
            out.append("")
        out.append(line)
    return "\n".join(out) + "\n"


def plain(node: Node, document: Document) -> Any:
    """A node's value as JSON types, INVALID if it has mistakes."""
    return Json().decode(node, document)


def _parsed(text: str, name: str) -> Document:
    document = parse(text.encode(), name)
    if document.root is None or document.problems:
        first = document.problems[0] if document.problems else None
        raise UsageError(
            t("{name} cannot be changed: {first}", name=name, first=first), t("mend it first")
        )
    return document


def _value(text: str, name: str) -> Any:
    document = _parsed(text, name)
    assert document.root is not None
    return plain(document.root, document)


def _reach(root: Node, path: Sequence[str]) -> Node | None:
    for key in path:
        found = node_of(root, key)
        if found is root:
            return None
        root = found
    return root


def put(text: str, path: Sequence[str], key: str, value: Any, name: str) -> str:
    """The text with `key: value` added to the mapping at `path`, or changed there.

    Mappings on the way that are missing are made. Raises UsageError for a file that cannot be
    read.
    """
    if not text.strip(" \r\n") or parse(text.encode(), name).empty:  # nothing, or comments only
        start = text if not text or text.endswith("\n") else text + "\n"
        return start + dump(_nested(path, {key: value}), 2 + len(path))
    wanted = _with(_value(text, name), path, key, value)
    inserted = _insert(text, path, key, value, name)
    if inserted is not None and _value_or_none(inserted, name) == wanted:
        return inserted
    made = _rewrite(text, path, key, value, name)
    if _value_or_none(made, name) != wanted:  # two readers took the rest in two ways
        raise UsageError(
            t("{name} cannot be changed without changing what else it says", name=name),
            t("add {key} by hand", key=".".join([*path, key])),
        )
    return made


def drop(text: str, path: Sequence[str], key: str, name: str) -> str:
    """The text without `key` of the mapping at `path`, and without mappings that are empty then.

    The comment right above it goes along. Raises UsageError for a file that cannot be changed.
    """
    root = _parsed(text, name).root
    assert root is not None
    node = _reach(root, path)
    if node is None or all(one.text != key for one, _ in node.pairs):
        return text
    if len(node.pairs) == 1 and path:
        return drop(text, path[:-1], path[-1], name)
    wanted = _without(_value(text, name), path, key)
    cut = _cut(text, node, key)
    if cut is not None and _value_or_none(cut, name) == wanted:
        return cut
    made = _rewritten(text, path, key, name)
    if _value_or_none(made, name) != wanted:
        raise UsageError(
            t("{name} cannot be changed without changing what else it says", name=name),
            t("remove {key} by hand", key=".".join([*path, key])),
        )
    return made


def _without(whole: Any, path: Sequence[str], key: str) -> Any:
    """`whole` (JSON types) with the key gone: what the changed text must say."""
    result = dict(whole)
    if path:
        result[path[0]] = _without(result[path[0]], path[1:], key)
    else:
        del result[key]
    return result


def _cut(text: str, node: Node, key: str) -> str | None:
    """The text without the lines of an entry; None if it has none of its own."""
    lines = text.splitlines(keepends=True)
    (found,) = (one for one, _ in node.pairs if one.text == key)
    indent, first = found.column - 1, found.line - 1
    if lines[first][:indent].strip(" "):
        return None  # in braces, or behind a dash
    end = _end_of(lines, found.line, indent)
    while first and lines[first - 1].startswith(" " * indent + "#"):
        first -= 1
    blank_above = not first or not lines[first - 1].strip()
    while end < len(lines) and blank_above and not lines[end].strip():
        end += 1
    return "".join([*lines[:first], *lines[end:]])


def _nested(path: Sequence[str], value: Mapping[str, object]) -> dict[str, object]:
    result = dict(value)
    for key in reversed(path):
        result = {key: result}
    return result


def _with(whole: Any, path: Sequence[str], key: str, value: Any) -> Any:
    """`whole` (JSON types) with the change made: what the changed text must say."""
    result = dict(whole) if isinstance(whole, dict) else {}
    if path:
        result[path[0]] = _with(result.get(path[0]), path[1:], key, value)
    else:
        result[key] = jsonable(value)
    return result


def jsonable(value: Any) -> Any:
    """A decoded value as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def _value_or_none(text: str, name: str) -> Any:
    document = parse(text.encode(), name)
    if document.root is None or document.problems:
        return None
    found = plain(document.root, document)
    return None if found is INVALID else found


def _insert(
    text: str, path: Sequence[str], key: str, value: Any, name: str, block_levels: int = 2
) -> str | None:
    """The text with a new entry at the end of a block mapping; None if it cannot be inserted."""
    root = _parsed(text, name).root
    assert root is not None
    node = _reach(root, path)
    if node is None:
        # The nearest mapping that is there takes the missing ones, nested.
        if not path:
            return None
        return _insert(text, path[:-1], path[-1], {key: value}, name, block_levels + 1)
    if node.kind != "mapping" or not node.pairs or any(k.text == key for k, _ in node.pairs):
        return None
    lines = text.splitlines(keepends=True)
    first, last = node.pairs[0][0], node.pairs[-1][0]
    indent = first.column - 1
    if lines[first.line - 1][:indent].strip(" "):
        return None  # in braces, or behind a dash
    end = _end_of(lines, last.line, indent)
    if lines[end - 1] and not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    block = dump({key: value}, block_levels)
    new = [" " * indent + line if line.strip() else line for line in block.splitlines(True)]
    spaced = any(not lines[k.line - 2].strip() for k, _ in node.pairs[1:] if k.line >= 2)
    if spaced or (len(node.pairs) == 1 and len(new) > 3 and indent):
        new.insert(0, "\n")
    return "".join([*lines[:end], *new, *lines[end:]])


def _end_of(lines: Sequence[str], start: int, indent: int) -> int:
    """How many lines there are up to the end of the entry whose key stands in line `start`."""
    end = start
    for number in range(start, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip(" "))
        if depth <= indent and not (depth == indent and line.lstrip().startswith("- ")):
            break
        end = number + 1
    return end


def _rewrite(text: str, path: Sequence[str], key: str, value: Any, name: str) -> str:
    """The text with the change, written anew with its comments."""

    def change(document: Any) -> None:
        spot = document
        for step in path:
            if not isinstance(spot.get(step), Mapping):
                spot[step] = {}
            spot = spot[step]
        spot[key] = _styled(value, 1)

    return _written_anew(text, name, change)


def _rewritten(text: str, path: Sequence[str], key: str, name: str) -> str:
    """The text without the entry, written anew with its comments."""

    def change(document: Any) -> None:
        spot = document
        for step in path:
            spot = spot[step]
        del spot[key]

    return _written_anew(text, name, change)


def _written_anew(text: str, name: str, change: Callable[[Any], None]) -> str:
    from ruamel.yaml.error import YAMLError

    yaml = _ruamel()
    try:
        document = yaml.load(text)
    except YAMLError as error:  # two readers, and two opinions of what is YAML
        first = str(getattr(error, "problem", None) or error).partition("\n")[0]
        raise UsageError(
            t("{name} cannot be changed: {first}", name=name, first=first), t("mend it first")
        ) from error
    change(document)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def diff(before: str, after: str, name: str) -> str:
    """A unified diff of one file, as git shows it; "" if nothing changes."""
    old = [line + "\n" for line in before.splitlines()]
    new = [line + "\n" for line in after.splitlines()]
    source = name if before else "/dev/null"
    return "".join(difflib.unified_diff(old, new, source, name, n=3))
