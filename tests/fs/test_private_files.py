"""What dead processes left is removed, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from fetcher.fs import private_files
from fetcher.fs.atomic import write_atomically
from fetcher.fs.private_files import (
    ended,
    make_scratch,
    private_name,
    remove_quietly,
    run_id,
    scratch_folder,
    tidy,
    unique_name,
)
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


def test_names_begin_as_the_file_does() -> None:
    """So much of it that a reader knows what it was; whole letters."""
    unique = rf"{machine()}\.{os.getpid()}-{run_id()}-\d+\.tmp"
    assert re.fullmatch(unique, unique_name()) and re.fullmatch("[0-9a-f]{12}", run_id())
    for name, start in (("w.bin", "w.bin"), ("x" * 255, "x" * 80), ("é" * 100, "é" * 40),
                        ("x" + "é" * 100, "x" + "é" * 39), ("", "")):  # fmt: skip
        assert re.fullmatch(rf"/a/b/\.{start}\.{unique}", private_name(f"/a/b/{name}"))
        assert re.fullmatch(rf"\.{start}\.{unique}", private_name(name))


@pytest.mark.parametrize("seconds", [0, 24 * 3600])
def test_a_far_process_has_a_whole_day(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    owner = ("another-machine", os.getpid(), run_id())
    assert ended(owner, 1_000_000.0 - seconds) is False
    assert ended(owner, 1_000_000.0 - seconds - 1) is (seconds > 0)


def test_a_near_process_is_asked_for_itself(dead: int) -> None:
    old = 0.0
    assert ended((machine(), dead, "0" * 12), time.time()) is True
    assert ended((machine(), os.getppid(), "0" * 12), old) is False
    assert ended((machine(), os.getpid(), run_id()), old) is False
    assert ended((machine(), os.getpid(), "0" * 12), time.time()) is True, "it had our number"


def test_a_link_to_nothing_goes_too(tmp_path: Path, dead: int) -> None:
    link = tmp_path / f".x.{machine()}.{dead}-{'0' * 12}-1.tmp"
    link.symlink_to(tmp_path / "nowhere")
    tidy(str(tmp_path))
    assert not link.is_symlink()


def scratch_of(pid: int, folder: Path) -> Path:
    """A folder of files that a process needed for a while."""
    path = folder / f".fetch.{machine()}.{pid}-{'0' * 12}-1.tmp"
    (path / "deep").mkdir(parents=True)
    for name in ("a", "stuck", "z", "deep/b"):
        (path / name).write_bytes(b"")
    return path


def test_in_a_folder_that_all_write_to_only_our_own_goes(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, mine = scratch_of(dead, tmp_path), os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: mine + 1)
        tidy(str(tmp_path))
        assert (path / "deep/b").exists()
    private_files._tidied.clear()
    with monkeypatch.context() as patch:
        patch.delattr(os, "geteuid")  # Windows
        tidy(str(tmp_path))
    assert not path.exists()


def test_what_cannot_be_removed_keeps_nothing_else(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, unlink = scratch_of(dead, tmp_path), os.unlink

    def refuse(name: str, **named: int) -> None:
        if os.path.basename(name) == "stuck":
            raise PermissionError(13, "no")
        unlink(name, **named)

    monkeypatch.setattr(os, "unlink", refuse)
    tidy(str(tmp_path))
    assert sorted(item.name for item in path.rglob("*")) == ["stuck"]
    with scratch_folder(str(tmp_path)) as folder:
        for name in ("a", "stuck", "z"):
            Path(folder, name).write_bytes(b"")
    assert os.listdir(folder) == ["stuck"]
    remove_quietly(str(path / "stuck"))
    assert (path / "stuck").exists()
    remove_quietly(str(path / "gone"))


def test_a_scratch_folder_may_be_gone_before_its_end(tmp_path: Path) -> None:
    with scratch_folder(str(tmp_path)) as folder:
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match="inside"), scratch_folder(str(tmp_path)):
        raise ValueError("inside")
    assert list(tmp_path.iterdir()) == []


def test_scratch_is_made_where_the_system_has_it(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = scratch_of(dead, tmp_path)
    mask = os.umask(0)
    try:
        made = Path(make_scratch())
    finally:
        os.umask(mask)
    assert made.parent == tmp_path and not left.exists()
    assert made.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(rf"\.fetch\.{machine()}\.{os.getpid()}-{run_id()}-\d+\.tmp", made.name)
    with scratch_folder() as folder:
        assert Path(folder).parent == tmp_path and folder != str(made)
    with pytest.raises(FileNotFoundError):
        make_scratch(str(tmp_path / "no/such"))


def test_here_is_tidied_too(tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = left_by(dead, tmp_path)
    tidy("")
    assert not path.exists()
    tidy(str(tmp_path / "no/such"))
