"""`fetch store du|ls|check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.commands.other_words import SubCommands
from fetcher.config import settings
from fetcher.errors import Problem, UsageError
from fetcher.fs.free_space import free_bytes
from fetcher.fs.home import as_person_means
from fetcher.i18n import echo, n, t
from fetcher.operations.doubt import doubt_links
from fetcher.project.project import find_root
from fetcher.reporting import envelope, store_words
from fetcher.store import imports, soundness, usage
from fetcher.store.demands import Demands, demands
from fetcher.store.store import Store
from fetcher.tree.store_links import links_of
from fetcher.ui.table import print_table
from fetcher.ui.units import human_bytes


def _open(readonly: bool = True) -> Store:
    found = settings.load(find_root(Path.cwd()))
    common.tell_choices(found, ("store",))
    return Store.of(found, readonly)


@click.group("store", cls=SubCommands)
def command() -> None:
    """Look into the store of verified files that all projects of this machine share."""


@command.command("du")
@common.json_option
def du(as_json: bool) -> int:
    """What the store takes of the disk, and which projects and artifacts need it.

    FREED is what comes back when a project goes with its tree and `fetch gc` runs: what no other
    needs. SHARED is what others need too. A file that trees share with the store counts once.
    """
    store = _open()
    found = usage.measure(store)
    needed = demands(store)
    shared = usage.shares(store, needed, links_of)
    if as_json:
        told = store_words.usage_summary(found, shared, free_bytes(store.root))
        answer = envelope.Answer({"store": str(store.root), **told})
        answer.results = store_words.project_entries(shared)
        envelope.print_json(answer)
        return 0
    echo(f"{store.root}")
    if rows := list(store_words.project_rows(shared, _labels(store))):
        print_table(store_words.BY_PROJECT, rows)
        echo("")
    print_table(store_words.BY_KIND, list(store_words.kind_rows(found)))
    echo(t("{bytes} are free on its disk", bytes=human_bytes(free_bytes(store.root))))
    for folder in found.unreadable:
        echo(t("{folder} may not be read: it is not counted", folder=folder), file=sys.stderr)
    return 0


def _labels(store: Store) -> dict[str, str]:
    """What to call imported bundles, by their name in the store."""
    return {one.name: one.label for one in imports.records(store.root, anybodys=True)}


@command.command("ls")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@common.json_option
def ls(names: tuple[str, ...], as_json: bool) -> int:
    """Every blob, the largest first: its size, what it is, and the projects that need it.

    NAME is an artifact (its id, or MANIFEST/ID) or the path of a project: only what these need.
    """
    store = _open()
    usage.check_listable(store)
    needed = demands(store)
    owners, files = store_words.files_by_content(needed)
    chosen = _chosen(needed, names)
    entries: list[store_words.BlobEntry] = [
        {
            "sha256": sha256,
            "size": stat.st_size,
            "needed_by": owners.get(sha256, []),
            "files": files.get(sha256, []),
            "links": stat.st_nlink - 1,
        }
        for sha256, stat in store.digests()
        if chosen is None or sha256 in chosen
    ]
    entries.sort(key=lambda entry: (-entry["size"], entry["sha256"]))
    if as_json:
        size = sum(entry["size"] for entry in entries)
        answer = envelope.Answer({"blobs": len(entries), "bytes": size})
        answer.results = entries
        envelope.print_json(answer)
        return 0
    labels = store_words.absent_labels(needed)
    bundles = _labels(store)
    for demand in needed.projects:
        if label := bundles.get(demand.record.path.stem):
            labels[str(demand.record.root)] = label
    print_table(store_words.BLOBS, list(store_words.blob_rows(entries, labels)))
    return 0


def _chosen(needed: Demands, names: Sequence[str]) -> set[str] | None:
    """The contents of the artifacts and projects of these names; None for all. Raises
    UsageError."""
    if not names:
        return None
    found: set[str] = set()
    for name in names:
        path = os.path.abspath(as_person_means(Path(name)))
        hits = 0
        for demand in needed.projects:
            if str(demand.record.root) == path or name == demand.record.id:
                found |= demand.needs or set()
                hits += 1
            for artifact, contents in demand.artifacts.items():
                if name in {artifact, artifact.partition("/")[2]}:
                    found |= contents
                    hits += 1
        if not hits:
            raise UsageError(
                t("{name}: no artifact and no project of this store is called so", name=name),
                t("`fetch store du` shows them"),
            )
    return found


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
    doubt_links(store, found.inodes)
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
            t("run `fetch all --overwrite` in the projects that use it"),
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
