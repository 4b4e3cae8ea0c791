"""What a run's Hub says is kept for the person who asked, and believed of nobody else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.config.settings import load
from fetcher.sources.base import Listing
from fetcher.store import upstream_records
from fetcher.store.listings import SaidCommit
from fetcher.store.upstream_records import UpstreamRecords
from tests.conftest import Cli, write_project
from tests.kit import git_blob, sha256
from tests.servers.hub import HubServer

COMMIT = "c" * 40
FILES = {"config.json": b"{}", "sub/weights.safetensors": b"weights" * 100}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", FILES)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def a_project(root: Path, source: str = "hf:o/m") -> None:
    write_project(root, "p", f"artifacts:\n  m: {{source: '{source}'}}\n", "tree: {m/: m}\n")


def commit_of(hub: HubServer) -> str:
    return hub.repos["model", "o/m"].commit("main").sha


def said(root: Path, hub: HubServer) -> SaidCommit:
    records = upstream_records.of_person(load(root))
    assert records is not None
    return records.said_of("model", "o/m", commit_of(hub))


@pytest.mark.parametrize("command", ["all", "lock"])
def test_a_run_keeps_what_its_hub_listed(
    tmp_path: Path, cli: Cli, hub: HubServer, command: str
) -> None:
    a_project(tmp_path)
    before = int(time.time())
    assert cli(command).code == 0
    found = said(tmp_path, hub)
    assert FILES.keys() == found.files.keys()
    assert found.files["config.json"].git_blob == git_blob(b"{}")
    assert found.files["sub/weights.safetensors"].sha256 == sha256(FILES["sub/weights.safetensors"])
    assert found.refs.keys() == {"main"} and found.refs["main"] >= before
    assert not found.closed


def test_a_run_with_nothing_to_ask_keeps_nothing(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    a_project(tmp_path)
    assert cli("all").code == 0
    store = load(tmp_path).store
    (record,) = store.glob("upstream/*/*/*.pages")
    record.unlink()
    assert cli("all").code == 0 and not record.exists()


def test_a_listing_read_with_a_login_is_its_reader_s(
    tmp_path: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_token("hf_me")
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    a_project(tmp_path)
    assert cli("lock").code == 0
    assert said(tmp_path, hub).closed
    (record,) = load(tmp_path).store.glob("upstream/*/*/*.pages")
    assert record.stat().st_mode & 0o777 == 0o600
    assert b"hf_me" not in record.read_bytes()


@pytest.mark.parametrize("name", ["fetch.yaml", ".env"])
def test_what_a_clone_s_own_endpoint_says_is_nobody_s_knowledge(
    tmp_path: Path, cli: Cli, hub: HubServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clone names a Hub of its own, or rewrites the person's."""
    monkeypatch.delenv("HF_ENDPOINT")
    a_project(tmp_path)
    text = f"hf_endpoint: {hub.url}\n" if name == "fetch.yaml" else f"HF_ENDPOINT={hub.url}\n"
    (tmp_path / name).write_text(text)
    assert cli("lock").code == 0
    assert not list(load(tmp_path).store.glob("upstream/*"))
    (tmp_path / name).write_text(f"rewrite: https://huggingface.co={hub.url}\n")
    (tmp_path / name).rename(tmp_path / "fetch.yaml")
    assert cli("lock", "--update", "m").code == 0
    assert not list(load(tmp_path).store.glob("upstream/*"))


def test_a_store_of_the_clone_s_is_not_where_knowledge_is_kept_or_read(
    tmp_path: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clone brings a store with records of its own."""
    monkeypatch.delenv("FETCH_STORE")
    a_project(tmp_path)
    (tmp_path / "fetch.yaml").write_text("store: st\n")
    commit = commit_of(hub)
    page = b'[{"type": "file", "path": "evil", "size": 1, "oid": "%s"}]' % (b"a" * 40)
    lie = Listing(hub.url, "model", "o/m", commit, "main", "", (page,), False)
    UpstreamRecords(tmp_path / "st", hub.url).add_pages(lie)
    assert said(tmp_path, hub) == SaidCommit()
    assert cli("lock").code == 0
    assert "evil" not in said(tmp_path, hub).files and said(tmp_path, hub).files


@pytest.mark.skipif(os.name != "posix", reason="owners and modes")
def test_a_record_that_others_may_write_does_not_count(tmp_path: Path) -> None:
    records = UpstreamRecords(tmp_path, "https://hub.example")
    page = b'[\n{"type": "file", "path": "f", "size": 1, "oid": "%s"}]\n' % (b"a" * 40)
    records.add_pages(Listing(records.url, "model", "o/m", COMMIT, "main", "", (page,), False))
    assert records.said_of("model", "o/m", COMMIT).files["f"].git_blob == "a" * 40
    (record,) = tmp_path.glob("upstream/*/*/*.pages")
    record.chmod(0o666)
    assert records.said_of("model", "o/m", COMMIT) == SaidCommit()
    record.chmod(0o644)
    for torn in (b"", b"\0" * 100, record.read_bytes()[:-20], b"{}\n" + page):
        record.write_bytes(torn)
        assert records.said_of("model", "o/m", COMMIT) == SaidCommit()


def test_ten_thousand_files_cost_next_to_nothing(tmp_path: Path) -> None:
    one = '{"type":"file","oid":"%040x","size":5,"path":"images/%08d.jpg"}'
    pages = [
        ("[" + ",".join(one % (n, n) for n in range(p, p + 1000)) + "]").encode()
        for p in range(0, 10_000, 1000)
    ]
    records = UpstreamRecords(tmp_path, "https://hub.example")
    listing = Listing(records.url, "dataset", "o/d", COMMIT, "main", "", tuple(pages), False)
    costs = []
    for _ in range(5):
        start = time.process_time()
        records.add_pages(listing)
        costs.append(time.process_time() - start)
    assert min(costs) < 0.005
    assert len(records.said_of("dataset", "o/d", COMMIT).files) == 10_000
