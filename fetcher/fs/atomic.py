"""Small file operations that must not lose anything: atomic writes, links, syncing."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import struct
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fetcher.fs.private_files import private_name, remove_quietly, tidy
from fetcher.fs.safe_paths import native

if TYPE_CHECKING:
    import ctypes

BLOCK = 1 << 22
_SMALL = 1 << 16
_CACHED = 1 << 18
_FICLONE = 0x40049409
_GET_FLAGS, _SET_FLAGS, _TOP_OF_TREES = 0x80086601, 0x40086602, 0x00020000
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_PR_SET_PDEATHSIG = 1
_SYNC_FILE_RANGE_WRITE = 2
_O_BINARY = getattr(os, "O_BINARY", 0)
_UMASK = threading.Lock()
NO_COPY_RANGE = {
    errno.EXDEV,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EBADF,
    errno.EPERM,
    errno.ETXTBSY,
}


class Stat(NamedTuple):
    """What tells a file from another version of it; named as in os.stat_result."""

    st_size: int
    st_mtime_ns: int
    st_ino: int


def write_atomically(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Replace a file's content at once, so that no reader ever sees a part of it.

    `mode` is the new file's, less what the umask takes. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tidy(str(path.parent))
    temporary = private_name(str(path))
    try:
        handle = os.open(native(temporary), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _O_BINARY, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(native(temporary), native(path))
    finally:
        remove_quietly(temporary)


def write_new(path: str, data: bytes) -> Stat:
    """Write a new read-only file and return its stat; nothing is left of it on an error.

    Raises OSError. Nothing is synced.
    """
    # Already read-only: the mode counts for the next one who opens it.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        written = os.write(handle, data)
        while written < len(data):
            written += os.write(handle, memoryview(data)[written:])
        found = os.fstat(handle)
    except OSError:
        remove_quietly(path)
        raise
    finally:
        os.close(handle)
    return Stat(found.st_size, found.st_mtime_ns, found.st_ino)


def make_read_only(path: str) -> None:
    """Take the right to write from a file; who may read it stays as the umask had it.

    Raises OSError.
    """
    os.chmod(path, os.lstat(path).st_mode & 0o444)


def new_file_mode() -> int:
    """The mode of a file that is made now without any wish."""
    try:  # asking the system by `os.umask` would set it for other threads meanwhile
        with open("/proc/self/status", "rb") as stream:  # noqa: PTH123
            line = next(line for line in stream if line.startswith(b"Umask:"))
        mask = int(line.split()[1], 8)
    except (OSError, StopIteration, ValueError):
        with _UMASK:
            mask = os.umask(0o077)
            os.umask(mask)
    return 0o666 & ~mask


def stat_of(path: str) -> Stat:
    """The stat of a file or link itself. Raises OSError."""
    found = os.lstat(path)
    return Stat(found.st_size, found.st_mtime_ns, found.st_ino)


def _digest_of(path: str, digest: Any) -> str:
    with open(native(path), "rb", buffering=0) as stream:  # noqa: PTH123
        head = stream.read(_SMALL)
        digest.update(head)
        if len(head) == _SMALL:
            # Small enough to stay in a core's cache, which is worth more than fewer calls.
            buffer = memoryview(bytearray(_CACHED))
            while count := stream.readinto(buffer):
                digest.update(buffer[:count])
    found: str = digest.hexdigest()
    return found


def sha256_of(path: str) -> str:
    """The sha256 of a file's bytes. Raises OSError."""
    return _digest_of(path, hashlib.sha256())


def md5_of(path: str) -> str:
    """The md5 of a file's bytes, which is no proof against malice. Raises OSError."""
    return _digest_of(path, hashlib.md5(usedforsecurity=False))


def git_blob_hasher(size: int) -> Any:
    """A sha1 that has already seen git's header for a blob of `size` bytes."""
    return hashlib.sha1(b"blob %d\0" % size)


def _unnoticed(path: str, flags: int) -> int:
    """Open a file without its time of access being set, where the system lets us."""
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:  # another person's
        return os.open(path, flags)


def digests_of(path: str, git: bool) -> tuple[str, str]:
    """(sha256, git blob id or "") of a whole file; to prove it is no use of it, as times of access
    tell. Raises OSError."""
    sha256 = hashlib.sha256()
    sha1 = git_blob_hasher(os.stat(native(path)).st_size) if git else None
    with open(native(path), "rb", buffering=0, opener=_unnoticed) as stream:
        while block := stream.read(BLOCK):
            sha256.update(block)
            if sha1:
                sha1.update(block)
    return sha256.hexdigest(), sha1.hexdigest() if sha1 else ""


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def load_calls() -> None:
    """Load what this module's calls need: before a fork, or each process does it anew."""
    _libc()


def end_with_parent() -> None:
    """Have the system end this process when its parent dies, where it can (Linux)."""
    libc = _libc()
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start_writing_out(handle: int, start: int, size: int) -> None:
    """Have the system begin to bring a part of a file to disk, where it can (Linux); no waiting."""
    libc = _libc()
    if libc is not None and hasattr(libc, "sync_file_range"):
        from ctypes import c_int64 as long

        libc.sync_file_range(handle, long(start), long(size), _SYNC_FILE_RANGE_WRITE)


