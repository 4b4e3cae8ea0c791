"""`fetch show NAME`: one artifact."""

from __future__ import annotations

from pathlib import Path

import click

from fetcher.commands import common
from fetcher.commands.list_ import describe
from fetcher.i18n import echo, t
from fetcher.project import lockfile, names, pins
from fetcher.project.layout import placements
from fetcher.project.manifest import Artifact
from fetcher.project.project import Project, Unit, find_root
from fetcher.reporting import envelope
from fetcher.ui.table import Column, print_cut, print_table
from fetcher.ui.units import human_bytes


def find(project: Project, name: str) -> list[tuple[Unit, Artifact]]:
    """Artifacts of this id, `manifest/id`, alias or repository. Raises UsageError."""
    every = names.pairs_of(project.load_everything())
    found, note = names.matching(every, name)
    if not found:
        raise names.unknown(name, every)
    common.explain([note] * bool(note))
    return found


@click.command("show")
@click.argument("name")
@common.json_option
def command(name: str, as_json: bool) -> int:
    """Show one artifact: source, mirrors, licence, files with digests, and where they go."""
    root = find_root(Path.cwd())
    found = find(Project(root), name)
    current = lockfile.read(root)
    shown = {artifact.full_name for _, artifact in found}
    pins.refuse(
        {unit.manifest.name: unit.manifest for unit, _ in found}.values(),
        lambda item: current.contradictions(item) if item.full_name in shown else (),
    )
    results = []
    for unit, artifact in found:
        locked = current.of(artifact)
        entries = list(locked.files) if locked else list((artifact.request.known or {}).values())
        targets: dict[str, list[str]] = {}
        for placement in placements(unit.layout, artifact, entries)[0]:
            prefix = f"{unit.layout.root}/" if unit.layout.root else ""
            start = f"{placement.root}:" if placement.root else prefix
            targets.setdefault(placement.file.path, []).append(start + placement.target)
        results.append(
            {
                **describe(artifact),
                "revision": locked.revision if locked else None,
                "said_by": (locked.said_by or None) if locked else None,
                "said_at": (locked.said_at or None) if locked else None,
                "files": [
                    {
                        "path": entry.path,
                        "size": entry.size,
                        "sha256": entry.sha256,
                        "targets": targets.get(entry.path, []),
                    }
                    for entry in entries
                ],
            }
        )
    if as_json:
        answer = envelope.Answer({"artifacts": len(results)})
        answer.results = results
        envelope.print_json(answer)
        return 0
    for result in results:
        _print(result)
    return 0


def _shown(value: object) -> str:
    """A value of a record for people."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _print(result: dict[str, object]) -> None:
    files = result.pop("files")
    known = {key: value for key, value in result.items() if value not in (None, [], "", False)}
    rows = [(f"{key + ':':<13}", _shown(value)) for key, value in known.items()]
    print_table((Column(), Column(wrap=True)), rows, heading=False)
    assert isinstance(files, list)
    if not files:
        echo(t("files:         not resolved yet: fetch lock"))
    for entry in files[:40]:
        size = human_bytes(entry["size"]) if entry["size"] is not None else "?"
        where = ", ".join(entry["targets"]) or t("(not placed)")
        print_cut(f"  {entry['path']}  {size}  -> {where}")
        if entry["sha256"]:
            print_cut(t("    sha256 {sha256}", sha256=entry["sha256"]))
    if len(files) > 40:
        echo(t("  … and {count:,} more", count=len(files) - 40))
