"""`fetch status`: what is there, by stat alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from fetcher.commands import common
from fetcher.config.project_choices import ON_DISK
from fetcher.i18n import echo, n, t
from fetcher.reporting import envelope
from fetcher.reporting.report import ArtifactStatus, Report, of_seal, status_of_seal
from fetcher.ui.table import Column, print_table
from fetcher.ui.units import human_bytes

_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("STATE"), least=4),
    Column(t("FILES"), rank=1),
    Column(t("SIZE"), rank=2),
)


@click.command("status")
@common.manifests_argument
@common.into_option
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Show for each artifact if it is complete, partial, missing, modified or in conflict.

    Quick: it trusts what was seen before and reads no file. `fetch check` looks closer.
    """
    seal = common.sealed(manifests, with_files=as_json, **options)
    if seal is not None and seal.all_of_it:
        _show(of_seal(seal), status_of_seal(seal), as_json)
        return 0
    from fetcher.operations.inspect_tree import status_report

    with common.workspace(
        manifests, optional=True, quiet=True, readonly=True, uses=ON_DISK, **options
    ) as space:
        found, statuses = status_report(space)
        _show(found, statuses, as_json)
    return 0


def _show(found: Report, statuses: Sequence[ArtifactStatus], as_json: bool) -> None:
    """The report, or a table; an id that two manifests have stands with its manifest."""
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
    if unread := sum(status["unread"] for status in statuses):
        echo(
            t(
                "\n{files} of the right size not read yet: `fetch check` reads and recognises them",
                files=n("{count:,} file", "{count:,} files", unread),
            )
        )
