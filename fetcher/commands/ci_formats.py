"""Findings in the formats of CI systems: JUnit XML and SARIF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from fetcher import __version__
from fetcher.fs.safe_paths import printable
from fetcher.operations.check import Finding

_LEVELS = {"missing": "error", "modified": "error", "blocked": "error", "extra": "warning"}


@dataclass(frozen=True)
class Case:
    """One test case of a JUnit report: `kind` is ok, skipped, or what kind of failure it is."""

    suite: str
    name: str
    kind: str = "ok"
    message: str = ""
    details: str = ""
    seconds: float | None = None


def junit(name: str, cases: Sequence[Case], seconds: float) -> str:
    """A JUnit report: the suites in the order of their first case."""
    suites: dict[str, list[Case]] = {}
    for case in cases:
        suites.setdefault(case.suite, []).append(case)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name={quoteattr(name)} {_counts(cases)} time="{seconds:.3f}">',
    ]
    for suite, found in suites.items():
        spent = sum(case.seconds or 0.0 for case in found)
        lines.append(f'  <testsuite name={_attr(suite)} {_counts(found)} time="{spent:.3f}">')
        lines.extend(_case(case) for case in found)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def cases_of(findings: Sequence[Finding]) -> list[Case]:
    """One case per file, in a suite per artifact."""
    return [Case(f.artifact or "(not ours)", f.target, f.state, f.message) for f in findings]


def _counts(cases: Sequence[Case]) -> str:
    skipped = sum(case.kind == "skipped" for case in cases)
    failed = sum(case.kind not in {"ok", "skipped"} for case in cases)
    return f'tests="{len(cases)}" failures="{failed}" errors="0" skipped="{skipped}"'


def _case(case: Case) -> str:
    time = "" if case.seconds is None else f' time="{case.seconds:.3f}"'
    start = f"    <testcase classname={_attr(case.suite)} name={_attr(case.name)}{time}"
    if case.kind == "ok":
        return start + "/>"
    if case.kind == "skipped":
        return f"{start}><skipped message={_attr(case.message)}/></testcase>"
    details = escape("".join(c if c in "\n\t" else printable(c) for c in case.details))
    return (
        f"{start}><failure type={_attr(case.kind)} message={_attr(case.message)}>{details}"
        "</failure></testcase>"
    )


def _attr(text: str) -> str:
    return quoteattr(printable(text))


def sarif(findings: Sequence[Finding]) -> str:
    """SARIF 2.1.0 with one result for each file that is not as the lock says."""
    results: list[dict[str, object]] = [
        {
            "ruleId": finding.state,
            "level": _LEVELS[finding.state],
            "message": {"text": finding.message},
            "locations": [
                {"physicalLocation": {"artifactLocation": {"uri": quote(finding.target)}}}
            ],
        }
        for finding in findings
        if finding.state != "ok"
    ]
    rules = [{"id": state, "name": state} for state in _LEVELS]
    driver = {"name": "fetch", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [run],
        },
        indent=1,
    )
