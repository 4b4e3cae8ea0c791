"""The pull-through cache: once, proven, kept; its upstream cuts, lies, crawls or is gone."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.kit import git_blob, payload, sha256
from tests.server.kit import Mirror, bearer, serving
from tests.servers.hub import HubServer

LARGE = payload(12_000_000, 21)
FILES = {
    "config.json": b'{"a": 1}\n',
    "model.safetensors": LARGE,
    "notes.txt": payload(1_500_000, 4),  # not in LFS, and larger than is held in memory
    **{f"data/{i:03d}.txt": b"%d" % i for i in range(60)},
}
Start = Callable[..., AbstractContextManager[Mirror]]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", FILES)
        yield server
        assert server.errors == []


@pytest.fixture
def start(hub: HubServer, tmp_path: Path) -> Start:
    (tmp_path / "work").mkdir()

    def begin(*arguments: str | Path, **more: str) -> AbstractContextManager[Mirror]:
        arguments = ("--upstream", hub.url, *arguments)
        return serving(tmp_path, *arguments, cwd=tmp_path / "work", **more)

    return begin


def downloads(hub: HubServer, path: str) -> int:
    """How often a file's bytes were asked for upstream."""
    large = sha256(FILES[path])
    return len(hub.matching(f"GET .*/resolve/.*/{path}")) + len(hub.cdn.matching(f"GET .*{large}"))


def test_it_answers_as_upstream_does(hub: HubServer, start: Start) -> None:
    with start() as mirror:
        info = mirror.ask("/api/models/o/m").json()
        assert info["sha"] == hub.repos["model", "o/m"].refs["refs/heads/main"]
        listed = mirror.ask(f"/api/models/o/m/tree/{info['sha']}?recursive=true").json()
        assert {i["path"] for i in listed if i["type"] == "file"} == FILES.keys()
        for path in ("config.json", "model.safetensors", "notes.txt"):
            head = mirror.ask(f"/o/m/resolve/main/{path}", "HEAD")
            got = mirror.ask(f"/o/m/resolve/main/{path}")
            assert got.body == FILES[path]
            etag = sha256(LARGE) if path.startswith("model") else git_blob(FILES[path])
            assert head.headers["etag"] == got.headers["etag"] == f'"{etag}"'
            assert head.headers["content-length"] == str(len(FILES[path]))
        assert mirror.ask("/o/m/resolve/main/none").code == "EntryNotFound"
        assert mirror.ask("/o/m/resolve/v9/config.json").code == "RevisionNotFound"
        assert mirror.ask("/api/models/o/none").code == "RepoNotFound"
        chats = mirror.ask("/api/models/o/m/tree/main/additional_chat_templates")
        assert chats.code == "EntryNotFound"
        assert 'outcome="fetched"} 3' in mirror.ask("/metrics").body.decode()


def test_one_download_however_many_ask(hub: HubServer, start: Start) -> None:
    hub.cdn.faults.add("GET", "slow", rate=20_000_000)
    with start() as mirror, ThreadPoolExecutor(12) as pool:
        asked = ["/o/m/resolve/main/model.safetensors"] * 12
        assert all(answer.body == LARGE for answer in pool.map(mirror.ask, asked))
        names = [f"/o/m/resolve/main/data/{i:03d}.txt" for i in range(60)] * 2
        bodies = [answer.body for answer in pool.map(mirror.ask, names)]
        assert bodies == [b"%d" % i for i in range(60)] * 2
        assert downloads(hub, "model.safetensors") <= 2  # the redirect, and its target


def test_heads_do_not_wait_for_a_body_on_its_way(hub: HubServer, start: Start) -> None:
    hub.cdn.faults.add("GET", "slow", rate=3_000_000)
    with start() as mirror, ThreadPoolExecutor(1) as pool:
        body = pool.submit(mirror.ask, "/o/m/resolve/main/model.safetensors")
        time.sleep(0.5)
        assert not body.done()
        head = mirror.ask("/o/m/resolve/main/model.safetensors", "HEAD", timeout=60)
        assert head.headers["content-length"] == str(len(LARGE))
        # What is there already leaves at once.
        with urllib.request.urlopen(mirror.url + "/o/m/resolve/main/model.safetensors") as early:
            assert early.read(1000) == LARGE[:1000]
        assert not body.done()
        assert body.result().body == LARGE


