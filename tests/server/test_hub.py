"""The Hub's addresses, compared with the stand-in that the files came from."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, urlsplit

import pytest

from tests.kit import git_blob, sha256
from tests.server.conftest import DATA, MODEL, PARTS, Held
from tests.server.kit import Mirror, bearer
from tests.test_servers.client import ask


def test_tree_is_the_hubs(held: Held, mirror: Mirror) -> None:
    for path in (
        "models/o/m/tree/main",
        f"models/o/m/tree/{held.commits['m']}/sub",
        "datasets/o/d/tree/main",
        "datasets/o/d/tree/main/data/003",
    ):
        for recursive in ("true", "false"):
            query = f"/api/{path}?recursive={recursive}&expand=false"
            theirs = ask(held.hub.url + query).json()
            ours = mirror.ask(query).json()
            assert sorted(ours, key=lambda item: item["path"]) == theirs


def test_pages_follow_each_other_and_stay_here(mirror: Mirror) -> None:
    query = "/api/datasets/o/d/tree/main?recursive=true&expand=false&limit=7"
    found, pages = [], 0
    while query:
        answer = mirror.ask(query)
        found += [item["path"] for item in answer.json() if item["type"] == "file"]
        pages += 1
        link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        assert not link or link[1].startswith(mirror.url + "/")
        query = "" if not link else f"{urlsplit(link[1]).path}?{urlsplit(link[1]).query}"
    assert found == sorted(DATA)
    assert pages == 6
    assert mirror.ask("/api/datasets/o/d/tree/main?cursor=%C3%A9").status == 400


def test_links_name_the_host_that_was_asked(held: Held, mirror: Mirror) -> None:
    query = "/api/datasets/o/d/tree/main?recursive=1&limit=1"
    told = {"Host": "mirror.example:81", "X-Forwarded-Host": "evil.example"}
    answer = mirror.ask(query, headers={**told, "X-Forwarded-Proto": "https"})
    assert answer.headers["link"].startswith("<http://mirror.example:81/api/")
    answer = mirror.ask(query, headers={"Host": 'a"><b'})
    assert answer.headers["link"].startswith("</api/")


def test_info(held: Held, mirror: Mirror) -> None:
    for revision in ("", "/revision/main", f"/revision/{held.commits['m'][:7]}"):
        info = mirror.ask(f"/api/models/o/m{revision}?blobs=true").json()
        assert info["id"] == info["modelId"] == "o/m"
        assert info["sha"] == held.commits["m"]
        assert info["pipeline_tag"] == "text-generation"
        assert info["cardData"]["tags"] == ["a", "b"]
        siblings = {item["rfilename"]: item for item in info["siblings"]}
        assert siblings.keys() == MODEL.keys()
        weights = siblings["model.safetensors"]
        assert weights["lfs"]["sha256"] == sha256(MODEL["model.safetensors"])
        assert weights["size"] == 3_000_000
    assert "modelId" not in mirror.ask("/api/datasets/o/d").json()
    assert mirror.ask("/api/spaces/o/s").json()["id"] == "o/s"


@pytest.mark.parametrize(
    ("address", "content"),
    [
        ("tagged/resolve/v1/a.txt", b"one"),
        ("tagged/resolve/refs%2Ftags%2Fv1/a.txt", b"one"),
        ("tagged/resolve/feature%2Fx/a.txt", b"two"),
        ("tagged/resolve/refs%2Fheads%2Ffeature%2Fx/a.txt", b"two"),
        ("tagged/resolve/feature/x/a.txt", b"two"),
        ("pinned/resolve/main/p.txt", b"old"),
    ],
)
def test_revisions(mirror: Mirror, address: str, content: bytes) -> None:
    assert mirror.ask(f"/o/{address}").body == content


def test_refs_and_commits(held: Held, mirror: Mirror) -> None:
    refs = mirror.ask("/api/models/o/tagged/refs").json()
    assert {item["name"] for item in refs["branches"]} == {"main", "feature/x"}
    assert [item["name"] for item in refs["tags"]] == ["v1"]
    commits = mirror.ask("/api/models/o/tagged/commits/v1").json()
    assert [item["id"] for item in commits] == [held.commits["v1"]]


@pytest.mark.parametrize("path", sorted(MODEL))
def test_files(held: Held, mirror: Mirror, path: str) -> None:
    data = MODEL[path]
    etag = sha256(data) if path.endswith("safetensors") else git_blob(data)
    address = f"/o/m/resolve/main/{quote(path)}"
    for method in ("GET", "HEAD"):
        answer = mirror.ask(address, method)
        assert answer.status == 200
        assert answer.body == (data if method == "GET" else b"")
        headers = answer.headers
        assert headers["x-repo-commit"] == held.commits["m"]
        assert headers["etag"] == headers["x-linked-etag"] == f'"{etag}"'
        assert headers["content-length"] == headers["x-linked-size"] == str(len(data))
        assert headers["accept-ranges"] == "bytes"
        assert not [name for name in headers if "xet" in name]


def test_raw_is_what_git_has(mirror: Mirror) -> None:
    assert mirror.ask("/o/m/raw/main/config.json").body == MODEL["config.json"]
    pointer = mirror.ask("/o/m/raw/main/model.safetensors").body
    assert pointer.startswith(b"version https://git-lfs")
    assert sha256(MODEL["model.safetensors"]).encode() in pointer


def test_artifacts_of_one_repository_are_one(mirror: Mirror) -> None:
    paths = [item["path"] for item in mirror.ask("/api/models/o/parts/tree/main").json()]
    assert paths == ["part0.bin", "part1.bin", "part2.bin"]
    seen = mirror.ask("/api/models/o/parts/tree/main", headers=bearer("partial-token-1")).json()
    assert [item["path"] for item in seen] == [*paths, "part3.bin"]
    for index in range(3):
        answer = mirror.ask(f"/o/parts/resolve/main/part{index}.bin")
        assert answer.body == PARTS[f"part{index}.bin"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/models/o/none", "RepoNotFound"),
        ("/api/datasets/o/m", "RepoNotFound"),
        ("/o/none/resolve/main/config.json", "RepoNotFound"),
        ("/api/models/o/m/revision/v9", "RevisionNotFound"),
        ("/api/models/o/m/tree/v9", "RevisionNotFound"),
        ("/o/m/resolve/v9/config.json", "RevisionNotFound"),
        (f"/o/m/resolve/{'0' * 40}/config.json", "RevisionNotFound"),
        ("/api/models/o/m/tree/main/additional_chat_templates?recursive=false", "EntryNotFound"),
        ("/api/models/o/m/tree/main/config.json", "EntryNotFound"),
        ("/o/m/resolve/main/none.json", "EntryNotFound"),
        ("/o/m/resolve/main/sub", "EntryNotFound"),
        ("/o/m/resolve/main/", "EntryNotFound"),
        ("/o/parts/resolve/main/left-out.bin", "EntryNotFound"),
    ],
)
def test_what_is_not_here_has_its_code(mirror: Mirror, path: str, code: str) -> None:
    for method in ("GET", "HEAD"):
        answer = mirror.ask(path, method)
        assert (answer.status, answer.code) == (404, code)
    if code == "EntryNotFound" and "/resolve/" in path:
        assert re.fullmatch(r"[0-9a-f]{40}", answer.headers["x-repo-commit"])


def test_paths_info(mirror: Mirror) -> None:
    form = b"paths=config.json&paths=sub&paths=none&expand=True"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    found = mirror.ask("/api/models/o/m/paths-info/main", "POST", kind, form).json()
    assert [item["path"] for item in found] == ["config.json", "sub"]
    body = b'{"paths": ["model.safetensors"]}'
    json_kind = {"Content-Type": "application/json"}
    found = mirror.ask("/api/models/o/m/paths-info/main", "POST", json_kind, body).json()
    assert found[0]["lfs"]["oid"] == sha256(MODEL["model.safetensors"])
    for wrong in (b"[1]", b"{", b'{"paths": 3}'):
        answer = mirror.ask("/api/models/o/m/paths-info/main", "POST", json_kind, wrong)
        assert answer.status in {200, 400}
    assert mirror.ask("/api/models/o/m/paths-info/main", "POST", kind, b"x" * 9_000_000).status in {
        413
    }


def test_small_talk(mirror: Mirror) -> None:
    assert mirror.ask("/api/agent-harnesses").json() == {"harnesses": []}
    assert mirror.ask("/api/whoami-v2").status == 401
    assert mirror.ask("/api/whoami-v2", headers=bearer("reader-token-1")).json()["name"] == "reader"
    names = [item["id"] for item in mirror.ask("/api/models?search=O/&limit=3").json()]
    assert names == ["o/m", "o/parts", "o/pinned"]
    assert mirror.ask("/api/models/o/m/xet-read-token/main").status == 404
    assert mirror.ask("/api/models/o/m/discussions?p=0").status == 404
    assert mirror.ask("/api/repos/create", "POST", body=b"{}").status in {403, 404}
    assert mirror.ask("/o/m/resolve/main/config.json", "DELETE").status == 405


def test_a_wrong_token_does_not_keep_anyone_out(mirror: Mirror) -> None:
    stale = bearer("hf_of_another_time")
    assert mirror.ask("/o/m/resolve/main/config.json", headers=stale).status == 200
    assert mirror.ask("/api/models/o/secret", headers=stale).code == "RepoNotFound"


def test_conditions(mirror: Mirror) -> None:
    path = "/o/m/resolve/main/model.safetensors"
    tag = f'"{hashlib.sha256(MODEL["model.safetensors"]).hexdigest()}"'
    assert mirror.ask(path, headers={"If-None-Match": tag}).status == 304
    assert mirror.ask(path, headers={"If-None-Match": f'"x", W/{tag}'}).status == 304
    assert mirror.ask(path, headers={"If-Match": '"x"'}).status == 412
    part = {"Range": "bytes=10-19", "If-Range": tag}
    assert mirror.ask(path, headers=part).body == MODEL["model.safetensors"][10:20]
    part["If-Range"] = '"another"'
    assert mirror.ask(path, headers=part).status == 200


@pytest.mark.parametrize(
    ("text", "status", "start", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=2999999-", 206, 2_999_999, 3_000_000),
        ("bytes=-5", 206, 2_999_995, 3_000_000),
        ("bytes=-9000000", 206, 0, 3_000_000),
        ("bytes=100-99999999", 206, 100, 3_000_000),
        ("bytes=3000000-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=5-4", 200, 0, 3_000_000),
        ("bytes=a-b", 200, 0, 3_000_000),
        ("lines=1-2", 200, 0, 3_000_000),
        ("bytes=" + ",".join(f"{i}-{i}" for i in range(0, 200, 2)), 200, 0, 3_000_000),
        ("bytes=0-10,5-20", 200, 0, 3_000_000),
        ("bytes=" + "9" * 5000 + "-", 200, 0, 3_000_000),
    ],
)
def test_ranges(mirror: Mirror, text: str, status: int, start: int, stop: int) -> None:
    answer = mirror.ask("/o/m/resolve/main/model.safetensors", headers={"Range": text})
    assert answer.status == status
    assert answer.body == MODEL["model.safetensors"][start:stop]
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/3000000"
    if status == 416:
        assert answer.headers["content-range"] == "bytes */3000000"


def test_several_ranges(mirror: Mirror) -> None:
    ranges = {"Range": "bytes=0-9, 20-29, -3"}
    answer = mirror.ask("/o/m/resolve/main/model.safetensors", headers=ranges)
    assert answer.status == 206
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = answer.body.split(f"--{boundary}".encode())
    assert parts[-1] == b"--\r\n" and len(parts) == 5
    bodies = [part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:-1]]
    data = MODEL["model.safetensors"]
    assert bodies == [data[:10], data[20:30], data[-3:]]
