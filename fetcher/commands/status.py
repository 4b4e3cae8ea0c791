"""`fetch status`: what is there, by stat alone."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import common
from fetcher.config.project_choices import ON_DISK
from fetcher.i18n import n, t
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.reporting.orphan_words import left_lines
from fetcher.reporting.report import ArtifactStatus, Report, of_seal, status_of_seal
from fetcher.tree.hint_commands import words_into
from fetcher.ui.table import Column, print_table, print_text
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:
    from fetcher.tree.kept_files import KeptFolder

_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("STATE")),
    Column(t("FILES"), rank=1),
    Column(t("SIZE"), rank=2),
)


@click.command("status")
@common.manifests_argument
@common.into_option
@common.variant_option
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Show for each artifact if it is complete, partial, missing, modified or in conflict.

    Quick: it trusts what was seen before and reads no file. `fetch check` looks closer.
    """
    root = find_root(Path.cwd())
    tree = options["into"] or root
    again = [*manifests, *words_into(root, tree)]
    seal = common.sealed(manifests, with_files=as_json, **options)
    if seal is not None and seal.all_of_it:
        _show(of_seal(seal), status_of_seal(seal), as_json, again, tree)
        return 0
    from fetcher.operations.inspect_tree import status_report

    with common.workspace(
        manifests, optional=True, quiet=True, readonly=True, uses=ON_DISK, looks=True, **options
    ) as space:
        common.note_variants(space)
        found, statuses = status_report(space)
        _show(found, statuses, as_json, again, tree)
    return 0


def _next_step(statuses: Sequence[ArtifactStatus], again: Sequence[str]) -> str:
    """What brings the tree to what is wanted; "" if nothing is amiss, or files are to be read."""
    states = {status["state"] for status in statuses if not status["optional"]}
    command = shlex.join(["fetch", "all", *again])
    look = shlex.join(["fetch", "check", *again])
    if states & {"modified", "conflict"}:
        return t("next: `{command}` names the files that are not as locked", command=look)
    if any(
        status["present"] + status["unread"] < status["files"] or not status["files"]
        for status in statuses
        if not status["optional"] and status["state"] != "complete"
    ):
        return t("next: `{command}` brings what is missing", command=command)
    return ""


def _kept_in(tree: Path) -> KeptFolder | None:
    """What lies in a tree's `.fetch/kept/`; most have none, and need no look."""
    if not os.path.isdir(tree / ".fetch/kept"):
        return None
    from fetcher.tree.kept_files import kept_folder, kept_runs

    runs = kept_runs(tree)
    return kept_folder(tree, runs) if runs else None


def _show(
    found: Report,
    statuses: Sequence[ArtifactStatus],
    as_json: bool,
    again: Sequence[str],
    tree: Path,
) -> None:
    """The report, or a table; an id that two manifests have stands with its manifest."""
    kept = _kept_in(tree)
    found.summary["kept_files"] = kept.files if kept else 0
    found.summary["kept_bytes"] = kept.bytes if kept else 0
    if as_json:
        found.results = statuses
        envelope.print_json(found)
        return
    ids = Counter(status["id"] for status in statuses)
    rows = []
    for status in statuses:
        name = status["id"] if ids[status["id"]] == 1 else f"{status['manifest']}/{status['id']}"
        rows.append(
            (
                t("{name} (optional)", name=name) if status["optional"] else name,
                status["state"],
                f"{status['present']}/{status['files'] or '?'}",
                human_bytes(status["bytes"]),
            )
        )
    print_table(_COLUMNS, rows)
    for line in _lines_below(found, statuses, again):
        print_text(line)
    if kept is not None and kept.files:
        print_text(
            t(
                "\n.fetch/kept: {files}, {bytes}, moved aside by earlier runs; when you need none "
                "of it: `{command}`",
                files=n("{count:,} file", "{count:,} files", kept.files),
                bytes=human_bytes(kept.bytes),
                command=shlex.join(
                    ["fetch", "prune", "--kept", *words_into(find_root(Path.cwd()), tree)]
                ),
            )
        )


def _lines_below(
    found: Report, statuses: Sequence[ArtifactStatus], again: Sequence[str]
) -> Iterator[str]:
    """What is still to be read, to be taken away, and to be done next."""
    if unread := sum(status["unread"] for status in statuses):
        yield t(
            "\n{files} of the right size still to be read: `{command}` compares with the lock",
            files=n("{count:,} file", "{count:,} files", unread),
            command=shlex.join(["fetch", "check", *again]),
        )
    orphans = found.orphans or ()
    said = any(entry["why"] == "moved" and not entry["changed"] for entry in orphans)
    if not said and (step := _next_step(statuses, again)):
        yield step
    yield from left_lines(orphans, again)
