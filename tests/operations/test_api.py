"""The Python API: what scripts and notebooks call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fetcher.verify
import pytest

import fetcher
from fetcher.transfer.engine import Engine
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer

WEIGHTS = bytes(range(256)) * 12_000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo(
            "o/m",
            {"config.json": b'{"a": 1}\n', "model.safetensors": WEIGHTS, "sub/vocab.txt": b"one\n"},
        )
        server.add_repo("o/n", {"n.bin": b"n" * 1000})
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


MANIFEST = """artifacts:
  m: {source: 'hf:o/m', aliases: [short/name]}
  n: {source: 'hf:o/n'}
  o: {source: 'hf:o/n', optional: true}
"""
LAYOUT = """root: out
tree:
  models/m/: m
  weights.bin: n/n.bin
  optional/: o
"""


@pytest.fixture
def project(tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    write_project(root, "p", MANIFEST, LAYOUT)
    (root / "src/deep").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def test_importing_it_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import fetcher\n"
        "ours = {name for name in sys.modules if name.startswith('fetcher.')}\n"
        "assert not ours, ours\n"
        "fetcher.fetch, fetcher.Report, fetcher.FetchError\n"
        "heavy = {'torch', 'numpy', 'yaml', 'pycurl', 'requests', 'huggingface_hub', 'tqdm',"
        " 'click', 'prompt_toolkit'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    for name in [*fetcher.__all__, "open"]:
        assert getattr(fetcher, name) is not None
        assert name in dir(fetcher)
    documented = [getattr(fetcher, name) for name in fetcher.__all__ if name != "Candidate"]
    assert all(thing.__doc__ for thing in documented)
    with pytest.raises(AttributeError, match="no attribute 'fetsch'"):
        fetcher.fetsch  # type: ignore[attr-defined]  # noqa: B018
    scope: dict[str, Any] = {}
    exec("from fetcher import *", scope)
    assert "open" not in scope and scope["fetch"] is fetcher.fetch


def test_every_error_can_be_caught_as_one() -> None:
    for name in ("Failure", "InvalidDocument", "LockError", "ProblemsError", "UsageError"):
        assert issubclass(getattr(fetcher, name), fetcher.FetchError)


def test_fetch_does_what_the_command_does(project: Path, cli: Cli) -> None:
    report = fetcher.fetch(quiet=True)
    assert report.ok and report.exit_code == 0 and report.problems == []
    assert report.summary["files"] == 4 and report.summary["downloaded_files"] == 4
    assert [artifact.id for artifact in report.artifacts] == ["m", "n"]
    (n,) = report.artifacts[1].files
    assert (n.path, n.target, n.size, n.state, n.source) == (
        *("n.bin", "out/weights.bin", 1000),
        *("placed", "huggingface"),
    )
    assert (project / "out/models/m/model.safetensors").read_bytes() == WEIGHTS
    again = fetcher.fetch("p", quiet=True, check=True)
    assert again.summary["downloaded_bytes"] == 0 and again.summary["reused_files"] == 4
    told = cli("all", "--json", cwd=project).json
    assert [file._asdict() for artifact in again.artifacts for file in artifact.files] == [
        file for artifact in told["artifacts"] for file in artifact["files"]
    ]
    report.raise_for_problems()


def test_nothing_goes_to_stdout_and_quiet_is_quiet(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetcher.fetch(quiet=True)
    assert capsys.readouterr() == ("", "")


def test_artifacts_by_id_alias_and_repository(project: Path, hub: HubServer) -> None:
    assert [a.id for a in fetcher.fetch("n", quiet=True).artifacts] == ["n"]
    assert [a.id for a in fetcher.fetch("short/name", quiet=True).artifacts] == ["m"]
    assert [a.id for a in fetcher.fetch("p", only=["m"], quiet=True).artifacts] == ["m"]
    assert [a.id for a in fetcher.fetch("p", optional=True, quiet=True).artifacts] == list("mno")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("m", "out/models/m"),
        ("m/", "out/models/m"),
        ("p/m", "out/models/m"),
        ("o/m", "out/models/m"),
        ("short/name", "out/models/m"),
        ("m/config.json", "out/models/m/config.json"),
        ("p/m/config.json", "out/models/m/config.json"),
        ("short/name/sub/vocab.txt", "out/models/m/sub/vocab.txt"),
        ("m/sub", "out/models/m/sub"),
        ("n", "out/weights.bin"),
        ("n/n.bin", "out/weights.bin"),
        ("o", "out/optional/n.bin"),
    ],
)
def test_where_a_name_lies(project: Path, hub: HubServer, name: str, where: str) -> None:
    found = fetcher.path(name, quiet=True)
    assert found == project / where and found.exists()
    asked = len(hub.requests)
    assert fetcher.path(name) == found and fetcher.path(name, fetch=False) == found
    assert len(hub.requests) == asked


def test_only_its_artifact_is_fetched(project: Path) -> None:
    fetcher.path("n", quiet=True)
    assert not (project / "out/models").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "no artifact 'nothing'"),
        ("m/conf.json", "m has no file 'conf.json'"),
        ("m/sub/vocab", "m has no file 'sub/vocab'"),
        ("m/sub/vocab.txt/x", "m has no file 'sub/vocab.txt/x'"),
        ("m/../../etc/passwd", "m has no file"),
    ],
)
def test_a_wrong_name_is_told_before_anything_is_downloaded(
    project: Path, hub: HubServer, name: str, said: str
) -> None:
    with pytest.raises(fetcher.UsageError, match=said):
        fetcher.path(name, quiet=True)
    assert not (project / "out").exists()


def test_a_close_name_is_proposed(project: Path) -> None:
    with pytest.raises(fetcher.UsageError) as caught:
        fetcher.path("m/confg.json", quiet=True)
    assert caught.value.hint == "did you mean m/config.json?"


def test_a_file_without_a_place(tmp_path: Path, project: Path) -> None:
    write_project(
        project, "p", "artifacts:\n  m: {source: 'hf:o/m'}\n", "tree: {c.json: m/config.json}\n"
    )
    assert fetcher.path("m", quiet=True) == project / "c.json"
    with pytest.raises(fetcher.UsageError, match="no place in the layout"):
        fetcher.path("m/model.safetensors", quiet=True)


def test_what_is_not_there_is_not_fetched_unasked(project: Path, hub: HubServer) -> None:
    with pytest.raises(fetcher.UsageError, match="is not there"):
        fetcher.path("n", fetch=False)
    assert not (project / "out").exists() and not (project / "fetch.lock").exists()


def test_a_missing_file_is_fetched_and_a_changed_one_is_left(project: Path) -> None:
    config = fetcher.path("m/config.json", quiet=True)
    config.unlink()
    assert fetcher.path("m/config.json", quiet=True).read_bytes() == b'{"a": 1}\n'
    config.unlink()
    config.write_text("mine")
    assert fetcher.path("m/config.json") == config and config.read_text() == "mine"


def test_a_stranger_s_file_is_a_problem_of_its_own(project: Path) -> None:
    (project / "out/models/m").mkdir(parents=True)
    (project / "out/models/m/config.json").write_text("a stranger's")
    with pytest.raises(fetcher.ProblemsError, match=r"m/config\.json: .*did not put it there"):
        fetcher.path("m/config.json", quiet=True)
    # The others of its artifact are there all the same.
    assert fetcher.path("m/model.safetensors", fetch=False).read_bytes() == WEIGHTS


def test_from_a_folder_below_and_from_elsewhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "src/deep")
    assert fetcher.path("n", quiet=True) == project / "out/weights.bin"
    monkeypatch.chdir(tmp_path)
    assert fetcher.path("n", root=project / "src") == project / "out/weights.bin"
    assert fetcher.path("n", root="project", into="tree", quiet=True) == (
        tmp_path / "tree/out/weights.bin"
    )
    assert fetcher.fetch(root="project", into="tree", quiet=True).ok
    assert (tmp_path / "tree/out/models/m/config.json").exists()
    with pytest.raises(fetcher.UsageError, match="is no folder"):
        fetcher.open("nowhere")


def test_partial_failure_is_a_value(project: Path, hub: HubServer) -> None:
    write_project(
        project,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m'}\n  gone: {source: 'hf:o/gone'}\n",
        "tree: {m/: m, gone/: gone}\n",
    )
    report = fetcher.fetch(quiet=True)
    assert not report.ok and report.exit_code != 0
    assert {problem.artifact for problem in report.problems} == {"gone"}
    assert [artifact.state for artifact in report.artifacts] == ["complete", "missing"]
    with pytest.raises(fetcher.ProblemsError) as caught:
        report.raise_for_problems()
    assert caught.value.report is report and caught.value.exit_code == report.exit_code
    assert caught.value.problems() == report.problems and str(caught.value).startswith("gone: ")
    with pytest.raises(fetcher.ProblemsError):
        fetcher.fetch(quiet=True, check=True)
    with pytest.raises(fetcher.ProblemsError, match="gone"):
        fetcher.path("gone", quiet=True)


def test_mistakes_are_raised(project: Path) -> None:
    with pytest.raises(fetcher.LockError):
        fetcher.fetch(locked=True, quiet=True)
    with pytest.raises(fetcher.UsageError, match="no manifest or artifact"):
        fetcher.fetch("nope", quiet=True)
    with pytest.raises(fetcher.UsageError, match="jobs"):
        fetcher.fetch(jobs=0, link="copy", limit_rate="x", quiet=True)
    (project / "manifests/p.yaml").write_text("manifest: p\nartefacts: {}\n")
    with pytest.raises(fetcher.InvalidDocument, match="project's files") as caught:
        fetcher.fetch(quiet=True)
    # What a traceback shows: every mistake with its place and what to do.
    for problem in caught.value.problems():
        assert f"\n  {problem.message}" in str(caught.value)
        assert problem.hint in str(caught.value)


def test_a_project_of_optional_artifacts_only_is_told(project: Path) -> None:
    write_project(
        project,
        "p",
        "artifacts:\n  o: {source: 'hf:o/n', optional: true}\n",
        "tree: {o/: o}\n",
    )
    with pytest.warns(UserWarning, match="optional=True"):
        assert fetcher.fetch(quiet=True).artifacts == []


def test_offline(project: Path, hub: HubServer) -> None:
    report = fetcher.fetch(offline=True, quiet=True)
    assert report.exit_code == 5 and hub.requests == []


def test_an_interrupted_run_tidies_and_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Callable[..., Any] = Engine.run

    def interrupted(self: Engine, jobs: Any) -> Any:
        run(self, jobs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetcher.path("m", quiet=True)
        with pytest.raises(KeyboardInterrupt):
            fetcher.fetch(quiet=True)
    assert fetcher.path("m", fetch=False) == project / "out/models/m"  # recorded in time
    assert fetcher.fetch(quiet=True).summary["downloaded_bytes"] == 0


def test_two_threads_want_the_same_file(project: Path, hub: HubServer) -> None:
    start = threading.Barrier(8)

    def path(_: int) -> Path:
        start.wait()
        return fetcher.path("m/model.safetensors", quiet=True)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(path, range(8)))
    assert found == {project / "out/models/m/model.safetensors"}
    downloads = [r for r in hub.requests if r.method == "GET" and "/resolve/" in r.path]
    names = [request.path.rsplit("/", 1)[1] for request in downloads]
    assert sorted(set(names)) == sorted(names), "each file is asked for once"


def test_threads_in_different_trees_do_not_wait_for_each_other(
    project: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = list(
            pool.map(lambda n: fetcher.fetch(into=tmp_path / f"t{n}", quiet=True), range(4))
        )
    assert all(report.ok for report in reports)
    for number in range(4):
        assert (tmp_path / f"t{number}/out/weights.bin").read_bytes() == b"n" * 1000


def test_a_project_is_looked_at(project: Path, hub: HubServer) -> None:
    here = fetcher.open()
    assert here == fetcher.open(project / "src") and here.root == project == here.tree
    plan = here.plan()
    assert plan.ok and plan.summary["to_download_files"] == 4
    assert plan.summary["to_download_bytes"] == len(WEIGHTS) + 1000 + 9 + 4
    assert plan.summary["disk_free"] > 0
    assert not (project / "fetch.lock").exists() and not (project / ".fetch").exists()
    assert [a.state for a in here.status().artifacts] == ["missing"] * 3
    assert here.fetch(quiet=True).ok
    assert here.path("n") == project / "out/weights.bin"
    assert here.plan().summary["to_download_files"] == 0
    assert [a.state for a in here.status().artifacts] == ["complete", "complete", "missing"]
    asked = len(hub.requests)
    assert here.check().ok and here.check("p", deep=True, strict=True).ok
    (project / "out/weights.bin").unlink()
    (project / "out/models/m/extra").write_text("mine")
    found = here.check(strict=True)
    assert {problem.code for problem in found.problems} == {"missing", "extra"}
    assert found.exit_code == 4
    assert len(hub.requests) == asked


def test_status_of_a_sealed_tree_is_that_of_a_plan(project: Path) -> None:
    write_project(project, "p", "artifacts:\n  n: {source: 'hf:o/n'}\n", "tree: {n.bin: n/n.bin}\n")
    here = fetcher.open()
    here.fetch(quiet=True)
    sealed = here.status()
    os.remove(project / ".fetch/state.db")
    here.fetch(quiet=True)
    planned = here.status()
    assert sealed.results == planned.results
    assert [a.files for a in sealed.artifacts] == [a.files for a in planned.artifacts]


def test_the_catalog_is_in_reach_without_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status = fetcher.open().status("quickstart")
    assert {artifact.state for artifact in status.artifacts} == {"missing"}
    with pytest.raises(fetcher.UsageError) as caught:
        fetcher.path("dinov3-vits61", fetch=False)
    assert caught.value.hint == "did you mean 'dinov3-vits16'?"


def test_a_plug_in_s_base_classes_are_public() -> None:
    assert fetcher.Probe is fetcher.verify.Probe and fetcher.Source.__abstractmethods__
    entry = fetcher.FileEntry("a", 1)
    assert fetcher.Resolved("r", [entry]).files[0].path == "a"
    assert fetcher.Request().files is None
    assert fetcher.UrlCandidate("here", "https://h/f").rank == 1
