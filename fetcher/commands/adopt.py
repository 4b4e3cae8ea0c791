"""`fetch adopt PATH…`."""

from __future__ import annotations

import click

from fetcher.commands import common
from fetcher.errors import Problem, UsageError
from fetcher.i18n import echo, n, t
from fetcher.operations import adopt
from fetcher.reporting import envelope


@click.command("adopt")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True), metavar="PATH...")
@click.option(
    "--as",
    "name",
    metavar="ARTIFACT/FILE",
    help="Take the one PATH as this file, whose digest is not known yet.",
)
@click.option("--manifest", "manifests", multiple=True, help="Look only at this manifest.")
@click.option(
    "--link",
    type=click.Choice(["auto", "hardlink"]),
    default="auto",
    help="auto: reflink, else copy; hardlink: share the file with the store.",
)
@click.option("--first-trust", is_flag=True, help="Take what does not look like that file, too.")
@common.json_option
def command(
    paths: tuple[str, ...],
    name: str | None,
    manifests: tuple[str, ...],
    link: str,
    first_trust: bool,
    as_json: bool,
) -> int:
    """Take files that are already on this machine: a hand-made download, a Hugging Face cache,
    an old clone.

    Files are recognised by their digests, whatever they are called. Run `fetch all` afterwards:
    it places them without downloading.
    """
    with common.workspace(manifests, optional=True, quiet=True) as space:
        if name and len(paths) != 1:
            raise UsageError(t("--as takes exactly one PATH"))
        if name:
            found = adopt.as_file(space, paths[0], name, link == "hardlink", first_trust)
        else:
            found = adopt.by_digest(space, paths, link == "hardlink")
        problems = list(found.problems)
        if not found.taken and not problems:
            problems.append(
                Problem(
                    "missing",
                    t(
                        "none of {files} is wanted",
                        files=n("{count:,} file", "{count:,} files", found.seen),
                    ),
                    t(
                        "is the artifact in fetch.lock? run `fetch lock`; for a file without a "
                        "known digest, use --as ARTIFACT/FILE"
                    ),
                )
            )
        answer = envelope.Answer(
            {"adopted_files": len(found.taken), "seen_files": found.seen}, problems=problems
        )
        answer.results = [
            {"file": path, "id": artifact, "path": entry, "sha256": sha256, "source": "adopted"}
            for path, artifact, entry, sha256 in found.taken
        ]
        if as_json:
            envelope.print_json(answer)
        else:
            for path, artifact, entry, _ in found.taken[:20]:
                echo(
                    t(
                        "adopted {path} as {artifact}/{entry}",
                        path=path,
                        artifact=artifact,
                        entry=entry,
                    )
                )
            echo(
                t(
                    "adopted {count:,} of {files}",
                    count=len(found.taken),
                    files=n("{count:,} file", "{count:,} files", found.seen),
                )
            )
            if found.taken:
                echo(t("now run `fetch all`: it places them without downloading"))
        envelope.print_problems(problems)
        return answer.exit_code
