"""`fetch check`: every file against the lock."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.config.project_choices import ON_DISK
from fetcher.errors import Problem
from fetcher.i18n import echo, n, t
from fetcher.reporting import envelope
from fetcher.reporting.report import of_seal
from fetcher.ui.units import human_bytes


@click.command("check")
@common.manifests_argument
@common.selection_options
@click.option("--deep", is_flag=True, help="Read every byte, whatever was seen before.")
@click.option("--strict", is_flag=True, help="Also name files that are not ours.")
@common.junit_option
@click.option(
    "--sarif",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a SARIF report.",
)
@common.json_option
def command(
    manifests: tuple[str, ...],
    deep: bool,
    strict: bool,
    junit: Path | None,
    sarif: Path | None,
    as_json: bool,
    optional: bool,
    **options: Any,
) -> int:
    """Compare every file with the lock; name what is missing, modified or extra (exit 4).

    A file whose size, time and inode are as they were is trusted, others are read; --deep reads
    all, and compares models that ship a model.sig with it. Optional artifacts count once they have
    been fetched.
    """
    asked = deep or strict or junit or sarif or optional
    if not asked and not any(options[name] for name in ("only", "skip", "groups")):
        seal = common.sealed(manifests, into=options["into"], with_files=as_json)
        if seal is not None and seal.all_of_it and seal.clean:
            if as_json:
                envelope.print_json(replace(of_seal(seal), results=[]))
            else:
                echo(_line(seal.files, seal.files, seal.bytes, deep))
            return 0
    from fetcher.commands import ci_formats
    from fetcher.operations import check
    from fetcher.operations.inspect_tree import check_report

    with common.workspace(
        manifests, optional=True, quiet=True, readonly=True, uses=ON_DISK, **options
    ) as space:
        check.only_what_was_fetched(space, optional)
        plan, findings = check.examine(space, deep, strict)
        more: list[Problem] = []
        if deep:
            from fetcher.bundle import publisher_signatures

            more += publisher_signatures.of_project(space)
        if junit:
            seconds = time.monotonic() - space.started
            text = ci_formats.junit("fetch check", ci_formats.cases_of(findings), seconds)
            more += common.write_report(junit, text)
        if sarif:
            more += common.write_report(sarif, ci_formats.sarif(findings))
        found = check_report(space, plan, findings, more)
        if as_json:
            envelope.print_json(found)
        else:
            ours = [finding for finding in findings if finding.state != "extra"]
            right = sum(finding.state == "ok" for finding in ours)
            echo(_line(right, len(ours), found.summary["bytes"], deep))
        envelope.print_problems(found.problems)
        return found.exit_code


def _line(right: int, files: int, size: int, deep: bool) -> str:
    how = t("every byte read") if deep else t("by stat, touched files read")
    return t(
        "{right:,} of {files} as locked, {size}, {how}",
        right=right,
        files=n("{count:,} file", "{count:,} files", files),
        size=human_bytes(size),
        how=how,
    )
