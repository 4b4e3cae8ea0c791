"""Every command that judges writes every report, whatever comes of it."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fetcher.commands import COMMANDS
from fetcher.commands import cli as all_commands
from tests.conftest import Cli, Result, write_project
from tests.reporting.ci_schemas import check_code_quality, check_junit, check_sarif
from tests.servers.hub import HubServer

FLAGS = {
    "--junit": "out/r.xml",
    "--sarif": "out/r.sarif",
    "--code-quality": "out/r.json",
    "--summary": "out/r.md",
    "--annotations": "out/r.txt",
}
ARGUMENTS = [word for pair in FLAGS.items() for word in pair]
JUDGES = ["all", "check", "verify", "lock", "outdated", "plan", "access", "doctor"]


class Written:
    """The reports of one run; reading them holds each to what its readers take."""

    def __init__(self, root: Path) -> None:
        folder = root / "out"
        junit, sarif, quality = (folder / f"r.{end}" for end in ("xml", "sarif", "json"))
        check_junit(junit.read_text("utf-8"))
        check_sarif(sarif.read_text("utf-8"))
        check_code_quality(quality.read_text("utf-8"))
        self.junit = ET.parse(junit).getroot()
        self.run = json.loads(sarif.read_text("utf-8"))["runs"][0]
        self.quality = json.loads(quality.read_text("utf-8"))
        self.markdown = (folder / "r.md").read_text("utf-8")
        self.annotations = (folder / "r.txt").read_text("utf-8").splitlines()
        assert len(self.run["results"]) == len(self.quality)
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            Path(name).name for name in FLAGS.values()
        ), "no temporary file is left"

    @property
    def places(self) -> set[tuple[str, int]]:
        """File and line of every finding; the same in each format that has them."""
        found = {
            (one["location"]["path"], one["location"]["lines"]["begin"]) for one in self.quality
        }
        assert found == {
            (
                one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
                one["locations"][0]["physicalLocation"]["region"]["startLine"],
            )
            for one in self.run["results"]
        }
        return found

    @property
    def failures(self) -> int:
        """How many cases failed, by JUnit."""
        return int(self.junit.attrib["failures"])


def judged(root: Path, cli: Cli, *command: str) -> tuple[Result, Written]:
    result = cli(*command, *ARGUMENTS)
    assert result.code != 1, result.err
    written = Written(root)
    assert bool(result.code) == bool(written.failures), (command, result.err)
    assert written.run["invocations"][0]["exitCode"] == result.code
    assert ("failed" in written.markdown.splitlines()[0]) == bool(result.code)
    assert any(line.startswith("::error ") for line in written.annotations) == bool(result.code)
    return result, written


def test_the_commands_that_judge_have_the_same_options() -> None:
    for name in COMMANDS:
        command = all_commands.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        flags = {flag for param in command.params for flag in param.opts}
        assert set(FLAGS) <= flags if name in JUDGES else not set(FLAGS) & flags, name


def test_what_is_right_passes_in_every_report(project: Path, cli: Cli) -> None:
    for command in (["all"], ["all"], ["check"], ["check", "--deep"], ["lock", "--check"]):
        result, written = judged(project, cli, *command)
        assert result.code == 0 and not written.quality and written.annotations == []
        assert "passed" in written.markdown and written.junit.attrib["failures"] == "0"
        suites = {suite.attrib["name"]: suite.attrib.get("file") for suite in written.junit}
        assert suites == {"m": "manifests/p.yaml"}, command
    for name in ("plan", "outdated", "access", "doctor"):
        assert judged(project, cli, name)[0].code == 0
    found = judged(project, cli, "verify")[1]
    assert found.junit.attrib["tests"] == "1", "an artifact without a probe is skipped"


def test_what_is_wrong_stands_at_its_line_of_the_manifest(project: Path, cli: Cli) -> None:
    (project / ".git").mkdir()
    (project / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert cli("all").code == 0
    weights = project / "models/m/model.safetensors"
    weights.unlink()
    weights.write_bytes(b"trained")
    (project / "models/m/sub/vocab.txt").unlink()
    first, written = judged(project, cli, "check")
    assert first.code == 4 and written.places == {("manifests/p.yaml", 3)}
    assert len(written.quality) == written.failures == 2
    before = {one["fingerprint"] for one in written.quality}
    manifest = project / "manifests/p.yaml"
    manifest.write_text("# a line\n\n" + manifest.read_text())
    again, written = judged(project, cli, "check", "--deep")
    assert again.code == 4 and written.places == {("manifests/p.yaml", 5)}
    assert {one["fingerprint"] for one in written.quality} == before
    text = manifest.read_text().replace("hf:o/m", "hf:o/m@other")
    manifest.write_text(text)
    for command in (["lock", "--check"], ["all", "--locked"], ["check"]):
        result, written = judged(project, cli, *command)
        assert result.code == 7, command
        assert ("manifests/p.yaml", 5) in written.places, command
    result, written = judged(project, cli, "lock")
    assert result.code == 3 and ("manifests/p.yaml", 5) in written.places


@pytest.mark.parametrize("name", [name for name in JUDGES if name != "doctor"])
def test_a_mistake_in_the_files_is_in_every_report(project: Path, cli: Cli, name: str) -> None:
    """The command ends before it begins; its reports say so, at the line, from any folder."""
    write_project(project, "p", "artifacts:\n  m:\n    source: hf:o/m\n    sorce: x\n", "tree: 3\n")
    result, written = judged(project, cli, name)
    assert result.code == 2 and not written.run["invocations"][0]["executionSuccessful"]
    assert {("manifests/p.yaml", 5), ("layouts/p.yaml", 2)} <= written.places
    assert any(
        line.startswith("::error file=manifests/p.yaml,line=5,") for line in written.annotations
    )
    (project / "deeper").mkdir()
    before = {one["fingerprint"] for one in written.quality}
    cli(
        name, *(f"../{word}" if "/" in word else word for word in ARGUMENTS), cwd=project / "deeper"
    )
    assert {one["fingerprint"] for one in Written(project).quality} == before


def test_a_report_that_is_old_does_not_stay(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped or broken in the middle: what the last run wrote says nothing of this one."""
    assert judged(project, cli, "all")[0].code == 0
    for error, code in ((KeyboardInterrupt(), 130), (RuntimeError("token hf_secret"), 1)):
        with monkeypatch.context() as patch:
            patch.setattr("fetcher.operations.check.examine", lambda *_, e=error, **__: _throw(e))
            assert cli("check", *ARGUMENTS).code == code
        written = Written(project)
        assert written.failures == 1 and written.run["invocations"][0]["exitCode"] == code
        assert "hf_secret" not in "".join(p.read_text() for p in (project / "out").iterdir())


