"""Layouts: the exact tree that a project's files must end up in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fetcher.errors import Problem
from fetcher.fs.globs import BadPattern, Glob, compile_glob
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import expand, is_glob
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative
from fetcher.i18n import t
from fetcher.project.manifest import ID, Artifact
from fetcher.sources.base import FileEntry
from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Document, Node
from fetcher.yamldoc.schema import (
    INVALID,
    Field,
    Json,
    JsonSchema,
    ListOf,
    MapOf,
    Raw,
    Record,
    Text,
    document_schema,
    node_of,
    root_of,
)

_ID_TYPE = Text(ID, t("an id of letters, digits, '_', '-' and '.'"))
_EXPECTED = t("an artifact's id, or id/path/in/artifact")


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
    """One layout file.

    `mentioned` are the artifacts that it names, in whatever place. `places` gives (line, column)
    of what stands under `hub_cache`, `edits` and `writable`, by SECTION:TEXT.
    """

    name: str
    file: str
    root: str = ""
    title: str = ""
    entries: list[Entry] = field(default_factory=list)
    hub_cache: tuple[str, ...] = ()
    edits: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    writable: tuple[str, ...] = ()
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    has_tree: bool = False
    path: Path | None = None

    @cached_property
    def _by_artifact(self) -> Mapping[str, Sequence[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.artifact, []).append(entry)
        return found

    def entries_of(self, artifact: str) -> Sequence[Entry]:
        """The entries of one artifact, in order; each artifact asks. Only for a whole layout."""
        return self._by_artifact.get(artifact, ())

    @cached_property
    def _writable(self) -> tuple[set[str], list[Glob]]:
        """Names and folders (which end in /) to the letter, and globs."""
        items = [item for pattern in self.writable for item in expand(pattern)]
        plain = {item for item in items if not is_glob(item)}
        globs = [compile_glob(writable_glob(item)) for item in items if item not in plain]
        return plain | set(self.writable), globs

    def is_writable(self, target: str) -> bool:
        """Whether the layout wants this target (relative to its root) as a copy."""
        if not self.writable:  # asked for every file
            return False
        plain, globs = self._writable
        if target in plain:
            return True
        folders = (target[: index + 1] for index, char in enumerate(target) if char == "/")
        return any(folder in plain for folder in folders) or any(
            glob.matches(target) for glob in globs
        )


def writable_glob(item: str) -> str:
    """A glob under `writable` as it is meant: a folder is all that is in it."""
    return item + "**" if item.endswith("/") else item


@dataclass(frozen=True, slots=True)
class Placement:
    """A file of an artifact and where it goes: `target` is relative to the layout's root."""

    file: FileEntry
    target: str


def _path_complaint(text: str) -> str | None:
    try:
        check_relative(text)
    except BadPath as error:
        return str(error)
    return None


def _folder_complaint(text: str) -> str | None:
    if text in {".", "./"}:
        return None
    if text.startswith("~/"):
        return t("starts with '~', which is not replaced: paths are relative to --into")
    return _path_complaint(text.rstrip("/") or text)


def _glob_complaint(text: str) -> str | None:
    try:
        for item in expand(text):
            compile_glob(item)
    except BadPattern as error:
        return str(error)
    return None


MAX_WRITABLE_GLOBS = 100
_FOLDER = Text(expected=t("a relative path"), check=_folder_complaint)

LAYOUT_FIELDS: dict[str, Field] = {
    "layout": Field(_ID_TYPE, t("the layout's name"), required=True),
    "title": Field(Text(), t("a title for people")),
    "root": Field(_FOLDER, t("folder below --into; default: .")),
    "tree": Field(
        Raw({"$ref": "#/$defs/folder"}), t("folders, and what stands in them"), required=True
    ),
    "hub_cache": Field(
        ListOf(_ID_TYPE, or_one=True, unique=True),
        t("artifacts to place in the Hugging Face cache as well"),
    ),
    "edits": Field(
        MapOf(
            Text(expected=t("a relative path"), check=_path_complaint),
            MapOf(Text(), Json(), filled=True),
        ),
        t("keys to set in placed JSON files; {root} is the absolute root"),
    ),
    "writable": Field(
        ListOf(Text(expected=t("a path or glob"), check=_glob_complaint), or_one=True, unique=True),
        t(
            "targets (paths, globs, or folders that end in /) to place as copies, for training in "
            "place"
        ),
    ),
}
_SCHEMA = Record(t("a layout"), LAYOUT_FIELDS)


