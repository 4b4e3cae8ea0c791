"""A verdict as SARIF 2.1.0, with what code scanning asks for: each result has a place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from fetcher import __version__
from fetcher.fs.safe_paths import printable
from fetcher.reporting.verdict import ERROR, RULES, Case, Place, Verdict, fingerprints

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(verdict: Verdict, root: str = "") -> str:
    """The log: one run, with a result for each finding; `root` is the project's folder."""
    findings = verdict.findings
    rules = list(dict.fromkeys(case.rule for case in findings))
    names = fingerprints(findings, root)
    run = {
        "tool": {
            "driver": {"name": "fetch", "version": __version__, "rules": list(map(_rule, rules))}
        },
        # Two logs of one tool that are uploaded for one commit need names of their own.
        "automationDetails": {"id": f"{verdict.command}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": verdict.ran, "exitCode": verdict.exit_code}],
        "results": [_result(case, rules, name) for case, name in zip(findings, names, strict=True)],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(rule: str) -> Mapping[str, object]:
    text = {"text": RULES.get(rule, rule)}
    return {
        "id": rule,
        "name": "".join(word.capitalize() for word in rule.split("-")),
        "shortDescription": text,
        "fullDescription": text,
        "help": {"text": "docs/commands.md tells each exit code; the result has a hint."},
        "defaultConfiguration": {"level": ERROR},
    }


def _result(case: Case, rules: Sequence[str], fingerprint: str) -> Mapping[str, object]:
    text = f"{case.sentence}\n{case.hint}" if case.hint else case.sentence
    found: dict[str, object] = {
        "ruleId": case.rule,
        "ruleIndex": rules.index(case.rule),
        "level": case.level,
        "message": {"text": "\n".join(map(printable, text.split("\n")))},
        "partialFingerprints": {"fetchFinding/v1": fingerprint},
    }
    if case.place:
        found["locations"] = [{"physicalLocation": _place(case.place)}]
        if case.file and case.file != case.place.path:
            related = {"text": f"the file: {printable(case.file)}"}
            place = {"artifactLocation": _artifact(case.file)}
            found["relatedLocations"] = [{"id": 1, "physicalLocation": place, "message": related}]
    return found


def _place(place: Place) -> Mapping[str, object]:
    region = {"startLine": place.line, "startColumn": place.column}
    return {"artifactLocation": _artifact(place.path), "region": region}


def _artifact(path: str) -> Mapping[str, str]:
    try:
        uri = quote(path, errors="surrogateescape")
    except UnicodeEncodeError:  # half a character: no file has such a name
        uri = quote(printable(path))
    return {"uri": uri, "uriBaseId": "%SRCROOT%"}
