"""A bundle's blobs into a store: every byte is checked first, then all of it appears at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import Stat, sha256_of
from fetcher.fs.extents import part_of
from fetcher.fs.free_space import allocated, free_bytes
from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import t
from fetcher.mirror.bundle import ArtifactSummary, Bundle, summary_of
from fetcher.mirror.copying import copy_into, write_all
from fetcher.mirror.verify_bundle import BundleVerifier
from fetcher.store.demands import demands
from fetcher.store.parts import Keeping, free, freed_words, others
from fetcher.store.store import Part, Store
from fetcher.ui.units import human_bytes

_log = logging.getLogger(__name__)

_BLOB = "blobs/sha256/"


@dataclass
class ImportResult:
    """What an import or a pull brought into the store: contents and their bytes.

    `already` counts the contents that were there before; `notes` are for whoever looks on.
    """

    artifacts: list[ArtifactSummary] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    already: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: ImportResult) -> None:
        """Count another one's along."""
        self.artifacts += other.artifacts
        self.files += other.files
        self.bytes += other.bytes
        self.already += other.already
        self.problems += other.problems
        self.notes += other.notes


@dataclass
class _BlobCopy:
    """A content on its way into the store, in a private file."""

    sha256: str
    path: str
    part: Part | None
    size: int
    kept: int = 0  # bytes of it that an earlier import wrote
    stat: Stat | None = None


def missing_contents(bundles: Sequence[Bundle], store: Store) -> list[Problem]:
    """Contents that deltas count on and that neither the store nor another bundle has."""
    brought = {name for bundle in bundles for name in bundle.container.sizes}
    problems = []
    for bundle in bundles:
        absent = {
            sha256
            for sha256, size in bundle.absent().items()
            if _BLOB + sha256 not in brought and not store.has(sha256, size)
        }
        if not absent:
            continue
        problems += [
            Problem(
                "missing",
                t(
                    "{label} is a delta, and {full_name}/{path} is neither in it nor in the store "
                    "(sha256 {sha256})",
                    label=bundle.label,
                    full_name=artifact.full_name,
                    path=file.path,
                    sha256=file.sha256,
                ),
                t(
                    "import the bundle that it builds on first, or name both: the base, then "
                    "the delta"
                ),
                artifact.id,
                file.path,
            )
            for artifact in bundle.artifacts()
            for file in artifact.files
            if file.sha256 in absent
        ]
    return problems


def check_free(bundles: Sequence[Bundle], store: Store, say: Callable[[str], None]) -> None:
    """Raise Failure if the store's disk has no room for what is new, also without partial
    downloads that no import goes on with; if these had to go, it is said."""
    new = {
        sha256: size
        for bundle in bundles
        for sha256, size in bundle.contents.payload().items()
        if _BLOB + sha256 in bundle.container.sizes and not store.has(sha256, size)
    }
    keeping = Keeping([f"sha256:{sha256}" for sha256 in new])
    needed = sum(new.values()) - keeping.begun(store)

    def fits(freed: int = 0) -> bool:
        return needed <= free_bytes(store.root) + freed

    if not fits():
        left = others(store, demands(store), keeping)
        if fits(sum(allocated(part.stat) for part in left)):
            say(freed_words(store, *free(left, fits)))
    if not fits():
        raise Failure(
            "disk-space",
            t(
                "{root}: {needed} needed, {free} free",
                root=store.root,
                needed=human_bytes(needed),
                free=human_bytes(free_bytes(store.root)),
            ),
            t("free some space, or point FETCH_STORE at another disk"),
        )


class BlobImport:
    """Imports one bundle. Nothing of it is in the store before all of it has been proven."""

    def __init__(self, bundle: Bundle, store: Store, tick: Callable[[int, int], None]) -> None:
        self.bundle = bundle
        self.store = store
        self.result = ImportResult()
        self._tick = tick
        self._wanted = bundle.contents.payload()
        self._copies: list[_BlobCopy] = []

    def run(self) -> ImportResult:
        """Read, prove and publish; raises Failure, or returns problems with nothing published."""
        self.store.prepare()
        whole = False
        try:
            self.result.problems = BundleVerifier(self.bundle, self._tick).run(self._take)
            whole = not self.result.problems
            if whole:
                self._prove_resumed()
                self._publish()
                self.result.artifacts = [summary_of(item) for item in self.bundle.artifacts()]
        except OSError as error:
            raise from_os_error(
                error, t("writing into the store {root}", root=self.store.root)
            ) from error
        finally:
            self._discard(keep=whole or not self.result.problems)
        return self.result

    def _take(self, name: str, data: bytes | None) -> None:
        """Copy a file, while another thread proves it, if the store lacks it."""
        sha256 = name.removeprefix(_BLOB)
        size = self._wanted.get(sha256) if name.startswith(_BLOB) else None
        if size is None:
            return
        if self.store.has(sha256, size):
            _log.debug("%s is in the store", sha256)
            self.result.already += 1
            return
        copy = _BlobCopy(sha256, "", None, size)
        self._copies.append(copy)
        if data is not None:
            self._write_small(copy, data)
        else:
            self._write_large(copy, name)

    def _write_small(self, copy: _BlobCopy, data: bytes) -> None:
        copy.path = self.store.temporary(copy.sha256)
        # Already read-only: the mode counts for the next one who opens it.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(copy.path, flags, 0o444)
        try:
            write_all(handle, data)
            stat = os.fstat(handle)
            copy.stat = Stat(stat.st_size, stat.st_mtime_ns, stat.st_ino)
        finally:
            os.close(handle)

    def _write_large(self, copy: _BlobCopy, name: str) -> None:
        """Into a partial file that outlives this process, after what it holds already."""
        copy.part = self.store.claim_part(f"sha256:{copy.sha256}")
        copy.path, copy.kept = copy.part.path, min(copy.part.size, copy.size)
        if copy.kept:
            _log.info("%s: goes on after %d of %d bytes", name, copy.kept, copy.size)
        extents = part_of(self.bundle.container.extents(name), copy.kept, copy.size)
        handle = os.open(copy.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.ftruncate(handle, copy.kept)
            os.lseek(handle, copy.kept, os.SEEK_SET)
            copy_into(handle, extents, lambda _: self._tick(0, 0))
        finally:
            os.close(handle)

    def _prove_resumed(self) -> None:
        """What an earlier import had begun was not compared with the bundle: read it."""
        for copy in self._copies:
            if copy.kept and sha256_of(copy.path) != copy.sha256:
                assert copy.part is not None
                self.store.drop_part(copy.part)
                self._write_large(copy, _BLOB + copy.sha256)

    def _publish(self) -> None:
        """Bring all to disk with one sync, then give each its name."""
        if not self._copies:
            return
        self.store.bring_to_disk(str(self.store.blobs), [copy.path for copy in self._copies])
        for copy in self._copies:
            self.store.commit(copy.path, copy.sha256, stat=copy.stat)
            if copy.part is not None:
                self.store.drop_part(copy.part)
            self.result.files += 1
            self.result.bytes += copy.size
        self._copies.clear()
        self.store.flush()

    def _discard(self, keep: bool) -> None:
        """Remove what was not published; of an import that was cut off, large ones stay."""
        for copy in self._copies:
            if copy.part is None:
                remove_quietly(copy.path)
            elif keep:
                self.store.leave_part(copy.part)
            else:
                self.store.drop_part(copy.part)
        self._copies.clear()
