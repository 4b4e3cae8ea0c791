"""`fetch sbom`: models, data sets and files as a bill of materials."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.commands.output_files import OutputFile
from fetcher.errors import UsageError
from fetcher.i18n import echo, n, t

_EPOCH = "SOURCE_DATE_EPOCH"
_LATEST = 253_402_300_799  # the last second of the year 9999


@click.command("sbom")
@common.manifests_argument
@common.selection_options
@click.option(
    *("-o", "--output"),
    type=OutputFile("sbom"),
    metavar="FILE",
    help="Write it into a file; default: stdout.",
)
def command(manifests: tuple[str, ...], output: Path | None, optional: bool, **options: Any) -> int:
    """Write a software bill of materials (CycloneDX 1.6, ML-BOM) of what fetch.lock holds.

    Each model and data set with its revision, licence, origin, and every file's digests. Nothing
    is asked of the network. Optional artifacts are in it once they are locked; with
    SOURCE_DATE_EPOCH the same lock gives the same document.
    """
    from fetcher.operations.bill_of_materials import entries_of, origin_of, unlocked_manifests
    from fetcher.reporting import envelope
    from fetcher.reporting.sbom import document

    epoch = _epoch()
    with common.workspace(manifests, optional=True, quiet=True, readonly=True, **options) as space:
        if left := unlocked_manifests(space):
            names = ", ".join(left)
            common.explain([t("nothing of {names} is locked: it is left out", names=names)])
        entries = entries_of(space, every=optional)
        found = document(origin_of(space, epoch), entries)
    if output is None:
        sys.stdout.write(_text(found, sys.stdout.encoding or "utf-8"))
        return 0
    answer = envelope.Answer(problems=common.write_report(output, _text(found, "utf-8")))
    envelope.print_problems(answer.problems)
    if not answer.problems:
        files = sum(len(entry.locked.files) for entry in entries)
        echo(
            t(
                "{path}: {artifacts}, {files}",
                path=output,
                artifacts=n("{count:,} artifact", "{count:,} artifacts", len(entries)),
                files=n("{count:,} file", "{count:,} files", files),
            )
        )
    return answer.exit_code


def _text(found: Mapping[str, object], encoding: str) -> str:
    """The document as JSON that can be written in an encoding, and is UTF-8 then."""
    text = json.dumps(found, ensure_ascii=False, indent=1) + "\n"
    try:
        if text.encode(encoding) == text.encode("utf-8"):
            return text
    except UnicodeEncodeError:  # also bytes of a name that are no text
        pass
    return json.dumps(found, indent=1) + "\n"


def _epoch() -> int | None:
    text = os.environ.get(_EPOCH, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 13) or int(text) > _LATEST:
        raise UsageError(
            t("{name} is {text!r}, expected seconds since 1970", name=_EPOCH, text=text[:40]),
            t("set it to a whole number, or take it away"),
        )
    return int(text)
