from __future__ import annotations

import hashlib
import json
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.github import GitHubServer
from tests.servers.wire import git_blob_id

from .client import ask, bearer

WEIGHTS = b"weights" * 1000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
FILES = {"README.md": b"# m\n", "data/a b.pt": b"net", "data/w.pt": WEIGHTS}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHubServer]:
    with GitHubServer(tmp_path / "git") as found:
        yield found
        assert found.errors == []
        assert found.downloads.errors == []


@pytest.fixture
def sha(server: GitHubServer) -> str:
    return server.add_repo("org/m", FILES, lfs=["data/w.pt"], tags=["v1"])


def test_commit(server: GitHubServer, sha: str) -> None:
    server.add_tag("org/m", "v2", "main", annotated=True)
    for ref in ("main", "v1", "v2", "heads/main", "refs/tags/v1", sha, "HEAD", sha[:8]):
        url = f"{server.url}/api/repos/org/m/commits/{ref}"
        assert ask(url).json()["sha"] == sha
        assert ask(url, headers={"Accept": "application/vnd.github.sha"}).body == sha.encode()
    assert ask(f"{server.url}/api/repos/Org/M").json()["default_branch"] == "main"
    assert ask(f"{server.url}/api/v3/repos/org/m/commits/main").json()["sha"] == sha


def test_commits_are_the_same_each_time(server: GitHubServer, sha: str, tmp_path: Path) -> None:
    with GitHubServer(tmp_path / "again") as other:
        assert other.add_repo("org/m", FILES, lfs=["data/w.pt"]) == sha


def test_missing_things(server: GitHubServer, sha: str) -> None:
    assert ask(f"{server.url}/api/repos/org/m/commits/none").status == 422
    assert ask(f"{server.url}/api/repos/org/none/commits/main").status == 404
    assert ask(f"{server.url}/api/repos/org/m/git/trees/none").status == 404
    assert ask(f"{server.url}/api/repos/org/m/releases/tags/v1").status == 404
    assert ask(f"{server.url}/raw/org/m/main/none").status == 404
    assert ask(f"{server.url}/raw/org/m/none/README.md").status == 404
    assert ask(f"{server.url}/raw/org/m/main/data").status == 404


def test_tree(server: GitHubServer, sha: str) -> None:
    url = f"{server.url}/api/repos/org/m/git/trees/{sha}"
    found = ask(url + "?recursive=1").json()
    assert found["truncated"] is False
    entries = {entry["path"]: entry for entry in found["tree"]}
    assert entries.keys() == {*FILES, "data"}
    assert entries["data/a b.pt"]["sha"] == git_blob_id(b"net")
    assert (entries["data/a b.pt"]["size"], entries["data/a b.pt"]["mode"]) == (3, "100644")
    assert entries["data/w.pt"]["size"] < 200  # the pointer's
    assert {e["path"] for e in ask(url).json()["tree"]} == {"README.md", "data"}
    below = ask(f"{server.url}/api/repos/org/m/git/trees/{entries['data']['sha']}").json()
    assert {e["path"] for e in below["tree"]} == {"a b.pt", "w.pt"}
    server.truncate_trees = 2
    short = ask(url + "?recursive=1").json()
    assert (short["truncated"], len(short["tree"])) == (True, 2)


def test_odd_entries(server: GitHubServer) -> None:
    server.add_repo("org/odd", {"a": b"a"}, symlinks={"link": "a"}, submodules={"sub": "1" * 40})
    tree = ask(f"{server.url}/api/repos/org/odd/git/trees/main?recursive=1").json()["tree"]
    assert [(e["path"], e["mode"], e["type"]) for e in tree] == [
        ("a", "100644", "blob"),
        ("link", "120000", "blob"),
        ("sub", "160000", "commit"),
    ]


