"""An empty set is not a success: nothing proven, nothing looked at, nothing resolved."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fetcher.project.resolve import Resolution
from tests.conftest import Cli, write_project
from tests.verify.conftest import plugin_path, plugins

__all__ = ["plugin_path", "plugins"]  # fixtures

ONE = "artifacts:\n  one:\n    source: local:files\n    files: [w.bin]\n"
TREE = "tree:\n  m/one/: one\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/w.bin").write_bytes(b"one")
    write_project(tmp_path, "p", ONE, TREE)
    return tmp_path


def _suites(path: Path) -> dict[str, str]:
    return dict(ET.parse(path).getroot().attrib)


def test_artifacts_without_probes(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    plain = cli("verify")
    assert plain.code == 0 and "nothing was proven: 1 without a probe" in plain.out
    required = cli("verify", "--require-all", "--junit", "r.xml")
    assert required.code == 8 and "one: skipped: it has no probe" in required.err
    assert _suites(project / "r.xml")["failures"] == "1"


def test_nothing_that_could_be_proven(project: Path, cli: Cli) -> None:
    write_project(project, "p", f"{ONE}    optional: true\n    probe: {{type: state-dict}}\n", TREE)
    plain = cli("verify", "--junit", "r.xml")
    assert plain.code == 0, "an optional artifact that was not fetched is no matter"
    assert "nothing was proven: no artifact has been fetched" in plain.out
    assert "fetch all" in plain.out and "RESULT" not in plain.out
    assert _suites(project / "r.xml")["tests"] == "1"
    required = cli("verify", "--require-all", "--junit", "r.xml", "--json")
    assert required.code == 8 and required.codes == {"probe"}
    assert _suites(project / "r.xml")["failures"] == "1"
    assert cli("verify", "one").code == 8, "what is named must be there"


def test_reports_of_a_check_say_what_its_exit_code_says(project: Path, cli: Cli) -> None:
    nothing = cli("check", "--junit", "r.xml", "--sarif", "r.sarif")
    assert nothing.code == 7
    assert _suites(project / "r.xml")["failures"] == "1"
    assert json.loads((project / "r.sarif").read_text())["runs"][0]["results"]
    write_project(project, "p", f"{ONE}    optional: true\n", TREE)
    empty = cli("check", "--junit", "r.xml")
    assert empty.code == 0 and "nothing was looked at" in empty.out
    assert ET.parse(project / "r.xml").getroot()[0].attrib["skipped"] == "1"


@pytest.mark.parametrize("command", ["all", "plan"])
def test_an_artifact_of_which_nothing_is_known_after_resolving(
    project: Path, cli: Cli, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("fetcher.operations.workspace.resolve", lambda *_: Resolution())
        found = cli(command)
    assert found.code == 3 and "one: it has no files after resolving" in found.err
    assert "hint: run `fetch lock --update one`" in found.err
    assert cli("lock", "--update", "one").code == 0 and cli("all").code == 0
    assert (project / "m/one/w.bin").exists()


def test_a_lock_that_could_not_be_made_is_not_up_to_date(project: Path, cli: Cli) -> None:
    (project / "files/w.bin").unlink()
    found = cli("lock")
    assert found.code == 3 and "up to date" not in found.out


def test_results_of_two_manifests(project: Path, cli: Cli, plugins: None) -> None:
    probe = "    probe: {type: misbehave, do: shows}\n"
    write_project(project, "p", ONE + probe, TREE)
    write_project(project, "q", ONE + probe, "tree:\n  n/one/: one\n")
    assert cli("all", "--verify").code == 0
    kept = json.loads((project / ".fetch/reports/verify.json").read_text())["results"]
    assert [item["manifest"] for item in kept] == ["p", "q"]
    shown = cli("verify")
    assert "p/one" in shown.out and "q/one" in shown.out
