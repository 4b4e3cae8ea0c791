from __future__ import annotations

import xml.etree.ElementTree as ET

from fetcher.commands.ci_formats import Case, cases_of, junit
from fetcher.operations.check import Finding


def test_junit_counts_and_escapes() -> None:
    cases = [
        Case("b", "causal-lm", "ok", seconds=1.5),
        Case("b", "second", "probe", 'says "no" & <dies>\x1b[31m', "line 1\n\x00line 2 ]]>", 2.0),
        Case("a", "third", "skipped", "needs a GPU"),
    ]
    root = ET.fromstring(junit("fetch verify", cases, 9.0))
    assert root.tag == "testsuites"
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["skipped"]) == (
        "3",
        "1",
        "1",
    )
    suites = root.findall("testsuite")
    assert [suite.attrib["name"] for suite in suites] == ["b", "a"]
    assert suites[0].attrib["time"] == "3.500"
    failure = suites[0].find("testcase/failure")
    assert failure is not None and failure.attrib["message"].startswith('says "no" & <dies>')
    assert failure.text == "line 1\n\\x00line 2 ]]>"
    skipped = suites[1].find("testcase/skipped")
    assert skipped is not None and skipped.attrib["message"] == "needs a GPU"


def test_check_writes_the_same_shape() -> None:
    found = [Finding("m", "a", "x/a", "ok"), Finding("", "b", "x/b", "extra", "x/b is not ours")]
    root = ET.fromstring(junit("fetch check", cases_of(found), 1.0))
    assert [s.attrib["name"] for s in root] == ["m", "(not ours)"]
    assert root.attrib["failures"] == "1"
    assert [case.attrib["classname"] for case in root.iter("testcase")] == ["m", "(not ours)"]
