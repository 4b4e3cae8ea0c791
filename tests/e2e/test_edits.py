"""Edited files, the Hugging Face cache, adopting."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.servers.sharepoint import SharePointServer

ADAPTER = b'{\n  "base_model_name_or_path": "C:\\\\Users\\\\me",\n  "r": 8\n}\n'


@pytest.fixture
def edited(tmp_path: Path, hub: HubServer) -> Path:
    hub.add_repo("o/lora", {"adapter_config.json": ADAPTER, "w.bin": b"w" * 50})
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  lora: {source: hf:o/lora}\n",
        "root: proj\ntree: {lora/: lora}\n"
        'edits: {lora/adapter_config.json: {base_model_name_or_path: "{root}/base"}}\n',
    )
    return tmp_path


def base_of(project: Path) -> str:
    config = json.loads((project / "proj/lora/adapter_config.json").read_text())
    assert config["r"] == 8
    return str(config["base_model_name_or_path"])


def test_edits_are_made_once_and_known_to_check(edited: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    assert base_of(edited) == f"{edited}/proj/base"
    before = (edited / "proj/lora/adapter_config.json").stat()
    result = cli("all", "--json")
    assert result.code == 0 and result.json["summary"]["placed_files"] == 0
    assert (edited / "proj/lora/adapter_config.json").stat().st_mtime_ns == before.st_mtime_ns
    assert cli("check", "--deep").code == 0
    assert cli("store", "check").code == 0


def test_the_edited_form_is_exact(edited: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    target = edited / "proj/lora/adapter_config.json"
    target.write_text(target.read_text().replace('"r": 8', '"r": 9'))
    assert cli("check", "--deep").code == 4
    assert cli("all").code == 4
    assert cli("all", "--overwrite").code == 0
    assert base_of(edited) == f"{edited}/proj/base"


def test_a_moved_clone_is_mended(edited: Path, cli: Cli) -> None:
    clone, moved = edited / "clone", edited / "moved"
    clone.mkdir()
    for name in ("manifests", "layouts"):
        os.rename(edited / name, clone / name)
    assert cli("all", cwd=clone).code == 0
    os.rename(clone, moved)
    assert cli("check", cwd=moved).code == 4
    assert cli("all", cwd=moved).code == 0
    assert base_of(moved) == f"{moved}/proj/base"
    assert cli("check", "--deep", cwd=moved).code == 0


def test_check_accepts_the_edited_form_without_state_or_store(
    edited: Path, cli: Cli, hermetic: Path
) -> None:
    assert cli("all").code == 0
    (edited / ".fetch/state.db").unlink()
    assert cli("check", "--deep").code == 0
    assert cli("all").code == 0
    shutil.rmtree(hermetic / "store")
    assert cli("check", "--deep").code == 0


def test_a_file_that_is_no_json_object(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/bad", {"a.json": b"[1, 2]", "b.bin": b"b"})
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  b: {source: hf:o/bad}\n",
        "tree: {b/: b}\nedits: {b/a.json: {x: 1}}\n",
    )
    result = cli("all", "--json")
    assert result.code == 4 and result.codes == {"edit"}
    assert (tmp_path / "b/b.bin").exists() and not (tmp_path / "b/a.json").exists()


def test_adopt_takes_files_by_digest(
    project: Path, cli: Cli, hub: HubServer, tmp_path: Path
) -> None:
    assert cli("all").code == 0
    old = tmp_path / "old"
    os.rename(project / "models", old)
    (old / "m/model.safetensors").rename(old / "weights-I-once-downloaded")
    store = Path(os.environ["FETCH_STORE"])
    shutil.rmtree(store)
    result = cli("adopt", old, "--json")
    assert result.code == 0 and result.json["summary"]["adopted_files"] == 3
    asked = len(hub.requests)
    assert cli("all", "--offline").code == 0
    assert len(hub.requests) == asked
    nothing = cli("adopt", project / "manifests")
    assert nothing.code == 4 and "none of" in nothing.err


@pytest.fixture
def sharepoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[SharePointServer]:
    with SharePointServer() as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        yield server
        assert server.errors == []


LINK = (
    "https://mycuhk-my.sharepoint.com/:u:/g/personal/1155082926_link_cuhk_edu_hk/"
    "ET2etKNzMS9JmHj5j60fqMcBRJfQfYNvqUrujaIXxCvKDQ?e=QReLE6&download=1"
)


@pytest.mark.parametrize(("mode", "status"), [("expired", 404), ("expired", 200), ("login", 200)])
def test_an_expired_share_says_what_to_do_by_hand(
    tmp_path: Path, cli: Cli, sharepoint: SharePointServer, mode: str, status: int
) -> None:
    content = b"\x80\x02}q\x00." + b"weights" * 300_000
    sharepoint.add_share(LINK, "stylegan.pth", content, mode=mode, status=status)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  gan: {source: genforce:stylegan_celeba_partial256}\n",
        "tree: {stylegan_model.pth: gan}\n",
    )
    result = cli("all", "--json")
    assert result.code == 3, result.out
    (error,) = result.json["errors"]
    assert error["code"] in {"link-expired", "not-a-file"}
    assert "fetch adopt DOWNLOADED_FILE --as gan/stylegan_celeba_partial256.pth" in error["hint"]
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><html><title>Sign in</title></html>")
    assert cli("adopt", page, "--as", "gan").code == 3
    by_hand = tmp_path / "downloaded (1).pth"
    by_hand.write_bytes(content)
    assert cli("adopt", by_hand, "--as", "gan/stylegan_celeba_partial256.pth").code == 0
    assert cli("all").code == 0
    assert (tmp_path / "stylegan_model.pth").read_bytes() == content


def test_a_good_share_is_fetched_through_its_cookies_and_then_locked(
    tmp_path: Path, cli: Cli, sharepoint: SharePointServer
) -> None:
    content = b"\x80\x02}q\x00." + b"weights" * 300_000
    sharepoint.add_share(LINK, "stylegan.pth", content)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  gan: {source: genforce:celeba_partial-256x256}\n",
        "tree: {stylegan_model.pth: gan}\n",
    )
    assert cli("all").code == 2, "a name of the zoo's page needs its table"
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  gan: {source: 'genforce:stylegan_celeba_partial-256x256'}\n",
        "tree: {stylegan_model.pth: gan}\n",
    )
    assert cli("all").code == 0
    assert (tmp_path / "stylegan_model.pth").read_bytes() == content
    (file,) = json.loads((tmp_path / "fetch.lock").read_text())["manifests"]["p"]["gan"]["files"]
    assert file["size"] == len(content) and len(file["sha256"]) == 64
    asked = len(sharepoint.requests)
    assert cli("all").code == 0 and len(sharepoint.requests) == asked