def test_it_survives_restarts_and_the_end_of_upstream(hub: HubServer, start: Start) -> None:
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        assert mirror.ask("/o/m/resolve/main/data/007.txt").body == b"7"
        assert mirror.ask("/api/models/o/m/tree/main").status == 200
    hub.stop()
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        assert mirror.ask("/o/m/resolve/main/data/007.txt").body == b"7"
        assert mirror.ask("/o/m/resolve/main/data/008.txt", timeout=60).status in {404, 502}
    with start("--store", hub_store(mirror)) as mirror:
        assert mirror.ask("/o/m/resolve/main/data/007.txt").body == b"7"


def hub_store(mirror: Mirror) -> str:
    """The store that a server says it serves."""
    return mirror.greeting.partition(" of ")[2].partition(" at ")[0]


def test_without_upstream_the_part_that_was_fetched_is_served(
    hub: HubServer, start: Start, tmp_path: Path
) -> None:
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
        assert mirror.ask("/api/models/o/m/tree/main").status == 200
    with serving(tmp_path, "--store", tmp_path / "store", cwd=tmp_path / "work") as mirror:
        listed = mirror.ask("/api/models/o/m/tree/main?recursive=1").json()
        assert [item["path"] for item in listed] == ["config.json"]


def test_a_cut_transfer_is_resumed(hub: HubServer, start: Start) -> None:
    fault = hub.cdn.faults.add("GET", "cut", times=2, n=4_000_000)
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE
    assert fault.hits == 2


def test_wrong_bytes_reach_nobody_as_a_whole(hub: HubServer, start: Start) -> None:
    hub.cdn.faults.add("GET", "flip", times=1)
    with start() as mirror:
        first = mirror.ask("/o/m/resolve/main/model.safetensors")
        assert first.cut or first.body == LARGE
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE
    hub.add_repo("o/lies", {"model.safetensors": LARGE[:-1] + b"!"})
    hub.cdn.faults.add("GET", "flip", times=99)
    with start() as mirror:
        answer = mirror.ask("/o/lies/resolve/main/model.safetensors", timeout=60)
        assert answer.cut or answer.status == 502


def test_ranges_that_arrive_side_by_side(hub: HubServer, start: Start) -> None:
    data = payload(1 << 20, 31) * 80
    hub.add_repo("o/large", {"model.safetensors": data})
    with start() as mirror:
        assert mirror.ask("/o/large/resolve/main/model.safetensors").body == data
        assert mirror.ask("/o/large/resolve/main/model.safetensors").body == data


def test_the_hubs_client_pulls_through(hub: HubServer, start: Start, tmp_path: Path) -> None:
    with start() as mirror:
        for name in ("cold", "warm"):
            api = HfApi(endpoint=mirror.url, token=False)
            folder = Path(api.snapshot_download("o/m", cache_dir=tmp_path / name))
            assert {path: (folder / path).read_bytes() for path in FILES} == FILES
        text = mirror.ask("/metrics").body.decode()
        assert f'outcome="fetched"}} {len(FILES)}\n' in text


def test_branches_move_and_gated_content_takes_a_token(
    hub: HubServer, start: Start, tmp_path: Path
) -> None:
    hub.add_repo("o/gated", {"config.json": b"{}"}, gated="auto")
    hub.add_token("hf_operator", approved=["o/gated"])
    tokens = tmp_path / "tokens"
    tokens.write_text("reader read reader-token-1\n")
    with start("--tokens", tokens, HF_TOKEN="hf_operator") as mirror:
        assert mirror.ask("/o/gated/resolve/main/config.json").code == "RepoNotFound"
        assert mirror.ask("/api/models/o/gated").code == "RepoNotFound"
        reader = bearer("reader-token-1")
        assert mirror.ask("/o/gated/resolve/main/config.json", headers=reader).body == b"{}"
        assert mirror.ask("/o/gated/resolve/main/config.json").code == "RepoNotFound"
    assert not [r for r in hub.requests if r.token not in (None, "hf_operator")]
