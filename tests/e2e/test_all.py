"""`fetch all` on a fresh clone, and again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS, files_below
from tests.servers.hub import HubServer


def test_a_fresh_clone_is_set_up(project: Path, cli: Cli) -> None:
    result = cli("all", "--json")
    assert result.code == 0
    report = result.json
    assert report["schema"] == "fetch.report/1" and report["ok"] and report["exit_code"] == 0
    assert report["summary"]["files"] == 3
    assert report["summary"]["downloaded_files"] == 3
    assert report["summary"]["placed_files"] == 3
    (artifact,) = report["artifacts"]
    assert artifact["state"] == "complete" and len(artifact["revision"]) == 40
    assert {file["source"] for file in artifact["files"]} == {"huggingface"}
    assert files_below(project / "models") == {
        "m/config.json": b'{"a": 1}\n',
        "m/model.safetensors": WEIGHTS,
        "m/sub/vocab.txt": b"one\ntwo\n",
    }


def test_a_second_run_asks_nothing_of_any_server(project: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("all").code == 0
    asked = len(hub.requests)
    before = (project / "fetch.lock").read_bytes()
    result = cli("all", "--json")
    assert result.code == 0
    assert result.json["summary"]["downloaded_bytes"] == 0
    assert result.json["summary"]["reused_files"] == 3
    assert len(hub.requests) == asked
    assert (project / "fetch.lock").read_bytes() == before


def test_the_lock_learns_every_sha256(project: Path, cli: Cli) -> None:
    assert cli("lock").code == 0
    lock = json.loads((project / "fetch.lock").read_text())
    files = {f["path"]: f for f in lock["manifests"]["p"]["m"]["files"]}
    assert "sha256" not in files["config.json"] and "git_blob" in files["config.json"]
    assert cli("all").code == 0
    lock = json.loads((project / "fetch.lock").read_text())
    assert all("sha256" in f for f in lock["manifests"]["p"]["m"]["files"])


def test_dry_run_writes_nothing(project: Path, cli: Cli, hermetic: Path) -> None:
    result = cli("all", "--dry-run", "--json")
    assert result.code == 0
    assert result.json["summary"]["to_download_files"] == 3
    assert result.json["summary"]["to_download_bytes"] == len(WEIGHTS) + 9 + 8
    assert cli("plan").code == 0
    assert not (project / "fetch.lock").exists()
    assert not (project / ".fetch").exists()
    assert not (hermetic / "store").exists()


def test_locked_needs_a_current_lock(project: Path, cli: Cli) -> None:
    result = cli("all", "--locked", "--json")
    assert result.code == 7 and result.codes == {"lock"}
    assert cli("lock").code == 0
    before = (project / "fetch.lock").read_bytes()
    assert cli("all", "--locked").code == 0
    assert (project / "fetch.lock").read_bytes() == before
    manifest = project / "manifests/p.yaml"
    manifest.write_text(manifest.read_text() + "    files: ['*.json']\n")
    assert cli("all", "--locked").code == 7


def test_offline_says_what_is_missing_and_works_when_nothing_is(
    project: Path, cli: Cli, hub: HubServer
) -> None:
    result = cli("all", "--offline", "--json")
    assert result.code == 5 and result.codes == {"offline"}
    assert cli("lock").code == 0
    result = cli("all", "--offline", "--json")
    assert result.code == 5 and result.json["summary"]["failed_files"] == 3
    assert cli("all").code == 0
    shutil.rmtree(project / "models")
    asked = len(hub.requests)
    assert cli("all", "--offline").code == 0
    assert len(hub.requests) == asked


def test_from_a_store_directory_without_network(
    project: Path, cli: Cli, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("all").code == 0
    os.rename(hermetic / "store", hermetic / "carried")
    shutil.rmtree(project / "models")
    result = cli("all", "--offline", "--from", hermetic / "carried", "--json")
    assert result.code == 0
    sources = {f["source"] for f in result.json["artifacts"][0]["files"]}
    assert sources == {f"mirror:{hermetic / 'carried'}"}


def test_a_new_commit_comes_with_update_only(project: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("all").code == 0
    hub.add_commit("o/m", {"config.json": b'{"a": 2}\n'})
    assert cli("all").code == 0
    assert (project / "models/m/config.json").read_bytes() == b'{"a": 1}\n'
    result = cli("all", "--update", "--json")
    assert result.code == 0, result.err
    assert (project / "models/m/config.json").read_bytes() == b'{"a": 2}\n'
    assert result.json["summary"]["downloaded_files"] == 1


def test_into_another_tree(project: Path, cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    assert cli("all", "--into", target).code == 0
    assert (target / "models/m/config.json").exists()
    assert not (project / "models").exists()
    assert (project / "fetch.lock").exists()
    assert cli("check", "--into", target).code == 0


def test_partial_failure_leaves_the_others(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/gated", {"w.bin": b"x" * 100}, gated="manual")
    hub.add_repo("o/private", {"w.bin": b"x" * 100}, private=True)
    hub.add_repo("o/other", {"w.bin": b"y" * 100, "z.bin": b"z"})
    write_project(
        tmp_path,
        "p",
        """artifacts:
  gone: {source: hf:o/never-was}
  gated: {source: hf:o/gated}
  private: {source: hf:o/private}
  norev: {source: hf:o/other@v9}
  lacks: {source: hf:o/other, files: [w.bin, w2.bin]}
  count: {source: hf:o/other, count: 7}
  wrong: {source: hf:o/other, files: {w.bin: {size: 100, sha256: %s}}}
  good: {source: hf:o/m, files: [config.json]}
