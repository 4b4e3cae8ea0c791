"""What the hub's answers look like on the wire, where the real client is lenient."""

from __future__ import annotations

import hashlib

import pytest

from tests.servers.hub import HubServer
from tests.servers.hub_repos import LfsRule

from .client import ask, bearer

LARGE = b"weights" * 1000
SHA256 = hashlib.sha256(LARGE).hexdigest()


@pytest.fixture
def sha(hub: HubServer) -> str:
    files = {"a b.txt": b"text", "w.safetensors": LARGE, "sub/c.txt": b"c"}
    return hub.add_repo("org/m", files)


def test_small_file(hub: HubServer, sha: str) -> None:
    oid = hashlib.sha1(b"blob 4\0text").hexdigest()
    for method, body in (("HEAD", b""), ("GET", b"text")):
        answer = ask(f"{hub.url}/org/m/resolve/main/a%20b.txt", method)
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["x-repo-commit"] == sha
        assert answer.headers["content-length"] == "4"
        assert answer.headers["etag"] == f'"{oid}"'


def test_large_file(hub: HubServer, sha: str) -> None:
    answer = ask(f"{hub.url}/org/m/resolve/main/w.safetensors", "HEAD")
    assert answer.status == 302
    assert answer.headers["x-repo-commit"] == sha
    assert answer.headers["x-linked-etag"] == f'"{SHA256}"'
    assert answer.headers["x-linked-size"] == str(len(LARGE))
    location = answer.headers["location"]
    assert location.startswith(hub.cdn.url + "/")
    ranged = ask(location, headers={"Range": "bytes=5-"})
    assert (ranged.status, ranged.body) == (206, LARGE[5:])
    pointer = ask(f"{hub.url}/org/m/raw/main/w.safetensors").body
    assert pointer.startswith(b"version https://git-lfs") and SHA256.encode() in pointer


def test_signed_addresses_expire(hub: HubServer, sha: str) -> None:
    def location() -> str:
        return ask(f"{hub.url}/org/m/resolve/main/w.safetensors").headers["location"]

    old = location()
    assert ask(old).status == 200
    hub.cdn.expire()
    assert ask(old).status == 403
    assert ask(location()).status == 200
    hub.cdn.lifetime = -1
    answer = ask(location())
    assert (answer.status, b"expired" in answer.body) == (403, True)
    assert ask(old.partition("?")[0]).status == 403


def test_the_cdn_notices_tokens(hub: HubServer, sha: str) -> None:
    location = ask(f"{hub.url}/org/m/resolve/main/w.safetensors").headers["location"]
    assert ask(location, headers=bearer("hf_x")).status == 200
    assert len(hub.cdn.leaks) == 1
    hub.cdn.refuse_tokens = True
    assert ask(location, headers=bearer("hf_x")).status == 400


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/org/m/resolve/main/none", None, 404, "EntryNotFound"),
        ("/org/m/resolve/v9/a%20b.txt", None, 404, "RevisionNotFound"),
        ("/org/none/resolve/main/x", None, 401, "RepoNotFound"),
        ("/org/none/resolve/main/x", "hf_good", 404, "RepoNotFound"),
        ("/api/models/org/none", None, 401, "RepoNotFound"),
        ("/api/models/org/m/revision/v9", None, 404, "RevisionNotFound"),
        ("/api/models/org/m/tree/main/none", None, 404, "EntryNotFound"),
        ("/org/closed/resolve/main/x", None, 401, "GatedRepo"),
        ("/org/closed/resolve/main/x", "hf_good", 403, "GatedRepo"),
        ("/org/hidden/resolve/main/x", None, 401, "RepoNotFound"),
        ("/org/hidden/resolve/main/x", "hf_good", 404, "RepoNotFound"),
        ("/api/models/org/hidden", "hf_good", 404, "RepoNotFound"),
        ("/api/models/org/m", "hf_bad", 401, None),
        ("/org/m/resolve/main/a%20b.txt", "hf_bad", 401, None),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_refusals(
    hub: HubServer,
    sha: str,
    method: str,
    path: str,
    token: str | None,
    status: int,
    code: str | None,
) -> None:
    hub.add_repo("org/closed", {"x": b"x"}, gated="manual")
    hub.add_repo("org/hidden", {"x": b"x"}, private=True)
    hub.add_token("hf_good")
    answer = ask(hub.url + path, method, bearer(token) if token else None)
    assert (answer.status, answer.headers.get("x-error-code")) == (status, code)
    assert answer.headers["x-error-message"]
    if code == "EntryNotFound" and "resolve" in path:
        assert answer.headers["x-repo-commit"] == sha


