"""The smaller commands: store, gc, config, doctor, list, show, tree, lock, verify."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from fetcher.network.urls import origin_of
from tests.conftest import Cli, write_project
from tests.servers.github import GitHubServer
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


@pytest.fixture
def old_store(project: Path, cli: Cli, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A filled store whose blobs gc may judge: their change times cannot be set, so time moves."""
    assert cli("all").code == 0
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 86_400)
    return hermetic / "store"


def blobs(store: Path) -> int:
    return len(list((store / "blobs/sha256").iterdir()))


def test_gc_keeps_what_any_project_s_lock_needs(
    project: Path, cli: Cli, old_store: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert cli("gc", "--json", cwd=elsewhere).json["summary"]["blobs"] == 0
    assert blobs(old_store) == 3
    manifest = project / "manifests/p.yaml"
    manifest.write_text(manifest.read_text() + "    files: ['*.json']\n")
    assert cli("lock").code == 0
    dry = cli("gc", "--dry-run", "--json")
    assert dry.json["summary"]["blobs"] == 2 and blobs(old_store) == 3
    assert cli("gc").code == 0 and blobs(old_store) == 1
    assert (project / "models/m/model.safetensors").exists(), "trees are never touched"


def test_a_damaged_lock_counts_with_what_it_was(project: Path, cli: Cli, old_store: Path) -> None:
    (project / "fetch.lock").write_text("{")
    result = cli("gc")
    assert result.code == 0 and blobs(old_store) == 3
    assert f"{project}: its fetch.lock cannot be read" in result.out


def test_gc_forgets_a_project_that_is_gone(
    project: Path, cli: Cli, old_store: Path, tmp_path: Path
) -> None:
    shutil.rmtree(project / "manifests")
    (project / "fetch.lock").unlink()
    assert cli("gc").code == 0 and blobs(old_store) == 0


def test_the_store_is_measured_listed_and_proven(project: Path, cli: Cli, hermetic: Path) -> None:
    assert cli("store", "du").code == 0 and cli("store", "check").code == 0
    assert cli("all").code == 0
    usage = cli("store", "du", "--json").json["summary"]
    assert usage["blobs"] == 3 and usage["blob_bytes"] == 3_072_017
    listed = cli("store", "ls", "--json").json["results"]
    assert len(listed) == 3
    victim = hermetic / "store/blobs/sha256" / listed[0]["sha256"]
    victim.chmod(0o644)
    victim.write_bytes(b"damaged")
    result = cli("store", "check", "--json")
    assert result.code == 4 and listed[0]["sha256"] in result.json["errors"][0]["message"]
    assert not victim.exists()


def test_config_tells_every_origin_and_no_secret(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "fetch.yaml").write_text("jobs: 3\nlink: copy\n")
    (project / ".env").write_text("FETCH_LIMIT_RATE=5M\nFETCH_LINK=hardlink\n")
    monkeypatch.setenv("FETCH_LINK", "symlink")
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    result = cli("config", "--json")
    found = {item["name"]: (item["value"], item["origin"]) for item in result.json["results"]}
    assert found["jobs"] == ("3", "fetch.yaml")
    assert found["limit_rate"] == ("5M", ".env")
    assert found["link"] == ("symlink", "FETCH_LINK")
    assert found["hf_token"] == ("(set)", "HF_TOKEN")
    assert "hf_very_secret" not in result.out + cli("config").out + cli("doctor").out


def test_a_wrong_setting_is_found_at_the_start(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_JOBS", "many")
    result = cli("all")
    assert result.code == 2 and "FETCH_JOBS" in result.err and "'many'" in result.err
    monkeypatch.delenv("FETCH_JOBS")
    (project / "fetch.yaml").write_text("jobs: 3\nlinks: copy\nhf_token: x\n")
    result = cli("all")
    assert result.code == 2
    assert "fetch.yaml:2:1:" in result.err and "fetch.yaml:3:1:" in result.err


def test_doctor_names_an_endpoint_that_does_not_answer(
    project: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = "http://127.0.0.1:9/"
    monkeypatch.setenv(
        "FETCH_REWRITE",
        f"https://raw.githubusercontent.com={dead} https://api.github.com={dead}",
    )
    result = cli("doctor", "--json")
    assert result.code == 0
    found = {item["subject"]: item["level"] for item in result.json["results"]}
    assert found["127.0.0.1:9"] == "note" and found[hub.url.removeprefix("http://")] == "ok"


def test_doctor_asks_whether_tokens_are_accepted_and_endpoints_are_what_they_should_be(
    project: Path, cli: Cli, hub: HubServer, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_token("hf_good", name="ada")
    with GitHubServer(hermetic / "git") as github, FileServer() as plain:
        github.add_token("gh_good")
        monkeypatch.setenv("FETCH_REWRITE", github.rewrite)
        monkeypatch.setattr("fetcher.commands.doctor._tools", list)  # these cost seconds

        def told(**variables: str) -> dict[str, tuple[str, str]]:
            with monkeypatch.context() as patch:
                for name, value in variables.items():
                    patch.setenv(name, value)
                found = cli("doctor", "--json")
            assert found.code == 0 and "_good" not in found.out and "_bad" not in found.out
            return {
                item["subject"]: (item["level"], item["text"]) for item in found.json["results"]
            }

        token, host = "Hugging Face token", hub.url.removeprefix("http://")
        good = told(HF_TOKEN="hf_good")
        assert good[token] == ("ok", "set, by HF_TOKEN; accepted, as ada")
        assert good[host] == ("ok", "answers as a Hub (HTTP 200)")
        level, text = told(HF_TOKEN="hf_bad")[token]
        assert level == "note" and "refused (HTTP 401): make a new token" in text
        for address, status in ((f"{hub.url}/models", "404"), (plain.url, "404")):
            wrong = told(HF_TOKEN="hf_good", HF_ENDPOINT=address)
            level, text = wrong[address.split("/")[2]]
            assert level == "note" and f"is no Hub: {address}/api/models" in text
            assert f"HTTP {status}" in text and "set by HF_ENDPOINT" in text
            assert "not known to be good" in wrong[token][1]
        plain.add("api/models", b"<html>sign in</html>", headers={"Content-Type": "text/html"})
        assert "a web page" in told(HF_ENDPOINT=plain.url)[plain.url.split("/")[2]][1]
        hub.faults.add("GET /api/models", "status", code=503)
        level, text = told()[host]
        assert level == "note" and "HTTP 503: try again later" in text
        # (Over plain HTTP, and at another address, nobody gets it.)
        level, text = told(GITHUB_TOKEN="gh_good")["GitHub token"]
        assert level == "note" and "does not get it" in text
        own = origin_of(github.url)
        monkeypatch.setattr("fetcher.network.credentials.GITHUB", (own,))
        assert told(GITHUB_TOKEN="gh_good")["GitHub token"] == (
            "ok",
            "set, by GITHUB_TOKEN; accepted",
        )
        level, text = told(GITHUB_TOKEN="gh_bad")["GitHub token"]
        assert level == "note" and "refused (HTTP 401): make a new token" in text
        offline = told(HF_TOKEN="hf_bad", FETCH_OFFLINE="1")
        assert offline[token] == ("ok", "set, by HF_TOKEN; not asked whether it is good")


def test_doctor_tells_what_the_hugging_face_cache_has(
    project: Path, cli: Cli, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[tuple[str, str]]:
        results = cli("doctor", "--json").json["results"]
        return [(r["level"], r["text"]) for r in results if r["subject"] == "Hugging Face cache"]

    monkeypatch.setenv("FETCH_OFFLINE", "1")
    cache = hermetic / "huggingface" / "hub"
    assert told() == [("ok", f"{cache}: empty")]
    for folder in ("models--o--m", "datasets--who--knows"):
        snapshot = cache / folder / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")
    (cache / "models--torn" / "blobs").mkdir(parents=True)
    (ok, text), (note, warning) = told()
    assert ok == "ok" and "2 repositories" in text and "has files of m:" in text
    assert note == "note" and "models--torn" in warning
    (project / "manifests" / "p.yaml").write_text("artifacts: [")  # not what doctor is about
    assert "has files" not in told()[0][1]


def test_list_and_its_filters(project: Path, cli: Cli) -> None:
    def listed(*options: str) -> set[str]:
        return {item["id"] for item in cli("list", *options, "--json").json["results"]}

    assert listed() == {"m"}, "a project is about its own"
    assert "in the built-in catalog: `fetch list --catalog`" in cli("list").out
    assert {"m", "facenet-mtcnn", "ohlora-llm"} <= listed("--catalog")
    nothing = cli("list", "--task", "face-detection").out
    assert "no artifact is like that" in nothing and "and 2 in the built-in catalog" in nothing
    korean = listed("--catalog", "--tag", "korean")
    assert "ohlora-llm" in korean and "facenet-mtcnn" not in korean
    faces = cli("list", "quickstart", "--task", "face-detection", "--json").json["results"]
    assert [item["id"] for item in faces] == ["facenet-mtcnn"]


def test_show_and_tree(project: Path, cli: Cli) -> None:
    assert "not resolved yet" in cli("show", "m").out
    assert "(m, not resolved yet)" in cli("tree").out
    assert cli("all").code == 0
    (result,) = cli("show", "m", "--json").json["results"]
    targets = {file["path"]: file["targets"] for file in result["files"]}
    assert targets["sub/vocab.txt"] == ["models/m/sub/vocab.txt"]
    tree = cli("tree").out
    assert "+ config.json" in tree and "models/" in tree
    wrong = cli("show", "facenet-mtcn")
    assert wrong.code == 2 and "facenet-mtcnn" in wrong.err


def test_lock_updates_only_what_is_named(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/n", {"a.txt": b"1"})
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: hf:o/m}\n  n: {source: hf:o/n}\n",
        "tree: {m/: m, n/: n}\n",
    )
    assert cli("lock").code == 0

    def revisions() -> dict[str, str]:
        lock = json.loads((tmp_path / "fetch.lock").read_text())
        return {name: item["revision"] for name, item in lock["manifests"]["p"].items()}

    before = revisions()
    hub.add_commit("o/m", {"new.txt": b"2"})
    hub.add_commit("o/n", {"new.txt": b"2"})
    assert cli("lock").code == 0 and revisions() == before
    assert cli("lock", "--update", "n").code == 0
    assert revisions()["m"] == before["m"] and revisions()["n"] != before["n"]
    assert cli("lock", "--update", "nn").code == 2


def test_verify_from_the_command_line(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    hub.add_repo(
        "o/models",
        {
            "good.safetensors": save({"a": torch.ones(3)}),
            "nan.safetensors": save({"a": torch.tensor([1.0, float("nan")])}),
        },
    )
    write_project(
        tmp_path,
        "p",
        """visibility: public
artifacts:
  good: {source: hf:o/models, files: [good.safetensors], probe: {type: state-dict}}
  nan: {source: hf:o/models, files: [nan.safetensors], probe: {type: state-dict}}
  plain: {source: hf:o/m, files: [config.json]}
""",
        "tree: {good.safetensors: good, nan.safetensors: nan, c.json: plain}\n",
    )
    early = cli("verify", "good", "--json")
    assert early.code == 8 and "not laid out" in early.json["errors"][0]["message"]
    junit = tmp_path / "verify.xml"
    result = cli("all", "--verify", "--json")
    assert result.code == 8 and result.codes == {"probe"}
    states = {item["artifact"]: item["state"] for item in result.json["results"]}
    assert states == {"good": "passed", "nan": "failed", "plain": "skipped"}
    assert cli("verify", "good", "--junit", junit).code == 0 and "good" in junit.read_text()
    assert cli("verify", "plain").code == 0
    ranked = cli("report", "--json").json["results"]
    assert [item["id"] for item in ranked] == ["good"] and ranked[0]["metric"] == "load_seconds"
    assert cli("verify", "godo").code == 2


EVERY = ["all", "status", "check", "plan", "list", "tree", "config", "store du", "gc", "lock"]


@pytest.mark.parametrize("line", [*EVERY, "all nope", "all --jobs 0", "adopt manifests"])
def test_json_keeps_stdout_to_itself(project: Path, cli: Cli, line: str) -> None:
    found = cli(*line.split(), "--json").json
    assert found["schema"] == "fetch.report/1" and found["ok"] == (found["exit_code"] == 0)


def test_a_look_is_about_what_was_fetched(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    for name in ("p", "q"):
        write_project(
            tmp_path,
            name,
            f"artifacts:\n  {name}: {{source: hf:o/m, probe: {{type: x}}}}\n",
            f"root: {name}\ntree: {{m/: {name}}}\n",
        )
    assert cli("lock").code == 0
    assert cli("check").code == 4, "nothing was fetched: everything is missing"
    assert cli("all", "p").code == 0
    assert cli("check").code == 0
    assert cli("check", "q").code == 4
    states = {r["id"]: r["state"] for r in cli("status", "--json").json["results"]}
    assert states == {"p": "complete", "q": "missing"}
    assert {r["artifact"] for r in cli("verify", "--json").json["results"]} == {"p"}


def test_a_folder_without_manifests_goes_by_its_lock(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("status").code == 2
    dead = "http://127.0.0.1:9/"
    monkeypatch.setenv("FETCH_REWRITE", f"https://raw.githubusercontent.com/={dead}")
    assert cli("lock", "quickstart").code == 0
    states = {r["id"]: r["state"] for r in cli("status", "--json").json["results"]}
    assert states == {"facenet-mtcnn": "missing", "all-minilm-l6-v2": "missing"}


def test_passwords_are_not_for_the_screen(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCH_REWRITE", "http://h/=http://u:hidden1@127.0.0.1:2/")
    write_project(
        tmp_path, "p", "artifacts:\n  w: {source: 'http://me:hidden2@host/x'}\n", "tree: {x: w}\n"
    )
    for line in ("config", "config --json", "all", "doctor"):
        result = cli(*line.split())
        assert "hidden" not in result.out + result.err, line


def test_a_report_goes_into_a_new_folder(project: Path, cli: Cli) -> None:
    assert cli("all").code == 0
    assert cli("check", "--junit", "new/folder/r.xml", "--sarif", "new/r.sarif").code == 0
    assert (project / "new/folder/r.xml").exists() and (project / "new/r.sarif").exists()
    (project / "file").write_text("")
    result = cli("check", "--junit", "file/r.xml")
    assert result.code != 0 and "3 of 3 files as locked" in result.out


def test_strict_names_every_stranger_below_the_layout(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    write_project(tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "root: r\ntree: {m/: m}\n")
    assert cli("all").code == 0
    strangers = {"r/a.txt", "r/sub/b.txt", "r/m/stray/c.txt", "r/m/sub/d.txt"}
    for name in strangers:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert cli("check").code == 0
    result = cli("check", "--strict", "--json")
    assert result.code == 4 and {f["target"] for f in result.json["results"]} == strangers


def test_flags_that_exclude_each_other(project: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("all", "--locked", "--update").code == 2
    assert cli("all", "--offline", "--update").code == 2
    wrong = cli("all", "--from", tmp_path / "nothing")
    assert wrong.code == 2 and "no bundle and no store there" in wrong.err
    wrong = cli("all", "--from", "ftp://host/repo")
    assert wrong.code == 2 and "--from: " in wrong.err
    assert cli("verify", "--device", "tpu").code == 2


def test_plan_tells_what_a_run_would_meet(project: Path, cli: Cli) -> None:
    assert "unresolved" in cli("plan", "--offline").out
    assert cli("lock").code == 0
    result = cli("plan", "--offline", "--json")
    assert result.code == 5 and result.codes == {"offline"}
    plain = cli("plan", "--offline")
    assert plain.err.count("error:") == 1 and "config.json" in plain.err and "hint:" in plain.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written(project: Path) -> None:
    import subprocess
    import sys

    for line in ("list", "status --json"):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "fetcher", *line.split()],
                cwd=project,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 9 and "Traceback" not in done.stderr, done.stderr
        assert "cannot be written" in done.stderr
