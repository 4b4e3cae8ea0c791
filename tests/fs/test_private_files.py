"""What dead processes left is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fetcher.fs import private_files
from fetcher.fs.atomic import write_atomically
from fetcher.fs.private_files import private_name, scratch_folder, tidy, unique_name
from fetcher.fs.processes import machine

OLD = time.time() - 3 * 24 * 3600


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def left_by(pid: int, folder: Path, name: str = "w.bin", host: str = "") -> Path:
    """A private file of another process."""
    mine = private_name(str(folder / name))
    theirs = mine.replace(f".{os.getpid()}-{private_files.run_id()}-", f".{pid}-{'0' * 12}-")
    path = Path(theirs.replace(f".{machine()}.", f".{host or machine()}."))
    path.write_bytes(b"half of it")
    return path


def test_only_what_dead_processes_left_goes(tmp_path: Path, dead: int) -> None:
    gone = [left_by(dead, tmp_path), left_by(dead, tmp_path, "x" * 255)]
    gone.append(left_by(os.getpid(), tmp_path, "of a process that had our number"))
    gone.append(left_by(1, tmp_path, host="another-machine"))
    kept = [left_by(os.getppid(), tmp_path), left_by(1, tmp_path, "young", host="another-machine")]
    kept += [Path(private_name(str(tmp_path / "ours"))), tmp_path / ".w.bin.tmp"]
    kept += [tmp_path / f".w.{dead}-{'0' * 12}-1.tmp", tmp_path / "notes.tmp"]
    kept.append(tmp_path / f"{'a' * 64}.{machine()}.{dead}-{'0' * 12}-1.tmp")  # proven: published
    for path in kept:
        path.write_bytes(b"")
    os.utime(gone[3], (OLD, OLD))
    # The time of the inode's change cannot be set: the machine's clock is another one.
    moment = time.time() + 2 * 24 * 3600
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: moment)
        patch.setattr(private_files, "_FAR_SECONDS", 24 * 3600)
        kept.remove(kept[1])  # old as well, by that clock
        tidy(str(tmp_path))
    assert [path for path in gone if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


def test_a_young_file_of_another_machine_stays(tmp_path: Path) -> None:
    path = left_by(1, tmp_path, host="another-machine")
    tidy(str(tmp_path))
    assert path.exists()


def test_a_folder_is_looked_at_once(tmp_path: Path, dead: int) -> None:
    tidy(str(tmp_path))
    path = left_by(dead, tmp_path)
    tidy(str(tmp_path))
    assert path.exists()


def test_writing_takes_away_what_a_killed_writer_left(tmp_path: Path, dead: int) -> None:
    left = left_by(dead, tmp_path, "fetch.lock")
    write_atomically(tmp_path / "fetch.lock", b"{}")
    assert not left.exists() and [path.name for path in tmp_path.iterdir()] == ["fetch.lock"]


def test_links_are_removed_and_not_followed(tmp_path: Path, dead: int) -> None:
    precious, folder = tmp_path / "precious", tmp_path / "folder"
    precious.mkdir()
    folder.mkdir()
    (precious / "mine").write_bytes(b"mine")
    for name in (f"..fetch.{machine()}", f".fetch.{machine()}", f".x.{machine()}"):
        (folder / f"{name}.{dead}-{'0' * 12}-1.tmp").symlink_to(precious)
    tidy(str(folder))
    assert list(folder.iterdir()) == [] and (precious / "mine").read_bytes() == b"mine"


def test_folders_that_are_no_scratch_stay(tmp_path: Path, dead: int) -> None:
    folder = tmp_path / f".mine.{machine()}.{dead}-{'0' * 12}-1.tmp"
    folder.mkdir()
    tidy(str(tmp_path))
    assert folder.is_dir()


def test_scratch_folders_of_the_dead_go(tmp_path: Path) -> None:
    code = (
        "import os, sys; from fetcher.fs.private_files import make_scratch\n"
        "open(make_scratch(sys.argv[1]) + '/half', 'w').close(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(".fetch.*/half"))) == 1
    with scratch_folder(str(tmp_path)) as folder:
        assert [str(path) for path in tmp_path.iterdir()] == [folder]
        assert os.stat(folder).st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_names_are_short_enough_for_any_prefix() -> None:
    assert len(unique_name()) <= 100
