"""huggingface_hub itself as the oracle: same files, same bytes, and a cache that it reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Cli, write_project
from tests.e2e.conftest import WEIGHTS, files_below
from tests.kit import payload
from tests.oracles import CLIENTS, client
from tests.servers.cas import Cas
from tests.servers.hub import HubServer

DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type=sys.argv[2], local_dir=sys.argv[3])
"""
NO_SYMLINKS = """
import os
def refused(*_, **__):
    raise OSError("no privilege, as on Windows")
os.symlink = refused
"""
READ_CACHE = """
import sys
from huggingface_hub import hf_hub_download, snapshot_download
folder = snapshot_download("o/m")
path = hf_hub_download("o/m", "sub/vocab.txt")
assert open(path).read() == "one\\ntwo\\n"
print(folder)
"""


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


@pytest.mark.parametrize("path", CLIENTS)
@pytest.mark.parametrize("symlinks", [True, False])
def test_a_cache_that_the_client_filled_is_kept(
    tmp_path: Path, cli: Cli, hub: HubServer, path: str, symlinks: bool
) -> None:
    # One thread: others ask the client for symlinks while it still finds out.
    code = "from huggingface_hub import snapshot_download; snapshot_download('o/m', max_workers=1)"
    client(code if symlinks else NO_SYMLINKS + code, path=path)
    cache = Path(os.environ["HF_HOME"]) / "hub"
    links = [found for found in cache.rglob("*") if found.is_symlink()]
    assert bool(links) == symlinks
    write_project(
        tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {m/: m}\nhub_cache: [m]\n"
    )
    result = cli("all", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["downloaded_bytes"] == 0
    assert files_below(tmp_path / "m").keys() == {
        ".gitattributes",
        "config.json",
        "model.safetensors",
        "sub/vocab.txt",
    }
    client(READ_CACHE, path=path, HF_HUB_OFFLINE="1")
    adopted = cli("adopt", cache, "--json")
    assert adopted.code == 0 and adopted.json["summary"]["adopted_files"] == 4


def test_what_the_client_got_through_xet_is_found(
    tmp_path: Path, cli: Cli, hub: HubServer, hermetic: Path
) -> None:
    """The newest client keeps it in a store that all repositories of a cache share."""
    pytest.importorskip("hf_xet")
    with Cas() as cas:
        hub.cas = cas
        weights = payload(1_500_000)
        hub.add_repo("o/x", {"config.json": b"{}", "w.safetensors": weights}, xet=True)
        code = "from huggingface_hub import snapshot_download; snapshot_download('o/x')"
        client(code, path="", HF_HUB_DISABLE_XET="0")
        assert any("/xorbs/" in request.path for request in cas.requests) and cas.errors == []
    cache = hermetic / "huggingface" / "hub"
    assert [path.stat().st_size for path in (cache / "blobs").glob("??/" + "?" * 64)] == [1_500_000]
    write_project(
        tmp_path, "p", "artifacts:\n  x: {source: hf:o/x}\n", "tree: {x/: x}\nhub_cache: [x]\n"
    )
    result = cli("all", "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["downloaded_bytes"] == 0
    assert (tmp_path / "x/w.safetensors").read_bytes() == weights
    seen = "from huggingface_hub import scan_cache_dir as scan; assert not scan().warnings"
    client(seen, path="")


def test_the_client_verifies_our_cache(
    tmp_path: Path, cli: Cli, hub: HubServer, hermetic: Path
) -> None:
    """`hf cache verify`, which the oldest client does not have yet."""
    write_project(
        tmp_path, "p", "artifacts:\n  m: {source: hf:o/m}\n", "tree: {}\nhub_cache: [m]\n"
    )
    assert cli("all").code == 0
    verify = "import sys; from huggingface_hub.cli.hf import main; sys.argv[0] = 'hf'; main()"
    options = ("--fail-on-missing-files", "--fail-on-extra-files")
    assert "4" in client(verify, "cache", "verify", "o/m", *options, path="")
    snapshots = hermetic / "huggingface/hub/models--o--m/snapshots"
    weights = next(snapshots.glob("*/model.safetensors")).resolve()
    weights.chmod(0o644)
    weights.write_bytes(bytes(len(WEIGHTS)))
    with pytest.raises(AssertionError, match="Verification failed"):
        client(verify, "cache", "verify", "o/m", *options, path="")
