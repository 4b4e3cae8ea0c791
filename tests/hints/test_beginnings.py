"""What is said where a project begins: it is typed, and the project goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA
from tests.kit import sha256
from tests.servers.git_http import GitServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

SMALL = "manifest: quickstart\nartifacts: {m: {source: 'hf:o/m'}}\n"


@about("next: fetch lock, fetch adopt . (takes", "next: fetch lock, fetch all, fetch check")
def test_a_readme_becomes_a_project(desk: Desk, hub: HubServer) -> None:
    (desk.root / "README.md").write_text("```sh\nhf download o/m --local-dir models/m\n```\n")
    desk.fetch("init", "--from", ".")
    shutil.rmtree(desk.root / "models", ignore_errors=True)
    for number in range(3):
        desk.follow("next: fetch lock, fetch all, fetch check", number)
    folder = desk.root / "two/models/m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    shutil.copy(desk.root / "README.md", desk.root / "two")
    shutil.rmtree(desk.root / "manifests")
    desk.fetch("init", "--from", ".", cwd=desk.root / "two")
    part = "next: fetch lock, fetch adopt . (takes"
    desk.follow(part, 0)
    assert "adopted" in desk.follow(part, 1, more=["."]).out
    desk.follow(part, 2)
    desk.follow(part, 3)


@about(
    "not .fetch/ and the files that are fetched",
    "{path} is there already and is left as it is",
    "next: fetch plan",
    "or begin with two small models, to try `fetch all`",
    "\nthe built-in catalog; the project has no artifact of its own: `fetch add`",
)
def test_the_first_project(desk: Desk, hub: HubServer, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=desk.root, check=True)
    workflow = desk.root / ".github/workflows/fetch.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("mine\n")
    desk.fetch()
    desk.fetch("list")
    desk.follow(
        "\nthe built-in catalog; the project", more=["hf:o/m", "--manifest", "p", "--id", "m"]
    )
    desk.fetch("init", "--ci", "github")
    desk.follow("or begin with two small models, to try `fetch all`")
    desk.follow("not .fetch/ and the files that are fetched")
    assert "/models/m/" in (desk.root / ".gitignore").read_text()
    part = "{path} is there already and is left as it is"
    desk.follow(part, 0)
    desk.follow(part, 1)
    shutil.rmtree(desk.root / "manifests")
    shutil.rmtree(desk.root / "layouts")
    desk.fetch("init", "--from", "vision-language")
    desk.follow("next: fetch plan")


@about(
    "import it by itself: fetch import {name}",
    "next: {asked}fetch runtime --fetch",
    "{command}; or add --fetch here",
)
def test_other_documents(desk: Desk, hub: HubServer) -> None:
    config = desk.root / "model_config.yaml"
    config.write_text(
        "models:\n  m: {repo: o/m, type: sdxl}\nprimary_model: m\nfallback_models: []\n"
    )
    desk.fails("init", "--from", "model_config.yaml")
    desk.follow("import it by itself: fetch import {name}")
    desk.fails("runtime", "--into", "other tree")
    desk.follow("{command}; or add --fetch here")
    desk.follow("next: {asked}fetch runtime --fetch")
    desk.fetch("runtime", "--into", "other tree")
    desk.fetch("runtime")


@pytest.fixture
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("served")) as server:
        yield server


@about(
    "its address is not here: say it with --base-url",
    "all of it goes into {folder}: fetch all --into {folder}",
    "a repository of code: clone it by hand, or `fetch add {address}`",
    "write a folder's name; where the tree lies",
)
def test_what_a_script_does_not_say(
    desk: Desk, files: FileServer, code: GitServer, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.add("data/w.pth", DATA)
    (desk.root / "registry.txt").write_text(f"w.pth sha256:{sha256(DATA)}\n")
    desk.fetch("import", "registry.txt", "--dry-run")
    desk.again("its address is not here", "--base-url", f"{files.url}/data/", without=["--dry-run"])
    desk.fetch("all")
    shutil.rmtree(desk.root / "manifests")
    (desk.root / "get.sh").write_text(
        f"wget -P ~/data {files.url}/data/w.pth\ngit clone https://git.example/o/code.git\n"
    )
    code.add_repo("o/code", {"a.py": b"1\n"})
    monkeypatch.setenv("FETCH_REWRITE", code.rewrite)
    desk.fetch("import", "get.sh", "--yes")
    part = "a repository of code: clone it by hand, or `fetch add {address}`"
    desk.follow(part, more=["--id", "code"])
    desk.follow("all of it goes into {folder}: fetch all --into {folder}")
    write_project(
        desk.root,
        "p",
        f"artifacts: {{w: {{source: '{files.url}/data/w.pth'}}}}\n",
        "root: ${DATA}\ntree: {m/: w}\n",
    )
    assert (hermetic / "data/w.pth").read_bytes() == DATA
    monkeypatch.setenv("DATA", str(hermetic / "data"))
    desk.fails("all")
    write_project(
        desk.root,
        "p",
        f"artifacts: {{w: {{source: '{files.url}/data/w.pth'}}}}\n",
        "tree: {m/: w}\n",
    )
    desk.again("write a folder's name; where the tree lies", "--into", str(hermetic / "data"))
