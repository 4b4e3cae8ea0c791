"""`fetch prune`: what was placed once, and is not wanted now; and what was kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetcher.commands import common
from fetcher.config.project_choices import ON_DISK
from fetcher.errors import UsageError, exit_code_of
from fetcher.i18n import n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.reporting.orphan_words import OrphanEntry, done_lines, reason
from fetcher.tree.hint_commands import words_into
from fetcher.ui.table import Column, print_table, print_text
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.tree.kept_files import KeptRun

_COLUMNS = (
    Column(t("FILE"), least=12, at="middle"),
    Column(t("SIZE"), rank=1),
    Column(t("WHY"), least=12, rank=2),
)


_KEPT = (
    Column(t("KEPT"), least=12),
    Column(t("SINCE"), rank=1),
    Column(t("FILES"), rank=2, right=True),
    Column(t("SIZE"), right=True),
)


@click.command("prune")
@common.manifests_argument
@common.into_option
@click.option("--kept", is_flag=True, help="Remove what lies in .fetch/kept/, and nothing else.")
@click.option(
    "--older-than",
    callback=common.age,
    metavar="AGE",
    help="With --kept: only what has lain there for so long: 12h, 30d or 2w.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be taken away.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common.json_option
def command(
    manifests: tuple[str, ...],
    kept: bool,
    older_than: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    into: Path | None,
) -> int:
    """Take away files that fetch placed once, and that nothing wants any more.

    Manifests, layouts and lock decide. A file that was changed since goes to .fetch/kept/; what
    fetch did not place is never touched. `fetch gc` then frees the store. What stood in the way
    and was moved to .fetch/kept/ stays there until `fetch prune --kept`.
    """
    if kept:
        if manifests:
            raise UsageError(
                t("--kept is about the whole tree, not about one manifest"), t("leave it out")
            )
        return _prune_kept(into or find_root(Path.cwd()), older_than, dry_run, yes, as_json)
    if older_than:
        raise UsageError(t("--older-than goes with --kept"), t("add --kept, or leave it out"))
    from fetcher.operations import reconcile
    from fetcher.operations.inspect_tree import orphan_report

    with common.workspace(
        manifests,
        optional=True,
        quiet=True,
        readonly=dry_run,
        uses=ON_DISK,
        none_is_well=True,
        into=into,
    ) as space:
        plan = space.planner(quick=True).plan(space.wanted, space.lock)
        found = reconcile.look(space, plan)
        report = orphan_report(space, plan, found)
        if not as_json:
            _print(report.orphans or ())
        asked = bool(found.orphans) and not dry_run and not as_json
        if asked and not common.confirmed(yes, t("Take these away?")):
            return 0
        if not dry_run:
            reconcile.prune(space, plan, found, report)
            if not as_json:
                again = [*manifests, *words_into(space.project.root, space.options.into)]
                for line in done_lines(report.orphans or (), again):
                    print_text(line)
        if as_json:
            envelope.print_json(report)
        envelope.print_problems(report.problems)
        return report.exit_code


def _prune_kept(tree: Path, older_than: float, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Remove what was kept, for so many seconds at least."""
    from fetcher.tree import kept_files

    now = time.time()
    runs = [run for run in kept_files.kept_runs(tree) if now - run.at >= older_than]
    problems = []
    if not as_json:
        rows = [
            (
                f"{kept_files.PLACE}/{run.name}",
                time.strftime("%Y-%m-%d %H:%M", time.localtime(run.at)),
                f"{run.files:,}",
                human_bytes(run.bytes),
            )
            for run in runs
        ]
        if not rows:
            print_text(t("nothing of that lies in {folder}", folder=tree / kept_files.PLACE))
            return 0
        print_table(_KEPT, rows)
        # What shares its bytes with the store is elsewhere; the rest need not be.
        alone = any(run.freed_bytes for run in runs)
        question = t("Remove these? Some are nowhere else.") if alone else t("Remove these?")
        if not dry_run and not common.confirmed(yes, question):
            return 0
    if not dry_run:
        problems = kept_files.remove(tree, runs)
    gone = runs if dry_run or not problems else _gone(tree, runs)
    told = kept_files.kept_folder(tree, gone)
    if as_json:
        answer = envelope.Answer({**asdict(told), "dry_run": dry_run}, problems)
        answer.results = [{"folder": f"{kept_files.PLACE}/{r.name}", **_entry(r)} for r in gone]
        envelope.print_json(answer)
    else:
        print_text(
            t(
                "{verb} {files}, {bytes}; {freed} of disk freed, the store has the rest",
                verb=t("would remove") if dry_run else t("removed"),
                files=n("{count:,} file", "{count:,} files", told.files),
                bytes=human_bytes(told.bytes),
                freed=human_bytes(told.freed_bytes),
            )
        )
    envelope.print_problems(problems)
    return exit_code_of(problems)


def _gone(tree: Path, runs: Sequence[KeptRun]) -> list[KeptRun]:
    """Those of which nothing is left."""
    from fetcher.tree import kept_files

    left = {run.name for run in kept_files.kept_runs(tree)}
    return [run for run in runs if run.name not in left]


def _entry(run: KeptRun) -> dict[str, int]:
    return {
        "files": run.files,
        "bytes": run.bytes,
        "freed_bytes": run.freed_bytes,
        "since": int(run.at),
    }


def _print(entries: Sequence[OrphanEntry]) -> None:
    if not entries:
        print_text(t("everything that fetch has placed here is wanted"))
        return
    rows = [(entry["path"], human_bytes(entry["size"]), reason(entry)) for entry in entries]
    print_table(_COLUMNS, rows)
    print_text(
        t(
            "\n{files}, {size}",
            files=n("{count:,} file", "{count:,} files", len(entries)),
            size=human_bytes(sum(entry["size"] for entry in entries)),
        )
    )
