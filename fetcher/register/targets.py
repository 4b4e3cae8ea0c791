"""Where a new record goes: into which manifest and layout, as changes of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.project.manifest import ID, Artifact, decode
from fetcher.project.project import SUFFIXES, Project
from fetcher.register.changes import Change, read_text
from fetcher.register.ids import propose
from fetcher.sources.base import Source
from fetcher.sources.huggingface import HuggingFace
from fetcher.yamldoc import edit
from fetcher.yamldoc.nodes import Node, parse
from fetcher.yamldoc.schema import node_of


def manifest_for(project: Project, wanted: str = "") -> str:
    """The name of the manifest that takes a new record.

    As wanted, else the project's only one, else one named after its folder. Raises UsageError
    where the project has several.
    """
    if wanted:
        if not re.fullmatch(ID, wanted):
            raise UsageError(
                t("--manifest {wanted}: expected letters, digits, '_', '-' and '.'", wanted=wanted)
            )
        return wanted
    own = [path.stem for path in project.own_manifests()]
    if len(own) > 1:
        raise UsageError(
            t("the project has several manifests: {own}", own=", ".join(own)),
            t("name one with --manifest"),
        )
    return own[0] if own else propose(project.root.absolute().name)


def taken_ids(root: Path, manifest: str) -> set[str]:
    """Ids that the manifest has already, and names that lead to them."""
    document = parse(read_text(root, path_of(root, "manifests", manifest)).encode(), manifest)
    if document.root is None:
        return set()
    artifacts = node_of(document.root, "artifacts")
    found = set()
    for key, value in artifacts.pairs if artifacts is not document.root else ():
        found.add(key.text)
        aliases = node_of(value, "aliases")
        found |= {item.text for item in aliases.items}
    return found


def id_of_repository(root: Path, manifest: str, repo: str) -> str:
    """The manifest's artifact that is this model of the Hub, or ""."""
    document = parse(read_text(root, path_of(root, "manifests", manifest)).encode(), manifest)
    decoded = decode(document) if document.root is not None else None
    for artifact in decoded.artifacts.values() if decoded else ():
        source = artifact.source
        if isinstance(source, HuggingFace) and (source.repo_type, source.repo) == ("model", repo):
            return artifact.id
    return ""


def joinable(root: Path, manifest: str, source: Source) -> Artifact | None:
    """The artifact that takes one more file of a source: it names files of the same one, and its
    whole folder has a place in the layout. None if there is none."""
    path = path_of(root, "manifests", manifest)
    document = parse(read_text(root, path).encode(), manifest)
    decoded = decode(document) if document.root is not None else None
    if decoded is None:
        return None
    layout = parse(read_text(root, path_of(root, "layouts", decoded.layout)).encode(), "layout")
    placed = set(_whole_folders(layout.root)) if layout.root is not None else set()
    for name, targets in decoded.targets.items():
        placed |= {name for _, key in targets if key.text.endswith("/")}
    for artifact in decoded.artifacts.values():
        names = artifact.literal_names
        plain = names is not None and not artifact.request.exclude and artifact.count is None
        if plain and artifact.source == source and artifact.id in placed:
            return artifact
    return None


def _whole_folders(node: Node) -> Iterator[str]:
    """What stands under a layout's keys that end in a slash."""
    for key, value in node.pairs:
        if key.text.endswith("/"):
            yield from (item.text for item in (value, *value.items))
        yield from _whole_folders(value)


def changes_joining(root: Path, manifest: str, artifact: Artifact, name: str) -> list[Change]:
    """The manifest with one more file of an artifact."""
    path = path_of(root, "manifests", manifest)
    before = read_text(root, path)
    document = parse(before.encode(), path)
    assert document.root is not None
    node = node_of(node_of(node_of(document.root, "artifacts"), artifact.id), "files")
    files = edit.plain(node, document)
    if isinstance(files, dict):
        after_files: object = {**files, name: files.get(name)}
    else:
        listed = list(files) if isinstance(files, list | tuple) else [files]
        there = name in (artifact.literal_names or ())
        after_files = listed if there else [*listed, name]
    after = edit.put(before, ["artifacts", artifact.id], "files", after_files, path)
    return [Change(path, before, before if after_files == files else after)]


def path_of(root: Path, folder: str, name: str) -> str:
    """The file of a manifest or layout, relative to the root; the one that is there, if any."""
    for suffix in SUFFIXES:
        if (root / folder / (name + suffix)).exists():
            return f"{folder}/{name}{suffix}"
    return f"{folder}/{name}.yaml"


@dataclass(frozen=True)
class Entry:
    """A record, and the folder its files shall stand in; default: models/ID, code/ID and so on."""

    id: str
    record: Mapping[str, Any]
    folder: str = ""

    @property
    def target(self) -> str:
        """The folder, without a slash at its end."""
        kind = str(self.record.get("kind"))
        return (self.folder or f"{_FOLDERS.get(kind, 'models')}/{self.id}").rstrip("/")


_FOLDERS = {"dataset": "datasets", "code": "code"}


def changes_for(root: Path, manifest: str, entries: Sequence[Entry]) -> list[Change]:
    """The manifest with the records, and the layout with a folder for each."""
    path = path_of(root, "manifests", manifest)
    before = read_text(root, path)
    after = before or f"manifest: {manifest}\n"
    for entry in entries:
        after = edit.put(after, ["artifacts"], entry.id, entry.record, path)
    layout = _layout_name(after, manifest)
    layout_path = path_of(root, "layouts", layout)
    layout_before = read_text(root, layout_path)
    layout_after = layout_before or f"layout: {layout}\n"
    for entry in entries:
        layout_after = _with_place(layout_after, entry.target, entry.id, layout_path)
    return [Change(path, before, after), Change(layout_path, layout_before, layout_after)]


def _layout_name(text: str, manifest: str) -> str:
    document = parse(text.encode(), manifest)
    node = document.root and node_of(document.root, "layout")
    return node.text if node and node.kind == "scalar" else manifest


def _with_place(text: str, target: str, identifier: str, name: str) -> str:
    """The layout's text with the artifact's folder, below the deepest folder that is there."""
    document = parse(text.encode(), name)
    tree = node_of(document.root, "tree") if document.root is not None else None
    steps = target.split("/")
    path = ["tree"]
    while tree is not None and tree is not document.root and len(steps) > 1:
        below = node_of(tree, steps[0])
        if below is tree or below.kind != "mapping":
            break
        tree, path, steps = below, [*path, steps[0]], steps[1:]
    if len(path) == 1 and len(steps) > 1:
        # A folder of its own, so that the next one finds it.
        path, steps = [*path, steps[0]], steps[1:]
    return edit.put(text, path, "/".join(steps) + "/", identifier, name)
