"""`fetch gc`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config import settings
from fetcher.errors import Problem, UsageError, exit_code_of
from fetcher.i18n import echo, n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.store import gc, imports
from fetcher.store.runs import alone
from fetcher.store.store import Store
from fetcher.ui.units import human_bytes


def _say(line: str) -> None:
    echo(line, file=sys.stderr, flush=True)


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
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
    default=gc.ABSENT_DAYS,
    show_default=True,
    metavar="N",
    help="How long a project that is not here counts after it was last seen.",
)
@click.option(
    "--forget",
    multiple=True,
    metavar="PROJECT",
    help="Let go of what this project needs: its path or id, as gc shows it.",
)
@common.json_option
def command(
    dry_run: bool,
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
    """
    root = find_root(Path.cwd())
    chosen = settings.load(root)
    common.tell_choices(chosen, ("store",))
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
    store = Store.of(chosen, readonly=dry_run)
    if forget_imports and dry_run:
        raise UsageError(t("--forget-imports cannot be tried with --dry-run"), t("choose one"))
    # What a run is about to link, no lock need have yet.
    quiet = dry_run or not store.root.is_dir()
    doing = t("removing what no project needs")
    with nullcontext() if quiet else alone(store.root, doing, _say, chosen.locks):
        if forget_imports:
            imports.forget(store, imports.records(store.root, anybodys=True))
        needed = gc.demands(store, [root], absent_days, forget)
        _check_forgotten(needed, forget)
        done = gc.sweep(store, needed, dry_run, partial)
    store.close()
    if not dry_run:
        done.problems += map(_undecided, filter(lambda demand: demand.unknown, needed.projects))
    summary = {**asdict(done), "blobs": len(done.blobs), "dry_run": dry_run}
    del summary["problems"]
    if as_json:
        answer = envelope.Answer(summary, done.problems)
        answer.results = [_told(demand) for demand in needed.projects]
        envelope.print_json(answer)
    else:
        for line in _lines(needed.projects, dry_run):
            echo(line)
        verb = t("would remove") if dry_run else t("removed")
        echo(
            t(
                "{verb} {blobs} and {leftovers}, {bytes}; kept {blobs2}",
                verb=verb,
                blobs=n("{count:,} blob", "{count:,} blobs", len(done.blobs)),
                leftovers=n("{count:,} leftover", "{count:,} leftovers", done.leftovers),
                bytes=human_bytes(done.bytes),
                blobs2=n("{count:,} blob", "{count:,} blobs", done.kept),
            )
        )
        if done.young:
            text = t(
                "{blobs} nobody needs, but came within the last hour, as those of a run that has "
                "not written its lock yet: they go with the next gc",
                blobs=n("{count:,} blob", "{count:,} blobs", done.young),
            )
            echo(text)
        envelope.print_problems(done.problems)
    return exit_code_of(done.problems)


def _undecided(demand: gc.Demand) -> Problem:
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


def _check_forgotten(needed: gc.Demands, forget: tuple[str, ...]) -> None:
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


def _lines(demands: list[gc.Demand], everyone: bool) -> Iterator[str]:
    """What the projects need. Containers leave a record each, of one path: one line for these."""
    gone: dict[str, list[gc.Demand]] = {}
    for demand in demands:
        if demand.state == "absent":
            gone.setdefault(str(demand.record.root), []).append(demand)
        elif everyone or demand.state != "here":
            yield _line(demand)
    for root, alike in gone.items():
        if len(alike) == 1:
            yield _line(alike[0])
            continue
        last = max(demand.record.seen for demand in alike)
        yield t(
            "{root}: {count:,} projects that are not here, last seen {day}: need {bytes} at most; "
            "to let go of them: fetch gc --forget {name}",
            root=root,
            count=len(alike),
            day=time.strftime("%Y-%m-%d", time.localtime(last)),
            bytes=human_bytes(sum(demand.bytes for demand in alike)),
            name=shlex.quote(root),
        )


def _told(demand: gc.Demand) -> dict[str, object]:
    record = demand.record
    return {
        "project": str(record.root),
        "id": record.id,
        "machine": record.machine,
        "seen": int(record.seen),
        "state": demand.state,
        "blobs": None if demand.needs is None else len(demand.needs),
        "bytes": demand.bytes,
        "error": demand.why,
    }


def _line(demand: gc.Demand) -> str:
    """What one project needs, and how that is known."""
    record = demand.record
    needs = (
        t("needs what nobody wrote down: nothing is removed")
        if demand.needs is None
        else t(
            "needs {blobs}, {bytes}",
            blobs=n("{count:,} blob", "{count:,} blobs", len(demand.needs)),
            bytes=human_bytes(demand.bytes),
        )
    )
    day = time.strftime("%Y-%m-%d", time.localtime(record.seen))
    if demand.state == "here":
        return t("{root}: {needs}", root=record.root, needs=needs)
    if demand.state == "broken":
        return t(
            "{root}: its fetch.lock cannot be read ({why}); when it last ran: {needs}",
            root=record.root,
            why=demand.why,
            needs=needs,
        )
    if demand.state == "absent":
        return t(
            "{root}: not here, last seen {day} on {machine}: {needs}; to let go of it: "
            "fetch gc --forget {name}",
            root=record.root,
            day=day,
            machine=record.machine or t("an unknown machine"),
            needs=needs,
            name=record.id or shlex.quote(str(record.root)),
        )
    return t("{root}: last seen {day}, does not count any more", root=record.root, day=day)
