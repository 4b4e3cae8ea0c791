"""Upstreams that lie, contradict themselves, send elsewhere or are away; honest ones beside."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fetcher.config.settings import Settings
from fetcher.server.metrics import Metrics
from fetcher.server.upstream import _MOST_REPOS, HubUpstream
from fetcher.store.store import Store
from tests.kit import payload, sha256, wait_for
from tests.server.kit import Mirror, bearer, serving
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

LARGE = payload(3_000_000, 21)
EVIL = payload(3_000_000, 66)
FILES = {"config.json": b'{"a": 1}\n', "model.safetensors": LARGE}
OFFLINE = {"FETCH_OFFLINE": "1"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo("o/m", FILES)
        yield server
        assert server.errors == []


def serve(home: Path, *arguments: str | Path, **more: str) -> AbstractContextManager[Mirror]:
    (home / "work").mkdir(exist_ok=True)
    return serving(home, *arguments, cwd=home / "work", **more)


def asked_bytes(hub: HubServer) -> int:
    """How often bytes of files were asked for."""
    return len(hub.matching("GET .*/resolve/")) + len(hub.cdn.matching("GET "))


def test_a_liar_of_yesterday_says_nothing_today(hub: HubServer, tmp_path: Path) -> None:
    """A Hub that was upstream once lists other bytes, files and branches of a repository."""
    evil = {"config.json": b'{"evil": 1}\n', "model.safetensors": EVIL, "modeling_x.py": b"evil"}
    true = hub.repos["model", "o/m"].refs["refs/heads/main"]
    with HubServer() as liar:
        # The very commit of the honest one, and a repository that the honest one has not.
        liar.add_repo("o/m", evil, sha=true)
        liar.set_ref("o/m", "v1", true, tag=True)
        liar.add_repo("o/only", {"a.txt": b"evil too"})
        with serve(tmp_path, "--upstream", liar.url) as mirror:
            for path, data in evil.items():
                assert mirror.ask(f"/o/m/resolve/main/{path}").body == data
            assert mirror.ask("/api/models/o/m/tree/v1").status == 200
            assert mirror.ask("/o/only/resolve/main/a.txt").body == b"evil too"
        liar_url = liar.url

    def honest(mirror: Mirror, paths: list[str]) -> None:
        for revision in ("main", true):
            listed = mirror.ask(f"/api/models/o/m/tree/{revision}?recursive=1").json()
            assert [item["path"] for item in listed] == paths
            for path in paths:
                assert mirror.ask(f"/o/m/resolve/{revision}/{path}").body == FILES[path]
            assert mirror.ask(f"/o/m/resolve/{revision}/modeling_x.py").status == 404
        assert mirror.ask("/api/models/o/m").json()["sha"] == true
        refs = mirror.ask("/api/models/o/m/refs").json()
        assert [ref["name"] for ref in refs["branches"] + refs["tags"]] == ["main"]
        assert "evil" not in mirror.ask("/projects/fetch.lock").body.decode()
        listed = mirror.ask("/files/").json()["artifacts"]
        assert {item["name"] for item in listed} <= {"o/m"}

    # Away from the first moment on: nothing that the liar said is there in the other's name.
    url = hub.url
    with serve(tmp_path, "--upstream", url, **OFFLINE) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").code == "RepoNotFound"
        assert mirror.ask("/o/only/resolve/main/a.txt").code == "RepoNotFound"
    with serve(tmp_path, "--upstream", url) as mirror:
        honest(mirror, sorted(FILES))
        assert mirror.ask("/o/m/resolve/v1/config.json").code == "RevisionNotFound"
        assert mirror.ask("/o/only/resolve/main/a.txt").code == "RepoNotFound"
        store = mirror.greeting.partition(" of ")[2].partition(" at ")[0]
    hub.stop()
    with serve(tmp_path, "--upstream", url + "/") as mirror:
        honest(mirror, sorted(FILES))
        assert mirror.ask("/o/m/resolve/v1/config.json").status == 503
        assert mirror.ask("/o/only/resolve/main/a.txt").status == 503
    # Two have spoken: the whole store shows neither's word, until a person says whose.
    with serve(tmp_path, "--store", store) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").code == "RepoNotFound"
        assert mirror.ask(f"/blobs/sha256/{sha256(LARGE)}").body == LARGE
        assert url in mirror.greeting and liar_url in mirror.greeting
        assert "FETCH_OFFLINE=1 fetch serve --upstream URL" in mirror.greeting
    with serve(tmp_path, "--store", store, "--upstream", url, **OFFLINE) as mirror:
        honest(mirror, sorted(FILES))
        assert f"what was fetched from {url} is served as it said" in mirror.greeting


def test_what_an_earlier_version_kept_in_nobodys_name_is_gone(
    hub: HubServer, tmp_path: Path
) -> None:
    """A listing of a repository that does not say who gave it, as earlier versions kept them."""
    root = tmp_path / "store/upstream/model--o--m-123456789abc"
    (root / "manifests").mkdir(parents=True)
    file = f'{{"path": "evil.py", "size": 1, "sha256": "{sha256(b"e")}"}}'
    (root / "fetch.lock").write_text(
        '{"schema": "fetch.lock/1", "manifests": {"upstream-1": {"'
        + "e" * 40
        + '": {"source": "hf:o/m@main", "revision": "'
        + "e" * 40
        + f'", "files": [{file}]}}}}}}}}'
    )
    (root / "manifests/upstream-1.yaml").write_text(
        '{"manifest": "upstream-1", "artifacts": {"' + "e" * 40 + '": {"source": "hf:o/m@main", '
        '"visibility": "public"}}}'
    )
    (tmp_path / "store/projects").mkdir()
    (tmp_path / f"store/projects/{root.name}.json").write_text(f'{{"root": "{root}"}}')
    (tmp_path / "store/blobs/sha256").mkdir(parents=True)
    (tmp_path / "store/blobs/sha256" / sha256(b"e")).write_bytes(b"e")
    with serve(tmp_path, "--store", tmp_path / "store") as mirror:
        assert mirror.ask("/o/m/resolve/main/evil.py").code == "RepoNotFound"
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        assert mirror.ask("/o/m/resolve/main/evil.py").code == "EntryNotFound"
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
    assert not root.exists()


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("lie", ["digest", "size", "elsewhere", "page"])
def test_a_lie_is_downloaded_twice_at_most(
    hub: HubServer, tmp_path: Path, path: str, lie: str
) -> None:
    """Bytes that are not what the listing says: other ones, too many, another host's, a page."""
    hub.add_repo("o/liar", {path: EVIL if path.startswith("model") else b'{"b": 2}\n'})
    where = hub.cdn if path.startswith("model") and lie != "elsewhere" else hub
    pattern = "GET .*liar.*/resolve/" if where is hub else "GET "
    with FileServer() as elsewhere:
        elsewhere.add("x", b"not this either" * 200_000)
        if lie == "elsewhere":
            where.faults.add(pattern, "redirect", to=f"{elsewhere.url}/x")
        else:
            kind = {"digest": "flip", "size": "overlong", "page": "html"}[lie]
            where.faults.add(pattern, kind)
        with serve(tmp_path, "--upstream", hub.url) as mirror:
            answers = [mirror.ask(f"/o/liar/resolve/main/{path}", timeout=60) for _ in range(9)]
            assert all(a.cut or a.status == 502 for a in answers)
            assert all(a.status == 502 and not a.cut for a in answers[1:])
            assert mirror.url not in answers[-1].json()["error"]
            assert hub.url in answers[-1].json()["error"]
            assert mirror.ask(f"/o/liar/resolve/main/{path}", "HEAD").status == 502
            wrong = len(hub.matching("GET .*liar.*/resolve/")), len(hub.cdn.matching("GET "))
            assert max(wrong) <= 2, wrong
            assert len(elsewhere.requests) <= 2
            where.faults.clear()
            # The honest one beside it.
            for name, data in FILES.items():
                assert mirror.ask(f"/o/m/resolve/main/{name}").body == data
            for data in (EVIL, b'{"b": 2}\n'):
                assert mirror.ask(f"/blobs/sha256/{sha256(data)}").status == 404


