"""One file, or several that are read as one: a bundle's tar, its volumes."""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from fetcher.errors import Failure, from_os_error
from fetcher.fs.extents import Extent
from fetcher.fs.safe_paths import native
from fetcher.i18n import t

_NUMBER = re.compile(r"(.+)\.(\d{3,5})")


class VolumeReader:
    """Bytes of files in a row, read at any place; safe to share among threads."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self._starts: list[int] = []
        self._handles: list[int] = []
        self._seek = threading.Lock()
        self.size = 0
        try:
            for path in paths:
                flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
                self._handles.append(os.open(native(path), flags))
                self._starts.append(self.size)
                self.size += os.fstat(self._handles[-1]).st_size
        except OSError as error:
            self.close()
            raise from_os_error(error, t("opening {path}", path=path)) from error

    def close(self) -> None:
        """Release the files."""
        handles, self._handles = self._handles, []
        for handle in handles:
            os.close(handle)

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` on; fewer only at the end. Raises OSError."""
        pieces = []
        while length > 0 and offset < self.size:
            index = bisect_right(self._starts, offset) - 1
            piece = self._read(self._handles[index], length, offset - self._starts[index])
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read(self, handle: int, length: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(handle, length, offset)
        with self._seek:
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, length)

    def extents(self, offset: int, length: int) -> tuple[Extent, ...]:
        """Where `length` bytes from `offset` on lie in the files."""
        found = []
        while length > 0 and offset < self.size:
            index = bisect_right(self._starts, offset) - 1
            end = self._starts[index + 1] if index + 1 < len(self._starts) else self.size
            here = min(length, end - offset)
            found.append(Extent(self.paths[index], offset - self._starts[index], here))
            offset += here
            length -= here
        return tuple(found)

    def file_at(self, offset: int) -> str:
        """The name of the file that holds the byte at `offset`."""
        index = bisect_right(self._starts, min(offset, max(self.size - 1, 0))) - 1
        return Path(self.paths[index]).name


def volume_name(base: str, number: int) -> str:
    """The name of a volume; numbers count from 1."""
    return f"{base}.{number:03d}"


def volume_base(path: str) -> tuple[str, int] | None:
    """(name without its number, number) of a volume's name, None if it is no such name."""
    found = _NUMBER.fullmatch(path)
    return (found[1], int(found[2])) if found else None


def sums_path(base: str) -> str:
    """The text that has every volume's digest, as `sha256sum -c` reads it."""
    return f"{base}.sha256"


def volumes_of(base: str, given: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """The volumes of a set in order, and the digest of each by name.

    `given` are paths of volumes that lie elsewhere (one disc each, say). Raises Failure for a
    volume that is missing, or that the list of digests does not know.
    """
    folder, name = os.path.split(base)
    elsewhere = {os.path.basename(path): path for path in given}
    lists = [sums_path(base)] + [
        os.path.join(os.path.dirname(path), name + ".sha256") for path in given
    ]
    text = next((path for path in lists if os.path.isfile(path)), None)
    if text is None:
        raise Failure(
            "bundle",
            t("{base} is not there", base=sums_path(base)),
            t("bring it along with the volumes: it says how many there are, and their digests"),
        )
    sums = parse_sums(_read_text(text), text)
    numbers = [volume_base(item) for item in sums]
    expected = [volume_name(name, i + 1) for i in range(len(sums))]
    if not sums or None in numbers or list(sums) != expected:
        raise Failure(
            "bundle",
            t("{text} does not list {name}.001 and the volumes after it", text=text, name=name),
        )
    found: list[str] = []
    missing: list[str] = []
    for item in sums:
        path = elsewhere.get(item) or os.path.join(folder, item)
        (found if os.path.isfile(path) else missing).append(path)
    if missing:
        names = ", ".join(os.path.basename(path) for path in missing[:5])
        more = t(" and {count} more", count=len(missing) - 5) if len(missing) > 5 else ""
        raise Failure(
            "missing",
            t(
                "{base}: {count} of {count2} volumes missing: {names}{more}",
                base=base,
                count=len(missing),
                count2=len(sums),
                names=names,
                more=more,
            ),
            t("put all volumes into one folder, or name the path of each"),
        )
    return found, sums


def _read_text(path: str) -> str:
    try:
        with open(native(path), encoding="utf-8") as stream:  # noqa: PTH123
            return stream.read(1 << 24)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            "bundle", t("{path} cannot be read: {error}", path=path, error=error)
        ) from error


_SUM = re.compile(r"([0-9a-f]{64}) [ *]([^\x00-\x1f\x7f\\]+)")


def parse_sums(text: str, shown: str) -> dict[str, str]:
    """Digests by name from what `sha256sum` writes. Raises Failure."""
    found: dict[str, str] = {}
    if text and not text.endswith("\n"):
        raise Failure("bundle", t("{shown} ends within a line", shown=shown))
    for number, line in enumerate(text.split("\n")[:-1], 1):
        parts = _SUM.fullmatch(line)
        if parts is None or parts[2] in found:
            raise Failure(
                "bundle",
                t(
                    "{shown}: line {number} is not as `sha256sum` writes it",
                    shown=shown,
                    number=number,
                ),
            )
        found[parts[2]] = parts[1]
    return found
