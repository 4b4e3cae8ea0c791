"""`fetch check`: every file against the lock."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from fetcher.commands import ci_reports, common
from fetcher.commands.ci_reports import Reports
from fetcher.config.project_choices import ON_DISK
from fetcher.errors import Problem, UsageError
from fetcher.i18n import echo, n, t
from fetcher.reporting import envelope
from fetcher.reporting.orphan_words import left_lines
from fetcher.reporting.report import of_seal
from fetcher.tree.hint_commands import words_into
from fetcher.ui.units import human_bytes

if TYPE_CHECKING:  # what a sealed tree does without
    from fetcher.operations.check import Finding
    from fetcher.reporting.verdict import Case
    from fetcher.tree.plan import Plan


@click.command("check")
@common.manifests_argument
@common.selection_options
@click.option("--deep", is_flag=True, help="Read every byte, whatever was seen before.")
@click.option("--strict", is_flag=True, help="Also name files that are not ours.")
@click.option(
    "--licenses",
    is_flag=True,
    help="Compare licences with `licenses` of fetch.yaml; no file is looked at.",
)
@click.option("--offline", is_flag=True, help="Use no network: --licenses asks nobody.")
@ci_reports.options("fetch check")
@common.json_option
def command(
    manifests: tuple[str, ...],
    deep: bool,
    strict: bool,
    licenses: bool,
    as_json: bool,
    optional: bool,
    reports: Reports,
    **options: Any,
) -> int:
    """Compare every file with the lock; name what is missing, modified or extra (exit 4).

    A file whose size, time and inode are as they were is trusted, others are read; --deep reads
    all, and compares models that ship a model.sig with it. Optional artifacts count once they have
    been fetched.

    --licenses says each artifact's licence, where it was learned, and whether manifest, upstream
    and the policy in fetch.yaml agree; all artifacts count, whether fetched or not.
    """
    if licenses:
        from fetcher.commands import check_licenses

        if deep or strict:
            flag = "--deep" if deep else "--strict"
            raise UsageError(
                t("--licenses and {flag} exclude each other", flag=flag), t("run both, one by one")
            )
        return check_licenses.run(manifests, reports, as_json, **options)
    asked = deep or strict or reports or optional
    if not asked and _told_by_seal(manifests, as_json, options):
        return 0
    from fetcher.operations import check
    from fetcher.operations.inspect_tree import check_report

    with common.workspace(
        manifests, optional=True, quiet=True, readonly=True, uses=ON_DISK, looks=True, **options
    ) as space:
        common.note_variants(space)
        check.only_what_was_fetched(space, optional)
        plan, findings, orphans = check.examine(space, deep, strict, each=reports.each_case)
        more: list[Problem] = []
        if deep:
            from fetcher.bundle import publisher_signatures

            more += publisher_signatures.of_project(space)
        found = check_report(space, plan, findings, orphans, more)
        wrong = sum(finding.state not in {"ok", "extra"} for finding in findings)
        right = check.right(plan, findings)
        line = _line(right, right + wrong, found.summary["bytes"], deep)
        if reports:
            wanted = findings if reports.each_case else [f for f in findings if f.state != "ok"]
            cases = [*_cases(wanted, plan), *_whole(plan, wanted, found.problems)]
            found.problems += reports.write(cases, found.problems, space.units, [line])
        if as_json:
            envelope.print_json(found)
        else:
            again = [*manifests, *words_into(space.project.root, space.options.into)]
            if not plan.artifacts:
                common.note_if_empty(space)
                echo(t("nothing was looked at: no artifact is chosen, or none has been fetched"))
            else:
                echo(line)
            for left in left_lines(() if strict else found.orphans or (), again):
                echo(left)
        envelope.print_problems(found.problems)
        return found.exit_code


def _told_by_seal(manifests: tuple[str, ...], as_json: bool, options: Mapping[str, Any]) -> bool:
    """Whether the tree is as it was when it was complete; then that is said, and is all."""
    if any(options[name] for name in ("only", "skip", "groups", "variants")):
        return False
    seal = common.sealed(manifests, into=options["into"], with_files=as_json)
    if seal is None or not (seal.all_of_it and seal.clean):
        return False
    if as_json:
        envelope.print_json(replace(of_seal(seal), results=[]))
    else:
        echo(_line(seal.files, seal.files, seal.bytes, deep=False))
    return True


def _cases(findings: Sequence[Finding], plan: Plan) -> list[Case]:
    """One case for each file that was looked at, in a suite for its artifact."""
    from fetcher.reporting.verdict import NOT_OURS, Case

    return [
        Case(
            one.artifact or NOT_OURS,
            one.target,
            one.state,
            one.message,
            hint=one.hint,
            file=os.path.join(plan.tree, one.target),
        )
        for one in findings
    ]


def _whole(plan: Plan, told: Sequence[Finding], problems: Sequence[Problem]) -> list[Case]:
    """A case for each artifact that is right, and of whose files nothing is `told`."""
    from fetcher.reporting.verdict import of_artifacts

    known = {finding.artifact for finding in told}
    artifacts = [part.artifact for part in plan.artifacts if part.artifact.id not in known]
    return of_artifacts([(one.manifest, one.id) for one in artifacts], "files", problems)


def _line(right: int, files: int, size: int, deep: bool) -> str:
    how = t("every byte read") if deep else t("by size and time; --deep reads every byte")
    return t(
        "{right:,} of {files} as locked, {size}, {how}",
        right=right,
        files=n("{count:,} file", "{count:,} files", files),
        size=human_bytes(size),
        how=how,
    )
