"""`fetch all`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.i18n import echo, t
from fetcher.reporting import envelope
from fetcher.reporting.report import Report, of_seal


@click.command("all")
@common.manifests_argument
@common.selection_options
@common.transfer_options
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option("--verify", is_flag=True, help="Run the probes afterwards, as `fetch verify` does.")
@click.option("--quiet", is_flag=True, help="Show only trouble.")
@click.option(
    "--json-events",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what happens to a file or pipe, one JSON object a line.",
)
@common.json_option
def command(
    manifests: tuple[str, ...],
    dry_run: bool,
    verify: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Download, verify and lay out everything that MANIFEST names.

    Without MANIFEST: all manifests of the project. What is already there is left alone; a run
    that was interrupted goes on where it stopped.
    """
    closer = dry_run or verify or options["update"] or options["mirrors"]
    if not closer and options["json_events"] is None:
        seal = common.sealed(manifests, with_files=as_json, **options)
        if seal is not None:
            _show(of_seal(seal), quiet, as_json)
            return 0
    from fetcher.operations.fetch_all import carry_out, prepare
    from fetcher.probes import check_options

    probes = check_options.examine_all if verify else check_options.examine
    with common.workspace(
        manifests, quiet=quiet, readonly=dry_run, probes=probes, **options
    ) as space:
        common.note_if_empty(space)
        prepared = prepare(space)
        if dry_run:
            from fetcher.commands.plan import show_plan

            return show_plan(space, prepared.plan, prepared.resolution.problems, as_json)
        found = carry_out(space, prepared)
        if verify and not found.interrupted:
            from fetcher.commands.verify import verify_into

            verify_into(found, space, prepared.plan, quiet=quiet, show=not (quiet or as_json))
        space.progress.events.send("end", exit_code=found.exit_code, summary=found.summary)
        _show(found, quiet, as_json)
        if found.interrupted:
            echo(t("interrupted: run the same command again to go on"), file=sys.stderr)
        return found.exit_code


def _show(found: Report, quiet: bool, as_json: bool) -> None:
    if as_json:
        envelope.print_json(found)
    elif not quiet:
        echo(envelope.summary_line(found))
    envelope.print_problems(found.problems)
