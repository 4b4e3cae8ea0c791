"""Writing a bundle: as a folder, one tar, or volumes. What an interrupted run left is gone on with.

The same content makes the same bytes. Each file's bytes are read once, proven while they are
written, and need no space but that of the bundle.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fetcher.bundle.bundle_plan import BundleFile, BundlePlan
from fetcher.bundle.volume_writer import VolumeWriter, take_back_names
from fetcher.errors import Failure, UsageError, from_os_error
from fetcher.fs.atomic import keep_private, sha256_of, sync_filesystem, sync_folders
from fetcher.fs.boundary import open_own, write_own
from fetcher.fs.extents import Extent
from fetcher.fs.free_space import free_bytes
from fetcher.fs.private_files import private_name, remove_quietly, tidy
from fetcher.i18n import t
from fetcher.mirror.bundle import SIGNATURE, SUMS, SUMS_SIGNATURE
from fetcher.mirror.copying import SMALL, HashPool, copy_into, digest_of, open_to_read, write_all
from fetcher.mirror.tar import END, header, padding
from fetcher.mirror.volumes import sums_path, volume_base, volume_name
from fetcher.ui.units import human_bytes

MARKER = ".fetch-export"
Tick = Callable[[int, int], None]  # (bytes, files) that were written


class BundleSink(Protocol):
    """What takes the bytes of a bundle."""

    def write(self, data: bytes) -> None:
        """Append bytes."""

    def copy(self, extent: Extent, tick: Callable[[int], None]) -> None:
        """Append a piece of a file on disk."""


class BundleSource:
    """Reads files and hashes them in other threads; `settle` tells of those that are damaged.

    `damaged` is told of such a file, and says what brings it again.
    """

    def __init__(self, tick: Tick, damaged: Callable[[BundleFile], str]) -> None:
        self._tick = tick
        self._damaged = damaged
        self._hashes = HashPool(self._proven)

    def close(self) -> None:
        """End the threads."""
        self._hashes.close()

    def skip(self, file: BundleFile) -> None:
        """An file that is there already, and proven."""
        self._tick(file.size, 1)

    def copy(self, file: BundleFile, sink: BundleSink) -> None:
        """Hand an file's bytes to a sink. Raises Failure, OSError."""
        if file.data is not None:
            sink.write(file.data)
            self._tick(file.size, 1)
            return
        if file.size <= SMALL:
            data = self._read(file)
            self._proven(file, hashlib.sha256(data).hexdigest())
            sink.write(data)
            self._tick(file.size, 1)
            return
        extent = Extent(file.path, 0, file.size)
        self._hashes.submit(file, lambda: _digest_of(extent))
        try:
            sink.copy(extent, lambda count: self._tick(count, 0))
        except EOFError:
            self._proven(file, "")
        self._tick(0, 1)

    def settle(self) -> None:
        """Wait for the last proofs. Raises Failure."""
        self._hashes.finish(lambda: self._tick(0, 0))

    @staticmethod
    def _read(file: BundleFile) -> bytes:
        try:
            handle = open_to_read(file.path)
        except OSError as error:
            raise from_os_error(error, t("reading {path}", path=file.path)) from error
        try:
            return os.read(handle, file.size + 1)
        finally:
            os.close(handle)

    def _proven(self, file: BundleFile, found: str) -> None:
        if found == file.sha256:
            return
        command = self._damaged(file)
        raise Failure(
            "digest-mismatch",
            t("{path} is damaged: it no longer has the bytes that its digest says", path=file.path),
            t("run `{command}` to get it again, then export again", command=command),
            file=file.name,
        )


def _digest_of(extent: Extent) -> str:
    try:
        return digest_of([extent])
    except EOFError:
        return ""


def check_free(folder: Path, needed: int, there: int) -> None:
    """Raise Failure if a disk has no room for `needed` bytes, `there` of them being there."""
    free = free_bytes(folder)
    if needed - there > free:
        raise Failure(
            "disk-space",
            t(
                "{folder}: {needed} needed, {free} free",
                folder=folder,
                needed=human_bytes(needed - there),
                free=human_bytes(free),
            ),
            t("free some space, export fewer artifacts, or make a delta with --since"),
        )


def _elsewhere(folder: str, files: list[BundleFile]) -> bool:
    """Whether the bundle is written to another disk than the bytes come from: one to be carried."""
    device = os.stat(folder).st_dev
    return any(os.stat(file.path).st_dev != device for file in files if file.path)


def _mode_of(files: list[BundleFile]) -> int:
    """The mode of one file that holds all of these: as private as the most private of them."""
    mode = 0o644
    for file in files:
        if file.path:
            mode &= os.stat(file.path).st_mode | 0o600
    return mode | (mode & 0o044) >> 1  # whoever reads it may write it, as far as the umask lets


