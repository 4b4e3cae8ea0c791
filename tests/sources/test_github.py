"""What is particular to GitHub."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from fetcher.sources.github import GitHub
from tests.conftest import Cli, write_project
from tests.kit import Run, payload, sha256
from tests.servers.github import GitHubServer

FILES = {"a.py": b"x = 1\n", "w.pt": payload(5000)}
TOKEN = "ghp_secretsecret"


def run_of(tmp_path: Path, github: GitHubServer, **more: str) -> Run:
    return Run(tmp_path, rewrite=github.rewrite, **more)


def test_one_request_for_the_tree(tmp_path: Path, github: GitHubServer) -> None:
    commit = github.add_repo("o/r", {f"d{i}/f": b"x" for i in range(30)})
    run = run_of(tmp_path, github)
    run.resolve(GitHub("o/r", commit))
    assert len(github.requests) == 1
    run.resolve(GitHub("o/r"))
    assert len(github.requests) == 3


def test_refs(tmp_path: Path, github: GitHubServer) -> None:
    first = github.add_repo("o/r", FILES, tags=["v1"])
    github.add_tag("o/r", "v2", first, annotated=True)
    github.add_commit("o/r", {"a.py": b"2"}, "feature/x")
    run = run_of(tmp_path, github)
    for ref, data in (("HEAD", FILES["a.py"]), ("v1", FILES["a.py"]), ("v2", FILES["a.py"]),
                      ("feature/x", b"2")):  # fmt: skip
        source = GitHub("o/r", ref)
        assert run.fetch(source, [run.resolve(source)["a.py"]]).failed == []
        assert run.blob(data) == data
    for source in (GitHub("o/r", "nope"), GitHub("o/gone"), GitHub("o/r", release="v9")):
        problem = run.refused(source)
        assert problem.code == "not-found" and "https://github.com/o/" in problem.hint
        assert "GITHUB_TOKEN" in problem.hint


def test_a_branch_that_moves_mixes_no_commits(tmp_path: Path, github: GitHubServer) -> None:
    github.add_repo("o/r", FILES)
    run, source = run_of(tmp_path, github), GitHub("o/r", "main")
    found = run.resolve(source)
    github.add_commit("o/r", {"a.py": b"new", "w.pt": b"new"})
    outcome = run.fetch(source, list(found.values()))
    assert {done.sha256 for done in outcome.delivered} == {sha256(d) for d in FILES.values()}


def test_private_repositories_of_an_enterprise(tmp_path: Path, github: GitHubServer) -> None:
    lfs = payload(3000, 9)
    files = {**FILES, "big.bin": lfs, ".gitattributes": b"*.bin filter=lfs\n"}
    github.add_repo("o/r", files, lfs=["big.bin"], private=True)
    github.add_token(TOKEN, ["o/r"])
    run = Run(tmp_path, github_host=github.url, github_enterprise_token=TOKEN)
    source = GitHub("o/r", host=github.url)
    found = run.resolve(source)
    assert found["big.bin"].sha256 == sha256(lfs) and found["big.bin"].lfs
    assert run.fetch(source, list(found.values())).failed == []
    assert github.downloads.leaks == []
    problem = Run(tmp_path).refused(source)
    assert problem.code == "not-found"
    wrong = Run(tmp_path, github_host=github.url, github_enterprise_token="ghp_wrong")
    problem = wrong.refused(source)
    assert problem.code == "auth" and "ghp_wrong" not in str(problem)


def test_a_private_release(tmp_path: Path, github: GitHubServer) -> None:
    github.add_repo("o/r", FILES, private=True)
    github.add_release("o/r", "v1", FILES)
    github.add_token(TOKEN, ["o/r"])
    run = Run(tmp_path, github_host=github.url, github_enterprise_token=TOKEN)
    source = GitHub("o/r", release="v1", host=github.url)
    assert run.fetch(source, list(run.resolve(source).values())).failed == []
    assert github.downloads.leaks == []


def test_the_public_token_is_not_for_a_rewritten_host(tmp_path: Path, github: GitHubServer) -> None:
    github.add_repo("o/r", FILES)
    github.add_token(TOKEN)
    run = run_of(tmp_path, github, github_token=TOKEN)
    source = GitHub("o/r")
    assert run.fetch(source, list(run.resolve(source).values())).failed == []
    assert all(request.token is None for request in github.requests)


def test_lfs_through_the_batch_api(tmp_path: Path, github: GitHubServer) -> None:
    data = payload(2_000_000)
    github.add_repo(
        "o/r", {"x/b.bin": data, ".gitattributes": b"*.bin filter=lfs"}, lfs=["x/b.bin"]
    )
    github.faults.add("/media/", "status", code=404)
    run, source = run_of(tmp_path, github), GitHub("o/r", path="x")
    assert run.fetch(source, list(run.resolve(source).values())).failed == []
    assert len(github.matching("POST .*batch")) == 1


def test_a_forged_pointer_is_refused(tmp_path: Path, github: GitHubServer) -> None:
    github.add_repo("o/r", {"b.bin": b"x", ".gitattributes": b"*.bin filter=lfs"}, lfs=["b.bin"])
    evil = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    github.faults.add("/raw/", "status", code=200, body=evil)
    assert run_of(tmp_path, github).refused(GitHub("o/r")).code == "digest-mismatch"


@pytest.mark.parametrize(
    "href", ["http://127.0.0.1:9/x", "file:///etc/passwd", "gopher://h:1/", "x", ""]
)
def test_hostile_lfs_links(tmp_path: Path, github: GitHubServer, href: str) -> None:
    github.add_repo("o/r", {"b.bin": b"x", ".gitattributes": b"*.bin filter=lfs"}, lfs=["b.bin"])
    github.faults.add("/media/", "status", code=404)
    header = {"X-A": "b\r\nX-Evil: 1"} if "127" in href else {}
    answer = {"objects": [{"actions": {"download": {"href": href, "header": header}}}]}
    github.faults.add("batch", "status", code=200, body=json.dumps(answer))
    run, source = run_of(tmp_path, github), GitHub("o/r")
    outcome = run.fetch(source, [run.resolve(source)["b.bin"]])
    assert outcome.failed[0][1].exit_code == 3


def test_the_rate_limit_is_explained(tmp_path: Path, github: GitHubServer) -> None:
    github.add_repo("o/r", FILES)
    github.limit_rate(0, reset_in=3000)
    problem = run_of(tmp_path, github).refused(GitHub("o/r"))
    assert "rate limit" in problem.message and "GITHUB_TOKEN" in problem.hint
    assert len(github.requests) == 1
    github.limit_rate(0, retry_after=1, reset_in=1)
    assert sorted(run_of(tmp_path, github).resolve(GitHub("o/r"))) == sorted(FILES)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a\\b", "nul", "a\nb", ".git/config"])
def test_hostile_paths(tmp_path: Path, github: GitHubServer, path: str) -> None:
    github.add_repo("o/r", FILES)
    item = {"path": path, "type": "blob", "mode": "100644", "size": 1, "sha": "0" * 40}
    listing = {"sha": "0" * 40, "tree": [item], "truncated": False}
    github.faults.add("/git/trees/", "status", code=200, body=json.dumps(listing))
    assert run_of(tmp_path, github).refused(GitHub("o/r")).code == "bad-path"


@pytest.mark.parametrize(
    "listing",
    [
        None, [], {}, {"tree": None}, {"tree": [{"type": "blob", "path": 5}]},
        {"tree": [{"type": "blob", "path": "x", "size": True, "sha": "0" * 40}]},
        {"tree": [{"type": "blob", "path": "x", "size": 1, "sha": "../x"}]},
        # a folder that holds itself
        {"truncated": True, "tree": []},
    ],
)  # fmt: skip
def test_wrong_listings(tmp_path: Path, github: GitHubServer, listing: Any) -> None:
    github.add_repo("o/r", FILES)
    github.faults.add("/git/trees/", "status", code=200, body=json.dumps(listing))
    assert run_of(tmp_path, github).refused(GitHub("o/r")).code == "refused"


@pytest.mark.parametrize("kind", [[], {}, None, 5, "commit"])
def test_entries_of_no_known_kind_are_no_files(
    tmp_path: Path, github: GitHubServer, kind: Any
) -> None:
    github.add_repo("o/r", FILES)
    listing = {"tree": [{"type": kind, "path": "x", "size": 1, "sha": "0" * 40}]}
    github.faults.add("/git/trees/", "status", code=200, body=json.dumps(listing))
    assert run_of(tmp_path, github).refused(GitHub("o/r")).code == "missing-upstream"


def test_a_folder_that_holds_itself(tmp_path: Path, github: GitHubServer) -> None:
    github.add_repo("o/r", FILES)
    folder = {"type": "tree", "path": "d", "sha": "0" * 40, "mode": "040000"}
    body = json.dumps({"truncated": False, "tree": [folder]})
    truncated = json.dumps({"truncated": True, "tree": [folder]})
    github.faults.add("recursive", "status", code=200, body=truncated)
    github.faults.add("/git/trees/", "status", code=200, body=body)
    problem = run_of(tmp_path, github).refused(GitHub("o/r"))
    assert problem.code == "refused" and len(github.requests) < 80


@pytest.mark.parametrize("assets", [None, [1], [{"name": 5}], [{"name": "x", "size": -1}]])
def test_wrong_releases(tmp_path: Path, github: GitHubServer, assets: Any) -> None:
    github.add_repo("o/r", FILES)
    github.faults.add("/releases/", "status", code=200, body=json.dumps({"assets": assets}))
    assert run_of(tmp_path, github).refused(GitHub("o/r", release="v1")).code == "refused"


@pytest.mark.parametrize("truncated", [False, True])
def test_what_it_leaves_out_is_named(tmp_path: Path, github: GitHubServer, truncated: bool) -> None:
    github.add_repo("o/r", {**FILES, "sub/x": b"x"}, symlinks={"link": "w.pt", "sub/l": "x"},
                    submodules={"module": "1" * 40})  # fmt: skip
    if truncated:
        listed = github.repos["o/r"].git.tree

        def flat(ref: str, recursive: bool) -> list[dict[str, Any]]:
            github.truncate_trees = 1 if recursive else None
            return listed(ref, recursive)

        github.repos["o/r"].git.tree = flat  # type: ignore[method-assign]
    run = run_of(tmp_path, github)
    assert sorted(run.resolve(GitHub("o/r"))) == ["a.py", "sub/x", "w.pt"]
    assert "github:o/r@HEAD leaves out link, sub/l: is a link" in run.said
    assert "leaves out module: is a submodule" in run.said
    once = run.said
    run.resolve(GitHub("o/r"))
    assert run.said == once
    below = run_of(tmp_path / "below", github)
    below.resolve(GitHub("o/r", path="sub"))
    assert "sub/l" in below.said and "module" not in below.said


def test_a_program_stays_one(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, github: GitHubServer
) -> None:
    files = {**FILES, "run.sh": b"#!/bin/sh\n", "tool.bin": payload(4000, 4),
             ".gitattributes": b"*.bin filter=lfs\n"}  # fmt: skip
    github.add_repo("o/r", files, lfs=["tool.bin"], executable=["run.sh", "tool.bin"])
    monkeypatch.setenv("FETCH_REWRITE", github.rewrite)
    project, other = tmp_path / "p", tmp_path / "q"
    for root in (project, other):
        root.mkdir()
        write_project(root, "p", "artifacts:\n  w: {source: 'github:o/r'}\n", "tree: {m/: w}\n")

    def programs(root: Path) -> set[str]:
        found = (path for path in (root / "m").iterdir() if path.stat().st_mode & stat.S_IXUSR)
        return {path.name for path in found}

    assert cli("all", cwd=project).code == 0
    assert programs(project) == {"run.sh", "tool.bin"}
    assert (project / "fetch.lock").read_text().count('"executable": true') == 2
    assert cli("all", "--json", cwd=project).json["summary"]["downloaded_bytes"] == 0
    assert cli("check", "--deep", cwd=project).code == 0
    (project / "m/run.sh").chmod(0o644)
    result = cli("check", cwd=project)
    assert result.code != 0 and "run.sh" in result.out + result.err
    assert cli("all", cwd=project).code == 0
    assert programs(project) == {"run.sh", "tool.bin"}
    # Through a bundle, to a site without a network.
    assert cli("mirror", "export", str(tmp_path / "b.tar"), cwd=project).code == 0
    monkeypatch.setenv("FETCH_STORE", str(tmp_path / "other-store"))
    (other / "fetch.lock").write_text((project / "fetch.lock").read_text())
    result = cli("mirror", "import", str(tmp_path / "b.tar"), cwd=other)
    assert result.code == 0, result.err
    result = cli("all", "--offline", cwd=other)
    assert result.code == 0, result.err
    assert programs(other) == {"run.sh", "tool.bin"}
