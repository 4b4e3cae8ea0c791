"""A verdict as Markdown, for the summary of a CI job.

What comes from manifests, locks or hubs stands in code spans: nothing of it is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from fetcher.reporting.lock_markdown import code
from fetcher.reporting.verdict import ERROR, NOTE, NOTHING, WARNING, Case, Verdict

_SHOWN = 100  # lines of a table: a job's summary may have 1 MiB
_MARKS = {ERROR: "❌", WARNING: "⚠️", NOTE: "ℹ️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#!~&@])")


def summary_markdown(verdict: Verdict) -> str:
    """The section: a heading that says how it ended, what to look at, and what was right."""
    return "".join(f"{line}\n" for line in _lines(verdict))


def _lines(verdict: Verdict) -> Iterator[str]:
    yield f"### {_heading(verdict)}"
    yield ""
    for line in verdict.told:
        yield _SPECIAL.sub(r"\\\1", line)
        yield ""
    order = (ERROR, WARNING, NOTE)
    findings = sorted(verdict.findings, key=lambda case: order.index(case.level))
    if findings:
        yield from _table(findings)
    right = [case for case in verdict.cases if not case.rule]
    if right:
        yield from _right(right)


def _heading(verdict: Verdict) -> str:
    if verdict.exit_code:
        return f"{_MARKS[ERROR]} {verdict.command}: failed (exit code {verdict.exit_code})"
    if any(case.advice == NOTHING for case in verdict.cases):
        return f"{_MARKS[WARNING]} {verdict.command}: nothing was looked at"
    return f"✅ {verdict.command}: passed"


def _table(findings: Sequence[Case]) -> Iterator[str]:
    yield "| | artifact | what | what to do | where |"
    yield "|---|---|---|---|---|"
    for case in findings[:_SHOWN]:
        place = f"{case.place.path}:{case.place.line}" if case.place else ""
        cells = code(case.artifact), code(case.text), code(case.hint), code(place)
        yield f"| {_MARKS[case.level]} {case.rule} | {' | '.join(cells)} |"
    if (more := len(findings) - _SHOWN) > 0:
        yield ""
        yield f"… and {more:,} more"
    yield ""


def _right(cases: Sequence[Case]) -> Iterator[str]:
    passed = sum(case.kind == "ok" for case in cases)
    yield f"<details><summary>{passed:,} passed, {len(cases) - passed:,} skipped</summary>"
    yield ""
    yield "| artifact | case | result | seconds |"
    yield "|---|---|---|---|"
    for case in cases[:_SHOWN]:
        spent = "" if case.seconds is None else f"{case.seconds:.2f}"
        result = "passed" if case.kind == "ok" else f"skipped: {code(case.message)}"
        yield f"| {code(case.suite)} | {code(case.name)} | {result} | {spent} |"
    if (more := len(cases) - _SHOWN) > 0:
        yield ""
        yield f"… and {more:,} more"
    yield ""
    yield "</details>"
    yield ""