def _throw(error: BaseException) -> None:
    raise error


def test_a_summary_is_added_to_that_of_the_job(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = tmp_path / "step_summary"
    job.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    assert cli("all").code == 0 and job.read_text() == "# before\n", "only where it is named"
    for command in ("check", "verify"):
        assert cli(command, "--summary", job).code == 0
    headings = [line for line in job.read_text().splitlines() if line.startswith("#")]
    assert headings == ["# before", "### ✅ fetch check: passed", "### ✅ fetch verify: passed"]
    assert cli("check", "--summary", "own.md").code == 0
    assert cli("check", "--summary", "own.md").code == 0
    assert (project / "own.md").read_text().count("###") == 1, "another file is replaced"


def test_reports_that_cannot_be(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    same = cli("check", "--junit", "r", "--sarif", "./r")
    assert same.code == 2 and "--junit and --sarif name one file" in same.err
    (project / "file").write_text("")
    for name in ("check", "lock", "access", "doctor"):
        result = cli(name, "--sarif", "file/r.sarif")
        assert result.code != 0 and f"{project}/file is a file" in result.err, name
    assert cli("lock", "--resolve", "ours", "--junit", "r.xml").code == 2


def test_a_report_to_the_output_itself(project: Path, cli: Cli, tmp_path: Path) -> None:
    """As CI jobs write it; where a log takes the output, it stays whole."""
    shown = cli("lock", "--check", "--annotations", "/dev/stdout")
    assert shown.code == 7 and "::error file=manifests/p.yaml,line=3," in shown.out
    log = tmp_path / "log"
    with log.open("w") as stream:
        stream.write("before\n")
        stream.flush()
        words = [sys.executable, "-m", "fetcher", "lock", "--check", "--annotations", "/dev/stdout"]
        subprocess.run(words, cwd=project, stdout=stream, stderr=stream, check=False)
    lines = log.read_text().splitlines()
    assert lines[0] == "before" and lines[1].startswith("::error ")
    assert lines[2].startswith("error: ")


def test_what_moved_upstream_is_a_note_or_a_failure(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    assert cli("all").code == 0
    hub.add_commit("o/m", {"config.json": b"{}\n"})
    result, written = judged(project, cli, "outdated")
    assert result.code == 0 and [one["severity"] for one in written.quality] == ["info"]
    assert written.annotations[0].startswith("::notice file=manifests/p.yaml,line=3,")
    result, written = judged(project, cli, "outdated", "--exit-code")
    assert result.code == 4 and written.places == {("manifests/p.yaml", 3)}


def test_what_to_do_is_in_every_report(project: Path, cli: Cli) -> None:
    """Also where it is the usual advice for such a finding, and of a machine: what it is about."""
    assert cli("all").code == 0
    (project / "models/m/config.json").unlink()
    result, written = judged(project, cli, "check")
    assert "hint: run `fetch all`" in result.err and "run `fetch all`" in written.markdown
    assert "run `fetch all`" in (project / "out/r.xml").read_text()
    judged(project, cli, "doctor")
    notes = (project / "out/r.txt").read_text().splitlines()
    assert any("::Hugging Face token: none" in line for line in notes), notes


def test_names_that_steer_a_terminal(project: Path, cli: Cli) -> None:
    """A clone brings files whose names forge lines, colours and an order of letters."""
    assert cli("all").code == 0
    names = ["a\nerror: forged", "b\x1b[31mred\rover", "c\u202egpj.exe", "d\x9b2J"]
    for name in names:
        (project / "models/m" / name).write_text("x")
    (project / "models/m/config.json").unlink()
    result, written = judged(project, cli, "check", "--strict")
    assert result.code == 4 and written.failures == len(names) + 1
    assert not set("\x1b\r\x9b\u202e") & set(result.err), result.err
    assert "\nerror: forged" not in result.err and "a\\x0aerror: forged is no file" in result.err
    found = cli("check", "--strict", "--json").json["errors"]
    extra = {row["file"] for row in found if row["code"] == "extra"}
    assert extra == {f"models/m/{name}" for name in names}
