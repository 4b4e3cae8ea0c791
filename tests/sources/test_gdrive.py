"""Google Drive: its links, its pages, its quota."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetcher.sources.addresses import written_out
from fetcher.sources.gdrive import GDrive
from tests.conftest import Cli, write_project
from tests.kit import Run, tensors
from tests.servers.gdrive import DriveServer

ID, FOLDER = "1aAJCZbXNHyraJ6Mi13dSbe7pTyfPXha0", "0B7EVK8r0v71pWEZsZE9oNnFzTm8"
LARGE, SMALL = tensors(1_300_000), tensors(20_000)
DRIVE = "https://drive.google.com"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (f"{DRIVE}/file/d/{ID}/view?usp=sharing", GDrive(ID)),
        (f"{DRIVE}/file/u/1/d/{ID}/view", None),
        (f"{DRIVE}/file/d/{ID}", GDrive(ID)),
        (f"{DRIVE}/uc?id={ID}", GDrive(ID)),
        (f"{DRIVE}/uc?export=download&id={ID}&confirm=t", GDrive(ID)),
        (f"{DRIVE}/open?id={ID}", GDrive(ID)),
        (f"https://docs.google.com/uc?export=download&id={ID}", GDrive(ID)),
        (f"https://drive.usercontent.google.com/download?id={ID}&confirm=t", GDrive(ID)),
        (f"{DRIVE}/drive/folders/{FOLDER}?usp=drive_link", GDrive(folder=FOLDER)),
        (f"{DRIVE}/drive/u/0/folders/{FOLDER}", GDrive(folder=FOLDER)),
        (f"{DRIVE}/file/d/{ID}/view?resourcekey=0-a_b", GDrive(ID, key="0-a_b")),
    ],
)
def test_links(address: str, source: GDrive | None) -> None:
    found = written_out(address)
    assert (found and GDrive(**found[1])) == source


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_a_file_by_its_link_is_called_as_it_is_there(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    with DriveServer() as server:
        link = server.add_file(ID, "weights & more.pt", data)
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        write_project(tmp_path, "p", f"artifacts:\n  w: {{source: '{link}'}}\n", "tree: {m/: w}\n")
        result = cli("all")
        assert result.code == 0, result.err
        assert (tmp_path / "m/weights & more.pt").read_bytes() == data
        assert cli("all", "--json").json["summary"]["downloaded_bytes"] == 0


@pytest.mark.parametrize("source", [GDrive(ID), GDrive(folder=FOLDER)])
def test_the_quota_is_told_as_such(tmp_path: Path, source: GDrive) -> None:
    with DriveServer() as server:
        server.add_tree(FOLDER, {"w.pt": SMALL})
        server.add_file(ID, "w.pt", SMALL)
        for file in server.files.values():
            file.mode = "quota"
        run = Run(tmp_path, rewrite=server.rewrite)
        found = list(run.resolve(source, "w.pt").values())
        problem = run.fetch(source, found).failed[0][1]
        assert problem.code == "quota" and problem.exit_code == 3
        assert "quota" in problem.message and "try again in a day" in problem.hint
        assert f"{DRIVE}/file/d/" in problem.hint and "fetch adopt" in problem.hint


def test_what_is_not_shared(tmp_path: Path) -> None:
    with DriveServer() as server:
        server.add_file(ID, "w.pt", SMALL, "private")
        run = Run(
            tmp_path, rewrite=f"{server.rewrite} https://accounts.google.com/={server.url}/a/"
        )
        found = list(run.resolve(GDrive(ID), "w.pt").values())
        problem = run.fetch(GDrive(ID), found).failed[0][1]
        assert problem.code in {"auth", "not-found"} and f"{DRIVE}/file/d/{ID}" in problem.hint
        assert run.refused(GDrive(folder=FOLDER)).code == "not-found"
        gone = GDrive("0" * 20)
        found = list(run.resolve(gone, "w.pt").values())
        assert run.fetch(gone, found).failed[0][1].code == "not-found"


def test_hostile_folders(tmp_path: Path) -> None:
    with DriveServer() as server:
        run = Run(tmp_path, rewrite=server.rewrite)
        server.add_tree(FOLDER, {"w.pt": SMALL})
        entries = server.folders[FOLDER].entries
        entries.append(("again", "folder", FOLDER))  # a folder that holds itself
        assert list(run.resolve(GDrive(folder=FOLDER))) == ["w.pt"]
        for bad in ("../x", "/etc/x", "a\\b"):
            entries[1:] = [(bad, "file", ID)]
            run.fresh_network()
            assert run.refused(GDrive(folder=FOLDER)).code == "bad-path"
        entries[1:] = [("w.pt", "file", ID)]
        run.fresh_network()
        assert "two files called" in run.refused(GDrive(folder=FOLDER)).message


def test_add_takes_the_name_that_drive_tells(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DriveServer() as server:
        link = server.add_file(ID, "weights.pt", LARGE)
        monkeypatch.setenv("FETCH_REWRITE", server.rewrite)
        result = cli("add", link, "--yes")
        assert result.code == 0, result.err
        result = cli("all")
        assert result.code == 0, result.err
    assert (tmp_path / "models/weights/weights.pt").read_bytes() == LARGE
