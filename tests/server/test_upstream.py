"""The pull-through cache: once, proven, kept; its upstream cuts, lies, crawls or is gone."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from fetcher.store import gc
from fetcher.store.demands import demands
from fetcher.store.store import Store
from tests.conftest import write_project
from tests.kit import git_blob, payload, sha256
from tests.oracles import CLIENTS, client
from tests.server.kit import Mirror, bearer, fetch, serving
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
        assert mirror.ask("/o/m/resolve/main/data/008.txt", timeout=60).status == 503
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


# One file alone: nobody asked for a listing


def test_a_file_that_was_asked_for_alone_is_found_again_by_name(
    hub: HubServer, start: Start, tmp_path: Path
) -> None:
    commit = hub.repos["model", "o/m"].refs["refs/heads/main"]
    hub.set_ref("o/m", "v1", commit, tag=True)
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        assert mirror.ask("/o/m/resolve/v1/config.json").body == FILES["config.json"]
        assert not hub.matching("GET .*/tree/")
    url, store = hub.url, hub_store(mirror)
    hub.stop()
    offline = {"FETCH_OFFLINE": "1"}
    for arguments, more in [
        (("--upstream", url), {}),  # away for a while
        (("--upstream", url), offline),  # nobody is to ask
        (("--store", store), {}),  # the next site
    ]:
        with serving(tmp_path, *arguments, cwd=tmp_path / "work", **more) as mirror:
            for revision in ("main", "v1", commit):
                got = mirror.ask(f"/o/m/resolve/{revision}/model.safetensors")
                assert got.body == LARGE and got.headers["x-repo-commit"] == commit
                assert mirror.ask(f"/o/m/resolve/{revision}/config.json", "HEAD").status == 200
            listed = mirror.ask("/api/models/o/m/tree/main?recursive=1")
            assert [i["path"] for i in listed.json()] == ["config.json", "model.safetensors"]
            assert listed.headers["x-fetch-listing"] == "part"
            assert mirror.ask("/api/models/o/m").json()["sha"] == commit
            assert mirror.ask("/api/models?search=o/m").json()[0]["id"] == "o/m"
            refs = mirror.ask("/api/models/o/m/refs").json()
            assert [(r["name"], r["targetCommit"]) for r in refs["branches"]] == [("main", commit)]
            assert [(r["name"], r["targetCommit"]) for r in refs["tags"]] == [("v1", commit)]
            assert url in mirror.greeting


@pytest.mark.parametrize("library", CLIENTS)
def test_the_hubs_client_finds_it_while_upstream_is_away(
    hub: HubServer, start: Start, tmp_path: Path, library: str
) -> None:
    load = "import sys, huggingface_hub as h; print(h.hf_hub_download('o/m', sys.argv[1]))"
    every = "import huggingface_hub as h; print(h.snapshot_download('o/m'))"

    def run(code: str, *arguments: str, home: str) -> Path:
        there = {"HF_ENDPOINT": mirror.url, "HF_HOME": str(tmp_path / home)}
        return Path(client(code, *arguments, path=library, **there))

    with start() as mirror:
        for name in ("config.json", "model.safetensors"):
            assert run(load, name, home="online").read_bytes() == FILES[name]
    hub.stop()
    with start() as mirror:
        for name in ("config.json", "model.safetensors"):
            assert run(load, name, home="offline").read_bytes() == FILES[name]
        folder = run(every, home="whole")
        assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_a_name_is_kept_for_what_was_in_the_store_before(hub: HubServer, start: Start) -> None:
    """The bytes come by one repository, the name by another: nothing is fetched for it."""
    hub.add_repo("o/twin", {"weights.safetensors": LARGE, "c.json": FILES["config.json"]})
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
        before = len(hub.requests)
        assert mirror.ask("/o/twin/resolve/main/weights.safetensors").body == LARGE
        assert mirror.ask("/o/twin/resolve/main/c.json").body == FILES["config.json"]
        assert not [r for r in hub.requests[before:] if "/resolve/" in r.target]
    hub.stop()
    with start() as mirror:
        assert mirror.ask("/o/twin/resolve/main/weights.safetensors").body == LARGE
        assert mirror.ask("/o/twin/resolve/main/c.json").body == FILES["config.json"]


def test_gc_keeps_what_was_fetched_by_name(hub: HubServer, start: Start, tmp_path: Path) -> None:
    stray = sha256(b"nobody's")
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
    store = Store(Path(hub_store(mirror)))
    (store.blobs / stray).write_bytes(b"nobody's")
    needed = demands(store)
    assert not needed.unknown
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "YOUNG_SECONDS", -1)
        done = gc.sweep(store, needed, dry_run=False)
    assert done.blobs == [stray]
    assert [(one.why, one.goes) for one in done.groups if one.of == gc.BLOBS] == [
        ("unneeded", True),
        ("said", False),
    ]
    hub.stop()
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]


def test_an_empty_folder_begins_as_a_store(hub: HubServer, tmp_path: Path) -> None:
    for name in ("new", "empty"):
        store = tmp_path / name
        if name == "empty":
            store.mkdir()
        flags = ("--store", store, "--upstream", hub.url)
        with serving(tmp_path, *flags, cwd=tmp_path) as mirror:
            assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
        with serving(tmp_path, "--store", store, cwd=tmp_path) as mirror:
            assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]


@pytest.mark.parametrize(
    "stage", ["/revision/", "/paths-info/", "/resolve/", "body", "small", "end"]
)
def test_a_killed_server_keeps_what_anybody_has_whole(
    hub: HubServer, start: Start, stage: str
) -> None:
    """Killed at each question to upstream, while bytes come, right after the last one."""
    whole: dict[str, bytes] = {}
    with start() as mirror:
        assert mirror.ask("/o/m/resolve/main/notes.txt").body == FILES["notes.txt"]
        whole["notes.txt"] = FILES["notes.txt"]
        hub.add_repo("o/other", {"model.safetensors": LARGE[1:], "a.txt": b"small"})
        path = "a.txt" if stage == "small" else "model.safetensors"
        if stage == "body":
            hub.cdn.faults.add("GET", "slow", rate=6_000_000)
            threading.Timer(0.7, mirror.kill).start()
        elif stage.startswith("/"):
            hub.hook(stage, mirror.kill)
        with suppress(OSError, http.client.HTTPException):
            got = mirror.ask(f"/o/other/resolve/main/{path}")
            if not got.cut:
                whole["a.txt"] = got.body
        if stage in {"small", "end"}:
            mirror.kill()
        mirror.killed = True
        mirror.process.wait()
    hub.cdn.faults.clear()
    with start() as mirror:
        assert mirror.ask("/o/other/resolve/main/model.safetensors").body == LARGE[1:]
        mirror.kill()
    hub.stop()
    with start() as mirror:
        assert mirror.ask("/o/other/resolve/main/model.safetensors").body == LARGE[1:]
        assert mirror.ask("/o/m/resolve/main/notes.txt").body == FILES["notes.txt"]
        if stage == "small":
            assert mirror.ask("/o/other/resolve/main/a.txt").body == whole["a.txt"] == b"small"


def test_two_servers_on_one_store(hub: HubServer, start: Start) -> None:
    """What one has fetched, the other serves while upstream is away, without a restart."""
    with start() as one, start() as two:
        assert two.ask("/o/m/resolve/main/data/001.txt").body == b"1"
        names = [f"data/{i:03d}.txt" for i in range(40)]
        with ThreadPoolExecutor(8) as pool:
            asked = [(mirror, name) for name in names for mirror in (one, two)]
            bodies = pool.map(lambda p: p[0].ask(f"/o/m/resolve/main/{p[1]}").body, asked)
            assert all(body == FILES[name] for body, (_, name) in zip(bodies, asked, strict=True))
        assert one.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        hub.stop()
        assert two.ask("/o/m/resolve/main/model.safetensors").body == LARGE
    with start() as mirror:
        for name in [*names, "model.safetensors"]:
            assert mirror.ask(f"/o/m/resolve/main/{name}").body == FILES[name]


def test_a_chain_of_two_mirrors(hub: HubServer, start: Start, tmp_path: Path) -> None:
    """The second one hears the first one's no, its silence, and that it lists a part."""
    home = tmp_path / "second"
    (home / "work").mkdir(parents=True)
    hub.add_repo("o/gated", {"config.json": b"{}"}, gated="auto")
    alone = {"a.txt": b"a", "b.txt": b"b"}
    commit = hub.add_repo("o/alone", alone)

    def second(url: str) -> AbstractContextManager[Mirror]:
        return serving(home, "--upstream", url, cwd=home / "work")

    flags = ("--port", str(free_port()))
    with start(*flags) as one, second(one.url) as two:
        assert two.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        assert two.ask("/o/m/resolve/main/none").code == "EntryNotFound"
        assert two.ask("/api/models/o/none").code == "RepoNotFound"
        assert two.ask("/o/m/resolve/v9/config.json").code == "RevisionNotFound"
        assert two.ask("/o/gated/resolve/main/config.json").code == "GatedRepo"
        assert one.ask("/o/alone/resolve/main/a.txt").body == b"a"
    port = hub.port
    hub.stop()
    with start(*flags) as one, second(one.url) as two:
        assert two.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        held = two.ask("/api/models/o/alone/tree/main?recursive=1")
        assert [i["path"] for i in held.json()] == ["a.txt"]
        assert two.ask("/o/alone/resolve/main/a.txt").body == b"a"
        answer = two.ask("/o/alone/resolve/main/b.txt")
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
        store = hub_store(one)
        one_url = one.url
    with second(one_url) as two:  # both are away
        assert two.ask("/o/m/resolve/main/model.safetensors").body == LARGE
        assert two.ask("/o/m/resolve/main/config.json").status == 503
    with (
        serving(tmp_path, "--store", store, *flags, cwd=tmp_path / "work") as one,
        second(one.url) as two,
    ):  # the first one has a part for good
        assert two.ask("/o/alone/resolve/main/b.txt").code == "EntryNotFound"
        assert two.ask("/o/alone/resolve/main/a.txt").body == b"a"
    with HubServer(port) as again:
        again.add_repo("o/alone", alone, sha=commit)
        with start(*flags) as one, second(one.url) as two:
            assert two.ask("/o/alone/resolve/main/b.txt").body == b"b"
            listed = two.ask("/api/models/o/alone/tree/main?recursive=1").json()
            assert {i["path"] for i in listed} == alone.keys()


def test_fetch_all_through_a_chain_and_without_upstream(
    hub: HubServer, start: Start, tmp_path: Path
) -> None:
    text = 'artifacts:\n  a: {source: "hf:o/m", files: [config.json, model.safetensors]}\n'
    for name in ("online", "offline"):
        write_project(tmp_path / name, "p", text, "tree:\n  a/: a\n")

    def all_(name: str, url: str) -> None:
        own = {"FETCH_STORE": str(tmp_path / f"{name}-store")}
        fetch(tmp_path, "all", "--quiet", cwd=tmp_path / name, HF_ENDPOINT=url, **own)
        root = tmp_path / name / "a"
        assert (root / "model.safetensors").read_bytes() == LARGE

    with start() as mirror:
        all_("online", mirror.url)
    hub.stop()
    with start() as mirror:
        all_("offline", mirror.url)
    locks = [(tmp_path / name / "fetch.lock").read_text() for name in ("online", "offline")]
    said_by = [re.sub(r"127\.0\.0\.1:\d+", "the mirror", lock) for lock in locks]
    assert said_by[0] == said_by[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
