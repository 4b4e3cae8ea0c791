"""What of a draft a project has not yet: the rest is left as people have it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fetcher.fs.patterns import is_glob
from fetcher.i18n import t
from fetcher.importers.document_paths import join
from fetcher.importers.draft import Draft
from fetcher.importers.target_tree import Remark
from fetcher.importers.writing import changes_of
from fetcher.project.project import Unit
from fetcher.register import changes
from fetcher.register.changes import Change, read_text
from fetcher.register.ids import propose
from fetcher.register.targets import path_of
from fetcher.register.values import node_of_value
from fetcher.sources import SourceType
from fetcher.sources.base import Source
from fetcher.yamldoc import edit
from fetcher.yamldoc.nodes import Document, parse


@dataclass
class Known:
    """What a project's manifests bring, and where their layouts put it."""

    files: set[tuple[str, str]] = field(default_factory=set)  # (source without its path, file)
    whole: dict[str, set[str]] = field(default_factory=dict)  # source without its path -> folders
    selections: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    targets: dict[str, str] = field(default_factory=dict)  # file -> the layout that says it
    ids: set[str] = field(default_factory=set)

    def has(self, source: Source, name: str) -> bool:
        """Whether a file of a source is brought."""
        place, path = _apart(source)
        found = join(path, name) if name else path
        return (place, found) in self.files or any(
            not folder or found == folder or found.startswith(folder + "/")
            for folder in self.whole.get(place, ())
        )


def known_of(units: Iterable[Unit]) -> Known:
    """What manifests and layouts say."""
    found = Known()
    for unit in units:
        root = unit.layout.root
        for artifact in unit.manifest.artifacts.values():
            found.ids.add(artifact.id)
            place, path = _apart(artifact.source)
            names, request = artifact.source_names, artifact.request
            if names is not None:
                found.files |= {(place, join(path, name)) for name in names}
            elif request.files is None:
                found.whole.setdefault(place, set()).add(path)
            else:
                found.selections.add((artifact.source.describe(), tuple(request.files)))
            for entry in unit.layout.entries_of(artifact.id):
                target = join(root, entry.target.strip("/")) if root else entry.target.strip("/")
                if entry.root:
                    continue
                if not entry.folder:
                    found.targets[target] = unit.layout.file
                    continue
                for name in artifact.literal_names or ():
                    found.targets[join(target, name)] = unit.layout.file
    return found


def keep_new(draft: Draft, known: Known, root: str) -> list[str]:
    """Take from a draft what the project has; returns the ids of what it has already.

    `root` is the folder below which the draft's paths lie. A file whose place is another's
    already is a remark.
    """
    had: list[str] = []
    places = _places(draft)
    for key in list(draft.artifacts):
        record, placed = draft.artifacts[key], places.get(key, [])
        names = _names(record)
        source = _source(record)
        if source is None:
            continue
        if names is None:
            patterns = record.get("files")
            chosen = tuple(map(str, patterns)) if isinstance(patterns, list) else ()
            same = (source.describe(), chosen) in known.selections
            if same or known.has(source, ""):
                had.append(key)
                _drop(draft, key, None, placed)
            continue
        gone = [name for name in names if known.has(source, name)]
        taken = [] if record.get("unpack") else _taken(placed, names, known, root)
        for name, target in taken:
            if name not in gone:
                gone.append(name)
                why = t(
                    "{file} puts another file at {target}: that is left as it is",
                    file=known.targets[target],
                    target=target,
                )
                draft.remarks.append(Remark(draft.lines[key], why, source.describe()))
        if gone:
            had.append(key)
            _drop(draft, key, None if len(gone) == len(names) else gone, placed)
    draft.remarks.sort(key=lambda remark: remark.line)
    return had


def _apart(source: Source) -> tuple[str, str]:
    """(a source without the folder or file that it means, that folder)."""
    path = getattr(source, "path", "")
    if source.type == "url":
        address = source.describe()
        folder, _, name = address.rpartition("/")
        return (folder + "/", name) if "?" not in address else (address, "")
    if path and source.type in {"huggingface", "github", "modelscope", "git"}:
        return replace(source, path="").describe(), str(path)  # type: ignore[type-var]
    return source.describe(), ""


def _source(record: Mapping[str, object]) -> Source | None:
    found = SourceType().decode(node_of_value(record["source"]), Document(""))
    return found if isinstance(found, Source) else None


