"""What small file operations ask of the system: real files, and systems that lack a call."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat as stats
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetcher.fs import atomic
from fetcher.fs.atomic import Stat
from fetcher.fs.processes import alive
from tests.kit import git_blob, payload, sha256


def mode_of(path: Path) -> int:
    return stats.S_IMODE(path.lstat().st_mode)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def umask() -> Iterator[None]:
    """Files are made as 0o640 and 0o750 would be."""
    before = os.umask(0o027)
    yield
    os.umask(before)


class Libc:
    """A C library that notes what it is asked."""

    def __init__(self, answer: int = 0, error: int = 0) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.answer = answer
        self.error = error

    def _noted(self, *values: object) -> int:
        self.asked.append(tuple(getattr(value, "value", value) for value in values))
        ctypes.set_errno(self.error)
        return self.answer

    prctl = sync_file_range = renameat2 = _noted

    def syncfs(self, handle: int) -> int:
        return self._noted(os.fstat(handle).st_ino)


def as_libc(monkeypatch: pytest.MonkeyPatch, libc: object) -> None:
    monkeypatch.setattr(atomic, "_libc", lambda: libc)


def test_other_systems_have_no_library_of_linuxs(monkeypatch: pytest.MonkeyPatch) -> None:
    atomic._libc.cache_clear()
    monkeypatch.setattr("sys.platform", "darwin")
    assert atomic._libc() is None
    atomic._libc.cache_clear()
    monkeypatch.setattr("sys.platform", "linux")
    assert isinstance(atomic._libc(), ctypes.CDLL)


# Writing


def test_a_new_file_is_read_only_and_told_by_its_stat(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "f"
    found = atomic.write_new(str(path), b"data")
    assert path.read_bytes() == b"data" and mode_of(path) == 0o440
    stat = path.stat()
    assert found == Stat(stat.st_size, stat.st_mtime_ns, stat.st_ino) == atomic.stat_of(str(path))
    os.umask(0)
    atomic.write_new(str(tmp_path / "g"), b"")
    assert mode_of(tmp_path / "g") == 0o444 and (tmp_path / "g").read_bytes() == b""
    with pytest.raises(FileExistsError):
        atomic.write_new(str(path), b"other")
    assert path.read_bytes() == b"data"


def test_a_system_that_writes_less_than_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, bytes(data[:3])))
    assert atomic.write_new(str(tmp_path / "f"), b"0123456789").st_size == 10
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_nothing_is_left_of_a_file_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = open_files(), os.write

    def fills(handle: int, data: bytes) -> int:
        if os.fstat(handle).st_size >= 4:
            raise OSError(errno.ENOSPC, "full")
        return write(handle, bytes(data[:2]))

    monkeypatch.setattr(os, "write", fills)
    with pytest.raises(OSError, match="full"):
        atomic.write_new(str(tmp_path / "f"), b"012345")
    assert os.listdir(tmp_path) == [] and open_files() == before


@pytest.mark.parametrize("depth", [0, 3])
def test_what_is_written_atomically_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    path = tmp_path.joinpath(*["d"] * depth, "f")
    synced: list[tuple[bytes, bool]] = []

    def noted(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").read_bytes(), path.exists()))

    monkeypatch.setattr(os, "fsync", noted)
    atomic.write_atomically(path, b"data")
    assert synced == [(b"data", False)] and path.read_bytes() == b"data"
    assert os.listdir(path.parent) == ["f"]


@pytest.mark.parametrize(("before", "after"), [
    (0o644, 0o444), (0o600, 0o400), (0o755, 0o444), (0o640, 0o440), (0o444, 0o444), (0o200, 0),
])  # fmt: skip
def test_read_only_is_who_might_read_before(tmp_path: Path, before: int, after: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")
    path.chmod(before)
    atomic.make_read_only(str(path))
    assert mode_of(path) == after


# Modes


@pytest.mark.parametrize("status", ["read", "absent", "odd", "silent"])
def test_the_mode_of_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: None, status: str
) -> None:
    asked: list[int] = []
    real, opened = os.umask, open
    texts = {"odd": b"Name:\tx\nUmask:\t?\n", "silent": b"Name:\tx\n"}

    def other(path: str, *more: object, **named: object) -> object:
        if status == "absent":
            raise FileNotFoundError(path)
        (tmp_path / "status").write_bytes(texts[status])
        return opened(tmp_path / "status", "rb")

    def noted(mask: int) -> int:
        asked.append(mask)
        return real(mask)

    if status != "read":
        monkeypatch.setattr(atomic, "open", other, raising=False)
    monkeypatch.setattr(os, "umask", noted)
    assert atomic.new_file_mode() == 0o640
    monkeypatch.undo()
    assert os.umask(0o027) == 0o027, "it is as it was"
    # While it is asked, what other threads make is for nobody else to read.
    assert asked == ([] if status == "read" else [0o077, 0o027])


def test_the_mode_is_asked_by_one_thread_at_a_time(
    monkeypatch: pytest.MonkeyPatch, umask: None
) -> None:
    def absent(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(atomic, "open", absent, raising=False)
    found: list[int] = []

    def ask() -> None:
        found.extend(atomic.new_file_mode() for _ in range(300))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {0o640} and len(found) == 1200


@pytest.mark.parametrize(("source", "mode"), [
    (0o444, 0o644), (0o644, 0o644), (0o440, 0o640), (0o400, 0o600), (0o404, 0o604), (0o777, 0o644),
])  # fmt: skip
def test_a_writable_copy_is_kept_from_whom_its_source_is(
    tmp_path: Path, source: int, mode: int
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"")
    path.chmod(source)
    before = os.umask(0o022)
    try:
        assert atomic.writable_mode(str(path)) == mode
        os.umask(0)  # who may read may write, where the umask has it so
        assert atomic.writable_mode(str(path)) == mode | (mode >> 1 & 0o022)
        os.umask(0o077)
        assert atomic.writable_mode(str(path)) == mode
    finally:
        os.umask(before)


@pytest.mark.parametrize(("source", "mode", "then"), [
    (0o644, 0o644, 0o644), (0o600, 0o644, 0o600), (0o640, 0o664, 0o660), (0o640, 0o666, 0o660),
    (0o604, 0o666, 0o606), (0o600, 0o600, 0o600), (0o600, 0o622, 0o622), (0o444, 0o600, 0o600),
    (0o604, 0o646, 0o606), (0o000, 0o755, 0o711),
])  # fmt: skip
def test_a_copy_is_read_by_nobody_who_may_not_read_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: int, mode: int, then: int
) -> None:
    for name, bits in (("s", source), ("t", mode)):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(bits)
    with (tmp_path / "t").open("ab") as writer:
        with monkeypatch.context() as patch:
            patch.setattr(os, "supports_fd", os.supports_fd - {os.chmod})
            atomic.keep_private(str(tmp_path / "s"), writer.fileno())
            assert mode_of(tmp_path / "t") == mode, "not where open files have no mode"
        atomic.keep_private(str(tmp_path / "s"), writer.fileno())
    assert mode_of(tmp_path / "t") == then and mode_of(tmp_path / "s") == source


# Digests


@pytest.mark.parametrize("size", [
    0, 1, atomic._SMALL - 1, atomic._SMALL, atomic._SMALL + 1,
    atomic._SMALL + atomic._CACHED, atomic._SMALL + 2 * atomic._CACHED + 1,
    atomic.BLOCK, atomic.BLOCK + 1,
])  # fmt: skip
def test_digests_of_files_of_every_size(tmp_path: Path, size: int) -> None:
    import hashlib

    data = payload(size)
    (tmp_path / "f").write_bytes(data)
    path = str(tmp_path / "f")
    assert atomic.sha256_of(path) == sha256(data)
    assert atomic.md5_of(path) == hashlib.md5(data).hexdigest()
    assert atomic.digests_of(path, True) == (sha256(data), git_blob(data))
    assert atomic.digests_of(path, False) == (sha256(data), "")


# Bringing to disk


def test_a_process_ends_with_its_parent() -> None:
    reader, writer = os.pipe()
    if not (parent := os.fork()):
        if not os.fork():
            atomic.end_with_parent()
            os.write(writer, b"%d" % os.getpid())
        signal.pause()
    os.close(writer)
    with os.fdopen(reader) as stream:
        child = int(os.read(stream.fileno(), 20))
        assert alive(child)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        deadline = time.monotonic() + 5
        while alive(child) and time.monotonic() < deadline:
            time.sleep(0.01)
        left = alive(child)
        if left:
            os.kill(child, signal.SIGKILL)
        assert not left


def test_how_the_end_with_the_parent_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Libc()
    as_libc(monkeypatch, libc)
    atomic.end_with_parent()
    assert libc.asked == [(1, signal.SIGKILL, 0, 0, 0)]
    as_libc(monkeypatch, None)
    atomic.end_with_parent()


def test_writing_out_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "f").open("wb") as stream:
        stream.write(b"x" * 10_000)
        stream.flush()
        atomic.start_writing_out(stream.fileno(), 0, 10_000)
        libc = Libc()
        as_libc(monkeypatch, libc)
        atomic.start_writing_out(stream.fileno(), 1 << 33, 1 << 34)
        assert libc.asked == [(stream.fileno(), 1 << 33, 1 << 34, 2)]
        for without in (None, object()):
            as_libc(monkeypatch, without)
            atomic.start_writing_out(stream.fileno(), 0, 1)


@pytest.mark.parametrize("answer", [0, -1, None])
def test_a_file_system_is_synced_in_one_call_or_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(atomic, "sync_file", synced.append)
    libc = None if answer is None else Libc(answer)
    as_libc(monkeypatch, libc)
    before = open_files()
    atomic.sync_filesystem(str(tmp_path), ["a", "b"])
    assert synced == ([] if answer == 0 else ["a", "b"]) and open_files() == before
    assert libc is None or libc.asked == [(tmp_path.stat().st_ino,)]


def test_a_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    (tmp_path / "f").write_bytes(b"1")
    before = open_files()
    atomic.sync_file(str(tmp_path / "f"))
    atomic.sync_file(str(tmp_path))
    assert synced == [(tmp_path / "f").stat().st_ino, tmp_path.stat().st_ino]

    def fails(handle: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="broken"):
        atomic.sync_file(str(tmp_path / "f"))
    assert open_files() == before


@pytest.mark.parametrize("fails", [False, True])
def test_windows_flushes_only_what_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1")
    path.chmod(0o440)
    seen: list[tuple[int, int]] = []

    def fsync(handle: int) -> None:
        seen.append((mode_of(path), fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE))
        if fails:
            raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("sys.platform", "win32")
    before = open_files()
    if fails:
        with pytest.raises(OSError, match="broken"):
            atomic.sync_file(str(path))
    else:
        atomic.sync_file(str(path))
    assert seen == [(0o666, os.O_RDWR)] and mode_of(path) == 0o440 and open_files() == before


def test_folders_are_nothing_to_sync_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    atomic.sync_folders("no/such", "no")


def test_a_folder_outside_the_top_is_synced_up_to_the_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(atomic, "sync_file", synced.append)
    atomic.sync_folders("/a/b", "/c")
    assert synced == ["/a/b", "/a", "/"]


# Sharing blocks


def cloning(monkeypatch: pytest.MonkeyPatch, error: int = 0) -> list[tuple[int, int]]:
    """A file system with reflinks, or one that refuses them; the inodes (from, to) of each."""
    made: list[tuple[int, int]] = []

    def ioctl(writer: int, request: int, reader: int) -> int:
        assert request == 0x40049409
        if error:
            raise OSError(error, "no")
        made.append((os.fstat(reader).st_ino, os.fstat(writer).st_ino))
        os.pwrite(writer, os.pread(reader, 100, 0), 0)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    return made


def test_a_reflink_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: None
) -> None:
    made = cloning(monkeypatch)
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(b"data")
    before = open_files()
    assert atomic.reflink(str(source), str(target)) is True
    assert target.read_bytes() == b"data" and mode_of(target) == 0o640
    assert made == [(source.stat().st_ino, target.stat().st_ino)] and open_files() == before
    with pytest.raises(FileExistsError):
        atomic.reflink(str(source), str(target))
    source.chmod(0o600)
    assert atomic.reflink(str(source), str(tmp_path / "u")) and mode_of(tmp_path / "u") == 0o600


def test_nothing_is_left_where_there_are_no_reflinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloning(monkeypatch, errno.EOPNOTSUPP)
    (tmp_path / "s").write_bytes(b"data")
    assert atomic.reflink(str(tmp_path / "s"), str(tmp_path / "t")) is False
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("answer", [0, -1, None])
def test_a_clone_on_a_mac(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    asked: list[tuple[object, ...]] = []

    class Mac:
        def __init__(self, name: None) -> None:
            if answer is not None:
                self.clonefile = self._clone

        def _clone(self, *values: object) -> int:
            asked.append(values)
            assert answer is not None
            return answer

    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", Mac)
    assert atomic.reflink("/s", "/t") is (answer == 0)
    assert asked == ([] if answer is None else [(b"/s", b"/t", 0)])


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert atomic.reflink("/no/such", "/file") is False


TOP = 0x00020000


@pytest.mark.parametrize(("flags", "wanted"), [
    (0, [TOP]), (0x80000, [0x80000 | TOP]), (TOP, []), (0x80000 | TOP, []),
])  # fmt: skip
def test_subfolders_are_spread_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, wanted: list[int]
) -> None:
    given: list[int] = []

    def ioctl(handle: int, request: int, data: bytes) -> bytes:
        assert os.fstat(handle).st_ino == tmp_path.stat().st_ino and len(data) == 8
        if request == 0x80086601:
            return struct.pack("q", flags)
        assert request == 0x40086602
        given.append(struct.unpack("q", data)[0])
        return data

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    before = open_files()
    atomic.spread_subfolders(str(tmp_path))
    assert given == wanted and open_files() == before
    given.clear()
    with monkeypatch.context() as patch:
        patch.setattr("sys.maxsize", 2**31 - 1)
        atomic.spread_subfolders(str(tmp_path))
    monkeypatch.setattr("sys.platform", "darwin")
    atomic.spread_subfolders(str(tmp_path))
    assert given == []


def test_a_folder_that_cannot_be_spread_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOTTY, "no such thing")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    before = open_files()
    atomic.spread_subfolders(str(tmp_path))
    assert open_files() == before


# Copies, moves, names


def in_steps(monkeypatch: pytest.MonkeyPatch, steps: int, error: int) -> None:
    """A system call that copies a kilobyte at a time, so many times; then it gives up."""
    left = [steps]

    def copy_file_range(reader: int, writer: int, most: int) -> int:
        assert most >= 1000
        if not left[0]:
            if error:
                raise OSError(error, "gave up")
            return 0
        left[0] -= 1
        return os.write(writer, os.read(reader, 1000))

    monkeypatch.setattr(os, "copy_file_range", copy_file_range, raising=False)


@pytest.mark.parametrize("error", [0, errno.EXDEV, errno.EINVAL, errno.ETXTBSY])
@pytest.mark.parametrize("steps", [0, 1, 3, 50])
def test_a_copy_that_the_kernel_leaves_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, error: int
) -> None:
    in_steps(monkeypatch, steps, error)
    data = payload(9_500)
    (tmp_path / "s").write_bytes(data)
    atomic.copy(str(tmp_path / "s"), str(tmp_path / "t"))
    assert (tmp_path / "t").read_bytes() == data


def test_a_copy_where_the_kernel_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    data = payload(atomic.BLOCK * 2 + 5)
    (tmp_path / "s").write_bytes(data)
    atomic.copy(str(tmp_path / "s"), str(tmp_path / "t"))
    assert (tmp_path / "t").read_bytes() == data


@pytest.mark.parametrize(("source", "mode"), [(0o600, 0o600), (0o644, 0o640), (0o604, 0o600)])
def test_a_copy_is_as_private_as_its_source_before_it_has_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: None, source: int, mode: int
) -> None:
    (tmp_path / "s").write_bytes(b"secret")
    (tmp_path / "s").chmod(source)
    seen: list[int] = []

    def noted(reader: int, writer: int, most: int) -> int:
        seen.append(mode_of(tmp_path / "t"))
        return 0

    monkeypatch.setattr(os, "copy_file_range", noted, raising=False)
    atomic.copy(str(tmp_path / "s"), str(tmp_path / "t"))
    assert seen == [mode] and mode_of(tmp_path / "t") == mode
    assert (tmp_path / "t").read_bytes() == b"secret"


def test_a_move_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"1")
    atomic.move(str(tmp_path / "d"), str(tmp_path / "e"))
    assert (tmp_path / "e/f").read_bytes() == b"1" and not (tmp_path / "d").exists()
    rename, error = os.rename, errno.EXDEV

    def refuse(source: str, target: str) -> None:
        raise OSError(error, "another disk")

    monkeypatch.setattr(os, "rename", refuse)
    atomic.move(str(tmp_path / "e"), str(tmp_path / "d"))
    assert (tmp_path / "d/f").read_bytes() == b"1" and not (tmp_path / "e").exists()
    error = errno.EACCES
    with pytest.raises(PermissionError):
        atomic.move(str(tmp_path / "d"), str(tmp_path / "e"))
    assert rename is not os.rename and (tmp_path / "d/f").exists()


def test_a_name_is_given_once(tmp_path: Path) -> None:
    one, two, target = tmp_path / "one", tmp_path / "two", tmp_path / "target"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert atomic.rename_new(str(one), str(target)) is True
    with pytest.raises(FileExistsError) as caught:
        atomic.rename_new(str(two), str(target))
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, str(target))
    assert target.read_bytes() == b"1" and two.read_bytes() == b"2" and not one.exists()
    assert atomic.rename_new(str(two), str(tmp_path / "no/folder")) is False
    assert two.exists()


def test_how_a_new_name_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for libc, found in ((Libc(), True), (Libc(-1, errno.EINVAL), False), (Libc(-1), False)):
        as_libc(monkeypatch, libc)
        assert atomic.rename_new("/a", "/b") is found
        assert libc.asked == [(-100, b"/a", -100, b"/b", 1)]
    as_libc(monkeypatch, Libc(-1, errno.EEXIST))
    with pytest.raises(FileExistsError):
        atomic.rename_new("/a", "/b")
    for without in (None, object()):
        as_libc(monkeypatch, without)
        assert atomic.rename_new("/a", "/b") is False


@pytest.mark.parametrize("there", [False, True])
def test_windows_itself_never_renames_over_what_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    renamed: list[tuple[str, str]] = []

    def rename(source: str, target: str) -> None:
        renamed.append((source, target))
        if there:
            raise FileExistsError(errno.EEXIST, "exists", target)

    monkeypatch.setattr(atomic, "rename_new", lambda *_: False)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "link", lambda *_: pytest.fail("links are for others"))
    monkeypatch.setattr("sys.platform", "win32")
    (tmp_path / "a").write_bytes(b"1")
    if there:
        with pytest.raises(FileExistsError):
            atomic.publish(str(tmp_path / "a"), str(tmp_path / "b"))
    else:
        atomic.publish(str(tmp_path / "a"), str(tmp_path / "b"))
    assert renamed == [(str(tmp_path / "a"), str(tmp_path / "b"))]
    assert not (tmp_path / "a").exists()


def test_where_there_are_no_hard_links_what_exists_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(atomic, "rename_new", lambda *_: False)
    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    with pytest.raises(FileExistsError) as caught:
        atomic.publish(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (caught.value.errno, caught.value.filename) == (errno.EEXIST, str(tmp_path / "b"))
    assert (tmp_path / "b").read_bytes() == b"2" and os.listdir(tmp_path) == ["b"]
