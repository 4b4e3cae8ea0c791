"""Where a bundle's files lie: in a folder, or in a tar (one file or volumes) that stays packed.

Both list names with sizes, and say where the bytes lie.
"""

from __future__ import annotations

import os
import stat as stats
from pathlib import Path
from typing import Protocol

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import sha256_of
from fetcher.fs.extents import Extent
from fetcher.fs.safe_paths import BadPath, check_relative, native, printable
from fetcher.i18n import t
from fetcher.mirror.tar import Member, scan
from fetcher.mirror.volumes import VolumeReader, sums_path, volumes_of


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

    def names(self) -> list[str]:
        """All names in the order in which the bytes lie on disk."""

    def packing(self) -> list[tuple[str, str]]:
        """Paths with their digests that the packing itself has: volumes."""

    def packing_problem(self, path: str) -> Problem:
        """What to say of such a path that has another digest."""

    def place_of(self, name: str) -> str:
        """Which file on disk holds it, for messages; "" if that goes without saying."""

    def close(self) -> None:
        """Release the files."""


def _whole(data: bytes, size: int, path: str) -> bytes:
    if len(data) != size:
        raise Failure("bundle", t("{path} changed while it was read", path=path), t("run again"))
    return data


class Folder:
    """A bundle as a folder."""

    def __init__(self, root: str) -> None:
        self.label = root
        self.root = root
        self.sizes: dict[str, int] = {}
        try:
            self._walk(root, "")
        except OSError as error:
            raise from_os_error(
                error, t("reading {filename}", filename=error.filename or root)
            ) from error

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
                    text = t(
                        "{label}: {shown} is no plain file; a bundle has nothing else",
                        label=self.label,
                        shown=shown,
                    )
                    raise Failure("bundle", text, t("do not trust who sent it"), file=shown)
                try:
                    self.sizes[check_relative(name)] = stat.st_size
                except BadPath as error:
                    text = t(
                        "{label}: {shown!r} {error}", label=self.label, shown=shown, error=error
                    )
                    raise Failure("bundle", text, file=shown) from error

    def extents(self, name: str) -> tuple[Extent, ...]:
        """The file itself."""
        size = self.sizes[name]
        return (Extent(os.path.join(self.root, *name.split("/")), 0, size),) if size else ()

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises KeyError, Failure."""
        path = os.path.join(self.root, *name.split("/"))
        try:
            with open(native(path), "rb", buffering=0) as stream:  # noqa: PTH123
                data = stream.read(self.sizes[name] + 1)
        except OSError as error:
            raise from_os_error(error, t("reading {path}", path=path)) from error
        return _whole(data, self.sizes[name], path)

    def names(self) -> list[str]:
        """By name."""
        return sorted(self.sizes)

    def packing(self) -> list[tuple[str, str]]:
        """A folder has none."""
        return []

    def packing_problem(self, path: str) -> Problem:
        """Never asked for."""
        raise AssertionError(path)

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
        self.reader = VolumeReader(paths)
        try:
            self._members: dict[str, Member] = scan(self.reader, base)
        except Failure as failure:
            self._explain(failure)
        except OSError as error:
            raise from_os_error(error, t("reading {base}", base=base)) from error
        self.sizes = {name: member.size for name, member in self._members.items()}

    def _explain(self, failure: Failure) -> None:
        """With volumes, say which of them is to blame."""
        try:
            for path, sha256 in self.packing():
                if sha256_of(path) != sha256:
                    first = self.packing_problem(path)
                    raise Failure(first.code, first.message, first.hint, file=first.file)
        finally:
            self.close()
        raise failure

    def packing_problem(self, path: str) -> Problem:
        """A volume is damaged."""
        name = Path(path).name
        text = t(
            "{label}: volume {name} is damaged, or another file under its name",
            label=self.label,
            name=name,
        )
        hint = t(
            "copy it again; `sha256sum -c {basename}` tells, too",
            basename=os.path.basename(sums_path(self.label)),
        )
        return Problem("bundle", text, hint, file=name)

    def extents(self, name: str) -> tuple[Extent, ...]:
        """The member's place, in several volumes where it crosses them."""
        member = self._members[name]
        return self.reader.extents(member.offset, member.size)

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises KeyError, Failure."""
        offset, size = self._members[name]
        try:
            data = self.reader.read_at(offset, size)
        except OSError as error:
            raise from_os_error(
                error, t("reading {file_at}", file_at=self.reader.file_at(offset))
            ) from error
        return _whole(data, size, self.label)

    def names(self) -> list[str]:
        """By their place in the tar."""
        return sorted(self._members, key=lambda name: self._members[name].offset)

    def packing(self) -> list[tuple[str, str]]:
        """The volumes."""
        if not self.sums:
            return []
        return [(path, self.sums[Path(path).name]) for path in self.reader.paths]

    def place_of(self, name: str) -> str:
        """The volumes that hold the file."""
        if len(self.reader.paths) == 1 or name not in self._members:
            return ""
        return " and ".join(Path(extent.path).name for extent in self.extents(name))

    def close(self) -> None:
        """Close the files."""
        self.reader.close()


def open_archive(base: str, volumes: list[str] | None = None) -> Archive:
    """A tar, or the volumes of one (`volumes`: paths of those that were named)."""
    if volumes is None:
        return Archive(base, [base])
    paths, sums = volumes_of(base, volumes)
    return Archive(base, paths, sums)
