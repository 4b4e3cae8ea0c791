"""Layouts: the exact tree that a project's files must end up in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from fetcher.config.named_roots import ROOTS
from fetcher.errors import Problem
from fetcher.fs import placeholders
from fetcher.fs.globs import BadPattern, Glob, compile_glob
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import expand, is_glob
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative
from fetcher.fs.spelled import told_apart
from fetcher.i18n import t
from fetcher.project.file_table import FileTable
from fetcher.project.manifest import ID, Artifact, Manifest
from fetcher.project.target_keys import ADVICE, TARGET, path_complaint
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


class Entry(NamedTuple):
    """One line of the tree: what stands at `target` (relative to the root).

    `folder` entries place every file of `artifact` below `path` with its own sub-path. `root` is
    the named root that it is in, "" for the tree; `file` the manifest that says it, "" for the
    layout.
    """

    target: str
    folder: bool
    artifact: str
    path: str
    line: int
    column: int
    root: str = ""
    file: str = ""


class Turns(NamedTuple):
    """Artifacts that are listed under the name of one file: they must take turns."""

    key: str
    root: str
    target: str
    artifacts: tuple[str, ...]
    line: int
    column: int


@dataclass
class Layout:
    """One layout file.

    `mentioned` are the artifacts that it names, in whatever place. `turns` are lists under the
    name of one file. `places` gives (line, column)
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
    turns: list[Turns] = field(default_factory=list)
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
    def roots(self) -> frozenset[str]:
        """The named roots that it uses. Only for a whole layout."""
        return frozenset(entry.root for entry in self.entries if entry.root)

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


class Placement(NamedTuple):
    """A file of an artifact and where it goes: `target` is relative to the layout's root, or to
    the named root that `root` is."""

    file: FileEntry
    target: str
    root: str = ""


def _glob_complaint(text: str) -> str | None:
    if complaint := placeholders.complaint(text, placeholders.Where.FILE):
        return complaint
    try:
        for item in expand(text):
            compile_glob(item)
    except BadPattern as error:
        return str(error)
    return None


MAX_WRITABLE_GLOBS = 100

_TREE = Raw({"$ref": "#/$defs/folder"})
_SECTIONS = ("tree", *ROOTS)

LAYOUT_FIELDS: dict[str, Field] = {
    "layout": Field(_ID_TYPE, t("the layout's name"), required=True),
    "title": Field(Text(), t("a title for people")),
    "root": Field(TARGET, t("folder below --into; default: .")),
    "tree": Field(_TREE, t("folders, and what stands in them")),
    **{
        root.name: Field(
            _TREE,
            t(
                "the same in {default} or where {library} looks",
                default=root.default,
                library=root.library,
            ),
        )
        for root in ROOTS.values()
    },
    "hub_cache": Field(
        ListOf(_ID_TYPE, or_one=True, unique=True),
        t("artifacts to place in the Hugging Face cache as well"),
    ),
    "edits": Field(
        MapOf(
            Text(expected=t("a relative path"), check=path_complaint, advice=ADVICE),
            MapOf(Text(), Json(), filled=True),
        ),
        t("keys to set in placed JSON files; {root} is the absolute root"),
    ),
    "writable": Field(
        ListOf(
            Text(expected=t("a path or glob"), check=_glob_complaint, advice=ADVICE),
            or_one=True,
            unique=True,
        ),
        t(
            "targets (paths, globs, or folders that end in /) to place as copies, for training in "
            "place"
        ),
    ),
}
_SCHEMA = Record(t("a layout"), LAYOUT_FIELDS)


