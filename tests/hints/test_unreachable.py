"""What cannot be had from where it is: the hint, followed, brings it another way."""

from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import write_project
from tests.e2e.conftest import WEIGHTS
from tests.hints.desk import Desk, about
from tests.hints.test_sources import DATA, declare
from tests.hostile.test_hub_cache import project as cached
from tests.servers.hub import HubServer
from tests.servers.plain import FileServer

FILES = {
    "config.json": b'{"a": 1}\n',
    "model.safetensors": WEIGHTS,
    "sub/vocab.txt": b"one\ntwo\n",
}
ADOPTED = "a manifest or lock would keep it: give the address without it"
PAGE = "open {url} in a browser, then: fetch adopt"
HUB_AWAY = "run it where {hub} can be reached"
SOURCE_AWAY = "run it where {source} can be reached, take in a bundle"
OFFLINE = "run once where there is a network, or take the files from a store"
TOKEN = "is a token needed? `fetch doctor` tells which are set"


@about(ADOPTED)
@pytest.mark.parametrize("way", ["add", "manifest"])
def test_an_address_that_lets_in_whoever_has_it(desk: Desk, files: FileServer, way: str) -> None:
    url = f"{files.url}/w.pth"
    files.add("w.pth", DATA, authorization="Bearer x")
    if way == "add":
        desk.fails("add", f"{url}?token=secret")
        desk.fetch("add", url, "--id", "w", "--manifest", "p", "--place", "models/")
    else:
        declare(desk.root, f"{url}?token=secret")
        desk.fails("all")
        declare(desk.root, url)
    (desk.root / "downloaded").write_bytes(DATA)
    desk.follow(ADOPTED, more=["downloaded", "--as", "w/w.pth"])
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == DATA


@about(OFFLINE)
@pytest.mark.parametrize("way", ["store", "adopt"])
def test_no_network(
    desk: Desk, project: Path, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    desk.fetch("lock")
    desk.fails("all", "--offline")
    desk.fetch("all")  # where there is a network
    desk.fetch("all", "--offline")
    away = tmp_path_factory.mktemp("a way")
    shutil.move(project / "models", away / "models")
    shutil.move(os.environ["FETCH_STORE"], away / "store")
    desk.fails("all", "--offline")
    if way == "store":
        desk.again(OFFLINE, "--from", away / "store")
    else:
        desk.follow(OFFLINE, PATH=away / "models")
    desk.fetch("all", "--offline")
    desk.fetch("check", "--deep")


def test_a_page_in_place_of_a_file_of_the_hub(desk: Desk, project: Path, hub: HubServer) -> None:
    """Each file that a page came for is named with its address, and taken one by one."""
    hub.faults.add("/o/m/resolve/.*/config", "html")
    desk.fails("all")
    (project / "down").write_bytes(FILES["config.json"])
    assert desk.said(PAGE).values["url"].startswith(f"{hub.url}/o/m/resolve/")
    desk.follow(PAGE, DOWNLOADED_FILE="down")
    desk.fetch("all")
    desk.fetch("check", "--deep")


@about(TOKEN)
def test_an_address_of_the_hub_that_wants_a_token(
    desk: Desk, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("o/closed", {"w.pth": DATA}, private=True)
    hub.add_token("hf_right", private=["o/closed"])
    declare(desk.root, f"{hub.url}/o/closed/resolve/main/w.pth")
    desk.fails("access")
    assert "Hugging Face token: none" in desk.follow(TOKEN).out
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert "Hugging Face token: none" not in desk.follow(TOKEN).out
    desk.fetch("access")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == DATA


def test_a_host_that_takes_a_login_is_asked_with_one(
    desk: Desk, files: FileServer, hermetic: Path
) -> None:
    """No token that `fetch doctor` tells of lets anybody in there."""
    files.add("w.pth", DATA, authorization=f"Basic {base64.b64encode(b'me:secret').decode()}")
    declare(desk.root, f"{files.url}/w.pth")
    assert "put a login for its host into ~/.netrc" in desk.fails("access").out
    for password in ("old", "secret"):
        (hermetic / ".netrc").write_text(f"machine 127.0.0.1 login me password {password}\n")
        (hermetic / ".netrc").chmod(0o600)
        if password == "old":
            assert "~/.netrc is not let in" in desk.fails("access").out
    desk.fetch("access")
    desk.fetch("all")
    assert (desk.root / "models/w.pth").read_bytes() == DATA


@about(HUB_AWAY)
@pytest.mark.parametrize("way", ["network", "bundle", "mirror"])
def test_what_belongs_to_a_commit_nobody_can_be_asked(
    desk: Desk, hub: HubServer, tmp_path_factory: pytest.TempPathFactory, hermetic: Path, way: str
) -> None:
    """The files are here; whether the Hub's repository has them only a lock says."""
    away = tmp_path_factory.mktemp("a way")
    hub.add_repo("o/m", FILES)
    root = cached(desk.root / "p")
    desk.fetch("all", cwd=root)
    desk.fetch("mirror", "export", away / "b", cwd=root)
    shutil.move(hermetic / "store", away / "store")
    shutil.rmtree(hermetic / "huggingface")
    shutil.move(root / "m", away / "m")
    desk.fetch("adopt", away / "m", cwd=root)
    place = hermetic / "huggingface/hub/models--o--m"
    desk.fails("all", "--offline", cwd=root)
    assert not place.exists()
    if way == "network":
        desk.fetch("all", cwd=root)
        assert len(list(place.glob("snapshots/*/*"))) == len(FILES)
    if way != "mirror":
        desk.follow(HUB_AWAY, more=[away / "b"])
        desk.fetch("all", "--offline", cwd=root)
    else:
        desk.again(HUB_AWAY, "--from", away / "b")
    assert len(list(place.glob("snapshots/*/*"))) == len(FILES)
    desk.fetch("check", "--deep", cwd=root)


@about(SOURCE_AWAY)
@pytest.mark.parametrize("way", ["network", "bundle", "mirror"])
def test_what_a_source_has_nobody_can_be_asked(
    desk: Desk,
    files: FileServer,
    tmp_path_factory: pytest.TempPathFactory,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """A library's folder gets no claim of a project's."""
    away = tmp_path_factory.mktemp("a way")
    monkeypatch.setenv("TORCH_HOME", str(hermetic / "torch"))
    monkeypatch.setenv("FETCH_ALLOW_ROOTS", "torch_hub")
    files.add("w.pth", DATA)
    write_project(
        desk.root,
        "p",
        f"artifacts: {{w: {{source: '{files.url}/w.pth'}}}}\n",
        "tree: {}\ntorch_hub: {checkpoints/: w}\n",
    )
    desk.fetch("all")
    desk.fetch("mirror", "export", away / "b")
    shutil.move(hermetic / "store", away / "store")
    shutil.rmtree(hermetic / "torch")
    shutil.rmtree(desk.root / ".fetch")
    (away / "w.pth").write_bytes(DATA)
    desk.fetch("adopt", away / "w.pth")
    placed = hermetic / "torch/hub/checkpoints/w.pth"
    desk.fails("all", "--offline")
    assert not placed.exists()
    if way == "network":
        desk.fetch("all")
        assert placed.read_bytes() == DATA
    if way != "mirror":
        desk.follow(SOURCE_AWAY, more=[away / "b"])
        desk.fetch("all", "--offline")
    else:
        desk.again(SOURCE_AWAY, "--from", away / "b")
    assert placed.read_bytes() == DATA
    desk.fetch("check", "--deep")
