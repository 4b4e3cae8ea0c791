"""Layouts: the exact tree that a project's files must end up in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetcher import yamltree
from fetcher.errors import Problem
from fetcher.manifest import ID, Artifact, Manifest
from fetcher.paths import BadPath, PathClaims, check_relative
from fetcher.patterns import compile_glob, expand, literal_names, nearest
from fetcher.schema import (
    INVALID,
    Field,
    Json,
    JsonSchema,
    ListOf,
    MapOf,
    Record,
    Text,
    node_of,
)
from fetcher.sources.base import FileEntry
from fetcher.yamltree import Document, Node

_ID_TYPE = Text(ID, "an id")


@dataclass(frozen=True)
class Entry:
    """One line of the tree: what stands at `target` (relative to the root).

    `folder` entries place every file of `artifact` below `path` with its own sub-path.
    """

    target: str
    folder: bool
    artifact: str
    path: str
    line: int
    column: int


@dataclass
class Layout:
    """One layout file."""

    name: str
    file: str
    root: str = ""
    title: str = ""
    entries: list[Entry] = field(default_factory=list)
    hub_cache: tuple[str, ...] = ()
    edits: dict[str, dict[str, Any]] = field(default_factory=dict)
    writable: tuple[str, ...] = ()
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)

    def is_writable(self, target: str) -> bool:
        """Whether the layout wants this target (relative to its root) as a copy."""
        return any(
            compile_glob(item).fullmatch(target)
            for pattern in self.writable
            for item in expand(pattern)
        )


@dataclass(frozen=True)
class Placement:
    """A file of an artifact and where it goes: `target` is relative to the layout's root."""

    file: FileEntry
    target: str


def _root_complaint(text: str) -> str | None:
    if text in {".", "./"}:
        return None
    try:
        check_relative(text.rstrip("/"))
    except BadPath as error:
        return str(error)
    return None


def _target_complaint(text: str) -> str | None:
    return None if text == "./" else _root_complaint(text)


_TARGET = Text(expected="a relative path", check=_target_complaint)

LAYOUT_FIELDS: dict[str, Field] = {
    "layout": Field(_ID_TYPE, "the layout's name", required=True),
    "title": Field(Text(), "a title for people"),
    "root": Field(
        Text(expected="a relative path", check=_root_complaint), "folder below --into; default: ."
    ),
    "tree": Field(Json(), "folders, and what stands in them", required=True),
    "hub_cache": Field(
        ListOf(_ID_TYPE, unique=True), "artifacts to place in the Hugging Face cache as well"
    ),
    "edits": Field(
        MapOf(_TARGET, MapOf(Text(), Json(), minimum=1)),
        "keys to set in placed JSON files; {root} is the absolute root",
    ),
    "writable": Field(
        ListOf(Text(), or_one=True), "targets (globs) to place as copies, for training in place"
    ),
}


class _TreeReader:
    """Walks the `tree` mapping and gathers entries; problems go to the document."""

    def __init__(self, layout: Layout, document: Document) -> None:
        self.layout = layout
        self.document = document
        self.claims = PathClaims()

    def read(self, node: Node, prefix: str) -> None:
        if node.kind != "mapping":
            self.document.problem(
                node,
                f"found {node.describe()}, expected a folder (a mapping from names to what "
                "stands there)",
            )
            return
        for key, value in node.pairs:
            if _TARGET.decode(key, self.document) is INVALID:
                self._mention(value)
                continue
            name = key.text.rstrip("/")
            target = prefix.rstrip("/") if key.text in {".", "./"} else prefix + name
            if value.kind == "mapping":
                self.read(value, target + "/" if target else "")
            else:
                folder = key.text.endswith("/") or key.text == "."
                self._leaf(key, value, target, folder)

    def _mention(self, node: Node) -> None:
        """Note what a broken entry names, so that no second complaint follows."""
        for item in [node, *node.items]:
            if item.kind == "scalar":
                self.layout.mentioned.add(item.text.partition("/")[0])

    def _leaf(self, key: Node, value: Node, target: str, folder: bool) -> None:
        items = value.items if value.kind == "sequence" else [value]
        if value.kind == "sequence" and not folder:
            self.document.problem(
                value,
                "a list needs a folder: a file can come from one artifact only",
                f"write {key.text + '/'!r}",
            )
            self._mention(value)
            return
        for item in items:
            entry = self._entry(item, target, folder)
            if entry is None:
                continue
            if not folder and (other := self.claims.claim(target)):
                self.document.problem(
                    key,
                    f"two files fall on {target!r}"
                    if other == target
                    else f"{target!r} collides with {other!r}",
                    "give one of them another name",
                )
                continue
            self.layout.entries.append(entry)

    def _entry(self, node: Node, target: str, folder: bool) -> Entry | None:
        expected = "an artifact's id, or id/path/in/artifact"
        if node.kind != "scalar" or node.is_null:
            self.document.problem(node, f"found {node.describe()}, expected {expected}")
            return None
        artifact, _, path = node.text.partition("/")
        self.layout.mentioned.add(artifact)
        path = path.rstrip("/")
        try:
            if not re.fullmatch(ID, artifact):
                raise BadPath(f"is no {expected}")
            if path:
                check_relative(path)
        except BadPath as error:
            self.document.problem(node, f"{node.text!r} {error}")
            return None
        return Entry(target, folder, artifact, path, node.line, node.column)


