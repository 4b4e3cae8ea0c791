"""Small file operations: atomic, private, never over what exists."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fetcher.fs import atomic, private_files
from fetcher.fs.processes import machine
from tests.kit import git_blob, payload, sha256


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new/folder/file"
    atomic.write_atomically(path, b"one")
    atomic.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        atomic.write_atomically(path, b"three")
    assert path.read_bytes() == b"two" and names(path.parent) == ["file"]


@pytest.mark.parametrize("name", ["a", "x" * 255, "ü" * 127, "\udcff" * 200, "日" * 85])
def test_private_names_fit_beside_any_name(tmp_path: Path, name: str) -> None:
    found = private_files.private_name(str(tmp_path / name))
    assert os.path.dirname(found) == str(tmp_path)
    assert len(os.fsencode(os.path.basename(found))) <= 255
    assert found != private_files.private_name(str(tmp_path / name))
    Path(found).write_bytes(b"")


def test_unique_names_differ_after_a_fork() -> None:
    mine = private_files.unique_name()
    assert mine != private_files.unique_name()
    assert private_files.run_id() == private_files.run_id()
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(
            writer, f"{os.getpid()} {private_files.run_id()} {private_files.unique_name()}".encode()
        )
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        pid, run, name = stream.read().split()
    assert (
        run != private_files.run_id()
        and name.startswith(f"{machine()}.{pid}-{run}-")
        and int(pid) == child
    )


def test_digests(tmp_path: Path) -> None:
    data = payload(9_000_000)
    (tmp_path / "f").write_bytes(data)
    assert atomic.sha256_of(str(tmp_path / "f")) == sha256(data)
    assert atomic.digests_of(str(tmp_path / "f"), True) == (sha256(data), git_blob(data))


@pytest.mark.parametrize("rename", [True, False])
@pytest.mark.parametrize("link", [True, False])
def test_publish_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: bool, link: bool
) -> None:
    if not rename:
        monkeypatch.setattr(atomic, "rename_new", lambda *_: False)
    if not link:

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    one, two, target = tmp_path / "one", tmp_path / "two", tmp_path / "target"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    atomic.publish(str(one), str(target))
    with pytest.raises(FileExistsError):
        atomic.publish(str(two), str(target))
    assert target.read_bytes() == b"1" and names(tmp_path) == ["target"]
    (tmp_path / "dangling").symlink_to("nowhere")
    two.write_bytes(b"2")
    with pytest.raises(FileExistsError):
        atomic.publish(str(two), str(tmp_path / "dangling"))
    two.write_bytes(b"2")
    with pytest.raises(FileNotFoundError):
        atomic.publish(str(two), str(tmp_path / "no/folder"))
    assert not two.exists()


def test_reflink_or_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(b"data")
    if atomic.reflink(str(source), str(target)):
        assert target.read_bytes() == b"data"
    else:
        assert not target.exists()


def test_spreading_subfolders_is_a_hint(tmp_path: Path) -> None:
    atomic.spread_subfolders(str(tmp_path))
    atomic.spread_subfolders(str(tmp_path))
    atomic.spread_subfolders("/proc")  # a file system that knows no such thing
    lsattr = shutil.which("lsattr")
    if lsattr is not None:
        done = subprocess.run([lsattr, "-d", tmp_path], capture_output=True, text=True, check=False)
        if done.returncode == 0 and "e" in done.stdout.split()[0]:  # extents: ext4
            assert "T" in done.stdout.split()[0]


@pytest.mark.parametrize("number", [None, errno.EXDEV, errno.ENOSYS, errno.EPERM, 0])
def test_copy_falls_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(payload(5_000_000))

    def odd(*_: object) -> int:
        if number == 0:
            return 0  # as some file systems do for files whose size they do not know
        raise OSError(number, "odd")

    if number is not None:
        monkeypatch.setattr(os, "copy_file_range", odd, raising=False)
    atomic.copy(str(source), str(target))
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(FileExistsError):
        atomic.copy(str(source), str(target))


def test_copy_tells_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_bytes(b"x")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "copy_file_range", full, raising=False)
    with pytest.raises(OSError, match="full"):
        atomic.copy(str(tmp_path / "s"), str(tmp_path / "t"))


def test_read_only_files_are_synced_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the whole file system cannot be: an owner who is not root may not open for writing."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    os.chmod(path, 0o444)
    monkeypatch.setattr(atomic, "_libc", lambda: None)
    opened: list[int] = []
    real = os.open

    def watched(name: str, flags: int, *rest: int) -> int:
        opened.append(flags)
        return real(name, flags, *rest)

    monkeypatch.setattr(os, "open", watched)
    atomic.sync_filesystem(str(tmp_path), [str(path)])
    if os.name != "nt":
        assert opened == [os.O_RDONLY]


def test_folders_are_brought_to_disk_by_relative_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fetch mirror export good`: the folder above has no name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good" / "deep").mkdir(parents=True)
    atomic.sync_folders("good", ".")
    atomic.sync_folders("good/deep", "good")
    with pytest.raises(FileNotFoundError):
        atomic.sync_folders("gone", ".")


def test_folders_are_synced_up_to_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    synced: list[str] = []
    monkeypatch.setattr(atomic, "sync_file", synced.append)
    monkeypatch.chdir(tmp_path)
    atomic.sync_folders("a/b", ".")
    assert synced == [str(tmp_path / "a/b"), str(tmp_path / "a"), str(tmp_path)]
    synced.clear()
    atomic.sync_folders("a", "a")
    assert synced == [str(tmp_path / "a")]
