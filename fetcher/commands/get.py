"""`fetch get`: one model or file, without a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.errors import UsageError
from fetcher.i18n import echo, n, t
from fetcher.reporting import envelope
from fetcher.ui.units import human_bytes


@click.command("get")
@click.argument("source")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--to",
    type=common.FOLDER,
    metavar="DIR",
    help="Folder for the files; default: here for one file, a folder of its name for a repository.",
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave these files out.")
@click.option(
    "--unpack", is_flag=True, help="Bring what is in the archive; FILE chooses among its members."
)
@click.option(
    "--strip",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Drop so many leading folders of each member's path; with --unpack.",
)
@click.option("--offline", is_flag=True, help="Use no network: what the store has.")
@click.option(
    "--from",
    "mirrors",
    multiple=True,
    metavar="MIRROR",
    help="Ask this mirror first: a bundle, a store's folder, or an http, oci or s3 URL.",
)
@click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Connections to one host.")
@click.option("--limit-rate", metavar="RATE", help="Bytes per second, such as 50M.")
@click.option(
    "--overwrite", is_flag=True, help="Replace files that stand in the way; they are kept as .kept."
)
@click.option(
    "--first-trust",
    is_flag=True,
    help="Take files without a known digest, whatever their bytes look like.",
)
@click.option("--quiet", is_flag=True, help="Show only trouble.")
@common.events_option
@common.json_option
def command(
    source: str,
    files: tuple[str, ...],
    to: Path | None,
    exclude: tuple[str, ...],
    unpack: bool,
    strip: int | None,
    overwrite: bool,
    quiet: bool,
    json_events: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Bring SOURCE, or those of its files that FILE (names and globs) chooses, into a folder.

    SOURCE is whatever a manifest may name: hf:owner/name, github:owner/name, a page's address or
    that of one file, a URL. With --unpack what is in an archive comes instead of it; of a source
    with several files, FILE then names the archives. No project is needed, and none is made. A run
    that was interrupted goes on where it stopped; each file's sha256 is printed.
    """
    from fetcher.operations import get_files

    settings = get_files.settings_for({"offline": options["offline"]})
    settings.check()
    if strip and not unpack:
        raise UsageError(t("--strip is about archives"), t("add --unpack"))
    asked = get_files.wanted(
        source, files, exclude, to, settings.hf_endpoint, unpack=unpack, strip=strip or 0
    )
    with common.showing(quiet, json_events) as progress:
        report, rows, folder = get_files.get(asked, progress, overwrite=overwrite, **options)
        progress.events.send("end", exit_code=report.exit_code, summary=report.summary)
    if as_json:
        report.results = [{**row._asdict(), "folder": str(folder)} for row in rows]
        envelope.print_json(report)
    elif not quiet:
        there = [row for row in rows if row.state in {"placed", "present"}]
        for row in there:
            size = human_bytes(row.size) if row.size is not None else "?"
            echo(f"{row.sha256 or '-':64}  {size:>9}  {row.target}")
        echo(
            t(
                "{source}: {files} in {folder}",
                source=asked.describes,
                files=n("{count:,} file", "{count:,} files", len(there)),
                folder=folder,
            )
        )
    envelope.print_problems(report.problems)
    return report.exit_code
