"""`fetch all`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.i18n import echo, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.reporting.report import Report, of_seal
from fetcher.tree.gitignore import is_out_of_step

if TYPE_CHECKING:  # what a run with nothing to do does without
    from fetcher.operations.fetch_all import PreparedRun
    from fetcher.reporting.verdict import Case

_SHOWN = 4
_KEPT = t("what has come is kept: whole files in their places, parts of others in the store")


@click.command("all")
@common.manifests_argument
@common.selection_options
@common.transfer_options
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option("--prune", is_flag=True, help="Take away what was placed once and is not wanted now.")
@click.option("--verify", is_flag=True, help="Run the probes afterwards, as `fetch verify` does.")
@click.option("--quiet", is_flag=True, help="Show only trouble.")
@common.events_option
@ci_reports.options("fetch all")
@common.json_option
def command(
    manifests: tuple[str, ...],
    dry_run: bool,
    verify: bool,
    quiet: bool,
    as_json: bool,
    reports: Reports,
    **options: Any,
) -> int:
    """Download, verify and lay out everything that MANIFEST names.

    Without MANIFEST: all manifests of the project. What is already there is left alone; a run
    that was interrupted goes on where it stopped.
    """
    closer = dry_run or verify or options["update"] or options["mirrors"]
    if not (closer or reports) and options["json_events"] is None:
        seal = common.sealed(manifests, with_files=as_json, **options)
        if seal is not None and not is_out_of_step(options["into"] or find_root(Path.cwd())):
            _show(of_seal(seal), quiet, as_json, manifests)
            if not (quiet or as_json):
                echo(t("nothing to do: all of it was there"))
            return 0
    from fetcher.operations.fetch_all import carry_out, prepare
    from fetcher.probes import check_options

    probes = check_options.examine_all if verify else check_options.examine
    with common.workspace(
        manifests, quiet=quiet, readonly=dry_run, probes=probes, looks=True, **options
    ) as space:
        common.note_if_empty(space)
        common.note_variants(space)
        from fetcher.tree.hint_commands import words_into

        again = [*manifests, *words_into(space.project.root, space.options.into)]
        prepared = prepare(space)
        if dry_run:
            from fetcher.commands.plan import show_plan

            return show_plan(space, prepared, as_json, reports, again)
        found = carry_out(space, prepared)
        if verify and not found.interrupted:
            from fetcher.commands.verify import verify_into

            verify_into(found, space, prepared.plan, quiet=quiet, show=not (quiet or as_json))
        if reports:
            told = [envelope.summary_line(found)]
            code = found.exit_code
            found.problems += reports.write(_cases(found), found.problems, space.units, told, code)
        space.progress.events.send("end", exit_code=found.exit_code, summary=found.summary)
        _show(found, quiet, as_json, again)
        if found.interrupted:
            echo(_KEPT, file=sys.stderr)
            echo(t("interrupted: run the same command again to go on"), file=sys.stderr)
        elif found.ok and not (quiet or as_json):
            _tell_end(prepared, found, verify, again)
        return found.exit_code


def _cases(found: Report) -> list[Case]:
    """A case for each artifact that is complete, and for each probe of --verify that passed."""
    from fetcher.reporting.verdict import Case, of_artifacts

    complete = [
        (artifact.manifest, artifact.id)
        for artifact in found.each_artifact()
        if artifact.state == "complete"
    ]
    probes = [
        Case(str(row["artifact"]), str(row["type"]))
        for row in found.results or ()
        if row.get("state") == "passed"
    ]
    return [*of_artifacts(complete, "files", found.problems), *probes]


def _tell_end(prepared: PreparedRun, found: Report, verified: bool, again: Sequence[str]) -> None:
    """Where everything stands now, and what proves it."""
    if not found.summary["files"]:
        return
    if not (found.summary["downloaded_files"] or found.summary["placed_files"]):
        if all(entry["state"] == "left" for entry in found.orphans or ()):
            echo(t("nothing to do: all of it was there"))
        return
    places = list(dict.fromkeys(_places(prepared)))
    if places:
        shown = ", ".join(places[:_SHOWN]) + (", …" if len(places) > _SHOWN else "")
        echo(t("in {places}", places=shown))
    probed = any(part.artifact.probe for part in prepared.plan.artifacts)
    if probed and not verified:
        import shlex

        command = shlex.join(["fetch", "verify", *again])
        echo(t("next: `{command}` loads each model and tries it", command=command))


def _places(prepared: PreparedRun) -> Iterator[str]:
    """The folders at the root of the tree that hold the artifacts, and files that lie there."""
    for part in prepared.plan.artifacts:
        for item in part.items:
            if not item.outside:
                top, below, _ = item.target.partition("/")
                yield f"{top}/" if below else top
                break


def _show(found: Report, quiet: bool, as_json: bool, again: Sequence[str]) -> None:
    if as_json:
        envelope.print_json(found)
    elif not quiet:
        echo(envelope.summary_line(found))
        if found.replaced or found.orphans:
            from fetcher.reporting.orphan_words import done_lines, replaced_line
            from fetcher.ui.table import print_text

            if found.replaced:
                print_text(replaced_line(found.kept_in, found.replaced))
            for line in done_lines(found.orphans or (), again):
                print_text(line)
    envelope.print_problems(found.problems)
