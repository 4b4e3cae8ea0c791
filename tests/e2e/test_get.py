"""`fetch get`: files in a folder, and nothing else there."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.e2e.conftest import WEIGHTS
from tests.servers.gdrive import DriveServer
from tests.servers.git_http import HOST, GitServer
from tests.servers.hub import HubServer
from tests.servers.hub_buckets import BucketHub
from tests.servers.kaggle import KaggleServer
from tests.servers.object_stores import S3Server
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


def packed(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


MEMBERS = {
    "top/a.bin": os.urandom(9000),
    "top/sub/b.bin": os.urandom(9000),
    "top/README.md": b"hi\n",
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"x", "x/top/a.bin", "x/top/sub/b.bin", "x/top/README.md"}),
        (["--strip", "1", "--to", "."], {"a.bin", "sub/b.bin", "README.md"}),
        (["top/*.bin", "--to", "out"], {"out/top/a.bin"}),
        (["--exclude", "**/*.md", "--strip", "1"], {"x/a.bin", "x/sub/b.bin"}),
        (["a.bin", "--strip", "1"], {"x/a.bin"}),
    ],
)
def test_what_is_in_an_archive(
    tmp_path: Path, cli: Cli, arguments: list[str], expected: set[str]
) -> None:
    with FileServer({"/d/x.zip": packed(MEMBERS)}) as server:
        first = cli("get", f"{server.url}/d/x.zip", "--unpack", *arguments, "--json")
        assert first.code == 0, first.err
        found = {name for name in everything(tmp_path) if (tmp_path / name).is_file()}
        assert found == {name for name in expected if "." in name}
        rows = {row["path"]: row["sha256"] for row in first.json["results"]}
        assert set(rows.values()) <= {hashlib.sha256(data).hexdigest() for data in MEMBERS.values()}
        again = cli("get", f"{server.url}/d/x.zip", "--unpack", *arguments, "--json")
        assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0
        assert {row["state"] for row in again.json["results"]} == {"present"}


def test_archives_of_a_repository(tmp_path: Path, cli: Cli, hub: HubServer) -> None:
    hub.add_repo("o/d", {"a.zip": packed({"1.txt": b"1\n"}), "b.zip": b"no zip", "c.txt": b"c\n"})
    first = cli("get", "o/d", "a.zip", "c.txt", "--unpack", "--json")
    assert first.code == 0, first.err
    assert everything(tmp_path) == {"d", "d/1.txt", "d/c.txt"}
    again = cli("get", "o/d", "a.zip", "c.txt", "--unpack", "--json")
    assert again.code == 0 and again.json["summary"]["downloaded_bytes"] == 0
    one = cli("get", f"{hub.url}/o/d/resolve/main/a.zip", "--unpack", "--to", "one")
    assert one.code == 0 and (tmp_path / "one/1.txt").is_file()


def test_what_is_no_archive_leaves_nothing(tmp_path: Path, cli: Cli) -> None:
    hostile = packed({"../../evil.bin": b"x" * 100})
    with FileServer({"/x.zip": b"not one at all" * 99, "/evil.zip": hostile}) as server:
        for name in ("x.zip", "evil.zip"):
            assert cli("get", f"{server.url}/{name}", "--unpack").code in {3, 4}
        assert cli("get", f"{server.url}/x.zip", "--strip", "1").code == 2
        assert cli("get", f"{server.url}/gone.zip", "--unpack").code == 3
    assert everything(tmp_path) == set()


def test_to_takes_the_person_s_variables(
    tmp_path: Path, cli: Cli, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELS", str(tmp_path / "models"))
    assert cli("get", "o/m", "config.json", "--to", "${MODELS}/m").code == 0
    assert (tmp_path / "models/m/config.json").is_file()


@pytest.mark.parametrize(
    ("address", "files"),
    [
        ("s3://bucket/m/w.bin", {"w.bin"}),
        ("s3://bucket/m/", {"m", "m/w.bin", "m/z", "m/z/x.txt"}),
        ("s3://bucket/m", {"m", "m/w.bin", "m/z", "m/z/x.txt"}),
        ("  HTTPS://bucket.s3.amazonaws.com/m/z/x.txt ", {"x.txt"}),
        ("kaggle:o/d", {"d", "d/a.csv", "d/t", "d/t/b.csv"}),
        ("https://www.kaggle.com/datasets/o/d/data?select=a.csv", {"a.csv"}),
        (f"https://drive.google.com/file/d/{'F' * 30}/view", {"drive.bin"}),
        (f"https://drive.google.com/drive/folders/{'T' * 30}",
         {"T" * 30, f"{'T' * 30}/a.bin", f"{'T' * 30}/b.bin"}),
        (f"{HOST}/o/r.git", {"r", "r/run.sh", "r/x.bin"}),
        (f"git:{HOST}/o/r.git:x.bin", {"x.bin"}),
        ("hf:buckets/o/b", {"b", "b/c", "b/c/w.bin", "b/top.bin"}),
        ("https://huggingface.co/buckets/o/b/resolve/c/w.bin", {"w.bin"}),
    ],
)  # fmt: skip
def test_one_file_comes_here_and_more_into_a_folder_of_its_name(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    files: set[str],
) -> None:
    data = {name: name.encode() * 40 for name in ("a.bin", "b.bin", "w.bin", "x.txt", "top.bin")}
    with ExitStack() as stack:
        start = stack.enter_context
        drive, repos = start(DriveServer()), start(GitServer(tmp_path_factory.mktemp("repos")))
        drive.add_file("F" * 30, "drive.bin", data["a.bin"])
        drive.add_tree("T" * 30, {"a.bin": data["a.bin"], "b.bin": data["b.bin"]})
        repos.add_repo("o/r", {"run.sh": b"#!/bin/sh\n", "x.bin": data["a.bin"]})
        bucket = start(BucketHub())
        bucket.add_bucket("o/b", {"c/w.bin": data["w.bin"], "top.bin": data["top.bin"]})
        objects = start(S3Server({"m/w.bin": data["w.bin"], "m/z/x.txt": data["x.txt"]}))
        tables = start(KaggleServer({"a.csv": b"a,b\n", "t/b.csv": b"c,d\n"}))
        monkeypatch.setenv("HF_ENDPOINT", bucket.url)
        rewritten = (drive, repos, objects, tables)
        monkeypatch.setenv("FETCH_REWRITE", " ".join(server.rewrite for server in rewritten))
        first = cli("get", address)
        assert first.code == 0, first.err
        assert everything(tmp_path) == files
        assert (str(tmp_path / min(files, key=len)) in first.out) == (len(files) > 1)
        assert cli("get", address, "--to", "there").code == 0
        found = {name.partition("/")[2] for name in files if "/" in name} or files
        assert everything(tmp_path / "there") == found


def test_the_store_keeps_nothing_for_it(tmp_path: Path, cli: Cli) -> None:
    with FileServer({"/w.bin": os.urandom(9000)}) as server:
        assert cli("get", f"{server.url}/w.bin").code == 0
        assert cli("get", f"{server.url}/none.bin").code == 3
    told = cli("gc", "--dry-run").out
    assert ".fetch" not in told and "not here" not in told, told


def test_a_failure_speaks_of_no_project(tmp_path: Path, cli: Cli) -> None:
    with FileServer({"/w.pth": os.urandom(3000)}) as server:
        result = cli("get", f"{server.url}/w.pth")
    assert result.code == 3 and "PyTorch format" in result.err
    assert "fetch adopt" not in result.err and "browser" in result.err
    assert "0 files in" in result.out and everything(tmp_path) == set()


def test_an_interrupted_or_refused_source_leaves_no_folder_of_its_name(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server({"m/a.bin": b"a"}) as server:
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        assert cli("get", "s3://bucket/none/").code == 3
        (tmp_path / "m").write_text("mine")
        assert cli("get", "s3://bucket/m/", "*.bin").code in {0, 3, 4, 9}
    assert everything(tmp_path) <= {"m", "a.bin"}