@pytest.mark.parametrize("sound", [False, True])
def test_who_asks_amid_the_second_try_gets_no_doubtful_byte(
    hub: HubServer, tmp_path: Path, sound: bool
) -> None:
    """The first try was wrong, the second is under way: half of it has come."""
    hub.add_repo("o/liar", {"w.safetensors": EVIL})
    go_on = threading.Event()
    hub.cdn.faults.add("GET ", "flip", times=1 if sound else None)
    hub.cdn.faults.add("GET ", "stall", after=1, n=len(EVIL) // 2, until=go_on)
    with serve(tmp_path, "--upstream", hub.url) as mirror, ThreadPoolExecutor(2) as pool:
        first = pool.submit(mirror.ask, "/o/liar/resolve/main/w.safetensors", timeout=60)
        wait_for(lambda: len(hub.cdn.matching("GET ")) == 2)
        second = pool.submit(mirror.ask, "/o/liar/resolve/main/w.safetensors", timeout=60)
        with suppress(TimeoutError):  # it waits for the proof
            second.result(0.5)
        go_on.set()
        answer = second.result(60)
        assert (answer.status, answer.cut) == ((200, False) if sound else (502, False))
        assert answer.body == EVIL if sound else hub.url in answer.json()["error"]
        assert first.result(60).cut or first.result().body == answer.body


def test_a_range_is_never_of_two_tries(hub: HubServer, tmp_path: Path) -> None:
    """Who has the first try's bytes of a range, and reads slowly while the second overtakes."""
    large = payload(40_000_000, 7)
    hub.add_repo("o/big", {"w.safetensors": large})
    go_on = threading.Event()
    hub.cdn.faults.add("GET ", "flip", times=1, at=1)
    hub.cdn.faults.add("GET ", "stall", times=1, n=30_000_000, until=go_on)
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        url = urlsplit(mirror.url)
        with socket.create_connection((url.hostname, url.port or 0), timeout=60) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            line.sendall(
                b"GET /o/big/resolve/main/w.safetensors HTTP/1.1\r\nHost: x\r\n"
                b"Range: bytes=0-39999998\r\nConnection: close\r\n\r\n"
            )
            came = line.recv(1 << 16)
            go_on.set()
            wait_for(lambda: mirror.ask("/o/big/resolve/main/w.safetensors", "HEAD").status == 200)
            wait_for(lambda: len(hub.cdn.matching("GET ")) >= 2)
            assert mirror.ask("/o/big/resolve/main/w.safetensors", timeout=60).body == large
            with suppress(ConnectionResetError):  # it is cut off, however that looks
                while piece := line.recv(1 << 20):
                    came += piece
    head, _, body = came.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206")
    assert body == large[:-1] or len(body) < len(large) - 1


def test_one_repositorys_lie_is_not_anothers(hub: HubServer, tmp_path: Path) -> None:
    """A repository claims the digest of another one's file, and gives other bytes for it."""
    hub.add_repo("o/liar", {"w.safetensors": LARGE})
    hub.faults.add("GET .*o/liar/resolve/", "html")
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        assert mirror.ask("/o/liar/resolve/main/w.safetensors").status == 502
        assert mirror.ask("/o/m/resolve/main/model.safetensors").body == LARGE


@pytest.mark.parametrize(
    ("pattern", "kind", "params"),
    [
        ("GET /api/", "html", {}),
        ("GET /api/", "status", {"code": 200, "body": "[[[["}),
        ("GET /api/", "status", {"code": 200, "body": '{"sha": "../../etc"}'}),
        ("GET /api/", "status", {"code": 200, "body": '{"sha": 7}'}),
        ("GET .*/tree/", "status", {"code": 200, "body": '[{"type": "file", "path": "a"}]'}),
    ],
)
def test_nonsense_is_no_absence(
    hub: HubServer, tmp_path: Path, pattern: str, kind: str, params: dict[str, Any]
) -> None:
    """A sign-in page, half a JSON, a commit that is a path: nothing of it says "not there"."""
    hub.faults.add(pattern, kind, **params)
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        for _ in range(5):
            for method in ("GET", "HEAD"):
                answer = mirror.ask("/api/models/o/m/tree/main", method)
                assert answer.status == 502 and not answer.code
        assert len(hub.matching(pattern)) <= 2


def test_a_path_that_leads_out_is_refused_by_name(hub: HubServer, tmp_path: Path) -> None:
    """A listing with `../` in it is nothing that is kept or served."""
    hub.add_repo("o/out", {"a.txt": b"a"})
    hub.add_raw_tree_entry("o/out", "../../escape")
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        answer = mirror.ask("/api/models/o/out/tree/main?recursive=1")
        assert answer.status == 502 and "escape" in answer.json()["error"]
        assert mirror.ask("/o/out/resolve/main/a.txt").body == b"a"
    assert not list(tmp_path.rglob("*escape*"))


def test_an_upstream_that_is_away_denies_nothing(hub: HubServer, tmp_path: Path) -> None:
    """Silence must not look like "does not exist": clients would believe it, and remember it."""
    commit = hub.repos["model", "o/m"].refs["refs/heads/main"]
    hub.add_repo("o/held", {"a.txt": b"held"})
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        assert mirror.ask("/o/held/resolve/main/a.txt").body == b"held"
    url = hub.url
    hub.stop()
    with serve(tmp_path, "--upstream", url) as mirror:
        for address in (
            "/api/models/o/m",
            "/api/models/o/m/revision/main",
            f"/api/models/o/m/revision/{commit}",
            f"/api/models/o/m/tree/{commit}",
            "/api/models/o/m/refs",
            "/api/datasets/o/m",
            "/o/m/resolve/main/config.json",
            f"/o/m/resolve/{commit}/config.json",
            "/o/m/raw/main/config.json",
            "/o/held/resolve/main/other.txt",
            "/o/held/resolve/v9/a.txt",
        ):
            for method in ("GET", "HEAD"):
                answer = mirror.ask(address, method)
                assert answer.status == 503 and not answer.code, address
                assert 1 <= int(answer.headers["retry-after"]) <= 300
                assert "cannot be reached" in answer.headers["x-error-message"]
        assert mirror.ask("/o/held/resolve/main/a.txt").body == b"held"
        assert mirror.ask("/api/models/o/held/tree/main").status == 200
        assert mirror.says("what is held is served")
    with HubServer(hub.port) as again:
        again.add_repo("o/m", FILES, sha=commit)
        with serve(tmp_path, "--upstream", url) as mirror:
            assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_upstream_that_is_busy_denies_nothing(
    hub: HubServer, tmp_path: Path, status: int
) -> None:
    """Errors of upstream's own, on every address."""
    hub.faults.add(".", "status", code=status, retry_after=1 if status == 429 else None)
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        for address in ("/api/models/o/m", "/o/m/resolve/main/config.json"):
            answer = mirror.ask(address, timeout=60)
            assert answer.status == 503 and answer.headers["retry-after"]


def test_an_upstream_that_comes_back_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    """A server that found it away once must not stay blind."""
    url, port = hub.url, hub.port
    hub.stop()
    with serve(tmp_path, "--upstream", url) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").status == 503
        with HubServer(port) as again:
            again.add_repo("o/m", FILES)
            answer = mirror.ask("/o/m/resolve/main/config.json")
            waited = 0
            while answer.status == 503 and waited < 8:
                again.pause(1)
                waited += 1
                answer = mirror.ask("/o/m/resolve/main/config.json")
            assert answer.body == FILES["config.json"]


def test_upstreams_own_no_is_its_no(hub: HubServer, tmp_path: Path) -> None:
    """A repository that upstream took away must not live on in its name; nor an operator's
    missing right look like an absence."""
    hub.add_repo("o/gated", {"config.json": b"{}"}, gated="manual")
    hub.add_repo("o/private", {"config.json": b"{}"}, private=True)
    hub.add_repo("o/gone", {"config.json": b"{}"})
    tokens = tmp_path / "tokens"
    tokens.write_text("reader read reader-token-1\n")
    reader = bearer("reader-token-1")
    with serve(tmp_path, "--upstream", hub.url, "--tokens", tokens) as mirror:
        for headers in ({}, reader):
            gated = mirror.ask("/o/gated/resolve/main/config.json", headers=headers)
            assert (gated.status, gated.code) == (403, "GatedRepo")
            for name in ("o/private", "o/none"):
                for address in (f"/api/models/{name}", f"/{name}/resolve/main/config.json"):
                    answer = mirror.ask(address, headers=headers)
                    assert (answer.status, answer.code) == (401, "RepoNotFound")
        assert mirror.ask("/o/gone/resolve/main/config.json").body == b"{}"
    del hub.repos["model", "o/gone"]
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        assert mirror.ask("/o/gone/resolve/main/config.json").code == "RepoNotFound"
    # A token of the operator's that upstream does not know any more says nothing of repositories.
    with serve(tmp_path, "--upstream", hub.url, HF_TOKEN="hf_expired") as mirror:
        answer = mirror.ask("/o/m/resolve/main/config.json")
        assert answer.status == 502 and "HF_TOKEN" in answer.json()["error"]
        assert "hf_expired" not in answer.body.decode()


def test_a_commit_that_is_told_in_two_ways_is_named(hub: HubServer, tmp_path: Path) -> None:
    """A listing that contradicts what the same Hub said of the same commit before."""
    commit = hub.repos["model", "o/m"].refs["refs/heads/main"]
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]
        hub.add_repo("o/m", {**FILES, "config.json": b"other"}, sha=commit)
        assert mirror.ask("/api/models/o/m/tree/main").status == 200
        assert mirror.says("config.json is not what was said of it before")


