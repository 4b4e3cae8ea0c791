"""`fetch adopt PATH…`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.config.named_roots import ROOTS
from fetcher.errors import Problem, UsageError
from fetcher.fs.safe_paths import printable
from fetcher.i18n import echo, n, t
from fetcher.operations import adopt
from fetcher.operations.workspace import Workspace
from fetcher.reporting import envelope
from fetcher.ui.units import human_bytes

_SHOWN = 20


class _Place(click.Path):
    """A path that is there, or the name of a library's folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in ROOTS and not os.path.lexists(value):
            value = str(ROOTS[value].path())
        return super().convert(value, param, ctx)


@click.command("adopt")
@click.argument("paths", nargs=-1, required=True, type=_Place(exists=True), metavar="PATH...")
@click.option(
    "--as",
    "name",
    metavar="ARTIFACT/FILE",
    help="Take the one PATH as this file, whose digest is not known yet.",
)
@click.option("--manifest", "manifests", multiple=True, help="Look only at this manifest.")
@common.into_option
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
    into: Path | None,
    link: str,
    first_trust: bool,
    as_json: bool,
) -> int:
    """Take files that are already on this machine: a hand-made download, a Hugging Face cache,
    an old clone.

    Files are recognised by their digests, whatever they are called; one that stands at its own
    place in the tree, and whose source gives no digest, by its size. PATH may be the name of a
    library's folder, such as torch_hub. Run `fetch all` afterwards (with the names of optional
    artifacts): it places them without downloading.
    """
    with common.workspace(manifests, into=into, optional=True, quiet=True) as space:
        space.take_every_variant()
        if name and len(paths) != 1:
            raise UsageError(t("--as takes exactly one PATH"))
        if name:
            found = adopt.as_file(space, paths[0], name, link == "hardlink", first_trust)
        else:
            found = adopt.by_digest(space, paths, link == "hardlink", first_trust)
        problems = list(found.problems)
        if not found.taken and not problems and not found.left:
            problems.append(_nothing(space, found))
        ahead = adopt.next_steps(space, found.taken)
        answer = envelope.Answer(
            {
                "adopted_files": len(found.taken),
                "seen_files": found.seen,
                "in_place_files": len(found.in_place),
                "left": [{"file": path, "reason": str(why)} for path, why in found.left],
                "to_download_files": sum(one.files for one in ahead),
                "to_download_bytes": sum(one.bytes for one in ahead),
            },
            problems=problems,
        )
        answer.results = [
            {"file": path, "id": artifact, "path": entry, "sha256": sha256, "source": "adopted"}
            for path, artifact, entry, sha256 in found.taken
        ]
        if as_json:
            envelope.print_json(answer)
        else:
            _print(found, ahead)
        envelope.print_problems(problems)
        return answer.exit_code


def _nothing(space: Workspace, found: adopt.Adopted) -> Problem:
    """Why no file was taken, and what to do."""
    files = n("{count:,} file", "{count:,} files", found.seen)
    if absent := adopt.not_locked(space):
        hint = t(
            "fetch.lock does not say yet what {names} has: run `fetch lock`, then adopt again; or "
            "name one file: --as ARTIFACT/FILE",
            names=", ".join(absent[:5]) + (", …" if len(absent) > 5 else ""),
        )
    else:
        hint = t(
            "no digest that fetch.lock has is theirs; what has none yet is taken with --as "
            "ARTIFACT/FILE"
        )
    return Problem("missing", t("none of {files} is wanted", files=files), hint)


def _print(found: adopt.Adopted, ahead: Sequence[adopt.Next]) -> None:
    for path, artifact, entry, _ in found.taken[:_SHOWN]:
        shown = printable(path)
        echo(t("adopted {path} as {artifact}/{entry}", path=shown, artifact=artifact, entry=entry))
    if len(found.taken) > _SHOWN:
        echo(t("and {count:,} more", count=len(found.taken) - _SHOWN))
    if found.in_place:
        count = len(found.in_place)
        echo(
            n(
                "{count:,} of them by place and size alone: its source gives no digest",
                "{count:,} of them by place and size alone: their sources give no digest",
                count,
            )
        )
    for path, why in found.left[:_SHOWN]:
        echo(t("not taken: {path}: {reason}", path=printable(path), reason=why))
    if found.left:
        hint = t(
            "fetch adopt FILE --as ARTIFACT/FILE takes one as it is; moved away, it is fetched"
        )
        echo(t("hint: {hint}", hint=hint))
    files = n("{count:,} file", "{count:,} files", found.seen)
    echo(t("adopted {count:,} of {files} looked at", count=len(found.taken), files=files))
    for one in ahead:
        echo(_told(one))


def _told(one: adopt.Next) -> str:
    if not one.files and not one.unknown:
        return t("next: `{command}` places them without downloading", command=one.command)
    if not one.files:
        return t("next: `{command}` places them", command=one.command)
    size = human_bytes(one.bytes)
    return t(
        "next: `{command}` places them, and downloads {files} more, {size}",
        command=one.command,
        files=n("{count:,} file", "{count:,} files", one.files),
        size=t("{size} and more", size=size) if one.unknown else size,
    )
