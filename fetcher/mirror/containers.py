"""Where a bundle's files lie: in a folder, or in a tar (one file or volumes) that stays packed.

Both list names with sizes, say where bytes lie, and stream every byte in the order of the disk.
"""

from __future__ import annotations

import hashlib
import os
import stat as stats
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.files import BLOCK, sha256_of
from fetcher.mirror.holdings import Extent, read
from fetcher.mirror.joined import Joined, sums_path, volumes_of
from fetcher.mirror.tar import Member, scan
from fetcher.paths import BadPath, check_relative, native, printable

Piece = tuple[str, memoryview]


class Container(Protocol):
    """Files by name, in place."""

    label: str

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file by name."""

    def extents(self, name: str) -> tuple[Extent, ...]:
        """Where a file's bytes lie. Raises KeyError."""

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises KeyError, Failure."""

    def stream(self) -> Iterator[Piece]:
        """Every file in pieces; an empty file is one empty piece. Raises Failure."""

    def stream_problems(self) -> list[Problem]:
        """What was found wrong with the packing, after `stream` has ended."""

    def place_of(self, name: str) -> str:
        """Which file on disk holds it, for messages; "" if that goes without saying."""

    def close(self) -> None:
        """Release the files."""


def _read(extents: tuple[Extent, ...], name: str) -> bytes:
    try:
        return b"".join(read(extents))
    except (OSError, EOFError) as error:
        raise Failure("bundle", f"{name} cannot be read: {error}", file=name) from error


class Folder:
    """A bundle as a folder."""

    def __init__(self, root: str) -> None:
        self.label = root
        self.root = root
        self.sizes: dict[str, int] = {}
        try:
            self._walk(root, "")
        except OSError as error:
            raise from_os_error(error, f"reading {error.filename or root}") from error

    def _walk(self, folder: str, prefix: str) -> None:
        with os.scandir(native(folder)) as entries:
            for entry in entries:
                name = prefix + entry.name
                stat = entry.stat(follow_symlinks=False)
                if stats.S_ISDIR(stat.st_mode):
                    self._walk(os.path.join(folder, entry.name), f"{name}/")
                    continue
                shown = printable(name)
                if not stats.S_ISREG(stat.st_mode):
                    text = f"{self.label}: {shown} is no plain file; a bundle has nothing else"
                    raise Failure("bundle", text, "do not trust who sent it", file=shown)
                try:
                    self.sizes[check_relative(name)] = stat.st_size
                except BadPath as error:
                    text = f"{self.label}: {shown!r} {error}"
                    raise Failure("bundle", text, file=shown) from error

    def extents(self, name: str) -> tuple[Extent, ...]:
        """The file itself."""
        size = self.sizes[name]
        return (Extent(os.path.join(self.root, *name.split("/")), 0, size),) if size else ()

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises KeyError, Failure."""
        return _read(self.extents(name), name)

    def stream(self) -> Iterator[Piece]:
        """File after file, by name."""
        for name in sorted(self.sizes):
            empty = True
            try:
                for block in read(self.extents(name)):
                    empty = False
                    yield name, memoryview(block)
            except (OSError, EOFError) as error:
                text = f"{self.label}: {name} cannot be read: {error}"
                raise Failure("bundle", text, file=name) from error
            if empty:
                yield name, memoryview(b"")

    def stream_problems(self) -> list[Problem]:
        """A folder has no packing."""
        return []

    def place_of(self, name: str) -> str:
        """The file is its own place."""
        return ""

    def close(self) -> None:
        """Nothing is held open."""


