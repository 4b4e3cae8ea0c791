"""Read files that somebody else wrote: regular ones alone, and none larger than it may be.

A project's `fetch.lock` may be a FIFO that nobody writes to, a device that never ends, or a sparse
file of terabytes. None of them may keep a command waiting, or fill the memory.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

MAX_DOCUMENT = 32 << 20  # bytes: manifests, layouts, settings, a model's configuration
MAX_LIST = 2 << 30  # bytes: locks, and what else names every file

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularError(OSError):
    """What stands there is no file, or is larger than such a file may be."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file, open for reading and never waited for. Raises OSError, NotRegularError."""
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_BINARY", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    try:
        # A device may do something when it is opened: it is looked at first.
        _check(os.stat(path).st_mode, path)
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _refused("a socket", path) from None
        raise
    try:
        _check(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb", buffering=0)
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: str | os.PathLike[str], most: int = MAX_DOCUMENT) -> bytes:
    """The bytes of a file of at most `most`. Raises OSError, NotRegularError."""
    with open_regular(path) as stream:
        # A sparse file says what it would come to; one that grows is stopped below.
        if os.fstat(stream.fileno()).st_size > most:
            raise _too_large(path, most)
        pieces: list[bytes] = []
        left = most + 1
        while left and (piece := stream.read(min(left, 1 << 26))):
            pieces.append(piece)
            left -= len(piece)
    if not left:
        raise _too_large(path, most)
    return b"".join(pieces)


def read_regular_text(path: str | os.PathLike[str], most: int = MAX_DOCUMENT) -> str:
    """The UTF-8 text of such a file. Raises OSError, NotRegularError, UnicodeDecodeError."""
    return read_regular(path, most).decode("utf-8")


def _check(mode: int, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(mode):
        raise _refused(next((kind for is_kind, kind in _KINDS if is_kind(mode)), "none"), path)


def _refused(kind: str, path: str | os.PathLike[str]) -> NotRegularError:
    return NotRegularError(errno.EINVAL, f"it is {kind}, not a file", os.fspath(path))


def _too_large(path: str | os.PathLike[str], most: int) -> NotRegularError:
    return NotRegularError(errno.EFBIG, f"it is larger than {most >> 20} MiB", os.fspath(path))
