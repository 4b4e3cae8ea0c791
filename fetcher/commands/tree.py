"""`fetch tree`: the target tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypedDict

import click

from fetcher.commands import common
from fetcher.config.named_roots import ROOTS
from fetcher.config.project_choices import ON_DISK
from fetcher.fs.safe_paths import printable
from fetcher.i18n import local, t
from fetcher.project.project import Unit
from fetcher.reporting import envelope
from fetcher.tree.plan import KEEP, ArtifactPlan, Item
from fetcher.ui.table import print_cut, print_text

_SHOWN = 12
_ALL = "\0"  # begins the name of a line that stands for files nobody knows yet


@click.command("tree")
@common.manifests_argument
@common.into_option
@common.variant_option
@click.option("--all", "everything", is_flag=True, help="Show every file of large folders.")
@common.json_option
def command(manifests: tuple[str, ...], everything: bool, as_json: bool, **options: Any) -> int:
    """Show the tree that the layouts describe, with what is there (+) and what is not (-)."""
    with common.workspace(
        manifests, optional=True, quiet=True, readonly=True, uses=ON_DISK, **options
    ) as space:
        plan = space.planner(quick=True).plan(space.wanted, space.lock)
        if as_json:
            found = envelope.Answer({"artifacts": len(plan.artifacts)})
            found.results = [
                *(_row(i.target, i.artifact.id, i.file.path, i) for i in plan.items),
                *(
                    _row(place.target, part.artifact.id, place.path)
                    for part in plan.artifacts
                    for place in _unresolved(part)
                ),
            ]
            envelope.print_json(found)
            return 0
        _print(plan.artifacts, space.units, everything)
        return 0


def _row(target: str, artifact: str, path: str | None, item: Item | None = None) -> Row:
    return {
        "target": target,
        "artifact": artifact,
        "path": path,
        "size": item.file.size if item else None,
        "present": item is not None and item.action == KEEP,
        "resolved": item is not None,
    }


class Row(TypedDict):
    """One place of the tree in `results`.

    `target` is relative to the tree (absolute in a library's folder); of an artifact that is not
    resolved yet it may be a folder, and then ends in "/". `path` is the source's name for the file,
    None where it is not known; `size` is in bytes, None where it is not known.
    """

    target: str
    artifact: str
    path: str | None
    size: int | None
    present: bool
    resolved: bool


class _Place(NamedTuple):
    """Where the layout puts something of an artifact whose files are not known yet."""

    target: str  # in JSON: a folder ends in "/"
    path: str | None
    root: str  # a library's folder by name, "" for the tree
    below: str


def _unresolved(part: ArtifactPlan) -> Iterator[_Place]:
    """The places of an artifact of which the lock has no files."""
    if part.locked is not None:
        return
    for entry in part.unit.layout.entries:
        if entry.artifact != part.artifact.id:
            continue
        below = f"{entry.target}/" if entry.folder and entry.target else entry.target
        if entry.root:
            whole = f"{ROOTS[entry.root].path()}/{below}"
            yield _Place(whole, entry.path or None, entry.root, below)
        else:
            root = f"{part.unit.layout.root}/" if part.unit.layout.root else ""
            yield _Place(root + below, entry.path or None, "", root + below)


# What stands in a folder by name: folders, whose names end in /, and a line about each file.
Folder = dict[str, "str | Folder"]


def _print(parts: Sequence[ArtifactPlan], units: Sequence[Unit], everything: bool) -> None:
    top: Folder = {}
    roots: dict[str, tuple[str, Folder]] = {}
    for part in parts:
        for item in part.items:
            mark = "+" if item.action == KEEP else "-"
            if item.root:
                below = roots.setdefault(item.root_name, (item.root, {}))[1]
                _put(below, item.below, f"{mark} {item.artifact.id}/{item.file.path}")
            elif not item.hub:
                _put(top, item.target, f"{mark} {item.artifact.id}/{item.file.path}")
        for place in _unresolved(part):
            there = top
            if place.root:
                folder = str(ROOTS[place.root].path())
                there = roots.setdefault(place.root, (folder, {}))[1]
            text = local(t("{id}, not resolved yet", id=part.artifact.id))
            # Several artifacts may share a folder: what comes after the mark tells them apart.
            whole = not place.below or place.below.endswith("/")
            _put(there, place.below + (_ALL + text if whole else ""), f"? {text}")
    _show(top, "", everything)
    for name, (folder, below) in roots.items():
        print_cut(f"{name} ({printable(folder)}):")
        _show(below, "  ", everything)
    for unit in units:
        for artifact in unit.layout.hub_cache:
            print_cut(t("Hugging Face cache: {artifact}", artifact=artifact))


def _put(node: Folder, target: str, text: str) -> None:
    *folders, name = target.split("/")
    for folder in folders:
        below = node.setdefault(folder + "/", {})
        node = below if isinstance(below, dict) else {}
    node[name] = text


def _show(node: Folder, indent: str, everything: bool) -> None:
    lines: dict[str, str] = {}
    for name in sorted(node):
        below = node[name]
        if isinstance(below, str):
            lines[name] = below
        else:
            print_cut(f"{indent}{name}")
            _show(below, indent + "  ", everything)
    files = list(lines)
    shown = files if everything or len(files) <= _SHOWN else files[: _SHOWN - 2]
    for name in shown:
        mark, _, origin = lines[name].partition(" ")
        same = origin.rpartition("/")[2] == name
        label = origin.partition("/")[0] if same else origin
        print_cut(f"{indent}{mark} {'…' if name.startswith(_ALL) else name}  ({label})")
    if len(shown) < len(files):
        print_text(
            t(
                "{indent}… {count:,} more, up to {files}",
                indent=indent,
                count=len(files) - len(shown),
                files=files[-1],
            )
        )
