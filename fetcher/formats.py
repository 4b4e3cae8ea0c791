"""Findings in the formats of CI systems: JUnit XML and SARIF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from fetcher import __version__
from fetcher.check import Finding
from fetcher.paths import printable

_LEVELS = {"missing": "error", "modified": "error", "blocked": "error", "extra": "warning"}


def junit(findings: Sequence[Finding], seconds: float) -> str:
    """One test suite per artifact, one test case per file."""
    suites: dict[str, list[Finding]] = {}
    for finding in findings:
        suites.setdefault(finding.artifact or "(not ours)", []).append(finding)
    bad = sum(finding.state != "ok" for finding in findings)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="fetch check" tests="{len(findings)}" failures="{bad}" '
        f'time="{seconds:.3f}">',
    ]
    for name, found in suites.items():
        failures = sum(finding.state != "ok" for finding in found)
        lines.append(
            f'  <testsuite name={quoteattr(name)} tests="{len(found)}" failures="{failures}">'
        )
        for finding in found:
            case = f"    <testcase classname={quoteattr(name)} name={_attr(finding.target)}"
            if finding.state == "ok":
                lines.append(case + "/>")
            else:
                lines.append(
                    f"{case}><failure type={quoteattr(finding.state)} "
                    f"message={_attr(finding.message)}/></testcase>"
                )
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _attr(text: str) -> str:
    return quoteattr(printable(text))


def sarif(findings: Sequence[Finding]) -> str:
    """SARIF 2.1.0 with one result for each file that is not as the lock says."""
    results: list[dict[str, Any]] = [
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
