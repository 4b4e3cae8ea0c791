"""`fetch plan`: what `fetch all` would do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import Any

import click

from fetcher import preflight, report
from fetcher.commands import common
from fetcher.errors import Problem
from fetcher.plan import GET, KEEP, PLACE, Plan, space_needed
from fetcher.progress import human_bytes
from fetcher.workflow import Run
from fetcher.workspace import Workspace


@click.command("plan")
@common.manifests_argument
@common.selection_options
@common.transfer_options
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Show what `fetch all` would do: what is there, what would be downloaded, free disk, gates.

    Nothing is written, not even the lock.
    """
    with common.workspace(manifests, quiet=True, readonly=True, **options) as space:
        run = Run(space)
        return show_plan(space, run.plan(), run.problems, as_json)


def show_plan(space: Workspace, plan: Plan, problems: Sequence[Problem], as_json: bool) -> int:
    """Print a plan and what the preflight has to say of it; returns the exit code."""
    found_problems = [*problems, *plan.problems()]
    found_problems += preflight.check_space(plan, space.store.root, space.settings.link)
    found_problems += preflight.check_writable(plan, space.store.root)
    found_problems += [problem for _, problem in preflight.check_access(plan, space.network)]
    found = report.of_plan(plan, found_problems, time.monotonic() - space.started)
    groups = plan.to_get().values()
    free = shutil.disk_usage(preflight.nearest_folder(plan.tree)).free
    found.summary |= {
        "to_download_files": len(groups),
        "to_download_bytes": plan.bytes_to_get(),
        "unknown_sizes": sum(1 for items in groups if items[0].file.size is None),
        "disk_free": free,
        "failed_files": len({(p.artifact, p.file) for p in found_problems if p.file}),
    }
    if as_json:
        report.print_json(found)
    else:
        _print(space, plan, found.summary)
    report.print_problems(found_problems)
    return found.exit_code


def _print(space: Workspace, plan: Plan, summary: dict[str, Any]) -> None:
    rows: list[tuple[str, ...]] = [("ARTIFACT", "THERE", "IN STORE", "TO DOWNLOAD", "BYTES")]
    for part in plan.artifacts:
        counts = dict.fromkeys((KEEP, PLACE, GET), 0)
        size = 0
        for item in part.items:
            counts[item.action] = counts.get(item.action, 0) + 1
            size += (item.file.size or 0) if item.action == GET else 0
        unknown = any(i.action == GET and i.file.size is None for i in part.items)
        shown = "size unknown" if unknown and not size else human_bytes(size)
        if part.locked is None:
            shown = "unresolved"
        rows.append((part.artifact.id, *(str(counts[a]) for a in (KEEP, PLACE, GET)), shown))
    print_table(rows)
    in_store, in_tree = space_needed(plan, space.settings.link, True)
    print(
        f"\n{report.counted(summary['to_download_files'], 'file')} to download, "
        f"{human_bytes(summary['to_download_bytes'])}; needs {human_bytes(in_store + in_tree)}, "
        f"{human_bytes(summary['disk_free'])} free"
    )


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