"""
        % ("0" * 64),
        "tree: {"
        + ", ".join(
            f"{n}/: {n}" for n in ["gone", "gated", "private", "norev", "lacks", "count", "wrong"]
        )
        + ", good.json: good}\n",
    )
    result = cli("all", "--json")
    assert (tmp_path / "good.json").read_bytes() == b'{"a": 1}\n'
    errors = {error["artifact"]: error for error in result.json["errors"]}
    assert errors["gone"]["code"] == "auth" and "does not exist" in errors["gone"]["message"]
    assert errors["gated"]["code"] == "gated"
    assert f"{hub.url}/o/gated" in errors["gated"]["hint"]
    assert errors["private"]["code"] == "auth"
    assert errors["norev"]["code"] == "revision-not-found"
    assert errors["lacks"]["code"] == "missing-upstream" and "w2.bin" in errors["lacks"]["message"]
    assert errors["lacks"]["hint"] == "did you mean 'w.bin'?"
    assert errors["count"]["code"] == "count"
    assert errors["wrong"]["code"] == "digest-mismatch"
    assert "good" not in errors
    assert all(error["message"] for error in errors.values())
    assert result.code == 6
    assert set(result.json["exit_codes"]) == {3, 4, 6}


def test_a_token_opens_a_gated_repository(
    tmp_path: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("o/gated", {"w.bin": b"x" * 100}, gated="manual")
    hub.add_token("hf_secret_token", approved=["o/gated"])
    write_project(tmp_path, "p", "artifacts:\n  g: {source: hf:o/gated}\n", "tree: {g/: g}\n")
    assert cli("all").code == 6
    monkeypatch.setenv("HF_TOKEN", "hf_other_token")
    wrong = cli("all", "--json")
    assert wrong.code == 6 and "hf_other_token" not in wrong.out + wrong.err
    monkeypatch.setenv("HF_TOKEN", "hf_secret_token")
    assert cli("all").code == 0
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"hf_secret_token" not in path.read_bytes(), path


def test_gates_are_found_before_the_first_byte(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/gated", {"a.bin": b"x" * 100, "b.bin": b"y" * 100}, gated="manual")
    write_project(tmp_path, "p", "artifacts:\n  g: {source: hf:o/gated}\n", "tree: {g/: g}\n")
    assert cli("plan").code == 6
    assert cli("all").code == 6
    assert hub.matching(r"GET /o/gated/resolve") == []


def test_selection(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    write_project(
        tmp_path,
        "p",
        """artifacts:
  a: {source: hf:o/m, files: [config.json], groups: [runtime]}
  b: {source: hf:o/m, files: [sub/vocab.txt], groups: training}
  c: {source: hf:o/m, files: [config.json], optional: true}
""",
        "tree: {a/: a, b/: b, c/: c}\n",
    )
    assert cli("all", "--group", "runtime").code == 0
    assert sorted(files_below(tmp_path)) >= ["a/config.json"] and not (tmp_path / "b").exists()
    assert cli("all", "--only", "b*").code == 0
    assert (tmp_path / "b/sub/vocab.txt").exists() and not (tmp_path / "c").exists()
    assert cli("all").code == 0 and not (tmp_path / "c").exists()
    assert cli("check").code == 0
    assert cli("all", "--include-optional", "--skip", "a").code == 0
    assert (tmp_path / "c/config.json").exists()
    wrong = cli("all", "--only", "bb")
    assert wrong.code == 2 and "--only bb" in wrong.err
    assert cli("all", "--group", "runtme").code == 2


def test_disk_space_is_checked_first(
    project: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(project)._replace(free=10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    result = cli("all", "--json")
    assert result.code == 9 and result.codes == {"disk-space"}
    assert "MB needed" in result.json["errors"][0]["message"]
    assert hub.matching(r"GET /o/m/resolve") == [] and not (project / "models").exists()


def test_a_repeated_file_is_downloaded_once(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/twins", {"a.bin": b"same" * 500, "b.bin": b"same" * 500})
    write_project(
        tmp_path, "p", "artifacts:\n  t: {source: hf:o/twins}\n", "tree: {one/: t, two/: t}\n"
    )
    result = cli("all", "--json")
    assert result.code == 0
    assert result.json["summary"]["files"] == 4
    assert result.json["summary"]["downloaded_files"] == 1


def test_a_mirror_that_lists_whole_repositories_only(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    hub.faults.add(r"GET /api/models/o/m/tree/\w+/sub", "status", code=404)
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  v: {source: {type: huggingface, repo: o/m, path: sub/}}\n",
        "tree: {v.txt: v}\n",
    )
    assert cli("all").code == 0
    assert (tmp_path / "v.txt").read_bytes() == b"one\ntwo\n"