def _names(record: Mapping[str, object]) -> list[str] | None:
    """The exact files that a record names; [""] for the one that its address means."""
    files = record.get("files")
    if isinstance(files, list | dict):
        names = [str(name) for name in files]
        return None if any(is_glob(name) for name in names) else names
    source = _source(record)
    one = source is not None and (source.type in {"url", "gdrive"} or record.get("unpack"))
    return [""] if one else None


def _places(draft: Draft) -> dict[str, list[tuple[str, str]]]:
    """By artifact: (target, file of it; "" for all) in the order of the layout."""
    found: dict[str, list[tuple[str, str]]] = {}
    for target, value in draft.tree.items():
        for item in value if isinstance(value, list) else [value]:
            identifier, _, own = str(item).partition("/")
            found.setdefault(identifier, []).append((target, own))
    return found


def _taken(
    placed: Iterable[tuple[str, str]], names: Sequence[str], known: Known, root: str
) -> list[tuple[str, str]]:
    """(name, target) of an artifact's files whose place in the tree is another's already."""
    found = []
    for target, own in placed:
        folder = target.endswith("/")
        for name in [own] if own else names:
            where = posixpath.normpath(join(root, target + name if folder else target))
            if where in known.targets:
                found.append((name, where))
    return found


def _drop(
    draft: Draft,
    key: str,
    names: Sequence[str] | None,
    placed: Iterable[tuple[str, str]],
) -> None:
    """Take an artifact, of which these targets are, out of a draft, or some of its files."""
    record = draft.artifacts[key]
    if names is None:
        del draft.artifacts[key], draft.lines[key]
        if key in draft.hub_cache:
            draft.hub_cache.remove(key)
    else:
        files = record["files"]
        assert isinstance(files, list | dict)
        left: object = (
            {name: facts for name, facts in files.items() if name not in names}
            if isinstance(files, dict)
            else [name for name in files if name not in names]
        )
        record["files"] = left
    gone = {key} if names is None else {f"{key}/{name}" for name in names}
    for target in dict.fromkeys(target for target, _ in placed):
        value = draft.tree[target]
        items = [str(item) for item in (value if isinstance(value, list) else [value])]
        kept = [
            item
            for item in items
            if item not in gone and not (names is None and item.startswith(f"{key}/"))
        ]
        if not kept:
            del draft.tree[target]
        elif kept != items:
            draft.tree[target] = kept if len(kept) > 1 else kept[0]


def joined_changes(
    draft: Draft, root: Path, name: str, title: str, top: str
) -> tuple[str, list[Change]]:
    """(the manifest's name, the changes) that bring a draft into a project.

    The manifest of that name takes it, if it is there; one whose layout has another root, or
    cannot take it, is left alone, and a new one stands beside it.
    """
    path = path_of(root, "manifests", name)
    if not read_text(root, path):
        return name, changes_of(draft, root, name, title, top)
    found = _into(draft, root, name, path, top)
    if found and not changes.problems(found):
        return name, found
    stems = {one.stem for one in (root / "manifests").iterdir()}
    other = propose(name, stems)
    return other, changes_of(draft, root, other, title, top)


def _into(draft: Draft, root: Path, name: str, path: str, top: str) -> list[Change]:
    before = read_text(root, path)
    whole = _plain(before, path)
    layout = str(whole.get("layout", name))
    layout_path = path_of(root, "layouts", layout)
    layout_before = read_text(root, layout_path)
    there = _plain(layout_before, layout_path)
    if not layout_before or str(there.get("root", "")) != top:
        return []
    after, placed = before, layout_before
    for key, record in draft.artifacts.items():
        after = edit.put(after, ["artifacts"], key, record, path)
    tree = there.get("tree")
    for target, value in draft.tree.items():
        old = tree.get(target) if isinstance(tree, dict) else None
        items = [*(old if isinstance(old, list) else [old] if old else [])]
        items += value if isinstance(value, list) else [value]
        both = items if len(items) > 1 else items[0]
        placed = edit.put(placed, ["tree"], target, both, layout_path)
    if draft.hub_cache:
        cached = there.get("hub_cache")
        items = [*(cached if isinstance(cached, list) else []), *draft.hub_cache]
        placed = edit.put(placed, [], "hub_cache", items, layout_path)
    return [Change(path, before, after), Change(layout_path, layout_before, placed)]


def _plain(text: str, name: str) -> dict[str, Any]:
    document = parse(text.encode(), name)
    found = edit.plain(document.root, document) if document.root is not None else {}
    return found if isinstance(found, dict) else {}
