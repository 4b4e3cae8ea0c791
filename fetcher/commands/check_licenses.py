"""`fetch check --licenses`: every artifact's licence by the project's policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fetcher.commands import common
from fetcher.commands.ci_reports import Reports
from fetcher.i18n import echo, local, n, t
from fetcher.operations import licenses
from fetcher.operations.licenses import EXCEPTED, MISMATCH, STATED, Licensed
from fetcher.project.license_rules import ALLOWED, DENIED, UNKNOWN, UNLISTED
from fetcher.project.licenses import parse
from fetcher.reporting import envelope
from fetcher.reporting.verdict import LICENSE_UNKNOWN, Case
from fetcher.ui.table import Column, print_table

_COLUMNS = (
    Column(t("ARTIFACT"), least=12, at="middle"),
    Column(t("LICENSE")),
    Column(t("VERDICT")),
    Column(t("LEARNED FROM"), wrap=True),
)
_WORDS = {
    ALLOWED: t("allowed"),
    EXCEPTED: t("allowed by an exception"),
    UNKNOWN: t("unknown"),
    STATED: t("no policy"),
    DENIED: t("denied"),
    UNLISTED: t("not allowed"),
    MISMATCH: t("contradicts"),
}


def run(manifests: tuple[str, ...], reports: Reports, as_json: bool, **options: Any) -> int:
    """Look, print, write reports; the exit code."""
    with common.workspace(manifests, optional=True, quiet=True, readonly=True, **options) as space:
        space.take_every_variant()
        found = licenses.look(space)
        has_policy, units = space.settings.licenses is not None, space.units
    wrong = [problem for one in found if (problem := one.problem)]
    answer = envelope.Answer(_summary(found), list(wrong))
    answer.problems += reports.write([_case(one) for one in found], wrong, units)
    if as_json:
        answer.results = [licenses.row_of(one) for one in found]
        envelope.print_json(answer)
    else:
        _print(found, has_policy)
    envelope.print_problems(answer.problems)
    return answer.exit_code


def _summary(found: Sequence[Licensed]) -> dict[str, object]:
    counts = Counter(one.verdict for one in found)
    return {"artifacts": len(found), "verdicts": dict(sorted(counts.items()))}


def _case(one: Licensed) -> Case:
    unknown = one.verdict == UNKNOWN
    kind = "license" if one.failed else "skipped" if unknown else "ok"
    message = one.message if one.failed or unknown else ""
    advice = LICENSE_UNKNOWN if unknown and not one.failed else ""
    return Case(one.artifact.full_name, "license", kind, message, hint=one.hint, advice=advice)


def _print(found: Sequence[Licensed], has_policy: bool) -> None:
    ids = Counter(one.artifact.id for one in found)
    rows = [
        (
            one.artifact.id if ids[one.artifact.id] == 1 else one.artifact.full_name,
            str(parse(one.license)) if one.license else "-",
            local(_WORDS[one.verdict]),
            ", ".join(f"{item.origin} {item.place}" for item in one.statements) or "-",
        )
        for one in found
    ]
    print_table(_COLUMNS, rows)
    told = [one for one in found if one.message and not one.failed]
    for one in told:
        echo(t("note: {id}: {message}", id=one.artifact.id, message=one.message))
    wrong = sum(one.failed for one in found)
    echo(
        t(
            "{artifacts}, {wrong:,} with a licence that is not right",
            artifacts=n("{count:,} artifact", "{count:,} artifacts", len(found)),
            wrong=wrong,
        )
    )
    if not has_policy:
        echo(t("fetch.yaml has no `licenses`: nothing is denied; docs/licenses.md has examples"))
