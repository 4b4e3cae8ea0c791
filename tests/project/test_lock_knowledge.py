"""What the lock says of where its knowledge comes from: said, computed, or claimed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetcher.project.lockfile import dumps, loads
from fetcher.sources.base import asked
from tests.conftest import Cli, write_project
from tests.kit import sha256, tensors
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

WEIGHTS, SMALL = tensors(3000), b'{"a": 1}\n'
TODAY = time.strftime("%Y-%m-%d", time.gmtime())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", {"w.safetensors": WEIGHTS, "config.json": SMALL})
        monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
        yield server


def project(root: Path, text: str) -> None:
    write_project(root, "p", f"artifacts:\n  m: {{{text}}}\n", "tree: {m/: m}\n")


def entry(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "fetch.lock").read_text())["manifests"]["p"]["m"]
    return found


def files(root: Path) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in entry(root)["files"]}


def test_who_said_it_is_an_address_without_secrets() -> None:
    assert asked("https://ana:secret@hub.example:8443/hf/?key=secret") == (
        "https://hub.example:8443/hf"
    )
    assert asked("https://huggingface.co") == "https://huggingface.co"


def test_a_listing_is_said_by_the_endpoint(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    project(tmp_path, "source: hf:o/m")
    assert cli("all").code == 0
    found = entry(tmp_path)
    assert (found["said_by"], found["said_at"]) == (hub.url, TODAY)
    lock = loads((tmp_path / "fetch.lock").read_text())
    (locked,) = lock.artifacts.values()
    assert {file.path: file.computed for file in locked.files} == {
        "config.json": True,  # the Hub gives its git id alone
        "w.safetensors": False,  # the Hub gives its sha256
    }
    assert all("computed" not in file for file in found["files"])


def test_a_manifest_that_states_all_claims_all(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    stated = f"{{w.safetensors: {{size: {len(WEIGHTS)}, sha256: {sha256(WEIGHTS)}}}}}"
    project(tmp_path, f"source: hf:o/m, files: {stated}")
    assert cli("all").code == 0
    assert not {"said_by", "said_at"} & entry(tmp_path).keys()
    assert files(tmp_path)["w.safetensors"].keys() == {"path", "size", "sha256"}


def test_a_claimed_digest_beside_a_git_id_is_not_computed(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    project(tmp_path, f"source: hf:o/m, files: {{config.json: {{sha256: {sha256(SMALL)}}}}}")
    assert cli("lock").code == 0
    assert files(tmp_path)["config.json"]["computed"] is False
    assert entry(tmp_path)["said_by"] == hub.url


@pytest.mark.parametrize("stated", ["", ", files: {w.bin: {size: 3000}}"])
def test_a_first_download_is_computed(tmp_path: Path, cli: Cli, stated: str) -> None:
    with FileServer() as server:
        server.add("/a/w.bin", WEIGHTS)
        project(tmp_path, f"source: '{server.url}/a/w.bin?key=secret-word'{stated}")
        assert cli("all").code == 0
        assert files(tmp_path)["w.bin"]["computed"] is True
        assert files(tmp_path)["w.bin"]["sha256"] == sha256(WEIGHTS)
        # Only what had to be asked was said.
        assert entry(tmp_path).get("said_by") == (None if stated else server.url)
    before = (tmp_path / "fetch.lock").read_text()
    assert dumps(loads(before)) == before


def test_local_files_are_computed(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/w.bin").write_bytes(WEIGHTS)
    project(tmp_path, "source: 'local:data'")
    assert cli("all").code == 0
    assert files(tmp_path)["w.bin"]["computed"] is True and "said_by" not in entry(tmp_path)


def test_the_same_answer_is_no_change(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    project(tmp_path, "source: hf:o/m")
    assert cli("all").code == 0
    lock = tmp_path / "fetch.lock"
    lock.write_text(re.sub(r'("said_at": )"[^"]*"', r'\1"2026-01-02"', lock.read_text()))
    before = lock.read_text()
    assert cli("lock", "--update", "m").code == 0 and lock.read_text() == before
    assert cli("all", "--update").code == 0 and lock.read_text() == before
    hub.add_commit("o/m", {"config.json": b"{}"})
    assert cli("lock", "--update", "m").code == 0
    assert entry(tmp_path)["said_at"] == TODAY


def test_another_endpoint_is_another_word(
    tmp_path: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, "source: hf:o/m")
    assert cli("lock").code == 0
    lock = tmp_path / "fetch.lock"
    lock.write_text(re.sub(r'("said_at": )"[^"]*"', r'\1"2026-01-02"', lock.read_text()))
    monkeypatch.setenv("HF_ENDPOINT", hub.url.replace("127.0.0.1", "localhost"))
    assert cli("lock", "--update", "m").code == 0
    assert "localhost" in entry(tmp_path)["said_by"] and entry(tmp_path)["said_at"] == TODAY


def test_locks_of_before_are_read_and_left_as_they_are(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    project(tmp_path, "source: hf:o/m")
    assert cli("all").code == 0
    lock = tmp_path / "fetch.lock"
    lock.write_text(re.sub(r'\n *"said_.*', "", lock.read_text()))
    before = lock.read_text()
    assert "said_" not in before
    assert cli("all", "--locked").code == 0 and cli("all").code == 0 and cli("lock").code == 0
    assert lock.read_text() == before
    assert cli("lock", "--update", "m").code == 0 and entry(tmp_path)["said_by"] == hub.url
