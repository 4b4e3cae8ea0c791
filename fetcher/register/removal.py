"""Taking a record out again: of its manifest, and of every place in the layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fetcher.register.changes import Change, read_text
from fetcher.register.targets import path_of
from fetcher.yamldoc import edit
from fetcher.yamldoc.nodes import Node, parse
from fetcher.yamldoc.schema import node_of

_Path = tuple[str, ...]


def changes_without(root: Path, manifest: Path, layout: str, ids: Sequence[str]) -> list[Change]:
    """The manifest (a file below `root`) and its layout without these artifacts.

    Files that would have none are to go. Raises UsageError where a file cannot be changed,
    Failure for a link out of the project.
    """
    path = manifest.relative_to(root).as_posix()
    before = after = read_text(root, path)
    for identifier in ids:
        after = edit.drop(after, ["artifacts"], identifier, path)
    changes = [Change(path, before, after if _has(after, "artifacts", path) else "")]
    if layout:
        layout_path = path_of(root, "layouts", layout)
        text = read_text(root, layout_path)
        left = _without_places(text, set(ids), layout_path)
        changes.append(Change(layout_path, text, left if _has(left, "tree", path) else ""))
    return changes


def _has(text: str, key: str, name: str) -> bool:
    root = parse(text.encode(), name).root
    return root is not None and node_of(root, key) is not root


def _without_places(text: str, ids: set[str], name: str) -> str:
    """A layout's text without what stands there of these artifacts."""
    document = parse(text.encode(), name)
    if document.root is None:
        return text
    tree = node_of(document.root, "tree")
    gone: list[_Path] = []
    for place, names in _places(tree) if tree is not document.root else ():
        kept = [one for one in names if one.partition("/")[0] not in ids]
        if len(kept) == len(names):
            continue
        if kept:
            value: object = kept[0] if len(kept) == 1 else kept
            text = edit.put(text, ["tree", *place[:-1]], place[-1], value, name)
        else:
            gone.append(place)
            text = edit.drop(text, ["tree", *place[:-1]], place[-1], name)
    cache = node_of(document.root, "hub_cache")
    listed = [item.text for item in cache.items] if cache is not document.root else []
    if kept := [one for one in listed if one not in ids]:
        if kept != listed:
            text = edit.put(text, [], "hub_cache", kept, name)
    elif listed:
        text = edit.drop(text, [], "hub_cache", name)
    return _without_edits(text, document.root, gone, name)


def _places(node: Node, above: _Path = ()) -> Iterator[tuple[_Path, list[str]]]:
    """Every key of a tree with the artifacts, or files of them, that stand there."""
    for key, value in node.pairs:
        if value.kind == "mapping":
            yield from _places(value, (*above, key.text))
        else:
            items = value.items if value.kind == "sequence" else [value]
            yield (*above, key.text), [item.text for item in items]


def _without_edits(text: str, root: Node, gone: Sequence[_Path], name: str) -> str:
    """Without edits of files that stood in the places that are gone."""
    edits = node_of(root, "edits")
    targets = ["/".join(place).replace("//", "/") for place in gone]
    for key, _ in edits.pairs if edits is not root else ():
        if any(key.text == one or _is_below(key.text, one) for one in targets):
            text = edit.drop(text, ["edits"], key.text, name)
    return text


def _is_below(target: str, folder: str) -> bool:
    return folder.endswith("/") and target.startswith(folder)
