"""`fetch all`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.reporting import envelope


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
    closer = dry_run or verify or as_json or options["update"] or options["mirrors"]
    if not closer and options["json_events"] is None:
        seal = common.sealed(manifests, **options)
        if seal is not None:
            if not quiet:
                print(envelope.summary_line(envelope.of_seal(seal)))
            return 0
    from fetcher.commands.plan import show_plan
    from fetcher.operations.fetch_all import Run
    from fetcher.probes import check_options

    probes = check_options.examine_all if verify else check_options.examine
    with common.workspace(
        manifests, quiet=quiet, readonly=dry_run, probes=probes, **options
    ) as space:
        common.note_if_empty(space)
        run = Run(space)
        plan = run.plan()
        if dry_run:
            return show_plan(space, plan, run.problems, as_json)
        found = run.execute(plan)
        if verify and not found.interrupted:
            from fetcher.commands.verify import verify_into

            verify_into(found, space, plan, quiet=quiet, show=not (quiet or as_json))
        space.progress.events.send("end", exit_code=found.exit_code, summary=found.summary)
        if as_json:
            envelope.print_json(found)
        elif not quiet:
            print(envelope.summary_line(found))
        envelope.print_problems(found.problems)
        if found.interrupted:
            print("interrupted: run the same command again to go on", file=sys.stderr)
        return found.exit_code
