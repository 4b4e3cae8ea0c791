"""`fetch get`: files in a folder, and nothing else there."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.conftest import WEIGHTS
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer


def everything(root: Path) -> set[str]:
    """Each file and folder, hidden ones too."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def test_a_whole_repository_in_a_folder_of_its_name(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    result = cli("get", "hf:o/m")
    assert result.code == 0, result.err
    assert everything(tmp_path) == {
        "m", "m/config.json", "m/model.safetensors", "m/sub", "m/sub/vocab.txt", "m/.gitattributes",
    }  # fmt: skip
    assert hashlib.sha256(WEIGHTS).hexdigest() in result.out


def test_a_choice_of_files_and_a_second_run_without_a_byte(
    tmp_path: Path, cli: Cli, hub: HubServer
) -> None:
    first = cli("get", "o/m", "*.json", "sub/**", "--to", "here", "--json")
    assert first.code == 0, first.err
    assert everything(tmp_path) == {
        "here", "here/config.json", "here/sub", "here/sub/vocab.txt",
    }  # fmt: skip
    assert {row["target"] for row in first.json["results"]} == {"config.json", "sub/vocab.txt"}
    again = cli("get", "o/m", "*.json", "sub/**", "--to", "here", "--json")
    assert again.json["summary"]["downloaded_bytes"] == 0
    assert {row["state"] for row in again.json["results"]} == {"present"}


def test_one_file_by_its_address(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    assert cli("get", f"{hub.url}/o/m/blob/main/sub/vocab.txt").code == 0
    assert everything(tmp_path) == {"vocab.txt"}
    twice = cli("get", f"{hub.url}/o/m/resolve/main/config.json", "x.json")
    assert twice.code == 2 and "one file already" in twice.err


def test_a_url_whose_digest_nobody_knows(tmp_path: Path, cli: Cli) -> None:
    data = os.urandom(50_000)
    with FileServer({"/a/weights.bin": data}) as server:
        result = cli("get", f"{server.url}/a/weights.bin", "--to", "out", "--json")
        assert result.code == 0, result.err
        assert result.json["results"][0]["sha256"] == hashlib.sha256(data).hexdigest()
        again = cli("get", f"{server.url}/a/weights.bin", "--to", "out", "--json")
        assert again.json["summary"]["downloaded_bytes"] == 0
    assert everything(tmp_path) == {"out", "out/weights.bin"}
    assert (tmp_path / "out/weights.bin").read_bytes() == data


def test_another_file_in_the_way_is_kept(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    (tmp_path / "config.json").write_text("mine")
    refused = cli("get", "hf:o/m", "config.json", "--to", ".")
    assert refused.code == 4 and "config.json is there with other bytes" in refused.err
    assert (tmp_path / "config.json").read_text() == "mine"
    assert cli("get", "hf:o/m", "config.json", "--to", ".", "--overwrite").code == 0
    assert (tmp_path / "config.json.kept").read_text() == "mine"
    assert everything(tmp_path) == {"config.json", "config.json.kept"}


def test_no_link_of_the_folder_leads_out(
    tmp_path: Path, cli: Cli, hub: HubServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (tmp_path / "to").mkdir()
    (tmp_path / "to/sub").symlink_to(outside)
    result = cli("get", "hf:o/m", "sub/vocab.txt", "--to", "to")
    assert result.code != 0
    assert everything(outside) == set()


def test_what_is_not_there_leaves_nothing(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    result = cli("get", "hf:o/m", "*.gguf", "--to", "new/deep")
    assert result.code == 3 and "gguf" in result.err
    assert cli("get", "hf:o/absent").code != 0
    assert cli("get", "./nothing").code == 2
    assert everything(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_run_that_was_stopped_goes_on_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    data = os.urandom(3_000_000)
    with FileServer({"/big.bin": data}) as server:
        address = f"{server.url}/big.bin"
        server.faults.add("^GET", "stall", n=1_000_000)
        command = [sys.executable, "-m", "fetcher", "get", address, "--to", "out"]
        with subprocess.Popen(command, cwd=tmp_path) as process:
            _wait_for(lambda: _largest(Path(os.environ["FETCH_STORE"]) / "partial") >= 900_000)
            process.send_signal(getattr(signal, how))
        assert not (tmp_path / "out/big.bin").exists()
        server.faults.clear()
        before = len(server.requests)
        subprocess.run(command, cwd=tmp_path, check=True)
        asked = [r.headers.get("range") for r in server.requests[before:] if r.method == "GET"]
    if how == "SIGINT":  # of a killed run nobody knows whose bytes those are
        assert asked[0] is not None and int(asked[0].strip("bytes=-")) >= 900_000
    assert (tmp_path / "out/big.bin").read_bytes() == data
    assert everything(tmp_path) == {"out", "out/big.bin"}


def _largest(folder: Path) -> int:
    return max((path.stat().st_size for path in folder.glob("*.part")), default=0)


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to that")


def test_the_project_around_it_is_not_touched(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    (tmp_path / "fetch.yaml").write_text("store: inside\n")
    assert cli("get", "hf:o/m", "config.json", "--to", "x").code == 0
    assert everything(tmp_path) == {"fetch.yaml", "x", "x/config.json"}
