"""`fetch gc`."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config import settings
from fetcher.errors import LockError, UsageError
from fetcher.i18n import echo, n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.store import gc
from fetcher.store.runs import alone
from fetcher.store.store import Store
from fetcher.ui.units import human_bytes


def _say(line: str) -> None:
    echo(line, file=sys.stderr, flush=True)


def _sweep(store: Store, root: Path, dry_run: bool, partial: bool) -> gc.Sweep:
    wanted, unreadable = gc.needed(store, [root])
    if unreadable:
        raise LockError(
            t("a project's lock cannot be read: {unreadable}", unreadable=unreadable[0]),
            t("repair or remove it first: gc will not guess what that project needs"),
        )
    return gc.sweep(store, wanted, dry_run, partial)


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
@common.json_option
def command(dry_run: bool, forget_imports: bool, partial: bool, as_json: bool) -> int:
    """Remove from the store what no project's fetch.lock needs any more.

    Every project that has used the store is asked; trees are never touched (with --link symlink
    they need the store's blobs, which their locks keep). Blobs of the last hour stay.
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
            gc.forget_imports(store)
        done = _sweep(store, root, dry_run, partial)
    store.close()
    summary = {**asdict(done), "blobs": len(done.blobs), "dry_run": dry_run}
    if as_json:
        envelope.print_json(envelope.Answer(summary))
    else:
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
    return 0