class Archive:
    """A bundle as a tar, in one file or in volumes (`sums` has each volume's digest by name)."""

    def __init__(self, base: str, paths: list[str], sums: dict[str, str] | None = None) -> None:
        self.label = base
        self.sums = sums or {}
        self.joined = Joined(paths)
        self._volume_problems: list[Problem] = []
        try:
            self._members: dict[str, Member] = scan(self.joined, base)
        except Failure as failure:
            self._explain(failure)
        except OSError as error:
            raise from_os_error(error, f"reading {base}") from error
        self.sizes = {name: member.size for name, member in self._members.items()}

    def _explain(self, failure: Failure) -> None:
        """With volumes, say which of them is to blame."""
        try:
            if damaged := self.damaged_volumes():
                raise Failure("bundle", damaged[0].message, damaged[0].hint, file=damaged[0].file)
        finally:
            self.close()
        raise failure

    def damaged_volumes(self) -> list[Problem]:
        """Every volume that is not what the list of digests says; reads them all."""
        return [
            self._volume_problem(Path(path).name)
            for path in self.joined.paths
            if self.sums and sha256_of(path) != self.sums[Path(path).name]
        ]

    def _volume_problem(self, name: str) -> Problem:
        text = f"{self.label}: volume {name} is damaged, or another file under its name"
        hint = f"copy it again; `sha256sum -c {os.path.basename(sums_path(self.label))}` tells, too"
        return Problem("bundle", text, hint, file=name)

    def extents(self, name: str) -> tuple[Extent, ...]:
        """The member's place, in several volumes where it crosses them."""
        member = self._members[name]
        return self.joined.extents(member.offset, member.size)

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises KeyError, Failure."""
        return _read(self.extents(name), name)

    def stream(self) -> Iterator[Piece]:
        """The whole tar once from front to back, cut into its files; volumes are proven, too."""
        members = sorted((member.offset, name) for name, member in self._members.items())
        index, offset = 0, 0
        with _VolumeDigests(self.joined, self.sums) as digests:
            while offset < self.joined.size:
                block = self._block(offset)
                digests.add(offset, block)
                view, end = memoryview(block), offset + len(block)
                while index < len(members):
                    begin, name = members[index]
                    size = self.sizes[name]
                    if begin >= end:
                        break
                    low, high = max(begin, offset), min(begin + size, end)
                    yield name, view[low - offset : high - offset]
                    if begin + size > end:
                        break
                    index += 1
                offset = end
            names = digests.wrong()
        self._volume_problems = [self._volume_problem(name) for name in names]

    def _block(self, offset: int) -> bytes:
        try:
            block = self.joined.read_at(offset, BLOCK)
        except OSError as error:
            raise from_os_error(error, f"reading {self.joined.file_at(offset)}") from error
        if not block:
            raise Failure("bundle", f"{self.label} became shorter while it was read")
        return block

    def stream_problems(self) -> list[Problem]:
        """Volumes whose bytes are not those that were listed."""
        return self._volume_problems

    def place_of(self, name: str) -> str:
        """The volumes that hold the file."""
        if len(self.joined.paths) == 1 or name not in self._members:
            return ""
        return " and ".join(Path(extent.path).name for extent in self.extents(name))

    def close(self) -> None:
        """Close the files."""
        self.joined.close()


class _VolumeDigests:
    """Digests of volumes while all bytes go by, in a thread of their own."""

    def __init__(self, joined: Joined, sums: dict[str, str]) -> None:
        self._sums = sums
        self._ends: list[tuple[int, str]] = []
        end = 0
        for path in joined.paths:
            end += os.stat(native(path)).st_size
            self._ends.append((end, Path(path).name))
        self._hashes: list[Any] = [hashlib.sha256() for _ in self._ends]
        self._worker = ThreadPoolExecutor(1) if sums else None
        self._last: Future[None] | None = None

    def __enter__(self) -> _VolumeDigests:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.shutdown(wait=True, cancel_futures=True)

    def add(self, offset: int, block: bytes) -> None:
        """The next block; at most one waits, so that memory stays bounded."""
        if self._worker is None:
            return
        if self._last is not None:
            self._last.result()
        self._last = self._worker.submit(self._hash, offset, block)

    def _hash(self, offset: int, block: bytes) -> None:
        view, start = memoryview(block), 0
        for index, (end, _) in enumerate(self._ends):
            if start < offset + len(block) and end > offset:
                low, high = max(start, offset), min(end, offset + len(block))
                self._hashes[index].update(view[low - offset : high - offset])
            start = end

    def wrong(self) -> list[str]:
        """Names of the volumes whose digest is not the listed one."""
        if self._worker is None:
            return []
        if self._last is not None:
            self._last.result()
        return [
            name
            for (_, name), digest in zip(self._ends, self._hashes, strict=True)
            if digest.hexdigest() != self._sums.get(name)
        ]


def open_archive(base: str, volumes: list[str] | None = None) -> Archive:
    """A tar, or the volumes of one (`volumes`: paths of those that were named)."""
    if volumes is None:
        return Archive(base, [base])
    paths, sums = volumes_of(base, volumes)
    return Archive(base, paths, sums)
