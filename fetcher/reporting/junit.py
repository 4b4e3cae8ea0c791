"""A verdict as JUnit XML, with no element or attribute but those that all readers know."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from fetcher.fs.safe_paths import printable
from fetcher.reporting.verdict import Case, Verdict


def junit(verdict: Verdict) -> str:
    """The report: a suite for each artifact, in the order of their first case."""
    suites: dict[str, list[Case]] = {}
    for case in verdict.cases:
        suites.setdefault(case.suite, []).append(case)
    failed = sum(case.failed for case in verdict.cases)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name={quoteattr(verdict.command)} tests="{len(verdict.cases)}" '
        f'failures="{failed}" errors="0" time="{verdict.seconds:.3f}">',
    ]
    for suite, found in suites.items():
        lines += _suite(suite, found)
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(name: str, cases: Sequence[Case]) -> list[str]:
    failed = sum(case.failed for case in cases)
    skipped = sum(case.kind == "skipped" for case in cases)
    spent = sum(case.seconds or 0.0 for case in cases)
    place = next((case.place for case in cases if case.place), None)
    file = f" file={_attr(place.path)}" if place else ""
    return [
        f'  <testsuite name={_attr(name)} tests="{len(cases)}" failures="{failed}" errors="0" '
        f'skipped="{skipped}" time="{spent:.3f}"{file}>',
        *map(_case, cases),
        "  </testsuite>",
    ]


def _case(case: Case) -> str:
    time = "" if case.seconds is None else f' time="{case.seconds:.3f}"'
    start = f"    <testcase classname={_attr(case.suite)} name={_attr(case.name)}{time}"
    if case.kind == "skipped":
        return f"{start}><skipped message={_attr(case.message)}/></testcase>"
    if case.failed:
        return (
            f"{start}><failure type={_attr(case.kind)} message={_attr(case.message)}>"
            f"{_text(_details(case))}</failure></testcase>"
        )
    if case.advice:
        return f"{start}><system-out>{_text(case.message)}</system-out></testcase>"
    return start + "/>"


def _details(case: Case) -> str:
    """What a person reads below the message: what was seen, what to do, and where."""
    hint = f"hint: {case.hint}" if case.hint else ""
    lines = [case.details, "" if hint and hint in case.details else hint]
    if case.place:
        lines.append(f"{case.place.path}:{case.place.line}")
    return "\n".join(filter(None, lines))


def _text(text: str) -> str:
    return escape("".join(c if c in "\n\t" else printable(c) for c in text))


def _attr(text: str) -> str:
    return quoteattr(printable(text))
