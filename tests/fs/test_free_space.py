"""How much room there is where nothing lies yet."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fetcher.fs.free_space import free_bytes, nearest_folder


def test_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/file").write_bytes(b"")
    assert nearest_folder(tmp_path / "a/b") == tmp_path / "a/b"
    assert nearest_folder(tmp_path / "a/b/c/d") == tmp_path / "a/b"
    assert nearest_folder(tmp_path / "a/file/x") == tmp_path / "a"
    assert nearest_folder(Path("/")) == Path("/")
    assert nearest_folder(Path("/no such folder/x")) == Path("/")
    assert nearest_folder(Path("nothing/here")) == Path()


def test_room_is_asked_of_the_disk_that_it_would_lie_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def usage(path: str | Path) -> shutil._ntuple_diskusage:
        asked.append(os.fspath(path))
        return shutil._ntuple_diskusage(total=100, used=90, free=7)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", usage)
    (tmp_path / "a").mkdir()
    assert free_bytes(Path("a/b/c")) == 7
    assert free_bytes(tmp_path / "x") == 7
    assert asked == [str(tmp_path / "a"), str(tmp_path)]


def test_real_room(tmp_path: Path) -> None:
    total = shutil.disk_usage(tmp_path).total
    assert 0 <= free_bytes(tmp_path / "not" / "there") <= total
