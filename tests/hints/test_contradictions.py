"""Where two say otherwise, or a source says what it did not: the hint, followed, decides it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.conftest import files_below
from tests.e2e.test_archives import zipped
from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA
from tests.hostile.test_hub_cache import CONFIG, EVIL_CONFIG, FILES, tamper
from tests.hostile.test_hub_cache import project as cached
from tests.hostile.test_store import put_blob
from tests.kit import git_blob, payload, sha256
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

CONTESTED = "ask who made them which is right; --replace takes this one"
DISPUTED = "find out which is right: `fetch lock --update NAME` in a project"
NO_BRANCH = "`fetch lock --update {id}`, or pin the commit in the manifest"
STATED = "if they are right: fetch lock --update {id}"
ARCHIVE = "the archive changed upstream: `fetch lock --update {id}`"
CACHED = "one of both is not that commit's: `fetch doctor`"


@about(CONTESTED, DISPUTED)
def test_two_bundles_that_contradict_each_other(
    desk: Desk, hub: HubServer, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a Hub that this machine has never asked."""
    hub.add_repo("o/m", {"config.json": CONFIG})
    for name, data in (("a", CONFIG), ("b", EVIL_CONFIG)):
        root = desk.root / name
        write_project(root, name, "artifacts: {m: {source: 'hf:o/m'}}\n", "tree: {m/: m}\n")
        monkeypatch.setenv("FETCH_STORE", str(hermetic / name))
        desk.fetch("lock", cwd=root)
        entry = {"path": "config.json", "size": len(data), "sha256": sha256(data)}
        lock = json.loads((root / "fetch.lock").read_text())
        lock["manifests"][name]["m"]["files"] = [entry]
        (root / "fetch.lock").write_text(json.dumps(lock))
        put_blob(hermetic / name, data)
        shutil.rmtree(hermetic / name / "upstream")
        desk.fetch("mirror", "export", desk.root / f"{name}.tar", cwd=root)
    monkeypatch.setenv("FETCH_STORE", str(hermetic / "store"))
    desk.fetch("mirror", "import", "b.tar")
    desk.fails("mirror", "import", "a.tar")
    desk.again(CONTESTED, "--replace")
    desk.fetch("store", "check")
    # A project beside them that says otherwise.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    desk.fetch("all", "--offline", cwd=desk.root / "a")
    desk.fetch("store", "check")
    put_blob(hermetic / "store", EVIL_CONFIG)
    desk.fetch("all", "--offline", cwd=desk.root / "b")
    desk.fails("store", "check")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    desk.follow(DISPUTED, NAME="m", cwd=desk.root / "b")
    desk.fetch("store", "check")


@about(NO_BRANCH)
@pytest.mark.parametrize("way", ["lock", "pin"])
def test_a_commit_at_which_the_branch_never_was(
    desk: Desk, hub: HubServer, hermetic: Path, way: str
) -> None:
    first = hub.add_repo("o/m", FILES)
    other = hub.add_commit("o/m", {"config.json": EVIL_CONFIG}, "side")
    root = cached(desk.root / "p", f"hf:o/m@{other}")
    desk.fetch("lock", cwd=root)
    lock = json.loads((root / "fetch.lock").read_text())
    lock["manifests"]["p"]["m"]["source"] = "hf:o/m@main"
    (root / "fetch.lock").write_text(json.dumps(lock))
    cached(root)
    desk.fails("all", cwd=root)
    ref = hermetic / "huggingface/hub/models--o--m/refs/main"
    assert not ref.exists()
    if way == "pin":
        cached(root, f"hf:o/m@{other}")
        desk.fetch("all", cwd=root)
        assert not ref.exists()
        cached(root)
    desk.follow(NO_BRANCH)
    desk.fetch("all", cwd=root)
    assert ref.read_text() == first
    desk.fetch("check", "--deep", cwd=root)


@about(CACHED)
@pytest.mark.parametrize("wrong", ["lock", "cache"])
def test_the_cache_and_the_lock_say_otherwise(
    desk: Desk, hub: HubServer, hermetic: Path, wrong: str
) -> None:
    hub.add_repo("o/m", FILES)
    honest, root = cached(desk.root / "honest"), cached(desk.root / "p")
    desk.fetch("all", cwd=honest)
    folder = hermetic / "huggingface/hub/models--o--m"
    (link,) = folder.glob("snapshots/*/config.json")
    desk.fetch("lock", cwd=root)
    if wrong == "lock":

        def lie(entry: object, files: dict[str, dict[str, object]]) -> None:
            files["config.json"].update(git_blob=git_blob(EVIL_CONFIG), sha256=sha256(EVIL_CONFIG))

        tamper(root, lie)
    else:
        (folder / "blobs" / git_blob(EVIL_CONFIG)).write_bytes(EVIL_CONFIG)
        link.unlink()
        link.symlink_to(f"../../blobs/{git_blob(EVIL_CONFIG)}")
    desk.fails("all", cwd=root)
    told = desk.follow(CACHED, 0).out
    desk.follow(CACHED, 1)
    assert (str(link) in told) is (wrong == "cache")
    if wrong == "cache":
        desk.fails("all", cwd=root)  # the lock was right
        link.unlink()
        desk.follow("remove {path}, then run `fetch all`")
    desk.fetch("all", cwd=root)
    assert link.read_bytes() == (root / "m/config.json").read_bytes() == CONFIG
    desk.fetch("check", "--deep", cwd=root)


@about(STATED)
def test_a_source_has_other_bytes_than_the_lock(
    desk: Desk, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that a library reads: the source itself is asked, and not the store."""
    monkeypatch.setenv("TORCH_HOME", str(desk.root / "torch"))
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    write_project(
        desk.root,
        "p",
        f"artifacts: {{w: {{source: '{files.add('w.pth', DATA)}'}}}}\n",
        "tree: {}\ntorch_hub: {checkpoints/: w}\n",
    )
    placed = desk.root / "torch/hub/checkpoints/w.pth"
    desk.fetch("all")
    placed.unlink()
    shutil.rmtree(os.environ["FETCH_STORE"])
    shutil.rmtree(desk.root / ".fetch")
    other = DATA[:-1] + b"~"
    files.add("w.pth", other)
    desk.fails("all")
    desk.follow(STATED)
    desk.fetch("all")
    assert placed.read_bytes() == other
    desk.fetch("check", "--deep")


@about(ARCHIVE)
@pytest.mark.parametrize("how", ["gone", "other"])
def test_an_archive_of_which_some_is_read(desk: Desk, files: FileServer, how: str) -> None:
    """A digest of all of it was never needed: its members tell."""
    rest = {"rest.bin": payload(2_000_000)}
    url = files.add("d.zip", zipped({"a.txt": b"one\n", "b.txt": b"two\n", **rest}))
    write_project(
        desk.root,
        "p",
        f"artifacts:\n  d:\n    source: {url}\n    unpack: {{members: '*.txt'}}\n",
        "tree: {data/: d}\n",
    )
    desk.fetch("all")
    shutil.rmtree(os.environ["FETCH_STORE"])
    shutil.rmtree(desk.root / "data")
    now = {"a.txt": b"one\n"} if how == "gone" else {"a.txt": b"one\n", "b.txt": b"TWO\n"}
    files.add("d.zip", zipped({**now, **rest}))
    desk.fails("all")
    desk.follow(ARCHIVE)
    desk.fetch("all")
    assert files_below(desk.root / "data") == now
    desk.fetch("check", "--deep")