def test_next_page_may_point_elsewhere(hub: HubServer, sha: str) -> None:
    hub.page_size = 2
    url = f"{hub.url}/api/models/org/m/tree/{sha}?recursive=true"
    here = ask(url).headers["link"]
    assert here.startswith(f"<{hub.url}/api/models/org/m/tree/{sha}?")
    assert here.endswith('>; rel="next"')
    following = ask(here[1:].partition(">")[0])
    assert [entry["path"] for entry in following.json()] == ["sub/c.txt", "w.safetensors"]
    assert "link" not in following.headers
    hub.link_origin = "http://127.0.0.1:9"
    assert ask(url).headers["link"].startswith("<http://127.0.0.1:9/api/")


@pytest.mark.parametrize("path", ["../x", "/etc/x", "C:\\x", "a\nb", "a//b", "CON"])
def test_raw_entries(hub: HubServer, sha: str, path: str) -> None:
    hub.add_raw_tree_entry("org/m", path, b"evil")
    listed = ask(f"{hub.url}/api/models/org/m/tree/main?recursive=true").json()
    assert path in [entry["path"] for entry in listed]
    siblings = ask(f"{hub.url}/api/models/org/m").json()["siblings"]
    assert {"rfilename": path} in siblings


def test_raw_record(hub: HubServer, sha: str) -> None:
    record = {"type": "file", "path": "y", "size": -5, "oid": None}
    hub.add_raw_tree_entry("org/m", record)
    assert record in ask(f"{hub.url}/api/models/org/m/tree/main").json()


def test_pull_requests_with_and_without_quotes(hub: HubServer, sha: str) -> None:
    hub.add_commit("org/m", {"d.txt": b"d"}, "refs/pr/1")
    for revision in ("refs%2Fpr%2F1", "refs/pr/1"):
        assert ask(f"{hub.url}/org/m/resolve/{revision}/d.txt").body == b"d"


def test_xet_is_only_told_where_asked_for(hub: HubServer, sha: str) -> None:
    hub.add_repo("org/x", {"w.safetensors": LARGE}, xet=True)
    (entry,) = ask(f"{hub.url}/api/models/org/x/tree/main").json()
    assert entry["xetHash"]
    answer = ask(f"{hub.url}/org/x/resolve/main/w.safetensors", "HEAD")
    assert 'rel="xet-auth"' in answer.headers["link"]
    plain = ask(f"{hub.url}/org/m/resolve/main/w.safetensors", "HEAD")
    assert "x-xet-hash" not in plain.headers


def test_lfs_rules(hub: HubServer) -> None:
    files = {"a.txt": b"x" * 100, "b.dat": b"x", "c.bin": b"x"}
    rules: dict[str, LfsRule | list[str] | int | None] = {
        "by-callable": lambda path, size: path == "a.txt",
        "by-suffix": [".dat"],
        "by-size": 50,
        "by-habit": None,
    }
    for name, rule in rules.items():
        hub.add_repo(name, files, lfs=rule)
    found = {}
    for name in rules:
        listed = ask(f"{hub.url}/api/models/{name}/tree/main").json()
        found[name] = [entry["path"] for entry in listed if "lfs" in entry]
    assert list(found.values()) == [["a.txt"], ["b.dat"], ["a.txt"], ["c.bin"]]


def test_resolver_quota(hub: HubServer, sha: str) -> None:
    hub.limit("resolvers", 3, window=60)
    url = f"{hub.url}/org/m/resolve/main/a%20b.txt"
    assert [ask(url).status for _ in range(4)] == [200, 200, 200, 429]
    answer = ask(url)
    assert answer.headers["ratelimit-policy"] == '"fixed window";"resolvers";q=3;w=60'
    assert ask(f"{hub.url}/api/models/org/m").status == 200
