"""A verdict as GitLab's code quality report."""

from __future__ import annotations

import json

from fetcher.fs.safe_paths import printable
from fetcher.reporting.verdict import ERROR, NOTE, WARNING, Verdict, fingerprints

_SEVERITIES = {ERROR: "major", WARNING: "minor", NOTE: "info"}


def code_quality(verdict: Verdict, root: str = "") -> str:
    """A JSON list, with an entry for each finding; `root` is the project's folder."""
    findings = verdict.findings
    entries = [
        {
            "description": printable(
                f"{case.artifact}: {case.text}" if case.artifact else case.text
            ),
            "check_name": f"fetch-{case.rule}",
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[case.level],
            "location": {
                "path": printable(case.place.path) if case.place else "fetch.lock",
                "lines": {"begin": case.place.line if case.place else 1},
            },
        }
        for case, fingerprint in zip(findings, fingerprints(findings, root), strict=True)
    ]
    return json.dumps(entries, indent=1) + "\n"
