"""The real client is the judge: what it accepts from the stand-in, it accepts from the hub."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.servers.hub import HubServer

SMALL = b'{"model_type": "none"}\n'
LARGE = bytes(range(256)) * 5000
FILES = {"config.json": SMALL, "model.safetensors": LARGE, "sub/deep/notes.txt": b"notes\n"}


def test_one_file_of_each_sort(hub: HubServer, api: HfApi, home: Path) -> None:
    sha = hub.add_repo("org/m", FILES)
    for name, content in FILES.items():
        found = Path(api.hf_hub_download("org/m", name, cache_dir=home))
        assert found.read_bytes() == content
        assert f"/snapshots/{sha}/" in found.as_posix()
    blobs = {path.name for path in (home / "models--org--m" / "blobs").iterdir()}
    assert hashlib.sha256(LARGE).hexdigest() in blobs
    assert hashlib.sha1(b"blob %d\0" % len(SMALL) + SMALL).hexdigest() in blobs


def test_snapshot(hub: HubServer, api: HfApi, home: Path, tmp_path: Path) -> None:
    hub.add_repo("org/m", FILES)
    for folder in (
        api.snapshot_download("org/m", cache_dir=home),
        api.snapshot_download("org/m", local_dir=tmp_path / "here"),
    ):
        for name, content in FILES.items():
            assert (Path(folder) / name).read_bytes() == content


def test_small_files_through_the_resolve_cache(home: Path) -> None:
    with HubServer(resolve_cache=True) as hub:
        sha = hub.add_repo("org/m", FILES)
        api = HfApi(endpoint=hub.url, token=False)
        folder = api.snapshot_download("org/m", cache_dir=home)
        assert (Path(folder) / "config.json").read_bytes() == SMALL
        assert hub.matching(f"GET /api/resolve-cache/models/org/m/{sha}/config.json")


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_other_kinds(hub: HubServer, api: HfApi, home: Path, kind: str) -> None:
    hub.add_repo("org/d", {"data/0.jpg": b"jpeg", "app.py": b"pass\n"}, kind)
    folder = api.snapshot_download("org/d", repo_type=kind, cache_dir=home)
    assert (Path(folder) / "data/0.jpg").read_bytes() == b"jpeg"
    assert (len(hub.cdn.requests) > 0) == (kind == "dataset")
    assert [found.id for found in api.list_datasets(search="d")] == ["org/d"] * (kind == "dataset")


def test_name_without_an_owner(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("old", FILES)
    assert api.model_info("old").id == "old"
    assert Path(api.hf_hub_download("old", "config.json", cache_dir=home)).is_file()


def test_info(hub: HubServer, api: HfApi) -> None:
    sha = hub.add_repo("org/m", FILES, info={"pipeline_tag": "text-generation"})
    info = api.model_info("org/m", files_metadata=True)
    assert (info.sha, info.pipeline_tag, info.gated) == (sha, "text-generation", False)
    found = {sibling.rfilename: sibling for sibling in info.siblings}
    assert found.keys() == FILES.keys()
    assert found["model.safetensors"].lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert found["config.json"].size == len(SMALL)
    assert api.repo_exists("org/m")
    assert not api.repo_exists("org/other")


def test_tree_has_the_ids_that_git_computes(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    hub.add_repo("org/m", FILES)
    entries = {entry.path: entry for entry in api.list_repo_tree("org/m", recursive=True)}
    assert entries.keys() == {*FILES, "sub", "sub/deep"}
    pointer = entries["model.safetensors"]
    lines = ["version https://git-lfs.github.com/spec/v1"]
    lines += [f"oid sha256:{pointer.lfs.sha256}", f"size {len(LARGE)}", ""]
    stored = {**FILES, "model.safetensors": "\n".join(lines).encode()}
    assert pointer.lfs.pointer_size == len(stored["model.safetensors"])
    for name, content in stored.items():
        (tmp_path / "git" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "git" / name).write_bytes(content)
    ids = _git_ids(tmp_path / "git")
    assert ids["sub"] == entries["sub"].tree_id
    assert {name: entries[name].blob_id for name in FILES} == {name: ids[name] for name in FILES}


def _git_ids(folder: Path) -> dict[str, str]:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.autocrlf=false", *arguments]
        return subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    git("add", "-A")
    listed = git("ls-tree", "-rt", git("write-tree").strip())
    return {line.split("\t")[1]: line.split()[2] for line in listed.splitlines()}


def test_expanded_tree_and_paths(hub: HubServer, api: HfApi) -> None:
    sha = hub.add_repo("org/m", FILES)
    entries = list(api.list_repo_tree("org/m", path_in_repo="sub", expand=True))
    assert [entry.path for entry in entries] == ["sub/deep"]
    assert entries[0].last_commit.oid == sha
    paths = ["config.json", "sub", "missing"]
    assert [entry.path for entry in api.get_paths_info("org/m", paths, expand=True)] == paths[:2]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("org/m", path_in_repo="missing"))


def test_pages(home: Path) -> None:
    with HubServer(page_size=7) as hub:
        files = {f"{i:03}.txt": b"%d" % i for i in range(50)}
        hub.add_repo("org/m", files)
        api = HfApi(endpoint=hub.url, token=False)
        assert {entry.path for entry in api.list_repo_tree("org/m")} == files.keys()
        assert len(hub.matching("/tree/main.*cursor=")) == 7


def test_revisions(hub: HubServer, api: HfApi, home: Path) -> None:
    first = hub.add_repo("org/m", {"a": b"1", "b": b"1"})
    hub.set_ref("org/m", "v1", first, tag=True)
    second = hub.add_commit("org/m", {"a": b"2"}, delete=["b"])
    third = hub.add_commit("org/m", {"a": b"3"}, "refs/pr/1")
    wanted = {"main": b"2", "v1": b"1", "refs/pr/1": b"3", first: b"1", second: b"2"}
    for revision, content in wanted.items():
        found = api.hf_hub_download("org/m", "a", revision=revision, cache_dir=home)
        assert Path(found).read_bytes() == content
    refs = api.list_repo_refs("org/m", include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": second}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1": first}
    assert [ref.target_commit for ref in refs.pull_requests or []] == [third]
    assert [commit.commit_id for commit in api.list_repo_commits("org/m")] == [second, first]
    assert api.list_repo_files("org/m") == ["a"]


def test_commits_are_the_same_each_time(hub: HubServer) -> None:
    with HubServer() as other:
        assert other.add_repo("org/m", FILES) == hub.add_repo("org/m", FILES)
    assert hub.add_repo("org/m", {}, sha="f" * 40) == "f" * 40


def test_absences_have_their_exceptions(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/m", FILES)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("org/m", "missing.json", cache_dir=home)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("org/m", "config.json", revision="v9", cache_dir=home)
    with pytest.raises(RevisionNotFoundError):
        api.snapshot_download("org/m", revision="v9", cache_dir=home)
    hub.add_token("hf_good")
    for token in (False, "hf_good"):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("org/none", token=token)


@pytest.mark.parametrize("gated", ["auto", "manual"])
def test_gated(hub: HubServer, api: HfApi, home: Path, gated: str) -> None:
    hub.add_repo("org/gated", FILES, gated=gated)
    hub.add_token("hf_none")
    hub.add_token("hf_yes", approved=["org/gated"])
    assert api.model_info("org/gated").gated == gated
    assert "config.json" in api.list_repo_files("org/gated")
    for token, status in ((False, 401), ("hf_none", 403)):
        with pytest.raises(GatedRepoError) as caught:
            api.hf_hub_download("org/gated", "config.json", token=token, cache_dir=home)
        assert caught.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            api.auth_check("org/gated", token=token)
    api.auth_check("org/gated", token="hf_yes")
    assert api.snapshot_download("org/gated", token="hf_yes", cache_dir=home)


def test_private(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/private", FILES, private=True)
    hub.add_token("hf_none")
    hub.add_token("hf_yes", private=["org/private"])
    for token, status in ((False, 401), ("hf_none", 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            api.snapshot_download("org/private", token=token, cache_dir=home)
        assert not isinstance(caught.value, GatedRepoError)
        with pytest.raises(RepositoryNotFoundError) as caught:
            api.model_info("org/private", token=token)
        assert caught.value.response.status_code == status
    assert api.snapshot_download("org/private", token="hf_yes", cache_dir=home)


def test_tokens(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/m", FILES)
    hub.add_token("hf_good", name="somebody")
    assert api.whoami(token="hf_good")["name"] == "somebody"
    with pytest.raises(HfHubHTTPError) as caught:
        api.model_info("org/m", token="hf_stale")
    assert caught.value.response.status_code == 401
    assert not isinstance(caught.value, RepositoryNotFoundError)


def test_the_cdn_gets_no_token(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/m", FILES)
    hub.add_token("hf_good")
    hub.cdn.refuse_tokens = True
    api.snapshot_download("org/m", token="hf_good", cache_dir=home)
    assert [request.bytes_sent for request in hub.cdn.requests] == [len(LARGE)]
    assert hub.cdn.leaks == []
    resolved = hub.matching("resolve/.*/model.safetensors")
    assert {request.token for request in resolved} == {"hf_good"}
    assert {request.status for request in resolved} == {302}


def test_moved(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/old", FILES)
    hub.move_repo("org/old", "other/new")
    assert api.model_info("org/old").id == "other/new"
    found = api.hf_hub_download("org/old", "model.safetensors", cache_dir=home)
    assert Path(found).read_bytes() == LARGE


def test_cut_downloads_are_resumed(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/m", FILES)
    fault = hub.cdn.faults.add("GET", "cut", times=1, n=1000)
    found = api.hf_hub_download("org/m", "model.safetensors", cache_dir=home)
    assert Path(found).read_bytes() == LARGE
    assert fault.hits == 1


def test_hostile_listing_is_refused(hub: HubServer, api: HfApi, home: Path) -> None:
    hub.add_repo("org/m", FILES)
    hub.add_raw_tree_entry("org/m", "../../outside.txt")
    with pytest.raises(ValueError, match="outside"):
        api.snapshot_download("org/m", cache_dir=home)
    assert not list(home.rglob("outside.txt"))


def test_a_branch_moves_under_a_download(hub: HubServer, api: HfApi, home: Path) -> None:
    first = hub.add_repo("org/m", {"a.txt": b"1", "b.txt": b"1"})
    hub.hook("/tree/", lambda: hub.add_commit("org/m", {"a.txt": b"2", "b.txt": b"2"}))
    folder = Path(api.snapshot_download("org/m", cache_dir=home))
    assert folder.name == first
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [b"1", b"1"]
    assert api.model_info("org/m").sha != first


def test_rate_limit(hub: HubServer, api: HfApi) -> None:
    hub.add_repo("org/m", FILES)
    hub.limit("api", 2, window=60)
    api.model_info("org/m")
    api.model_info("org/m")
    with pytest.raises(HfHubHTTPError) as caught:
        api.model_info("org/m")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["ratelimit"].startswith('"api";r=0;t=')
