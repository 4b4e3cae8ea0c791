"""`fetch store du|ls|check`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config import settings
from fetcher.errors import Problem
from fetcher.i18n import echo, n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.store import gc, soundness
from fetcher.store.store import Store
from fetcher.ui.units import human_bytes


def _open(readonly: bool = True) -> Store:
    found = settings.load(find_root(Path.cwd()))
    common.tell_choices(found, ("store",))
    return Store.of(found, readonly)


@click.group("store")
def command() -> None:
    """Look into the store of verified files that all projects of this machine share."""


@command.command("du")
@common.json_option
def du(as_json: bool) -> int:
    """How much the store holds."""
    store = _open()
    found = gc.usage(store)
    if as_json:
        envelope.print_json(envelope.Answer({"store": str(store.root), **asdict(found)}))
        return 0
    echo(f"{store.root}")
    echo(
        t(
            "{blobs}, {blob_bytes}, of which {linked_bytes} shared with trees",
            blobs=n("{count:,} blob", "{count:,} blobs", found.blobs),
            blob_bytes=human_bytes(found.blob_bytes),
            linked_bytes=human_bytes(found.linked_bytes),
        )
    )
    echo(
        t(
            "{partial_downloads}, {part_bytes}",
            partial_downloads=n(
                "{count:,} partial download", "{count:,} partial downloads", found.parts
            ),
            part_bytes=human_bytes(found.part_bytes),
        )
    )
    if found.damaged:
        echo(
            t(
                "{damaged_blobs} set aside in {root}/damaged",
                damaged_blobs=n("{count:,} damaged blob", "{count:,} damaged blobs", found.damaged),
                root=store.root,
            )
        )
    return 0


@command.command("ls")
@common.json_option
def ls(as_json: bool) -> int:
    """Every blob with its size, and the projects that need it."""
    store = _open()
    rows = sorted(store.digests())
    needed_by: dict[str, list[str]] = {}
    for demand in gc.demands(store).projects:
        for sha256 in demand.needs or ():
            needed_by.setdefault(sha256, []).append(str(demand.record.root))
    if as_json:
        answer = envelope.Answer({"blobs": len(rows)})
        answer.results = [
            {"sha256": name, "size": stat.st_size, "needed_by": needed_by.get(name, [])}
            for name, stat in rows
        ]
        envelope.print_json(answer)
        return 0
    for name, stat in rows:
        owners = ", ".join(dict.fromkeys(needed_by.get(name, [])))
        echo(f"{name}  {stat.st_size:>15,}  {owners}".rstrip())
    return 0


def _contradictions(root: Path) -> list[Problem]:
    """Claims about sources that cannot all be true, of the projects and bundles known here."""
    from fetcher.server.served_inventory import InventoryView, StoreLocation
    from fetcher.store.upstream_records import of_choice

    chosen = of_choice(settings.load(find_root(Path.cwd())))
    view = InventoryView.of(StoreLocation(root, everything=True, endpoint=chosen).open())
    hint = t(
        "find out which is right: `fetch lock --update NAME` in a project asks the source again, "
        "an import of a right bundle takes another's place"
    )
    for text in view.unreadable:
        echo(text, file=sys.stderr)
    found = [Problem("difference", text, told) for text, told in view.contradictions]
    return found + [Problem("difference", text, hint) for text in view.disputes]


@command.command("check")
@common.json_option
def check(as_json: bool) -> int:
    """Read every blob; set aside what is not what its name says (exit 4).

    Stamps that give a content a false git id are removed, and locks that do are named.
    Projects and imported bundles that contradict each other, or what a source said, are named.
    """
    store = _open(readonly=False)
    found = soundness.read_all(store)
    store.close()
    problems = [*_problems(found), *_contradictions(store.root)]
    summary: dict[str, object] = {
        "blobs": found.blobs,
        "damaged": len(found.damaged),
        "false_stamps": len(found.stamps),
        "false_entries": len(found.entries),
    }
    answer = envelope.Answer(summary, problems=problems)
    if as_json:
        envelope.print_json(answer)
    else:
        echo(
            t(
                "{count:,} of {blobs} sound",
                count=found.blobs - len(found.damaged),
                blobs=n("{count:,} blob", "{count:,} blobs", found.blobs),
            )
        )
    envelope.print_problems(problems)
    return answer.exit_code


def _problems(found: soundness.Soundness) -> Iterator[Problem]:
    for name in found.damaged:
        yield Problem(
            "modified",
            t("blob {name} was damaged and is set aside", name=name),
            t("run `fetch all` in the projects that use it"),
            file=name,
        )
    for name, git_blob in found.stamps:
        yield Problem(
            "modified",
            t(
                "a stamp said that blob {name} has the git id {git_blob}, which it has not",
                name=name,
                git_blob=git_blob,
            ),
            t("it is removed; run `fetch check --deep` in the projects that use this store"),
            file=name,
        )
    yield from map(soundness.problem_of, found.entries)
