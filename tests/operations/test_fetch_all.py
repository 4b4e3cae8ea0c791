"""The steps of a run, and what one leaves to the next."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import fetcher
from fetcher.operations import fetch_all
from fetcher.operations.open_project import open_workspace
from fetcher.operations.workspace import Workspace
from fetcher.tree.placer import Placer
from fetcher.tree.plan import GET, KEEP, WITHHELD
from fetcher.tree.preflight import check_ahead
from fetcher.ui.progress import Progress
from tests.conftest import Cli, write_project
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


def opened(root: Path, **options: Any) -> Workspace:
    return open_workspace(root, progress=Progress(quiet=True), **options)


def locked_files(root: Path, artifact: str) -> dict[str, dict[str, Any]]:
    lock = json.loads((root / "fetch.lock").read_text())
    return {file["path"]: file for file in lock["manifests"]["p"][artifact]["files"]}


@pytest.fixture
def project(tmp_path: Path, hub: HubServer) -> Path:
    write_project(
        tmp_path,
        "p",
        "artifacts:\n  m: {source: 'hf:o/m'}\n  closed: {source: 'hf:o/closed'}\n",
        "tree: {m/: m, closed/: closed}\n",
    )
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    with HubServer() as server:
        server.add_repo("o/m", {"config.json": b'{"a": 1}', "w.bin": b"w" * 100})
        server.add_repo("o/closed", {"c.bin": b"c" * 100}, gated="manual")
        server.add_token("hf_secret_token")
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret_token")
        yield server


def test_preparing_writes_nothing_and_tells_what_is_done_then(project: Path) -> None:
    space = opened(project)
    try:
        prepared = fetch_all.prepare(space)
        assert not (project / "fetch.lock").exists() and not (project / ".fetch").exists()
        assert {key[1] for key in prepared.resolution.fresh} == {"m", "closed"}
        assert [item.action for item in prepared.plan.items] == [GET] * 3
        report = fetch_all.carry_out(space, prepared)
    finally:
        space.close()
    assert [item.action for item in prepared.plan.items] == [KEEP, KEEP, WITHHELD]
    assert report.summary["downloaded_files"] == 2 and report.summary["placed_files"] == 2
    assert {problem.code for problem in report.problems} == {"gated"}
    assert [artifact.state for artifact in report.artifacts] == ["complete", "missing"]


def test_a_verdict_is_a_value(project: Path) -> None:
    space = opened(project)
    try:
        plan = fetch_all.prepare(space).plan
        verdict = check_ahead(plan, space.store.root, "auto", space.network)
        assert verdict.may_start and [part.artifact.id for part, _ in verdict.refused] == ["closed"]
        assert all(item.action == GET for item in plan.items), "looking changes nothing"
        verdict.withhold()
        assert [item.action for item in plan.items] == [GET, GET, WITHHELD]
    finally:
        space.close()


def test_a_digest_is_locked_before_its_file_is_placed(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies while it places finds its own files again."""
    place = Placer.place
    locked: list[bool] = []

    def dies(self: Placer, items: Any) -> Any:
        file = locked_files(tmp_path, "f").get("f.bin", {})
        locked.append("sha256" in file)
        place(self, items)
        raise SystemExit("killed")

    with FileServer({"/f.bin": b"some bytes"}) as server:
        write_project(
            tmp_path,
            "p",
            f"artifacts:\n  f: {{source: '{server.url}/f.bin'}}\n",
            "tree:\n  data/: f\n",
        )
        with monkeypatch.context() as patch:
            patch.setattr(Placer, "place", dies)
            space = opened(tmp_path)
            try:
                with pytest.raises(BaseException):  # noqa: B017
                    fetch_all.fetch_all(space)
            finally:
                space.close()
        assert locked == [True] and (tmp_path / "data/f.bin").exists()
        again = cli("all", "--json")
    assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0


def test_an_edited_file_from_the_store_teaches_its_digest(
    tmp_path: Path, hub: HubServer, cli: Cli
) -> None:
    """Its blob is known by its git id alone, and its own bytes are not the source's."""
    one, other = tmp_path / "one", tmp_path / "other"
    for root in (one, other):
        write_project(
            root,
            "p",
            "artifacts:\n  m: {source: 'hf:o/m', files: [config.json]}\n",
            "tree: {m/: m}\nedits: {m/config.json: {a: 2}}\n",
        )
    assert cli("all", cwd=one).code == 0
    assert cli("lock", cwd=other).code == 0
    assert "sha256" not in locked_files(other, "m")["config.json"]
    result = cli("all", "--json", cwd=other)
    assert result.code == 0 and result.json["summary"]["downloaded_bytes"] == 0
    assert locked_files(other, "m") == locked_files(one, "m")
    sealed = cli("all", "--json", cwd=other).json
    (other / ".fetch/state.db").unlink()
    assert cli("all", "--json", cwd=other).json["artifacts"] == sealed["artifacts"]


def test_a_log_tells_a_run_and_no_secret(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "fetcher"):
        fetcher.fetch(root=project, quiet=True)
    told = caplog.text
    for line in (
        "resolved p/m: ",
        "plan of p/m: 2 get",
        "left out p/closed: ",
        "p/m/config.json: from huggingface",
        "fetch.lock written",
    ):
        assert line in told, line
    assert "hf_secret_token" not in told
