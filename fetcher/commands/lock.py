"""`fetch lock`: resolve only; and what else is about fetch.lock alone."""

from __future__ import annotations

import fnmatch
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.errors import Problem, UsageError
from fetcher.i18n import echo, n, t
from fetcher.project import names as naming
from fetcher.project.manifest import Artifact
from fetcher.project.project import find_root
from fetcher.reporting import envelope

if TYPE_CHECKING:
    from fetcher.operations.workspace import Workspace

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("lock")
@common.manifests_argument
@click.option(
    "--update",
    "names",
    multiple=True,
    metavar="NAME",
    help="Resolve this artifact anew, though it is locked; a glob takes several.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Fail (exit 7) with reasons if it is not what the manifests want; ask and write nothing.",
)
@click.option(
    "--resolve",
    "side",
    type=click.Choice(("ours", "theirs")),
    help="Finish a merge of fetch.lock; take this side of artifacts that both changed.",
)
@click.option(
    "--merge-driver",
    "merging",
    nargs=3,
    type=_EXISTING,
    metavar="BASE OURS THEIRS",
    help="Merge three locks into OURS, as git asks for it; exit 1 if artifacts are in conflict.",
)
@ci_reports.options("fetch lock")
@common.json_option
def command(
    manifests: tuple[str, ...],
    names: tuple[str, ...],
    check: bool,
    side: str | None,
    merging: tuple[Path, Path, Path] | None,
    as_json: bool,
    reports: Reports,
) -> int:
    """Resolve manifests to exact files (revision, size, digest) and write fetch.lock.

    What is locked stays as it is, unless the manifest changed or --update names it.
    """
    if bool(names) + check + bool(side) + bool(merging) > 1:
        raise UsageError(
            t("--update, --check, --resolve and --merge-driver exclude each other"), t("choose one")
        )
    if (side or merging) and manifests:
        raise UsageError(
            t("--resolve and --merge-driver are about the whole lock"), t("name no manifest")
        )
    if (side or merging) and reports:
        raise UsageError(
            t("--resolve and --merge-driver judge nothing, so there is nothing to report"),
            t("`fetch lock --check` writes reports"),
        )
    if merging:
        return _drive(*merging)
    if side:
        return _resolve(side, as_json)
    if check:
        return _check(manifests, as_json, reports)
    return _lock(manifests, names, as_json, reports)


def _is_named(artifact: Artifact, name: str) -> bool:
    """Whether a glob picks it by its id, or with its manifest in front."""
    return fnmatch.fnmatchcase(artifact.full_name if "/" in name else artifact.id, name)


def _lock(
    manifests: tuple[str, ...], names: tuple[str, ...], as_json: bool, reports: Reports
) -> int:
    def picked(artifact: Artifact) -> bool:
        return any(_is_named(artifact, name) for name in names)

    with common.workspace(manifests, optional=True, quiet=True) as space:
        space.take_every_variant()
        known, notes = naming.translated(names, space.wanted)
        common.explain(notes)
        names = tuple(known)
        for name in names:
            if not any(_is_named(artifact, name) for _, artifact in space.wanted):
                hint = naming.what_there_is(name, space.wanted)
                raise UsageError(t("--update {name}: no such artifact", name=name), hint)
        space.options.update = picked
        resolution = space.resolve()
        written = space.save_lock(resolution.fresh)
        files = sum(len(item.files) for item in resolution.fresh.values())
        summary: dict[str, object] = {
            "artifacts": len(space.wanted),
            "resolved_artifacts": len(resolution.fresh),
            "files": files,
            "written": written,
            "seconds": round(time.monotonic() - space.started, 3),
        }
        found = envelope.Answer(summary, problems=list(resolution.problems))
        if written:
            what = t("fetch.lock written")
        elif resolution.problems:
            what = t("fetch.lock is as it was")
        else:
            what = t("fetch.lock is up to date")
        line = t(
            "{what}: resolved {artifacts}, {files}",
            what=what,
            artifacts=n("{count:,} artifact", "{count:,} artifacts", len(resolution.fresh)),
            files=n("{count:,} file", "{count:,} files", files),
        )
        found.problems += _report(reports, space, found.problems, line)
        if as_json:
            envelope.print_json(found)
        else:
            echo(line)
        envelope.print_problems(found.problems)
        return found.exit_code


def _report(
    reports: Reports, space: Workspace, problems: Sequence[Problem], line: str
) -> list[Problem]:
    """A case for each artifact: whether its entry is what the manifest wants."""
    if not reports:
        return []
    from fetcher.reporting.verdict import of_artifacts

    pairs = [(artifact.manifest, artifact.id) for _, artifact in space.wanted]
    return reports.write(of_artifacts(pairs, "lock", problems), problems, space.units, [line])


def _check(manifests: tuple[str, ...], as_json: bool, reports: Reports) -> int:
    """Whether the lock is what the manifests want, for CI."""
    from fetcher.operations.lock_current import reasons

    with common.workspace(manifests, optional=True, quiet=True, readonly=True) as space:
        space.take_every_variant()
        problems, strange = reasons(space)
        summary: dict[str, object] = {
            "artifacts": len(space.wanted),
            "not_current": len({problem.artifact for problem in problems}),
            "unknown_manifests": strange,
        }
        count = n("{count:,} artifact", "{count:,} artifacts", len(space.wanted))
        line = t("fetch.lock is what the manifests want: {artifacts}", artifacts=count)
        if problems:
            line = t("fetch.lock is not what the manifests want: {artifacts}", artifacts=count)
        found = envelope.Answer(summary, [*problems, *_report(reports, space, problems, line)])
        if as_json:
            envelope.print_json(found)
        elif not problems:
            echo(line)
        for name in strange:
            common.explain([t("fetch.lock has entries of {name}, and no such manifest", name=name)])
        envelope.print_problems(found.problems)
        return found.exit_code


def _resolve(side: str, as_json: bool) -> int:
    """Finish a merge that left conflict markers."""
    from fetcher.operations import merge_locks
    from fetcher.operations.open_project import settings_of

    root = find_root(Path.cwd())
    done = merge_locks.resolve(root, side, settings_of(root, {}).locks)
    summary: dict[str, object] = {"artifacts": done.artifacts, "taken": list(done.taken)}
    if as_json:
        envelope.print_json(envelope.Answer(summary))
        return 0
    for name in done.taken:
        echo(t("{name}: taken from {side}", name=name, side=side))
    echo(
        t(
            "fetch.lock written: {artifacts}; next: fetch lock --check, git add fetch.lock",
            artifacts=n("{count:,} artifact", "{count:,} artifacts", done.artifacts),
        )
    )
    return 0


def _drive(base: Path, ours: Path, theirs: Path) -> int:
    """As git's merge driver: 0 if all is merged, 1 for conflicts, which git then reports."""
    from fetcher.operations import merge_locks

    conflicts = merge_locks.drive(find_root(Path.cwd()), base, ours, theirs).names
    for name in conflicts:
        echo(t("{name}: both sides changed it in fetch.lock", name=name), file=sys.stderr)
    if conflicts:
        echo(
            t("hint: {hint}", hint=t("`fetch lock --resolve ours`, or theirs")),
            file=sys.stderr,
        )
    return 1 if conflicts else 0
