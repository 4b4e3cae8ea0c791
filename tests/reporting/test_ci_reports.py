"""A verdict in every format, each held to what its readers take."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from fetcher.errors import EXIT_CODES, DocumentProblem, InvalidDocument, Problem
from fetcher.i18n import t
from fetcher.reporting.code_quality import code_quality
from fetcher.reporting.junit import junit
from fetcher.reporting.places import Places
from fetcher.reporting.sarif import sarif
from fetcher.reporting.summary_markdown import summary_markdown
from fetcher.reporting.verdict import (
    NOT_OURS,
    RULES,
    Case,
    Place,
    Verdict,
    fingerprints,
    of_artifacts,
    with_end,
    with_problems,
)
from fetcher.reporting.workflow_commands import workflow_commands
from tests.reporting.ci_schemas import check_code_quality, check_junit, check_sarif

HOSTILE = 'm\n::set-env name=PATH::x\r##[add-path]y %0A "<&]]>`|\x1b[31m\x00\ud800\u202e'


def verdict(*cases: Case, exit_code: int = 4) -> Verdict:
    return Verdict("fetch check", exit_code, cases, 9.0, ["2 of 3 files as locked"])


def test_junit_counts_and_escapes() -> None:
    cases = [
        Case("b", "causal-lm", "ok", seconds=1.5, place=Place("manifests/p.yaml", 3)),
        Case("b", "second", "probe", 'says "no" & <dies>\x1b[31m', "line 1\n\x00line 2 ]]>", 2.0),
        Case("b", "third", advice="warning", message="slow <it>"),
        Case("a", "fourth", "skipped", "needs a GPU"),
    ]
    text = junit(verdict(*cases))
    check_junit(text)
    root = ET.fromstring(text)
    assert (root.tag, root.attrib["tests"], root.attrib["failures"]) == ("testsuites", "4", "1")
    suites = root.findall("testsuite")
    assert [suite.attrib["name"] for suite in suites] == ["b", "a"]
    assert [suite.attrib["skipped"] for suite in suites] == ["0", "1"]
    assert suites[0].attrib["time"] == "3.500" and suites[0].attrib["file"] == "manifests/p.yaml"
    failure = suites[0].find("testcase/failure")
    assert failure is not None and failure.attrib["message"].startswith('says "no" & <dies>')
    assert failure.text == "line 1\n\\x00line 2 ]]>"
    assert suites[0].findtext("testcase/system-out") == "slow <it>"
    skipped = suites[1].find("testcase/skipped")
    assert skipped is not None and skipped.attrib["message"] == "needs a GPU"


def test_what_the_exit_code_counts_is_a_failure() -> None:
    found = [
        Case("a", "no probe", "skipped", "it has no probe"),
        Case("q/b", "causal-lm", "probe", "it fails"),
    ]
    problems = [
        Problem("probe", "skipped: it has no probe", "", "a"),
        Problem("probe", "it fails", "", "b"),
        Problem("lock", "no current entry in fetch.lock", "run it", "c"),
        Problem("signature", "not signed"),
    ]
    cases = with_problems(found, problems)
    assert [(case.suite, case.kind, case.artifact) for case in cases] == [
        ("a", "probe", "a"),
        ("q/b", "probe", "b"),
        ("c", "lock", "c"),
        ("(project)", "signature", ""),
    ]


def test_every_kind_of_failure_has_a_sentence() -> None:
    """SARIF's rules are told by it; what has none would end the report with an error."""
    assert {*EXIT_CODES, "missing", "modified", "extra", "blocked"} <= set(RULES)


def test_a_run_that_did_not_end_well_is_never_green() -> None:
    """Interrupted in the middle, `fetch all` has artifacts that are complete, and no problem."""
    for cases in ([], [Case("a", "files")]):
        stopped = with_end(cases, [], 130)
        assert [case.kind for case in stopped if case.failed] == ["internal"]
        assert "interrupted" in stopped[-1].message and len(stopped) == len(cases) + 1
    failed = [Case("a", "files", "missing", "gone")]
    assert with_end(failed, [], 4) == failed and with_end([Case("a", "x")], [], 0)


def test_an_empty_set_is_no_success_in_any_format() -> None:
    empty = verdict(*with_problems([], []), exit_code=0)
    located = replace(empty, cases=Places(Path("/nonexistent"), []).located(empty.cases))
    root = ET.fromstring(junit(located))
    assert (root.attrib["tests"], root[0].attrib["skipped"]) == ("1", "1")
    assert "nothing was looked at" in summary_markdown(located).splitlines()[0]
    assert workflow_commands(located).startswith("::warning file=fetch.lock,line=1")
    assert [one["severity"] for one in json.loads(code_quality(located))] == ["minor"]
    assert [one["level"] for one in json.loads(sarif(located))["runs"][0]["results"]] == ["warning"]


