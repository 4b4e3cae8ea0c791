"""`fetch plan`: what `fetch all` would do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.i18n import join, n, t
from fetcher.reporting import envelope
from fetcher.reporting.orphan_words import ahead_lines
from fetcher.reporting.report import Summary
from fetcher.store.store import Store
from fetcher.tree.hint_commands import words_into
from fetcher.tree.item_list import PackedRun
from fetcher.tree.plan import (
    BLOCKED,
    CONFLICT,
    GET,
    KEEP,
    PLACE,
    WITHHELD,
    ArtifactPlan,
    Plan,
    space_needed,
)
from fetcher.ui.table import Column, print_table, print_text
from fetcher.ui.units import human_bytes

_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("THERE"), rank=4),
    Column(t("IN STORE"), rank=3),
    Column(t("TO DOWNLOAD"), rank=1),
    Column(t("IN THE WAY"), rank=5),
    Column(t("LEFT OUT"), rank=6),
    Column(t("BYTES"), rank=2),
)
_LEFT_OUT = 5  # that column is shown where there are any

if TYPE_CHECKING:
    from fetcher.operations.fetch_all import PreparedRun
    from fetcher.operations.workspace import Workspace


@click.command("plan")
@common.manifests_argument
@common.selection_options
@common.transfer_options
@ci_reports.options("fetch plan")
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, reports: Reports, **options: Any) -> int:
    """Show what `fetch all` would do: what is there, what would be downloaded, free disk, gates.

    Nothing is written, not even the lock.
    """
    from fetcher.operations.fetch_all import prepare

    with common.workspace(manifests, quiet=True, readonly=True, looks=True, **options) as space:
        common.note_if_empty(space)
        common.note_variants(space)
        prepared = prepare(space)
        again = [*manifests, *words_into(space.project.root, space.options.into)]
        return show_plan(space, prepared, as_json, reports, again)


def show_plan(
    space: Workspace,
    prepared: PreparedRun,
    as_json: bool,
    reports: Reports,
    named: Sequence[str] = (),
) -> int:
    """Print a plan and what the preflight has to say of it; returns the exit code."""
    from fetcher.operations.inspect_tree import plan_report

    plan, orphans = prepared.plan, prepared.orphans.orphans
    found = plan_report(space, plan, prepared.resolution.problems, orphans)
    if reports:
        from fetcher.reporting.verdict import of_artifacts

        pairs = [(part.artifact.manifest, part.artifact.id) for part in plan.artifacts]
        told = [_to_download(plan, found.summary, space)]
        cases = of_artifacts(pairs, "plan", found.problems)
        found.problems += reports.write(cases, found.problems, space.units, told)
    if as_json:
        envelope.print_json(found)
    else:
        _print(space, plan, found.summary)
        for line in ahead_lines(found.orphans or (), space.options.prune, named):
            print_text(line)
    envelope.print_problems(found.problems)
    return found.exit_code


def _print(space: Workspace, plan: Plan, summary: Summary) -> None:
    names = common.row_names(plan.artifacts)
    rows = [
        (names[part.artifact.manifest, part.artifact.id], *_cells(part, space.store))
        for part in plan.artifacts
    ]
    shown = [
        at
        for at in range(len(_COLUMNS))
        if at != _LEFT_OUT or any(row[at] not in {"0", "-"} for row in rows)
    ]
    print_table([_COLUMNS[at] for at in shown], [[row[at] for at in shown] for row in rows])
    for name, place in _from_outside(space, plan):
        print_text(t("{name} is taken from outside the project: {place}", name=name, place=place))
    print_text(join(("\n", _to_download(plan, summary, space)), ""))
    if "limited_seconds" in summary:
        from fetcher.tree.pacing import pacing_of

        for one in pacing_of(plan, space.network):
            print_text(one.sentence())


def _to_download(plan: Plan, summary: Summary, space: Workspace) -> str:
    """One line: what is to come, and whether there is room for it."""
    from fetcher.operations.inspect_tree import archives_to_get

    in_store, in_tree = space_needed(
        plan.to_do(), plan.to_unpack(), space.settings.link, True, with_hints=True
    )
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
    listed = sum(
        sum(item.action == GET and not item.file.archive for item in part.items.pending())
        for part in plan.artifacts
    )
    listed += sum(len(archives_to_get(part, space.store)) for part in plan.artifacts)
    return t(
        "{files} to download, {to_download_bytes}{alike}; needs {in_store}{more}; {disk_free} free",
        files=n("{count:,} file", "{count:,} files", summary["to_download_files"]),
        to_download_bytes=human_bytes(summary["to_download_bytes"]),
        alike=_alike(listed - summary["to_download_files"]),
        in_store=human_bytes(in_store + in_tree),
        more=more,
        disk_free=human_bytes(summary["disk_free"]),
    )


def _alike(count: int) -> str:
    """What the table counts and nobody has to download twice."""
    if count < 1:
        return ""
    return n(
        ", and {count:,} with the same content as one of them",
        ", and {count:,} with the same contents as some of them",
        count,
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


def _cells(part: ArtifactPlan, store: Store) -> tuple[str, ...]:
    """One artifact's columns: how many files there, stored, to get, in the way, left out; bytes to
    get. Of what is in archives, these are got."""
    from fetcher.operations.inspect_tree import archives_to_get

    if part.locked is None:
        return "-", "-", "-", "-", "-", t("unresolved")
    counts = part.items.actions()
    gets: list[int | None] = []
    for item in part.items.to_do():
        if isinstance(item, PackedRun):
            gets += item.run.sizes if item.action == GET else ()
        elif item.action == GET and not item.file.archive:
            gets.append(item.file.size)
    gets += [entry.size for entry in archives_to_get(part, store)]
    size = human_bytes(sum(size or 0 for size in gets))
    if None in gets:
        size = t("{size} and more", size=size)
    in_the_way = counts[CONFLICT] + counts[BLOCKED] + len(part.refused)
    left_out = str(counts[WITHHELD])
    if not all(one.listed for one in part.unpackings()):
        packed = t("{size} packed", size=size)
        return "-", "-", str(len(gets)), "-", left_out, packed
    numbers = counts[KEEP], counts[PLACE], len(gets), in_the_way
    return (*map(str, numbers), left_out, size)