def decode(document: Document) -> Layout | None:
    """The layout in a parsed document; problems are collected there."""
    root = document.root
    if root is None:
        return None
    if root.kind != "mapping":
        document.problem(root, f"found {root.describe()}, expected a layout (a mapping)")
        return None
    values = Record("a layout", LAYOUT_FIELDS).decode(root, document)
    values = {} if values is INVALID else values
    name = values.get("layout") or node_of(root, "layout").text or Path(document.name).stem
    top = values.get("root", "").rstrip("/")
    layout = Layout(name, document.name, "" if top == "." else top, values.get("title", ""))
    layout.hub_cache = values.get("hub_cache", ())
    layout.edits = values.get("edits", {})
    layout.writable = values.get("writable", ())
    _remember_places(root, layout)
    tree = node_of(root, "tree")
    if tree is not root:
        _TreeReader(layout, document).read(tree, "")
    return layout


def _remember_places(root: Node, layout: Layout) -> None:
    for section in ("hub_cache", "edits"):
        node = node_of(root, section)
        if node is root:
            continue
        for item in [*node.items, *(key for key, _ in node.pairs)]:
            layout.places[f"{section}:{item.text}"] = item.line, item.column
            if section == "hub_cache":
                layout.mentioned.add(item.text)


def load(path: Path, shown: str) -> tuple[Layout | None, Document]:
    """Read a layout file; `shown` is its name in messages."""
    document = yamltree.read(path, shown)
    return decode(document), document


def cross_check(
    manifest: Manifest, layout: Layout, manifest_doc: Document, layout_doc: Document
) -> None:
    """Note what only shows when both files are seen together."""
    blamed: set[str] = set()

    def unknown(artifact: str, line: int, column: int) -> None:
        close = nearest(artifact, manifest.declared)
        if close:
            blamed.add(close)
        layout_doc.at(
            line,
            column,
            f"manifest {manifest.name!r} has no artifact {artifact!r}",
            f"did you mean {close!r}?"
            if close
            else f"its artifacts: {', '.join(sorted(manifest.declared))}",
        )

    for entry in layout.entries:
        if entry.artifact not in manifest.declared:
            unknown(entry.artifact, entry.line, entry.column)
        elif entry.artifact in manifest.artifacts:
            _check_entry(manifest.artifacts[entry.artifact], entry, layout_doc)
    for artifact in layout.hub_cache:
        if artifact not in manifest.declared:
            unknown(artifact, *layout.places[f"hub_cache:{artifact}"])
        elif artifact in manifest.artifacts:
            source = manifest.artifacts[artifact].source
            if source.type != "huggingface":
                layout_doc.at(
                    *layout.places[f"hub_cache:{artifact}"],
                    f"{artifact!r} comes from {source.type}, the Hugging Face cache holds "
                    "repositories of the Hub only",
                )
    for artifact in manifest.declared - layout.mentioned - blamed:
        manifest_doc.at(
            *manifest.places[artifact],
            f"artifact {artifact!r} has no place in layout {layout.name!r} ({layout.file})",
            "add it to the layout's tree or hub_cache, or remove it here",
        )
    for target in layout.edits:
        if not any(_covers(entry, target) for entry in layout.entries):
            layout_doc.at(
                *layout.places[f"edits:{target}"],
                f"the tree places no file at {target!r}, which 'edits' would change",
                "write the path as it is in the tree, relative to root",
            )
    _check_static_targets(manifest, layout, layout_doc)