def test_a_hostile_text_is_data_in_every_format() -> None:
    """No line of another kind, no control character, no markup comes of any field."""
    hostile = Case(HOSTILE, HOSTILE, "missing", HOSTILE, HOSTILE, 1.0, hint=HOSTILE, file=HOSTILE)
    hostile = replace(hostile, place=Place(HOSTILE, 3, 5))
    found = verdict(hostile, replace(hostile, kind="ok", advice="moved"))
    check_junit(junit(found))
    check_sarif(sarif(found))
    check_code_quality(code_quality(found))
    lines = workflow_commands(found).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::notice"]
    for text in (junit(found), workflow_commands(found), summary_markdown(found)):
        assert not any(c in text for c in "\x1b\x00\r\u202e\ud800"), text
        text.encode()
    head = lines[0].removeprefix("::error ").partition("::")[0]
    assert [pair.partition("=")[0] for pair in head.split(",")] == ["file", "line", "col", "title"]
    markdown = summary_markdown(found)
    assert not any(line.startswith(("::", "##[")) for line in markdown.splitlines())
    assert sum(line.startswith("| ❌ missing |") for line in markdown.splitlines()) == 1


def test_places_are_relative_to_the_repository(tmp_path: Path) -> None:
    from fetcher.project.project import Project
    from tests.conftest import write_project

    root = tmp_path / "repo/models"
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/.git/HEAD").write_text("ref: refs/heads/main\n")
    text = "artifacts:\n  a: {source: hf:o/m}\n  b:\n    source: hf:o/n\n"
    write_project(root, "p", text, "tree: {a/: a, b/: b}\n")
    places = Places(root, Project(root).load())
    document = InvalidDocument([DocumentProblem("layouts/p.yaml", 2, 7, t("no key"))])
    cases = with_problems(
        [
            Case("b", "b/w.bin", "missing", "gone", file=str(root / "b/w.bin")),
            Case(NOT_OURS, "b/x", "extra", "not ours", file=str(root / "b/x")),
            Case("b", "/elsewhere/w.bin", "missing", "gone as well", file="/elsewhere/w.bin"),
        ],
        [
            *document.problems(),
            Problem("lock", "no entry", "", "a"),
            Problem("lock", "fetch.lock cannot be read"),
            Problem("usage", "jobs: no number"),
        ],
    )
    located = places.located(cases)
    assert [(case.place.path, case.place.line) for case in located if case.place] == [
        ("models/manifests/p.yaml", 4),
        ("models/b/x", 1),
        ("models/manifests/p.yaml", 4),
        ("models/layouts/p.yaml", 2),
        ("models/manifests/p.yaml", 3),
        ("models/fetch.lock", 1),
        ("models/fetch.lock", 1),
    ]
    assert [case.file for case in located[:3]] == ["models/b/w.bin", "models/b/x", ""]
    assert located[3].text == "no key" and located[3].place == Place("models/layouts/p.yaml", 2, 7)
    log = json.loads(sarif(verdict(*located)))
    check_sarif(json.dumps(log))
    results = log["runs"][0]["results"]
    assert len(results) == len(located), "each finding is one result"
    assert results[0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 4
    related = results[0]["relatedLocations"][0]["physicalLocation"]["artifactLocation"]
    assert related["uri"] == "models/b/w.bin"
    assert [one["level"] for one in results[:2]] == ["error", "warning"]


def test_fingerprints_outlast_lines_sizes_and_paths() -> None:
    def finding(line: int, root: str, size: int) -> list[Case]:
        told = t("{file}: {size} bytes are free", file="w.bin", size=size)
        wrong = t("no key {key!r} in {file}", key="x", file=f"{root}/layouts/p.yaml")
        (problem,) = InvalidDocument([DocumentProblem("p.yaml", line, 3, wrong)]).problems()
        found = with_problems([Case("m", "w", "missing", told)], [problem])
        return [replace(case, place=Place("p.yaml", line)) for case in found]

    first = fingerprints(finding(3, "/a/b", 5), "/a/b")
    assert first == fingerprints(finding(40, "/c", 77), "/c")
    other = finding(3, "/a/b", 5)
    assert len({*first, *fingerprints([replace(other[0], kind="modified")])}) == 3
    twice = fingerprints([other[0], other[0]])
    assert len(set(twice)) == 2, "GitLab shows one of those that are alike"
    plain = [Case("m", "w", "missing", f"took {n} s") for n in (1, 22)]
    assert fingerprints(plain[:1]) == fingerprints(plain[1:])


def test_many_findings_are_counted_and_not_all_shown() -> None:
    cases = [Case("m", f"w{n}", "missing", f"w{n} is missing") for n in range(2000)]
    found = verdict(*cases)
    lines = workflow_commands(found).splitlines()
    assert len(lines) == 10 and "and 1991 more" in lines[-1]
    markdown = summary_markdown(found)
    assert "… and 1,900 more" in markdown and len(markdown) < 1 << 20


def test_artifacts_that_no_problem_is_about_passed() -> None:
    pairs = [("p", "a"), ("p", "b"), ("q", "b"), ("q", "c")]
    cases = of_artifacts(pairs, "files", [Problem("lock", "no entry", "", "c")])
    assert [case.suite for case in cases] == ["a", "p/b", "q/b"]
