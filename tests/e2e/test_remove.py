"""`fetch remove`: out of manifest, layout, lock and tree; and words that other tools use."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.commands import COMMANDS
from fetcher.commands.other_words import ELSEWHERE, IN_GROUPS
from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS
from tests.servers.hub import HubServer

TWO = """# of the project
artifacts:
  # the first
  m:
    source: hf:o/m
    exclude: .gitattributes

  # the second
  n:
    source: hf:o/m   # the same
    files: [config.json, sub/vocab.txt]
"""
TREE = """tree:
  models/m/: m
  other:
    n/: n
    both/config.json: n/config.json
edits:
  other/both/config.json: {a: 2}
"""


def test_an_artifact_goes_from_everywhere(project: Path, cli: Cli, hub: HubServer) -> None:
    write_project(project, "p", TWO, TREE)
    assert cli("all").code == 0
    shown = cli("remove", "n", "--dry-run")
    assert shown.code == 0 and "-  n:" in shown.out and "-    n/: n" in shown.out
    assert (project / "other/n/sub/vocab.txt").exists()
    result = cli("remove", "n")
    assert result.code == 0, result.err
    text = (project / "manifests/p.yaml").read_text()
    assert "# the first" in text and "# the second" not in text and "n:" not in text.split("m:")[1]
    assert (project / "layouts/p.yaml").read_text() == "layout: p\ntree:\n  models/m/: m\n"
    assert not (project / "other").exists()
    assert '"n"' not in (project / "fetch.lock").read_text()
    assert cli("check", "--strict").code == 0
    assert (project / "models/m/model.safetensors").read_bytes() == WEIGHTS


def test_the_last_one_and_adding_it_again(project: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("all").code == 0
    before = len(hub.cdn.requests)
    assert cli("remove", "p/m", "--json").code == 0
    assert not (project / "models").exists()
    assert cli("add", "hf:o/m", "--id", "m", "--yes", "--skip-import").code == 0
    assert cli("all").code == 0
    assert len(hub.cdn.requests) == before, "the store has it"


def test_what_was_changed_is_kept_and_what_is_asked_for_stays(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    write_project(project, "p", TWO, TREE)
    assert cli("all").code == 0
    mine = project / "other/n/sub/vocab.txt"
    mine.unlink()
    mine.write_text("mine")
    assert cli("remove", "n").code == 0
    (kept,) = project.glob(".fetch/kept/*/other/n/sub/vocab.txt")
    assert kept.read_text() == "mine"
    assert cli("remove", "m", "--keep-files").code == 0
    assert (project / "models/m/model.safetensors").exists()
    assert cli("prune").code == 0
    assert not (project / "models").exists()


@pytest.mark.parametrize(
    ("name", "said"), [("nowhere", "there are: m, n"), ("quickstart", "there are"), ("q/m", "m, n")]
)
def test_what_is_not_there(project: Path, cli: Cli, hub: HubServer, name: str, said: str) -> None:
    write_project(project, "p", TWO, TREE)
    result = cli("remove", name)
    assert result.code == 2 and said in result.err


def test_flow_style_and_lists(project: Path, cli: Cli, hub: HubServer) -> None:
    write_project(
        project,
        "p",
        "artifacts: {m: {source: hf:o/m, files: [config.json]},"
        " n: {source: hf:o/m, files: [sub/vocab.txt]}}\n",
        "tree: {all/: [m, n]}\nhub_cache: [m, n]\n",
    )
    assert cli("all").code == 0
    assert cli("remove", "n").code == 0
    assert not (project / "all/sub").exists() and (project / "all/config.json").exists()
    assert cli("all").code == 0
    assert cli("check", "--strict").code == 0


def test_words_of_other_tools_lead_to_commands(cli: Cli) -> None:
    said: set[tuple[str, ...]] = {(name,) for name in COMMANDS}
    groups = [((), ELSEWHERE), *(((group,), lines) for group, lines in IN_GROUPS.items())]
    for group, lines in groups:
        for line, words in lines.items():
            for word in words.split():
                assert (*group, word) not in said, word
                said.add((*group, word))
                result = cli(*group, word)
                assert result.code == 2 and f"`{line}`" in result.err, word
    asked = [
        "prune",
        "clean",
        "download",
        "install",
        "sync",
        "pull",
        "update",
        "rm",
        "help",
        "version",
    ]
    assert all((word,) in said for word in asked)
    assert "`fetch add --help` does that" in cli("help", "add").err
    assert "did you mean 'all'?" in cli("al").err
    assert "did you mean 'export'?" in cli("mirror", "exprot").err
    assert "`fetch store --help` lists" in cli("store", "xyzzy").err
