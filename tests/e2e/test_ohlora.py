"""The catalog's largest manifest, against stand-ins that hold every repository of its document."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.conftest import files_below
from tests.e2e.test_conflicts import flip, kept
from tests.servers import ohlora
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.sharepoint import SharePointServer

ADAPTER = "2025_04_08_OhLoRA/llm/models/polyglot_fine_tuned/adapter_config.json"
LOAD_BY_ID = """
from transformers import AutoTokenizer
tokens = AutoTokenizer.from_pretrained("klue/roberta-base")("hello")
assert tokens["input_ids"]
"""


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
        assert hub.errors == [] and github.errors == [] and sharepoint.errors == []


@pytest.mark.heavy
def test_the_document_s_tree(
    tmp_path: Path, cli: Cli, stand_ins: HubServer, hermetic: Path
) -> None:
    result = cli("all", "ohlora", "--include-optional", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["artifacts"] == 16
    found = files_below(tmp_path)
    found.pop("fetch.lock")
    expected = ohlora.expected_tree()
    assert len(expected) == 14_765
    assert found.keys() == expected.keys()
    differing = {name for name in expected if found[name] != expected[name]}
    assert differing == {ADAPTER}
    config = json.loads(found[ADAPTER])
    base = tmp_path / "2025_04_08_OhLoRA/llm/models/polyglot_original"
    assert config["base_model_name_or_path"] == str(base) and (base / "config.json").exists()
    # A listing tells sizes and digests; one HEAD a repository tells if it may be had.
    assert len(stand_ins.matching(r"^HEAD .*\.jpg")) <= 2
    _loads_by_id(hermetic)
    _one_flipped_byte(tmp_path, cli)


def _loads_by_id(hermetic: Path) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(hermetic),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(hermetic / "huggingface"),
    }
    subprocess.run([sys.executable, "-c", LOAD_BY_ID], env=environment, check=True, timeout=120)


def _one_flipped_byte(tree: Path, cli: Cli) -> None:
    assert cli("check", "ohlora", "--deep", "--json").code == 0
    name = "2025_04_08_OhLoRA/stylegan_and_segmentation/stylegan/synthesize_results/000004.jpg"
    before = (tree / name).read_bytes()
    flip(tree / name, 30)
    broken = (tree / name).read_bytes()
    result = cli("check", "ohlora", "--deep", "--json")
    assert result.code == 4
    assert [finding["target"] for finding in result.json["results"]] == [name]
    again = cli("all", "ohlora", "--include-optional", "--json")
    assert again.code == 4 and again.codes == {"conflict"} and len(again.json["errors"]) == 1
    assert cli("all", "ohlora", "--include-optional", "--overwrite").code == 0
    assert (tree / name).read_bytes() == before
    assert [path.read_bytes() for path in kept(tree)] == [broken]
    assert cli("check", "ohlora", "--deep").code == 0


def test_what_the_finished_product_needs(tmp_path: Path, cli: Cli, stand_ins: HubServer) -> None:
    result = cli("all", "ohlora", "--group", "runtime", "--json")
    assert result.code == 0, result.err
    assert {artifact["id"] for artifact in result.json["artifacts"]} == {
        "polyglot-ko-1.3b",
        "stylegan-finetuned-v3",
        "ohlora-llm",
        "ohlora-sbert",
    }
    assert result.json["summary"]["files"] == 12 + 1 + 8 + 12


def test_tracked_code_is_left_alone(tmp_path: Path, cli: Cli, stand_ins: HubServer) -> None:
    code = tmp_path / "2025_04_08_OhLoRA/stylegan_and_segmentation/cnn/models/model.py"
    code.parent.mkdir(parents=True)
    code.write_text("print('tracked')\n")
    assert cli("all", "ohlora", "--only", "*-cnn").code == 0
    assert code.read_text() == "print('tracked')\n"
    assert cli("check", "ohlora", "--only", "*-cnn").code == 0