def _covers(entry: Entry, target: str) -> bool:
    if not entry.folder:
        return entry.target == target
    return not entry.target or target.startswith(entry.target + "/")


def owner_of(layout: Layout, target: str) -> str:
    """The artifact whose entry places `target`, or ""."""
    return next((entry.artifact for entry in layout.entries if _covers(entry, target)), "")


def _check_entry(artifact: Artifact, entry: Entry, document: Document) -> None:
    """A path that the manifest's own list of files rules out."""
    names = literal_names(artifact.request.files, artifact.request.exclude)
    if names is None:
        return
    problem = _entry_problem(entry, names)
    if problem:
        document.at(entry.line, entry.column, *problem)


def _entry_problem(entry: Entry, names: Collection[str]) -> tuple[str, str] | None:
    """What is wrong with an entry, given the artifact's files; (message, hint)."""
    if entry.folder:
        if not entry.path or any(name.startswith(entry.path + "/") for name in names):
            return None
        what = f"artifact {entry.artifact!r} has no folder {entry.path!r}"
        if entry.path in names:
            return what, f"{entry.path!r} is a file: drop the '/' at the end of the key"
        return what, ""
    if not entry.path:
        if len(names) == 1:
            return None
        return (
            f"artifact {entry.artifact!r} has {len(names)} files, which cannot stand under one "
            "name",
            f"end the key in '/', or name one file: {entry.artifact}/FILE",
        )
    if entry.path in names:
        return None
    what = f"artifact {entry.artifact!r} has no file {entry.path!r}"
    if any(name.startswith(entry.path + "/") for name in names):
        return what, "it is a folder: end the key in '/'"
    close = nearest(entry.path, names)
    return what, f"did you mean {entry.artifact + '/' + close!r}?" if close else ""


def _check_static_targets(manifest: Manifest, layout: Layout, document: Document) -> None:
    """Two files on one path, as far as the manifest's own lists of files tell."""
    claims = PathClaims()
    for entry in layout.entries:
        artifact = manifest.artifacts.get(entry.artifact)
        if artifact is None:
            continue
        names = literal_names(artifact.request.files, artifact.request.exclude)
        if not entry.folder:
            targets = [entry.target]
        else:
            targets = [
                target for name in names or () if (target := _below_entry(entry, name)) is not None
            ]
        for target in targets:
            other = claims.claim(target)
            if other is not None:
                same = "two files fall on" if other == target else f"collides with {other!r}:"
                document.at(
                    entry.line,
                    entry.column,
                    f"{same} {target!r}",
                    "place one of them in another folder, or rename it",
                )
                break


def _below_entry(entry: Entry, name: str) -> str | None:
    prefix = entry.path + "/" if entry.path else ""
    if not name.startswith(prefix):
        return None
    return f"{entry.target}/{name[len(prefix) :]}" if entry.target else name[len(prefix) :]


def placements(
    layout: Layout, artifact: Artifact, files: Sequence[FileEntry]
) -> tuple[list[Placement], list[Problem]]:
    """Where each file of one artifact goes; entries that name nothing are problems."""
    found: list[Placement] = []
    problems: list[Problem] = []
    by_path: Mapping[str, FileEntry] = {file.path: file for file in files}
    for entry in layout.entries:
        if entry.artifact != artifact.id:
            continue
        if wrong := _entry_problem(entry, by_path):
            place = f"{layout.file}:{entry.line}:{entry.column}"
            problems.append(
                Problem("layout-mismatch", f"{place}: {wrong[0]}", wrong[1], artifact.id)
            )
            continue
        found += _place_entry(entry, by_path, files)
    return found, problems


def _place_entry(
    entry: Entry, by_path: Mapping[str, FileEntry], files: Sequence[FileEntry]
) -> Iterator[Placement]:
    if not entry.folder:
        file = by_path[entry.path] if entry.path else files[0]
        yield Placement(file, entry.target)
        return
    for file in files:
        target = _below_entry(entry, file.path)
        if target is not None:
            yield Placement(file, target)


def json_schema() -> JsonSchema:
    """The layout format as JSON Schema."""
    value: JsonSchema = {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}},
            {"$ref": "#/$defs/folder"},
        ]
    }
    schema = Record("a layout", LAYOUT_FIELDS).json_schema()
    schema["properties"]["tree"] = {
        "$ref": "#/$defs/folder",
        "description": LAYOUT_FIELDS["tree"].doc,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fetch layout",
        **schema,
        "$defs": {"folder": {"type": "object", "additionalProperties": value}},
    }
