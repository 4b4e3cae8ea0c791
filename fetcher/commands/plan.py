"""`fetch plan`: what `fetch all` would do."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import common
from fetcher.errors import Problem
from fetcher.i18n import echo, join, n, t
from fetcher.reporting import envelope
from fetcher.reporting.report import Summary
from fetcher.tree.plan import GET, KEEP, PLACE, ArtifactPlan, Plan, space_needed
from fetcher.ui.table import Column, print_table
from fetcher.ui.units import human_bytes

_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("THERE"), rank=4),
    Column(t("IN STORE"), rank=3),
    Column(t("TO DOWNLOAD"), rank=1),
    Column(t("IN THE WAY"), rank=5),
    Column(t("BYTES"), rank=2),
)

if TYPE_CHECKING:
    from fetcher.operations.workspace import Workspace


@click.command("plan")
@common.manifests_argument
@common.selection_options
@common.transfer_options
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Show what `fetch all` would do: what is there, what would be downloaded, free disk, gates.

    Nothing is written, not even the lock.
    """
    from fetcher.operations.fetch_all import prepare

    with common.workspace(manifests, quiet=True, readonly=True, **options) as space:
        common.note_if_empty(space)
        prepared = prepare(space)
        return show_plan(space, prepared.plan, prepared.resolution.problems, as_json)


def show_plan(space: Workspace, plan: Plan, problems: Sequence[Problem], as_json: bool) -> int:
    """Print a plan and what the preflight has to say of it; returns the exit code."""
    from fetcher.operations.inspect_tree import plan_report

    found = plan_report(space, plan, problems)
    if as_json:
        envelope.print_json(found)
    else:
        _print(space, plan, found.summary)
    envelope.print_problems(found.problems)
    return found.exit_code


def _print(space: Workspace, plan: Plan, summary: Summary) -> None:
    names = common.row_names(plan.artifacts)
    rows = [
        (names[part.artifact.manifest, part.artifact.id], *_cells(part)) for part in plan.artifacts
    ]
    print_table(_COLUMNS, rows)
    for name, place in _from_outside(space, plan):
        echo(t("{name} is taken from outside the project: {place}", name=name, place=place))
    in_store, in_tree = space_needed(plan.items, plan.to_unpack(), space.settings.link, True)
    unknown = []
    if count := summary["unresolved_artifacts"]:
        unknown.append(n("{count:,} unresolved artifact", "{count:,} unresolved artifacts", count))
    if count := summary["unknown_sizes"]:
        unknown.append(
            n("{count:,} file of unknown size", "{count:,} files of unknown size", count)
        )
    if count := summary["unknown_archives"]:
        unknown.append(n("what is in {count:,} archive", "what is in {count:,} archives", count))
    more = ""
    if unknown:
        more = t(", and room for {unknown}", unknown=join(unknown, t(" and ")))
    echo(
        t(
            "\n{files} to download, {to_download_bytes}; needs {in_store}{more}; {disk_free} free",
            files=n("{count:,} file", "{count:,} files", summary["to_download_files"]),
            to_download_bytes=human_bytes(summary["to_download_bytes"]),
            in_store=human_bytes(in_store + in_tree),
            more=more,
            disk_free=human_bytes(summary["disk_free"]),
        )
    )


def _from_outside(space: Workspace, plan: Plan) -> Iterator[tuple[str, str]]:
    """What is taken from elsewhere on this machine, as the person allows: artifact and path."""
    from fetcher.config.boundaries import outside
    from fetcher.sources.fetch_mirror import FetchMirror
    from fetcher.sources.local import Local

    root = space.settings.root
    for part in plan.artifacts:
        for source in (part.artifact.source, *part.artifact.mirrors):
            place = None
            if isinstance(source, Local):
                place = outside(space.settings, source.place(root))
            elif isinstance(source, FetchMirror) and "://" not in source.location:
                place = outside(space.settings, root / os.path.expanduser(source.location))
            if place is not None:
                yield part.artifact.id, str(place)


def _cells(part: ArtifactPlan) -> tuple[str, ...]:
    """One artifact's columns: how many files there, stored, to get, in the way; bytes to get."""
    if part.locked is None:
        return "-", "-", "-", "-", t("unresolved")
    counts = Counter(item.action for item in part.items)
    archives = list(part.unpackings())
    gets = [item.file.size for item in part.items if item.action == GET and not item.file.archive]
    gets += [entry.size for one in archives for entry in one.parts]
    size = human_bytes(sum(size or 0 for size in gets))
    if archives and not all(one.listed for one in archives):
        return "-", "-", t("unknown"), "-", t("{size} packed", size=size)
    if None in gets:
        size = t("{size} and more", size=size)
    others = len(part.items) - sum(counts[action] for action in (KEEP, PLACE, GET))
    return (*(str(counts[action]) for action in (KEEP, PLACE, GET)), str(others), size)