class _TreeReader:
    """Walks the `tree` mapping, or that of a named root, and gathers entries; problems go to the
    document. With `file` it reads what a manifest says, which others may say as well."""

    def __init__(self, layout: Layout, document: Document, root: str = "", file: str = "") -> None:
        self.layout = layout
        self.document = document
        self.root = root
        self.file = file
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
            if TARGET.decode(key, self.document) is INVALID:
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
        listed = value.items if value.kind == "sequence" and value.items else [value]
        entries = [self._entry(item, target, folder=False) for item in listed]
        found = [entry for entry in entries if entry is not None]
        ids = tuple(entry.artifact for entry in found)
        counts = Counter(ids)
        for item, entry in zip(listed, entries, strict=True):
            if entry is not None and counts[entry.artifact] > 1:  # it takes no turns with itself
                text = t("{text!r} is listed twice", text=entry.artifact)
                self.document.problem(item, text)
                return
        if not found or not self._is_free(key, target, self.claims.claim(target)):
            return
        self.layout.entries += found
        if value.kind == "sequence":
            place = value.line, value.column
            self.layout.turns.append(Turns(key.text, self.root, target, ids, *place))

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
            own, taken = told_apart(target, other)
            self.document.problem(
                key,
                t("two files fall on {target!r}", target=target)
                if same
                else t("{target} collides with {other}", target=own, other=taken),
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
        if complaint := placeholders.complaint(node.text, placeholders.Where.FILE):
            text = t("{found} {complaint}", found=node.describe(), complaint=complaint)
            hint = placeholders.advice(node.text, placeholders.Where.FILE)
            self.document.problem(node, text, hint)
            return None
        try:
            if not re.fullmatch(ID, artifact):
                raise BadPath(t("is not {expected}", expected=_EXPECTED))
            if path:
                check_relative(path)
        except BadPath as error:
            self.document.problem(node, t("{text!r} {error}", text=node.text, error=error))
            return None
        place = node.line, node.column
        return Entry(target, folder, artifact, path, *place, self.root, self.file)


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
    sections = {name: node for name in _SECTIONS if (node := node_of(root, name)) is not root}
    for name, node in sections.items():
        _TreeReader(layout, document, "" if name == "tree" else name).read(node, "")
    layout.has_tree = bool(sections) and all(n.kind == "mapping" for n in sections.values())
    if not sections and not root.dropped and not document.problems:
        document.problem(root, t("a layout needs the key 'tree'"))
    layout.mentioned = {entry.artifact for entry in layout.entries} | {*layout.hub_cache}
    if document.problems:
        layout.mentioned |= _named_anywhere(root)
    return layout


def add_targets(layout: Layout, manifest: Manifest, document: Document) -> None:
    """Place what a manifest's artifacts say themselves (`to`), as if the layout said it.

    `document` is the manifest's; it takes what is wrong.
    """
    placed = {entry.artifact: entry for entry in layout.entries}
    kinds = _Kinds(layout.entries)
    for artifact, targets in manifest.targets.items():
        for root, key in targets:
            if there := placed.get(artifact):
                document.problem(
                    key,
                    t(
                        "{artifact!r} says where it stands, and {place} says it too",
                        artifact=artifact,
                        place=f"{layout.file}:{there.line}:{there.column}",
                    ),
                    t("keep one of the two"),
                )
                continue
            value = Node("scalar", key.line, key.column, artifact)
            line = Node("mapping", key.line, key.column)
            line.pairs.append((key, value))
            reader = _TreeReader(layout, document, "" if root == "tree" else root, manifest.file)
            before = len(layout.entries)
            reader.read(line, "")
            layout.mentioned.add(artifact)
            for entry in layout.entries[before:]:
                if kinds.contradict(entry):
                    text = t("two files fall on {target!r}", target=entry.target)
                    document.problem(key, text, t("give one of them another name"))


class _Kinds:
    """Nothing can be a file for one artifact and a folder for another."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._files: set[tuple[str, str]] = set()
        self._folders: set[tuple[str, str]] = set()
        for entry in entries:
            self.contradict(entry)

    def contradict(self, entry: Entry) -> bool:
        """Take one more; whether it cannot stand beside those before."""
        path = entry.target
        folders = {(entry.root, path)} if entry.folder and path else set()
        while "/" in path:
            path = path.rpartition("/")[0]
            folders.add((entry.root, path))
        self._folders |= folders
        own = (entry.root, entry.target)
        if not entry.folder:
            self._files.add(own)
        return not folders.isdisjoint(self._files) or own in self._folders & self._files


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
    """Whether an entry is what places `target` in the tree, if the artifact has such a file."""
    if entry.root:
        return False
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


class Claims:
    """What an artifact's entries in one root name of it: a whole artifact is all that none of them
    names. So a folder may be placed whole, and one file of it elsewhere, under another name."""

    def __init__(self, entries: Sequence[Entry], root: str = "") -> None:
        named = [entry for entry in entries if entry.path and entry.root == root]
        self._files = {entry.path for entry in named if not entry.folder}
        self._folders = tuple(entry.path + "/" for entry in named if entry.folder)

    def is_for(self, entry: Entry, name: str) -> bool:
        """Whether an entry that could place the artifact's file `name` does."""
        if entry.path or not entry.folder:
            return True
        return name not in self._files and not name.startswith(self._folders)


def placements(
    layout: Layout, artifact: Artifact, files: Sequence[FileEntry]
) -> tuple[list[Placement], list[Problem]]:
    """Where each file of one artifact goes; entries that name nothing are problems."""
    found: list[Placement] = []
    problems: list[Problem] = []
    by_path = {file.path: file for file in files}
    entries = layout.entries_of(artifact.id)
    claims = {root: Claims(entries, root) for root in {entry.root for entry in entries}}
    for entry in entries:
        if wrong := mismatch(entry, by_path):
            place = f"{entry.file or layout.file}:{entry.line}:{entry.column}"
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
            if target is not None and claims[entry.root].is_for(entry, file.path):
                found.append(Placement(file, target, entry.root))
    return found, problems


def folder_of(layout: Layout, target: str) -> str:
    """What stands before the paths of an artifact's files: "" or a folder that ends in "/"."""
    return "".join(f"{name}/" for name in (layout.root, target) if name)


def takes_whole(entries: Sequence[Entry]) -> bool:
    """Whether entries of one artifact place all of its files into folders, by their own paths."""
    return bool(entries) and all(one.folder and not (one.path or one.root) for one in entries)


class PlacedTable:
    """The targets of an artifact of very many files that entries take whole."""

    def __init__(self, layout: Layout, entries: Sequence[Entry], files: FileTable) -> None:
        self._files = files
        self._folders = [folder_of(layout, one.target) for one in entries]

    def __contains__(self, target: object) -> bool:
        return any(
            str(target).startswith(folder) and self._files.has(str(target)[len(folder) :])
            for folder in self._folders
        )


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
        "anyOf": [{"required": [name]} for name in _SECTIONS],
        "$defs": {"folder": {"type": "object", "additionalProperties": value}},
    }