def test_what_upstream_closed_stays_closed(hub: HubServer, tmp_path: Path) -> None:
    """Gated content that the operator's account may read is asked for by others: from the next
    site, while upstream is away, by digest, and by a project that claims it as public."""
    gated = payload(50_000, 5)
    hub.add_repo("o/gated", {"w.safetensors": gated}, gated="auto")
    hub.add_token("hf_operator", approved=["o/gated"])
    tokens = tmp_path / "tokens"
    tokens.write_text("reader read reader-token-1\n")
    operator, reader = {"HF_TOKEN": "hf_operator"}, bearer("reader-token-1")
    address = "/o/gated/resolve/main/w.safetensors"
    digest = f"/blobs/sha256/{sha256(gated)}"
    flags = ("--upstream", hub.url, "--tokens", tokens)
    with serve(tmp_path, *flags, **operator) as mirror:
        assert mirror.ask(address, headers=reader).body == gated
        store = mirror.greeting.partition(" of ")[2].partition(" at ")[0]
    hub.stop()
    thief = tmp_path / "thief"
    (thief / "manifests").mkdir(parents=True)
    (thief / "manifests/t.yaml").write_text(
        'manifest: t\nvisibility: public\nartifacts:\n  x: {source: "hf:t/x@main"}\n'
    )
    (thief / "fetch.lock").write_text(
        '{"schema": "fetch.lock/1", "manifests": {"t": {"x": {"source": "hf:t/x@main", '
        f'"revision": "{"c" * 40}", "files": [{{"path": "x", "size": {len(gated)}, '
        f'"sha256": "{sha256(gated)}"}}]}}}}}}}}'
    )
    (Path(store) / "projects").mkdir(exist_ok=True)
    (Path(store) / "projects/thief.json").write_text(f'{{"root": "{thief}"}}')
    for arguments in (("--upstream", hub.url), ("--store", store)):
        for more in ((), ("--trust-forwarded",), ("--tokens", tokens)):
            with serve(tmp_path, *arguments, *more) as mirror:
                assert mirror.ask(address).code == "RepoNotFound"
                assert mirror.ask("/api/models/o/gated").code == "RepoNotFound"
                known = more[:1] == ("--tokens",)
                if more:
                    assert mirror.ask("/t/x/resolve/main/x").status in {404, 503}
                    assert mirror.ask(digest).status == 404
                assert (mirror.ask(address, headers=reader).body == gated) is known