def write_tar(
    plan: BundlePlan,
    target: Path,
    source: BundleSource,
    volume_size: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a bundle as a tar or volumes. Raises Failure."""
    base = str(target)
    try:
        take_back_names(base)
    except OSError as error:
        raise _write_failure(error, base) from error
    existing = [path for path in (base, sums_path(base), volume_name(base, 1)) if _there(path)]
    if existing and not overwrite:
        raise _in_the_way(existing[0])
    folder = target.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        mode = _mode_of(plan.files)
        volumes = VolumeWriter(base, volume_size, _elsewhere(str(folder), plan.files), mode)
        check_free(folder, plan.tar_size, volumes.there())
        with volumes:
            for file in plan.files:
                volumes.write(header(file.name, file.size))
                source.copy(file, volumes)
                volumes.write(bytes(padding(file.size)))
            volumes.write(END)
            source.settle()
            volumes.finish()
    except OSError as error:
        raise _write_failure(error, base) from error


def _there(path: str) -> bool:
    return os.path.lexists(path)


def _in_the_way(path: str, replaceable: bool = True) -> Failure:
    hint = t("choose another name, or replace it: --overwrite")
    if not replaceable:  # whatever is said: only a bundle makes way for one
        hint = t("it is no finished bundle, so it is not replaced: choose another name")
    return Failure("conflict", t("{path} is there already", path=path), hint)


def _write_failure(error: OSError, base: str) -> Failure:
    if error.errno == errno.EFBIG:
        hint = t("this file system takes no larger files (FAT32: 4 GB): --volume-size 4G")
        return Failure(
            "disk-space", t("writing {base}: {strerror}", base=base, strerror=error.strerror), hint
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = t("free some space there and run the same command again: it goes on")
        return Failure(
            "disk-space", t("writing {base}: {strerror}", base=base, strerror=error.strerror), hint
        )
    return from_os_error(error, t("writing {base}", base=base))


def write_folder(
    plan: BundlePlan, target: Path, source: BundleSource, overwrite: bool = False
) -> bool:
    """Write a bundle as a folder; False if the very same is there. Raises Failure."""
    marker = target / MARKER
    finished = (target / SUMS).exists() and not marker.exists()
    if finished and (target / SUMS).read_bytes() == plan.sums:
        return False
    tidy(str(target))  # what an export that was killed at its start had there is not foreign
    foreign = target.is_dir() and any(target.iterdir()) and not marker.exists()
    if _there(str(target)) and (not target.is_dir() or (foreign and not (overwrite and finished))):
        raise _in_the_way(str(target), replaceable=finished)
    wanted = {file.name for file in plan.files}
    try:
        there = _keep_wanted(target, wanted) if target.is_dir() else 0
        check_free(target, plan.size, there)
        target.mkdir(parents=True, exist_ok=True)
        write_own(target, MARKER, b"")
        # After a power cut it tells what is there from somebody's own files.
        sync_folders(str(target), str(target.parent))
        remove_quietly(str(target / SIGNATURE))
        remove_quietly(str(target / SUMS_SIGNATURE))
        remove_quietly(str(target / SUMS))
        # What makes the folder a bundle comes last.
        for file in sorted(plan.files, key=lambda item: item.name == SUMS):
            _put(file, target, source)
        source.settle()
        if _elsewhere(str(target), plan.files):
            sync_filesystem(str(target), [str(target / name) for name in wanted])
        marker.unlink()
    except OSError as error:
        raise _write_failure(error, str(target)) from error
    return True


def _keep_wanted(target: Path, wanted: set[str]) -> int:
    """Remove what an earlier export left that this one does not have; bytes that stay."""
    there = 0
    for folder, _, names in os.walk(target):
        for name in names:
            path = Path(folder, name)
            if path.relative_to(target).as_posix() in wanted:
                there += path.lstat().st_size
            elif name != MARKER:
                path.unlink()
    return there


def _put(file: BundleFile, target: Path, source: BundleSource) -> None:
    above, _, name = file.name.rpartition("/")
    with open_own(target, above) as folder:
        path = folder.at(name)
        if os.path.isfile(path) and not os.path.islink(path) and sha256_of(path) == file.sha256:
            source.skip(file)
            return
        tidy(os.path.dirname(path))
        temporary = folder.at(private_name(name))
        try:
            with open(temporary, "xb", buffering=0) as stream:  # noqa: PTH123
                if file.path:
                    keep_private(file.path, stream.fileno())
                source.copy(file, _FileSink(stream.fileno()))
            os.replace(temporary, path)
        finally:
            remove_quietly(temporary)


@dataclass(frozen=True)
class _FileSink:
    """A file that takes one file."""

    handle: int

    def write(self, data: bytes) -> None:
        """Append bytes."""
        write_all(self.handle, data)

    def copy(self, extent: Extent, tick: Callable[[int], None]) -> None:
        """Append a piece of another file."""
        copy_into(self.handle, [extent], tick)


def is_tar(target: Path, volume_size: int) -> bool:
    """Whether a bundle of this name is a tar. Raises UsageError for a volume's name."""
    if volume_base(target.name) is not None:
        raise UsageError(
            t("{target} is a volume's name", target=target), t("name the bundle, such as OUT.tar")
        )
    return volume_size > 0 or target.suffix == ".tar"