def test_blobs_and_contents(server: GitHubServer, sha: str) -> None:
    blob = ask(f"{server.url}/api/repos/org/m/git/blobs/{git_blob_id(b'net')}").json()
    assert b64decode(blob["content"]) == b"net"
    file = ask(f"{server.url}/api/repos/org/m/contents/data/a%20b.pt?ref=v1").json()
    assert (file["type"], file["size"], b64decode(file["content"])) == ("file", 3, b"net")
    assert ask(file["download_url"]).body == b"net"
    folder = ask(f"{server.url}/api/repos/org/m/contents/data").json()
    assert [entry["name"] for entry in folder] == ["a b.pt", "w.pt"]
    assert ask(f"{server.url}/api/repos/org/m/contents/none").status == 404


def test_raw_and_media(server: GitHubServer, sha: str) -> None:
    for ref in ("main", "refs/heads/main", "v1", sha):
        assert ask(f"{server.url}/raw/org/m/{ref}/data/a%20b.pt").body == b"net"
    answer = ask(f"{server.url}/raw/org/m/main/README.md", headers={"Range": "bytes=2-"})
    assert (answer.status, answer.body) == (206, b"m\n")
    assert answer.headers["etag"].strip('"') != hashlib.sha256(b"# m\n").hexdigest()
    assert ask(f"{server.url}/raw/org/m/main/data/w.pt").body.startswith(b"version https://git-lfs")
    assert ask(f"{server.url}/media/org/m/main/data/w.pt").body == WEIGHTS
    moved = ask(f"{server.url}/web/org/m/raw/main/README.md")
    assert ask(moved.headers["location"]).body == b"# m\n"


def test_branch_with_a_slash(server: GitHubServer, sha: str) -> None:
    other = server.add_commit("org/m", {"README.md": b"# other\n"}, "topic/one", delete=["data"])
    assert other != sha
    assert ask(f"{server.url}/raw/org/m/topic/one/README.md").body == b"# other\n"
    assert ask(f"{server.url}/api/repos/org/m/commits/topic/one").json()["sha"] == other
    assert ask(f"{server.url}/api/repos/org/m/commits/main").json()["sha"] == sha
    server.set_branch("org/m", "main", other)
    assert ask(f"{server.url}/api/repos/org/m/commits/main").json()["sha"] == other


def test_lfs_batch(server: GitHubServer, sha: str) -> None:
    wanted = [{"oid": SHA256, "size": len(WEIGHTS)}, {"oid": "0" * 64, "size": 1}]
    body = json.dumps({"operation": "download", "transfers": ["basic"], "objects": wanted})
    kind = "application/vnd.git-lfs+json"
    headers = {"Accept": kind, "Content-Type": kind}
    for path in ("/web/org/m.git/info/lfs/objects/batch", "/org/m.git/info/lfs/objects/batch"):
        answer = ask(server.url + path, "POST", headers, body.encode())
        assert answer.headers["content-type"] == kind
        here, missing = answer.json()["objects"]
        assert missing["error"]["code"] == 404
        assert ask(here["actions"]["download"]["href"]).body == WEIGHTS
    assert here["actions"]["download"]["href"].startswith(server.downloads.url)


def test_releases(server: GitHubServer, sha: str) -> None:
    server.add_release("org/m", "v1", {"old.pt": b"old"}, with_digest=False)
    server.add_release("org/m", "v2", {"w.pt": WEIGHTS})
    server.add_release("org/m", "v3-rc", {}, prerelease=True)
    assert ask(f"{server.url}/api/repos/org/m/releases/latest").json()["tag_name"] == "v2"
    (old,) = ask(f"{server.url}/api/repos/org/m/releases/tags/v1").json()["assets"]
    assert old["digest"] is None
    (asset,) = ask(f"{server.url}/api/repos/org/m/releases/tags/v2").json()["assets"]
    assert (asset["size"], asset["digest"]) == (len(WEIGHTS), f"sha256:{SHA256}")
    assert asset["browser_download_url"] == f"{server.url}/web/org/m/releases/download/v2/w.pt"
    moved = ask(asset["browser_download_url"])
    assert moved.status == 302
    assert moved.headers["location"].startswith(server.downloads.url)
    assert ask(moved.headers["location"]).body == WEIGHTS
    assert ask(asset["url"]).json()["name"] == "w.pt"
    direct = ask(asset["url"], headers={"Accept": "application/octet-stream"})
    assert ask(direct.headers["location"]).body == WEIGHTS
    assert len(ask(f"{server.url}/api/repos/org/m/releases").json()) == 3
    assert ask(f"{server.url}/web/org/m/releases/download/v2/none").status == 404