def test_names_that_lead_elsewhere_in_upstreams_addresses(hub: HubServer, tmp_path: Path) -> None:
    """A client asks for `..`, so that the operator's token goes to other addresses."""
    asked = (
        *("/o/m/resolve/%2e%2e/config.json", "/o/m/resolve/refs%2f../config.json"),
        *("/../models/resolve/main/x", "/o/../resolve/main/x", "/api/models/../m/revision/main"),
        *("/api/models/o/../revision/main", "/api/datasets/o/m/tree/..", "/o%3Fa/m/resolve/main/x"),
        *("/api/models/o/m/revision/..", "/o/m/resolve/main/..", "/o/m/resolve/main/a/../../b"),
        *("/o/m/resolve/main/%2e%2e/%2e%2e/%2e%2e/api/whoami-v2", "/o/m/resolve/main//etc/passwd"),
    )
    with serve(tmp_path, "--upstream", hub.url) as mirror:
        for path in asked:
            answer = mirror.ask(path)
            assert answer.status == 404, (path, answer.status, answer.body)
        assert len(hub.matching(".")) == 0
        # Honest: dots that are part of a name.
        hub.add_repo("o.x/m.v1", {"a..b/.c": b"c"})
        hub.set_ref("o.x/m.v1", "v1.0..2", hub.repos["model", "o.x/m.v1"].refs["refs/heads/main"])
        assert mirror.ask("/o.x/m.v1/resolve/v1.0..2/a..b/.c").body == b"c"
        assert mirror.ask("/o/m/resolve/main/config.json").body == FILES["config.json"]


def test_names_that_clients_make_up_fill_no_memory(tmp_path: Path) -> None:
    """A client asks for one repository after the other that nobody has."""
    store, settings = Store(tmp_path / "store"), Settings(tmp_path, {})

    async def ask(upstream: HubUpstream) -> None:
        there = await upstream._of("model", "o/there")
        there.repo.refs["main"] = "0" * 40
        for number in range(3 * _MOST_REPOS):
            await upstream._of("model", f"o/{number}")
        assert len(upstream._known) <= _MOST_REPOS + 1
        assert await upstream._of("model", "o/there") is there

    upstream = HubUpstream("http://127.0.0.1:1", store, settings, Metrics(), print)
    try:
        asyncio.run(ask(upstream))
    finally:
        upstream.close()
