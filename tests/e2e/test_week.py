"""What a newcomer sees in a week, and what a hint that is followed must not take away."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import files_below
from tests.servers.hub import HubServer

M = "artifacts:\n  {id}:\n    source: hf:o/m\n    exclude: .gitattributes\n"


def everything(project: Path) -> list[str]:
    return sorted(p.as_posix() for p in (project / "models").rglob("*") if p.is_file())


def test_what_is_not_resolved_yet_is_not_taken_for_unwanted(project: Path, cli: Cli) -> None:
    """A new name in manifest and layout, or a lock that was lost: nobody can say yet."""
    assert cli("all").code == 0
    before = everything(project)
    write_project(project, "p", M.format(id="n"), "tree:\n  models/m/: n\n")
    for command in (("status",), ("plan",), ("prune", "--yes")):
        result = cli(*command)
        assert result.code == 0 and "nothing wants" not in result.out
    assert everything(project) == before
    assert cli("all").code == 0 and cli("check", "--strict").code == 0
    (project / "fetch.lock").unlink()
    status = cli("status")
    assert "nothing wants" not in status.out and "next: `fetch all`" in status.out
    assert cli("prune", "--yes").code == 0 and everything(project) == before
    # Once it is known, what has no place any more is named.
    write_project(project, "p", M.format(id="n"), "tree:\n  weights/: n\n")
    assert cli("lock").code == 0
    assert "models/m/" in cli("status").out


def test_what_stood_in_the_way_is_said_and_where_it_is_now(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    config = project / "models/m/config.json"
    config.unlink()
    config.mkdir()
    (config / "mine").write_text("mine")
    vocab = project / "models/m/sub/vocab.txt"
    vocab.unlink()
    vocab.symlink_to("/nowhere")
    told = cli("check")
    assert "config.json was a file and is a folder now" in told.err
    assert "vocab.txt is a symbolic link now, to /nowhere" in told.err
    assert "next: `fetch check`" in cli("status").out
    result = cli("all", "--overwrite")
    line = next(line for line in result.out.splitlines() if "old files are in" in line)
    folder = line.split(": ")[0].rpartition(" ")[2]
    assert "models/m/config.json" in line and "models/m/sub/vocab.txt" in line
    assert (project / folder / "models/m/config.json/mine").read_text() == "mine"
    assert cli("check", "--strict").code == 0


@pytest.mark.parametrize("name", ["manifests/p.yaml", "layouts/p.yaml", "fetch.yaml"])
def test_conflict_markers_in_documents(project: Path, cli: Cli, name: str) -> None:
    path = project / name
    text = path.read_text() if path.exists() else "jobs: 1\n"
    path.write_text(f"{text}<<<<<<< HEAD\n  a: 1\n=======\n  a: 2\n>>>>>>> other\n")
    result = cli("status")
    line = text.count("\n") + 1
    assert result.code == 2 and f"{name}:{line}:1: a merge is unfinished" in result.err
    assert "keep what is wanted of both sides" in result.err
    path.write_text(text)
    assert cli("status").code == 0


def test_a_hint_that_holds_for_several_artifacts_is_said_once(tmp_path: Path, cli: Cli) -> None:
    two = "artifacts:\n  a: {source: hf:o/m}\n  b: {source: hf:o/m}\n"
    write_project(tmp_path, "p", two, "tree:\n  a/: a\n  b/: b\n")
    checked = cli("check")
    assert checked.code == 7 and checked.err.count("hint: ") == 1
    locked = cli("lock", "--check").err
    assert "error: p/a: it has no entry in fetch.lock" in locked and locked.count("hint: ") == 1


def test_a_project_without_artifacts_is_led_to_its_first(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "fetch.yaml").write_text("# settings\n")
    assert "hint: `fetch add hf:OWNER/NAME`" in cli("all").err
    assert "the built-in catalog; the project has no artifact" in cli("list").out


def test_a_question_without_an_answer_changes_nothing(project: Path, cli: Cli) -> None:
    """At a terminal that is closed: Ctrl-D, or an input that has ended."""
    assert cli("all").code == 0
    run = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    command = [sys.executable, "-m", "fetcher", "remove", "m"]
    done = subprocess.run(
        [sys.executable, "-c", run, *command],
        cwd=project,
        input=b"\x04",
        capture_output=True,
        check=False,
    )
    assert b"no answer: nothing was changed" in done.stdout and done.returncode == 130
    assert cli("check").code == 0


def test_files_kept_aside_name_what_is_nowhere_else(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    assert cli("all").code == 0
    (project / "models/m/config.json").unlink()
    (project / "models/m/config.json").write_text("mine")
    assert "models/m/config.json" in cli("all", "--overwrite").out
    removed = cli("prune", "--kept", "--yes").out
    assert "removed 1 file, 4 B; 4 B of disk freed" in removed


def test_files_behind_a_link_are_a_person_s(
    project: Path, cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A folder that was replaced by a link out of the tree: what is there was never placed."""
    assert cli("all").code == 0
    elsewhere = tmp_path_factory.mktemp("mine") / "m"
    shutil.copytree(project / "models/m", elsewhere)
    before = files_below(elsewhere)
    shutil.rmtree(project / "models/m")
    (project / "models/m").symlink_to(elsewhere)
    write_project(project, "p", M.format(id="m"), "tree:\n  weights/: m\n")
    result = cli("all", "--prune")
    assert result.code == 0, result.err
    assert cli("prune", "--yes").code == 0 and cli("check", "--strict").code == 0
    assert files_below(elsewhere) == before and (project / "models/m").is_symlink()


def test_slips_are_led_on(project: Path, cli: Cli) -> None:
    assert "`fetch all` does that" in cli("instal").err
    assert "`fetch gc` does that" in cli("cleen").err
    path = project / "manifests/p.yaml"
    path.write_text(path.read_text().replace("  m:\n", "  m\n"))
    assert "hint: a key ends in a colon, here or in the line above" in cli("status").err


def test_a_run_that_only_took_away_does_not_say_that_it_did_nothing(
    project: Path, cli: Cli
) -> None:
    assert cli("all").code == 0
    assert "nothing to do" in cli("all").out
    narrow = M.format(id="m").replace("exclude: .gitattributes", "files: [config.json]")
    write_project(project, "p", narrow, "tree:\n  models/m/: m\n")
    assert cli("lock").code == 0
    out = cli("all", "--prune").out
    assert "taken away: " in out and "nothing to do" not in out
    assert "nothing to do" in cli("all", "--prune").out
