"""`fetch status`: what is there, by stat alone."""

from __future__ import annotations

import time
from typing import Any

import click

from fetcher.commands import common
from fetcher.reporting import envelope
from fetcher.tree.plan import KEEP, UNVERIFIED
from fetcher.ui.progress import human_bytes


@click.command("status")
@common.manifests_argument
@common.into_option
@common.json_option
def command(manifests: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Show for each artifact if it is complete, partial, missing, modified or in conflict.

    Quick: it trusts what was seen before and reads no file. `fetch check` looks closer.
    """
    if not as_json:
        seal = common.sealed(manifests, **options)
        if seal is not None and seal.all_of_it:
            _show(seal.artifacts)
            return 0
    with common.workspace(manifests, optional=True, quiet=True, readonly=True, **options) as space:
        plan = space.planner(quick=True).plan(space.wanted, space.lock)
        found = envelope.of_plan(plan, [], time.monotonic() - space.started)
        found.results = [
            {
                "id": part.artifact.id,
                "manifest": part.artifact.manifest,
                "state": part.state,
                "optional": part.artifact.optional,
                "files": len(part.items),
                "present": sum(1 for item in part.items if item.action == KEEP),
                "unread": sum(1 for item in part.items if item.action == UNVERIFIED),
                "bytes": sum(item.file.size or 0 for item in part.items),
            }
            for part in plan.artifacts
        ]
        if as_json:
            envelope.print_json(found)
            return 0
        _show(found.results)
        if unread := sum(result["unread"] for result in found.results):
            print(
                f"\n{envelope.counted(unread, 'file')} of the right size not read yet: "
                "`fetch check` reads and recognises them"
            )
        return 0


def _show(results: list[dict[str, Any]]) -> None:
    """The table; an id that two manifests have stands with its manifest."""
    ids = [result["id"] for result in results]
    rows = [("ARTIFACT", "STATE", "FILES", "SIZE")]
    for result in results:
        unique = ids.count(result["id"]) == 1
        name = result["id"] if unique else f"{result['manifest']}/{result['id']}"
        rows.append(
            (
                name + (" (optional)" if result["optional"] else ""),
                result["state"],
                f"{result['present']}/{result['files'] or '?'}",
                human_bytes(result["bytes"]),
            )
        )
    common.print_table(rows)
