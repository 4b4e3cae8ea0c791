"""`fetch remove`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.errors import InvalidDocument, UsageError
from fetcher.i18n import echo, t
from fetcher.project import names as naming
from fetcher.project.project import Project, Unit, find_root
from fetcher.register import changes as changing
from fetcher.register.removal import changes_without
from fetcher.reporting import envelope
from fetcher.reporting.orphan_words import done_lines
from fetcher.reporting.report import Report
from fetcher.tree.hint_commands import words_into


@click.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="ID...")
@common.into_option
@click.option("--keep-files", is_flag=True, help="Leave what was placed where it is.")
@click.option("--dry-run", is_flag=True, help="Show the changes and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Write without asking.")
@common.json_option
def command(
    names: tuple[str, ...],
    into: Path | None,
    keep_files: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Take artifacts out of manifest, layout, lock and tree.

    The changes are shown before they are written. Files that were changed since they were placed
    go to .fetch/kept/. `fetch gc` then frees the store.
    """
    root = find_root(Path.cwd())
    project = Project(root)
    units = project.load()
    chosen = _chosen(project, units, names)
    changes = [
        change
        for unit, ids in chosen
        for change in changes_without(root, unit.manifest.path or root, unit.manifest.layout, ids)
    ]
    if problems := changing.problems(changes):
        raise InvalidDocument(problems)
    if not as_json:
        echo(changing.diff(changes), end="")
    if dry_run or not (as_json or common.confirmed(yes)):
        return 0
    gone = {f"{unit.manifest.name}/{id}" for unit, ids in chosen for id in ids}
    report = _clear(into, keep_files, gone)
    changing.write(root, changes)
    if as_json:
        envelope.print_json(report)
    else:
        for line in done_lines(report.orphans or (), words_into(root, into or root)):
            echo(line)
    envelope.print_problems(report.problems)
    return report.exit_code


def _chosen(
    project: Project, units: Sequence[Unit], names: Sequence[str]
) -> list[tuple[Unit, list[str]]]:
    """The manifests of the project that have these, with the ids. Raises UsageError."""
    own = {path.resolve() for path in project.own_manifests()}
    pairs = naming.pairs_of(units)
    found: dict[str, tuple[Unit, list[str]]] = {}
    for name in names:
        ours = [(u, a) for u, a in pairs if name in {a.id, a.full_name}]
        if not ours:
            known = ", ".join(sorted(artifact.id for _, artifact in pairs))
            raise UsageError(
                t("no artifact {name!r} in this project", name=name),
                t("there are: {known}", known=known or t("none")),
            )
        if len(ours) > 1:
            said = ", ".join(artifact.full_name for _, artifact in ours)
            raise UsageError(
                t("{name} is in several manifests", name=name), t("name one: {said}", said=said)
            )
        ((unit, artifact),) = ours
        if unit.manifest.path is None or unit.manifest.path.resolve() not in own:
            raise UsageError(
                t("{name} is of the catalog, not of this project", name=name),
                t("nothing fetches it unless you name it"),
            )
        found.setdefault(unit.manifest.name, (unit, []))[1].append(artifact.id)
    return list(found.values())


def _clear(into: Path | None, keep_files: bool, gone: Collection[str]) -> Report:
    """Take their files and their entries of the lock away, as if nothing declared them."""
    from fetcher.operations import reconcile
    from fetcher.operations.inspect_tree import orphan_report
    from fetcher.operations.keep_gitignore import keep_in_step

    with common.workspace((), optional=True, quiet=True, into=into) as space:
        for unit in space.units:
            for name in [a.id for a in unit.manifest.artifacts.values() if a.full_name in gone]:
                del unit.manifest.artifacts[name]
                unit.manifest.declared.discard(name)
        space.wanted = [(unit, item) for unit, item in space.wanted if item.full_name not in gone]
        plan = space.planner(quick=True).plan(space.wanted, space.lock)
        found = reconcile.look(space, plan).of(gone)
        report = orphan_report(space, plan, found)
        if keep_files:
            echo(t("what was placed stays: `fetch prune` takes it away"), file=sys.stderr)
            keep_in_step(space, (orphan.path for orphan in found.orphans))
        else:
            reconcile.prune(space, plan, found, report)
        space.save_lock({})
        return report