class _TreeReader:
    """Walks the `tree` mapping and gathers entries; problems go to the document."""

    def __init__(self, layout: Layout, document: Document) -> None:
        self.layout = layout
        self.document = document
        self.claims = PathClaims()

    def read(self, node: Node, prefix: str) -> None:
        """Read one folder, whose keys stand below `prefix`."""
        if node.kind != "mapping":
            self.document.problem(
                node,
                t(
                    "found {found}, expected a folder (a mapping from names to what stands there)",
                    found=node.describe(),
                ),
            )
            return
        for key, value in node.pairs:
            if _FOLDER.decode(key, self.document) is INVALID:
                continue
            here = key.text in {".", "./"}
            target = prefix.rstrip("/") if here else prefix + key.text.rstrip("/")
            if value.kind == "mapping":
                self.read(value, target + "/" if target else "")
            elif here or key.text.endswith("/"):
                self._folder(key, value, target)
            else:
                self._file(key, value, target)

    def _file(self, key: Node, value: Node, target: str) -> None:
        if value.kind == "sequence":
            self.document.problem(
                value,
                t("a list needs a folder: a file can come from one artifact only"),
                t("write {text!r}", text=key.text + "/"),
            )
            return
        entry = self._entry(value, target, folder=False)
        if entry and self._is_free(key, target, self.claims.claim(target)):
            self.layout.entries.append(entry)

    def _folder(self, key: Node, value: Node, target: str) -> None:
        if value.kind == "sequence" and not value.items:
            self.document.problem(
                value, t("found an empty list, expected {expected}", expected=_EXPECTED)
            )
        if not self._is_free(key, target, self.claims.claim_folder(target)):
            return
        seen: set[str] = set()
        for item in value.items if value.kind == "sequence" else [value]:
            entry = self._entry(item, target, folder=True)
            if entry and item.text in seen:
                self.document.problem(item, t("{text!r} is listed twice", text=item.text))
            elif entry:
                seen.add(item.text)
                self.layout.entries.append(entry)

    def _is_free(self, key: Node, target: str, other: str | None) -> bool:
        if other is not None:
            same = other == target
            self.document.problem(
                key,
                t("two files fall on {target!r}", target=target)
                if same
                else t("{target!r} collides with {other!r}", target=target, other=other),
                t("give one of them another name"),
            )
        return other is None

    def _entry(self, node: Node, target: str, folder: bool) -> Entry | None:
        if node.kind != "scalar" or node.is_null:
            self.document.problem(
                node,
                t("found {found}, expected {expected}", found=node.describe(), expected=_EXPECTED),
            )
            return None
        artifact, _, path = node.text.partition("/")
        path = path.rstrip("/")
        try:
            if not re.fullmatch(ID, artifact):
                raise BadPath(t("is not {expected}", expected=_EXPECTED))
            if path:
                check_relative(path)
        except BadPath as error:
            self.document.problem(node, t("{text!r} {error}", text=node.text, error=error))
            return None
        return Entry(target, folder, artifact, path, node.line, node.column)


def decode(document: Document) -> Layout | None:
    """The layout in a parsed document, None if it is no mapping; problems are collected."""
    root = root_of(document, t("a layout (a mapping)"))
    if root is None:
        return None
    values, _ = _SCHEMA.read(root, document)
    top = values.get("root", "").rstrip("/")
    layout = Layout(
        name=values.get("layout") or Path(document.name).stem,
        file=document.name,
        root="" if top == "." else top,
        title=values.get("title", ""),
        hub_cache=values.get("hub_cache", ()),
        edits=values.get("edits", {}),
        writable=values.get("writable", ()),
    )
    # Each of these is held against each target.
    globs = [item for text in layout.writable for item in expand(text) if is_glob(item)]
    if len(globs) > MAX_WRITABLE_GLOBS:
        text = t("'writable' stands for more than {most} globs", most=MAX_WRITABLE_GLOBS)
        document.problem(node_of(root, "writable"), text, t("name folders, which end in /"))
    for section in ("hub_cache", "edits", "writable"):
        node = node_of(root, section)
        if node is root:
            continue
        for item in [node, *node.items, *(key for key, _ in node.pairs)]:
            layout.places[f"{section}:{item.text}"] = item.line, item.column
    tree = node_of(root, "tree")
    layout.has_tree = tree.kind == "mapping" and tree is not root
    if tree is not root:
        _TreeReader(layout, document).read(tree, "")
    layout.mentioned = {entry.artifact for entry in layout.entries} | {*layout.hub_cache}
    if document.problems:
        layout.mentioned |= _named_anywhere(root)
    return layout