def sync_filesystem(folder: str, files: list[str]) -> None:
    """Bring all data of a file system to disk in one call, or file by file where that lacks."""
    libc = _libc()
    if libc is not None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            if libc.syncfs(handle) == 0:
                return
        finally:
            os.close(handle)
    for path in files:
        sync_file(native(path))


def sync_folders(folder: str, top: str) -> None:
    """Bring the names in a folder, and in those above it up to `top`, to disk. Raises OSError."""
    if sys.platform == "win32":
        return
    folder, top = os.path.abspath(folder), os.path.abspath(top)
    while True:
        sync_file(folder)
        above = os.path.dirname(folder)
        if folder in {top, above}:
            return
        folder = above


def sync_file(path: str) -> None:
    """Bring a file's bytes to disk. Raises OSError."""
    if sys.platform == "win32":  # wants a file that is open for writing, even to flush it
        mode = os.stat(path).st_mode
        os.chmod(path, 0o666)
        handle = os.open(path, os.O_RDWR)
    else:
        handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
        if sys.platform == "win32":
            os.chmod(path, mode)


def reflink(source: str, target: str) -> bool:
    """Make `target` (new) share the blocks of `source`; False where that cannot be done."""
    if sys.platform == "darwin":
        import ctypes

        clone = getattr(ctypes.CDLL(None), "clonefile", None)
        return bool(clone) and clone(os.fsencode(source), os.fsencode(target), 0) == 0
    if sys.platform != "linux":
        return False
    import fcntl

    with open(source, "rb") as reader, open(target, "xb") as writer:  # noqa: PTH123
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            os.unlink(target)
            return False
        keep_private(reader.fileno(), writer.fileno())
    return True


def move(source: str, target: str) -> None:
    """Rename a file or folder, or carry it to another disk. Raises OSError."""
    try:
        os.rename(native(source), native(target))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import shutil

        shutil.move(native(source), native(target))


def spread_subfolders(folder: str) -> None:
    """Ask ext4 to put each subfolder's files into another part of the disk (`chattr +T`).

    Processes that write side by side then do not contend for one part's inodes, nor search
    through those that were freed there a moment ago.
    """
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        flags = struct.unpack("q", fcntl.ioctl(handle, _GET_FLAGS, bytes(8)))[0]
        if not flags & _TOP_OF_TREES:
            fcntl.ioctl(handle, _SET_FLAGS, struct.pack("q", flags | _TOP_OF_TREES))
    except OSError:
        pass  # another file system, or not our folder
    finally:
        os.close(handle)


def writable_mode(source: str) -> int:
    """The mode of a copy that may be written: whom its source is kept from, it is kept from."""
    readers = os.stat(native(source)).st_mode & 0o044
    return 0o600 | readers | (readers >> 1 & new_file_mode())


def keep_private(source: str | int, writer: int) -> None:
    """Let nobody read a copy (an open file) who may not read its source. Raises OSError."""
    if os.chmod not in os.supports_fd:
        return
    hidden = 0o044 & ~os.stat(source).st_mode
    mode = os.fstat(writer).st_mode
    if mode & hidden:
        # Who may not read it has no business writing it either.
        os.chmod(writer, mode & 0o777 & ~(hidden | hidden >> 1))


def copy(source: str, target: str) -> None:
    """Copy bytes into a new file, in the kernel where it can. Raises OSError.

    It is as private as its source is, or as the umask makes it, whichever is more.
    """
    with open(native(source), "rb") as reader, open(native(target), "xb") as writer:  # noqa: PTH123
        keep_private(reader.fileno(), writer.fileno())
        if hasattr(os, "copy_file_range"):
            try:
                # What it leaves over (some file systems give up early) is copied below.
                while os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30):
                    pass
            except OSError as error:
                if error.errno not in NO_COPY_RANGE:
                    raise
                reader.seek(0)
                writer.seek(0)
                writer.truncate()
        while block := reader.read(BLOCK):
            writer.write(block)


def publish(temporary: str, target: str) -> None:
    """Give a finished private file its name, never over one that exists.

    Raises FileExistsError, OSError; the private file is gone either way.
    """
    try:
        if rename_new(temporary, target):
            return
    except FileExistsError:
        remove_quietly(temporary)
        raise
    try:
        if sys.platform == "win32":
            os.rename(native(temporary), native(target))  # refuses to replace there
            return
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # no hard links here (FAT, some network file systems)
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "exists", target) from None
            os.rename(temporary, target)
    finally:
        remove_quietly(temporary)


def rename_new(temporary: str, target: str) -> bool:
    """Linux's rename that refuses to replace; False where it cannot be used.

    Raises FileExistsError; both files then are as they were.
    """
    rename = getattr(_libc(), "renameat2", None)
    if rename is None:
        return False
    paths = os.fsencode(temporary), os.fsencode(target)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
        return True
    from ctypes import get_errno

    if get_errno() == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, "exists", target)
    return False
