"""`fetch tree`: the target tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from fetcher.commands import common
from fetcher.config.project_choices import ON_DISK
from fetcher.i18n import echo, local, t
from fetcher.project.project import Unit
from fetcher.reporting import envelope
from fetcher.tree.plan import KEEP, ArtifactPlan

_SHOWN = 12


@click.command("tree")
@common.manifests_argument
@common.into_option
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
                {
                    "target": item.target,
                    "artifact": item.artifact.id,
                    "path": item.file.path,
                    "size": item.file.size,
                    "present": item.action == KEEP,
                }
                for item in plan.items
            ]
            envelope.print_json(found)
            return 0
        _print(plan.artifacts, space.units, everything)
        return 0


# What stands in a folder by name: folders, whose names end in /, and a line about each file.
Folder = dict[str, "str | Folder"]


def _print(parts: Sequence[ArtifactPlan], units: Sequence[Unit], everything: bool) -> None:
    top: Folder = {}
    for part in parts:
        for item in part.items:
            if not item.hub:
                mark = "+" if item.action == KEEP else "-"
                _put(top, item.target, f"{mark} {item.artifact.id}/{item.file.path}")
        if part.locked is None:
            prefix = f"{part.unit.layout.root}/" if part.unit.layout.root else ""
            for entry in part.unit.layout.entries:
                if entry.artifact == part.artifact.id:
                    tail = "…" if entry.folder else ""
                    target = f"{prefix}{entry.target}" + (f"/{tail}" if tail else "")
                    text = local(t("{id}, not resolved yet", id=part.artifact.id))
                    _put(top, target.lstrip("/"), f"? {text}")
    _show(top, "", everything)
    for unit in units:
        for artifact in unit.layout.hub_cache:
            echo(t("Hugging Face cache: {artifact}", artifact=artifact))


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
            echo(f"{indent}{name}")
            _show(below, indent + "  ", everything)
    files = list(lines)
    shown = files if everything or len(files) <= _SHOWN else files[: _SHOWN - 2]
    for name in shown:
        mark, _, origin = lines[name].partition(" ")
        same = origin.rpartition("/")[2] == name
        label = origin.partition("/")[0] if same else origin
        echo(f"{indent}{mark} {name}  ({label})")
    if len(shown) < len(files):
        echo(
            t(
                "{indent}… {count:,} more, up to {files}",
                indent=indent,
                count=len(files) - len(shown),
                files=files[-1],
            )
        )
