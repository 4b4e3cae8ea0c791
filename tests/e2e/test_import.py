"""`fetch import`: from a document to the tree that it describes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.conftest import files_below
from tests.servers import ohlora
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.sharepoint import SharePointServer

PAGE = Path(__file__).parents[1] / "importers" / "pages" / "ohlora.md"


@pytest.fixture
def stand_ins(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    git = tmp_path_factory.mktemp("git")
    with HubServer() as hub, GitHubServer(git) as github, SharePointServer() as sharepoint:
        ohlora.build_ohlora(hub, github, sharepoint, scale="tiny")
        for name, value in ohlora.environment(hub, github, sharepoint).items():
            monkeypatch.setenv(name, value)
        yield hub


@pytest.mark.heavy
def test_a_page_gives_the_tree_that_its_hand_made_manifest_gives(
    tmp_path: Path, cli: Cli, stand_ins: HubServer
) -> None:
    shutil.copy(PAGE, tmp_path / "page.md")
    made = cli("import", "page.md", "--name", "again", "--yes", "--json")
    assert made.code == 0, made.err
    assert {row["address"] for row in made.json["results"]} <= {"ok", "unchecked"}
    result = cli("all", "again", "--include-optional", "--json")
    assert result.code == 0, result.err
    found = files_below(tmp_path)
    for name in ("fetch.lock", "page.md", "manifests/again.yaml", "layouts/again.yaml"):
        found.pop(name)
    expected = ohlora.expected_tree()
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    names = {row["reason"] for row in made.json["summary"]["left"]}
    assert any("mtcnn_onet.pt" in text and "onet.pt is taken" in text for text in names)
