"""`fetch lock`: resolve only."""

from __future__ import annotations

import fnmatch
import time

import click

from fetcher.commands import common
from fetcher.errors import UsageError
from fetcher.i18n import echo, n, t
from fetcher.project import names as naming
from fetcher.project.manifest import Artifact
from fetcher.reporting import envelope


@click.command("lock")
@common.manifests_argument
@click.option(
    "--update",
    "names",
    multiple=True,
    metavar="NAME",
    help="Resolve this artifact anew, though it is locked; a glob takes several.",
)
@common.json_option
def command(manifests: tuple[str, ...], names: tuple[str, ...], as_json: bool) -> int:
    """Resolve manifests to exact files (revision, size, digest) and write fetch.lock.

    What is locked stays as it is, unless the manifest changed or --update names it.
    """

    def picked(artifact: Artifact) -> bool:
        return any(fnmatch.fnmatchcase(artifact.id, name) for name in names)

    with common.workspace(manifests, optional=True, quiet=True) as space:
        known, notes = naming.translated(names, space.wanted)
        common.explain(notes)
        names = tuple(known)
        for name in names:
            if not any(fnmatch.fnmatchcase(a.id, name) for _, a in space.wanted):
                raise UsageError(t("--update {name}: no such artifact", name=name), t("fetch list"))
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
        found = envelope.Answer(summary, problems=resolution.problems)
        if as_json:
            envelope.print_json(found)
        else:
            what = t("fetch.lock written") if written else t("fetch.lock is up to date")
            echo(
                t(
                    "{what}: resolved {artifacts}, {files}",
                    what=what,
                    artifacts=n("{count:,} artifact", "{count:,} artifacts", len(resolution.fresh)),
                    files=n("{count:,} file", "{count:,} files", files),
                )
            )
        envelope.print_problems(found.problems)
        return found.exit_code
