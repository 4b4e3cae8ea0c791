"""`fetch gc`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config import settings
from fetcher.config.settings import Settings
from fetcher.errors import Problem, UsageError, exit_code_of
from fetcher.i18n import echo, n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope, gc_words
from fetcher.store import gc, imports, runs, usage
from fetcher.store.demands import ABSENT_DAYS, Demand, Demands, demands
from fetcher.store.store import Store
from fetcher.tree.store_links import holders, kept_folders
from fetcher.ui.units import human_bytes


def _say(line: str) -> None:
    echo(line, file=sys.stderr, flush=True)


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would go, and why the rest stays.")
@click.option(
    "--older-than",
    callback=common.age,
    metavar="AGE",
    help="Only what has not been used for so long: 12h, 30d or 2w.",
)
@click.option(
    "--forget-imports",
    is_flag=True,
    help="Also remove what only imported bundles brought and no project here needs.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Also remove downloads that were begun, which the next run would go on with.",
)
@click.option(
    "--absent-days",
    type=click.FloatRange(min=0),
    default=ABSENT_DAYS,
    show_default=True,
    metavar="N",
    help="How long a project that is not here counts after it was last seen.",
)
@click.option(
    "--forget",
    multiple=True,
    metavar="PROJECT",
    help="Let go of what this project or bundle needs: its path or id, as gc shows it.",
)
@common.json_option
def command(
    dry_run: bool,
    older_than: float,
    forget_imports: bool,
    partial: bool,
    absent_days: float,
    forget: tuple[str, ...],
    as_json: bool,
) -> int:
    """Remove from the store what no project's fetch.lock needs any more.

    Every project that has used the store is asked. One that is not here (another container, a
    disk that is not mounted), or whose lock cannot be read, counts with what it needed when it
    last ran. Trees are never touched (with --link symlink they need the store's blobs, which
    their locks keep). Blobs of the last hour stay.

    A blob was used when it was downloaded, linked, taken out of a tree or read, and as long as a
    project needed it. A partial download was used when it was last written: those that can be gone
    on with stay for seven days, or go with --partial.
    """
    root = find_root(Path.cwd())
    chosen = settings.load(root)
    common.tell_choices(chosen, ("store",))
    _refuse_project_store(chosen)
    store = Store.of(chosen, readonly=dry_run)
    if forget_imports and dry_run:
        raise UsageError(t("--forget-imports cannot be tried with --dry-run"), t("choose one"))
    usage.check_listable(store)
    # What a run is about to link, no lock need have yet.
    quiet = dry_run or not store.root.is_dir()
    doing = t("removing what no project needs")
    with nullcontext() if quiet else runs.alone(store.root, doing, _say, chosen.locks):
        known = imports.records(store.root, anybodys=True)
        named = {record.name: record for record in known if forget_imports or record.name in forget}
        labels = {record.name: record.label for record in known}
        if not dry_run:
            imports.forget(store, named.values())
        needed = demands(store, [root], absent_days, forget)
        _check_forgotten(needed, [name for name in forget if name not in named])
        done = gc.sweep(store, needed, dry_run, partial, older_than)
    store.close()
    if not dry_run:
        done.problems += map(_undecided, filter(lambda demand: demand.unknown, needed.projects))
    _print(store, needed, done, dry_run, labels, as_json)
    return exit_code_of(done.problems)


def _refuse_project_store(chosen: Settings) -> None:
    """Raise UsageError for a store that the project chose."""
    if chosen.is_from_project("store"):
        raise UsageError(
            t(
                "the store {store} is the choice of {origin}: gc only sweeps a store of your own",
                store=chosen.store,
                origin=chosen.origin("store"),
            ),
            t(
                "name it yourself, if it is yours: FETCH_STORE={store} fetch gc",
                store=shlex.quote(str(chosen.store)),
            ),
        )


def _print(
    store: Store,
    needed: Demands,
    done: gc.Sweep,
    dry_run: bool,
    labels: dict[str, str],
    as_json: bool,
) -> None:
    """What went, and why the rest stays."""
    shared = holders(needed.projects, done.linked)
    kept = kept_folders(needed.projects)
    strangers = usage.measure(store).strangers if dry_run else usage.Amount()
    running = runs.present(store.root) if dry_run else []
    if as_json:
        summary: dict[str, object] = {
            "blobs": len(done.blobs),
            "bytes": done.bytes,
            "linked_bytes": done.linked_bytes,
            "leftovers": done.leftovers,
            "kept": done.kept,
            "young": done.young,
            "dry_run": dry_run,
            "groups": [gc_words.group_entry(group) for group in done.groups],
            "linked_in": [asdict(holder) for holder in shared],
            "strangers": strangers.files,
            "stranger_bytes": strangers.bytes,
            "running": [str(holder) for holder in running],
            "kept_folders": [asdict(folder) for folder in kept],
        }
        answer = envelope.Answer(summary, done.problems)
        answer.results = [gc_words.entry_of(demand) for demand in needed.projects]
        envelope.print_json(answer)
        return
    for line in gc_words.demand_lines(needed.projects, dry_run, labels):
        echo(line)
    for line in gc_words.lines(done, dry_run, shared):
        echo(line)
    foreign = (strangers.files, strangers.bytes)
    if dry_run:
        for line in gc_words.surroundings(running, foreign):
            echo(line)
    for folder in kept:
        echo(gc_words.kept_line(folder))
    echo(
        t(
            "{verb} {blobs} and {leftovers}, {bytes}; kept {blobs2}",
            verb=t("would remove") if dry_run else t("removed"),
            blobs=n("{count:,} blob", "{count:,} blobs", len(done.blobs)),
            leftovers=n("{count:,} leftover", "{count:,} leftovers", done.leftovers),
            bytes=human_bytes(done.bytes),
            blobs2=n("{count:,} blob", "{count:,} blobs", done.kept),
        )
    )
    envelope.print_problems(done.problems)


def _undecided(demand: Demand) -> Problem:
    """Why nothing was removed: whoever runs this counts on the room."""
    record = demand.record
    return Problem(
        "lock",
        t("nothing is removed: nobody knows what {root} needs", root=record.root),
        t(
            "run `fetch all` there, or let go of it: fetch gc --forget {name}",
            name=record.id or shlex.quote(str(record.root)),
        ),
    )


def _check_forgotten(needed: Demands, forget: Sequence[str]) -> None:
    """Raise UsageError for a name that is no project's."""
    records = [demand.record for demand in needed.projects if demand.state == "forgotten"]
    here = {str(demand.record.root) for demand in needed.projects if demand.state == "here"}
    for name in forget:
        if name in here and name not in {str(one.root) for one in records}:
            raise UsageError(
                t("--forget {name}: it is here, and its fetch.lock says what it needs", name=name),
                t("remove the project, or its fetch.lock"),
            )
        if not any(name in {str(one.root), one.id, one.path.stem} for one in records):
            raise UsageError(
                t("--forget {name}: no project of this store is called so", name=name),
                t("`fetch gc --dry-run` shows them; name one by its path or id"),
            )
