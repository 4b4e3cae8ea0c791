"""huggingface_hub itself as the oracle: same files, same bytes, and a cache that it reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetcher.config.settings import Settings, Value
from fetcher.network.session import Network
from fetcher.sources.base import Request
from fetcher.sources.huggingface import HuggingFace
from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS, files_below
from tests.servers.hub import HubServer

# A folder with the oldest huggingface_hub that must be able to read what we lay out.
OLDEST = os.environ.get("FETCH_TEST_OLDEST_HUB", "")
CLIENTS = [pytest.param("", id="newest"), pytest.param(OLDEST, id="oldest")]

DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type=sys.argv[2], local_dir=sys.argv[3])
"""
READ_CACHE = """
import sys
from huggingface_hub import hf_hub_download, snapshot_download
folder = snapshot_download("o/m")
path = hf_hub_download("o/m", "sub/vocab.txt")
assert open(path).read() == "one\\ntwo\\n"
print(folder)
"""


LISTING = """
import sys
from huggingface_hub import HfApi
for item in HfApi().list_repo_tree(
    sys.argv[1], recursive=True, repo_type=sys.argv[2], revision=sys.argv[3]
):
    if hasattr(item, "size"):
        print(item.path, item.size, item.lfs.sha256 if item.lfs else item.blob_id, sep="\\t")
"""


def client(code: str, *arguments: str, path: str, **variables: str) -> str:
    if path == "" and "oldest" in os.environ.get("PYTEST_CURRENT_TEST", ""):
        pytest.skip("FETCH_TEST_OLDEST_HUB is not set: `make test` sets it")
    environment = {**os.environ, **variables, "HF_HUB_DISABLE_XET": "1"}
    if path:
        environment["PYTHONPATH"] = path
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("path", CLIENTS)
@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_the_same_files_as_hf_download(
    tmp_path: Path, cli: Cli, hub: HubServer, repo_type: str, path: str
) -> None:
    files = {
        "README.md": b"# hello\n",
        "data/train-00000.parquet": b"PAR1" * 5000,
        "data/sub dir/ü 한글.txt": "안녕".encode(),
        "empty.txt": b"",
        "weights.safetensors": WEIGHTS,
        ".gitattributes": b"*.safetensors filter=lfs\n",
    }
    hub.add_repo("o/r", files, repo_type)
    oracle = tmp_path / "oracle"
    client(DOWNLOAD, "o/r", repo_type, str(oracle), path=path)
    kind = "" if repo_type == "model" else f", repo_type: {repo_type}"
    write_project(
        tmp_path,
        "p",
        f"artifacts:\n  r: {{source: {{type: huggingface, repo: o/r{kind}}}}}\n",
        "tree: {ours/: r}\n",
    )
    assert cli("all").code == 0
    theirs = {k: v for k, v in files_below(oracle).items() if not k.startswith(".cache/")}
    assert files_below(tmp_path / "ours") == theirs == files


@pytest.mark.parametrize("path", CLIENTS)
@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
@pytest.mark.parametrize("revision", ["main", "side/branch", "v1.0", "refs/pr/1", "commit"])
def test_the_same_listing_as_hfapi(
    tmp_path: Path, hub: HubServer, repo_type: str, revision: str, path: str
) -> None:
    """Names, sizes and digests over several pages, at whatever names a revision."""
    hub.page_size = 3
    files = {f"d{n}/ü {n} +%#.txt": b"x" * n for n in range(8)}
    first = hub.add_repo("o/r", {**files, "w.safetensors": WEIGHTS, "empty": b""}, repo_type)
    hub.set_ref("o/r", "side/branch", first, repo_type)
    hub.set_ref("o/r", "v1.0", first, repo_type, tag=True)
    hub.set_ref("o/r", "refs/pr/1", first, repo_type)
    hub.add_commit("o/r", {"later.txt": b"later"}, repo_type=repo_type)
    named = first if revision == "commit" else revision
    theirs = client(LISTING, "o/r", repo_type, named, path=path).splitlines()
    network = Network(Settings(tmp_path, {"hf_endpoint": Value(hub.url, "test")}))
    found = HuggingFace("o/r", repo_type, named).resolve(Request(), network)
    ours = [f"{f.path}\t{f.size}\t{f.sha256 or f.git_blob}" for f in found.files]
    assert sorted(ours) == sorted(theirs) and len(ours) == (11 if revision == "main" else 10)


@pytest.mark.parametrize("path", CLIENTS)
def test_hub_cache_is_read_offline(
    tmp_path: Path, cli: Cli, hub: HubServer, hermetic: Path, path: str
) -> None:
    write_project(
        tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {}\nhub_cache: [m]\n"
    )
    result = cli("all", "--json")
    assert result.code == 0, result.err
    folder = client(READ_CACHE, path=path, HF_HUB_OFFLINE="1")
    assert files_below(Path(folder)).keys() == {
        ".gitattributes",
        "config.json",
        "model.safetensors",
        "sub/vocab.txt",
    }
    again = cli("all", "--json")
    assert again.code == 0 and again.json["summary"]["placed_files"] == 0
    assert cli("check", "--deep").code == 0


def test_a_cache_that_the_client_filled_is_kept(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    client("from huggingface_hub import snapshot_download; snapshot_download('o/m')", path="")
    write_project(
        tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {}\nhub_cache: [m]\n"
    )
    result = cli("all", "--json")
    assert result.code == 0
    assert result.json["summary"]["downloaded_bytes"] == 0
    assert cli("adopt", Path(os.environ["HF_HOME"]) / "hub").code == 0