def test_private_and_tokens(server: GitHubServer, sha: str) -> None:
    server.add_repo("org/p", {"a.txt": b"secret"}, private=True)
    server.add_release("org/p", "v1", {"a.bin": b"asset"})
    server.add_token("ghp_none")
    server.add_token("ghp_yes", repos=["org/p"])
    api, raw = f"{server.url}/api/repos/org/p", f"{server.url}/raw/org/p/main/a.txt"
    for url in (api, raw):
        assert ask(url).status == 404
        assert ask(url, headers=bearer("ghp_none")).status == 404
        assert ask(url, headers=bearer("ghp_yes")).status == 200
        assert ask(url, headers={"Authorization": "token ghp_yes"}).status == 200
    assert ask(f"{server.url}/api/repos/org/m", headers=bearer("ghp_bad")).status == 401
    (asset,) = ask(f"{api}/releases/latest", headers=bearer("ghp_yes")).json()["assets"]
    assert ask(asset["browser_download_url"], headers=bearer("ghp_yes")).status == 404
    octets = {**bearer("ghp_yes"), "Accept": "application/octet-stream"}
    assert ask(ask(asset["url"], headers=octets).headers["location"]).body == b"asset"
    assert server.downloads.leaks == []


def test_rate_limit(server: GitHubServer, sha: str) -> None:
    url = f"{server.url}/api/repos/org/m"
    assert ask(url).headers["x-ratelimit-remaining"] == "59"
    server.limit_rate(remaining=1, reset_in=100)
    assert ask(url).status == 200
    refused = ask(url)
    assert (refused.status, refused.headers["x-ratelimit-remaining"]) == (403, "0")
    assert 90 < int(refused.headers["x-ratelimit-reset"]) - time.time() <= 100
    assert "rate limit" in refused.json()["message"]
    assert ask(f"{server.url}/raw/org/m/main/README.md").status == 200
    server.limit_rate(status=429, retry_after=3)
    assert ask(url).headers["retry-after"] == "3"
    server.limit_rate(reset_in=-1)
    assert ask(url).status == 200


def test_conditional_request(server: GitHubServer, sha: str) -> None:
    url = f"{server.url}/api/repos/org/m/commits/main"
    assert ask(url, headers={"If-None-Match": ask(url).headers["etag"]}).status == 304


def test_pinned_real_commit(server: GitHubServer) -> None:
    pinned = "787da06156087cd6b616fe6608213722bddc30cd"
    assert server.add_repo("org/n", FILES, sha=pinned, branch="master") == pinned
    assert ask(f"{server.url}/api/repos/org/n/commits/master").json()["sha"] == pinned
    tree = ask(f"{server.url}/api/repos/org/n/git/trees/{pinned}?recursive=1").json()
    assert len(tree["tree"]) == 4
    assert ask(f"{server.url}/raw/org/n/{pinned}/README.md").body == b"# m\n"


def test_rewrite(server: GitHubServer, sha: str) -> None:
    pairs = dict(pair.split("=") for pair in server.rewrite.split())
    assert pairs["https://api.github.com/"] == f"{server.url}/api/"
    assert pairs["https://media.githubusercontent.com/media/"] == f"{server.url}/media/"
    server.canonical_urls = True
    found = ask(f"{server.url}/api/repos/org/m").json()
    assert found["html_url"] == "https://github.com/org/m"