def _named_anywhere(root: Node) -> set[str]:
    """What a layout with mistakes may mean to place, so that no second complaint follows."""
    found: set[str] = set()
    others = {"layout", "title", "root", "edits", "writable"}
    pending = [value for key, value in root.pairs if key.text not in others] + root.dropped
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) not in seen:
            seen.add(id(node))
            found.add(node.text.partition("/")[0])
            pending += [*node.items, *(value for _, value in node.pairs), *node.dropped]
    return found


def load(path: Path, shown: str) -> tuple[Layout | None, Document]:
    """Read a layout file; `shown` is its name in messages."""
    document = nodes.read(path, shown)
    layout = decode(document)
    if layout:
        layout.path = path
    return layout, document


def covers(entry: Entry, target: str) -> bool:
    """Whether an entry is what places `target`, if the artifact has such a file."""
    if not entry.folder:
        return entry.target == target
    return not entry.target or target.startswith(entry.target + "/")


def owner_of(layout: Layout, target: str) -> str:
    """The artifact whose entry places `target`, or ""."""
    return next((entry.artifact for entry in layout.entries if covers(entry, target)), "")


def mismatch(
    entry: Entry,
    names: Collection[str],
    guess: Callable[[str, Collection[str]], str | None] = nearest,
) -> tuple[str, str] | None:
    """What is wrong with an entry, given the artifact's files; (message, hint)."""
    if entry.folder:
        if not entry.path or any(name.startswith(entry.path + "/") for name in names):
            return None
        what = t(
            "artifact {artifact!r} has no folder {path!r}", artifact=entry.artifact, path=entry.path
        )
        if entry.path in names:
            return what, t(
                "{path!r} is a file: drop the '/' at the end of the key", path=entry.path
            )
        return what, ""
    if not entry.path:
        if len(names) == 1:
            return None
        return (
            t(
                "artifact {artifact!r} has {count} files, which cannot stand under one name",
                artifact=entry.artifact,
                count=len(names),
            ),
            t("end the key in '/', or name one file: {artifact}/FILE", artifact=entry.artifact),
        )
    if entry.path in names:
        return None
    what = t("artifact {artifact!r} has no file {path!r}", artifact=entry.artifact, path=entry.path)
    if any(name.startswith(entry.path + "/") for name in names):
        return what, t("it is a folder: end the key in '/'")
    close = guess(entry.path, names)
    return what, t(
        "did you mean {artifact!r}?", artifact=entry.artifact + "/" + close
    ) if close else ""


def target_of(entry: Entry, name: str) -> str | None:
    """Where an entry places the artifact's file `name`; None if it does not place it."""
    if not entry.folder:
        return entry.target if entry.path in {"", name} else None
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
    by_path = {file.path: file for file in files}
    for entry in layout.entries_of(artifact.id):
        if wrong := mismatch(entry, by_path):
            place = f"{layout.file}:{entry.line}:{entry.column}"
            problems.append(
                Problem(
                    "layout-mismatch",
                    t("{place}: {wrong}", place=place, wrong=wrong[0]),
                    wrong[1],
                    artifact.id,
                )
            )
            continue
        one = not entry.folder and entry.path
        for file in [by_path[entry.path]] if one else files:
            target = target_of(entry, file.path)
            if target is not None:
                found.append(Placement(file, target))
    return found, problems


def json_schema() -> JsonSchema:
    """The layout format as JSON Schema."""
    place: JsonSchema = {"type": ["string", "number", "boolean"], "pattern": f"^{ID}(?:/|$)"}
    value: JsonSchema = {
        "anyOf": [
            place,
            {"type": "array", "items": place, "minItems": 1},
            {"$ref": "#/$defs/folder"},
        ]
    }
    return {
        **document_schema("fetch layout", _SCHEMA),
        "$defs": {"folder": {"type": "object", "additionalProperties": value}},
    }
