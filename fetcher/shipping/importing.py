"""Taking bundles into a store: every byte is proven first, then all of it appears at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.files import remove_quietly, sync_filesystem, write_atomically
from fetcher.mirror.bundle import Bundle
from fetcher.mirror.oci import Contents
from fetcher.preflight import nearest_folder
from fetcher.progress import human_bytes
from fetcher.store import Part, Store

# Contents from this size on are kept when an import is interrupted.
RESUMED = 8 << 20
_BLOB = "blobs/sha256/"


@dataclass
class Taken:
    """What an import did."""

    files: int = 0
    bytes: int = 0
    already: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass
class _Copy:
    """A content on its way into the store, in a private file."""

    sha256: str
    path: str
    part: Part | None
    size: int
    handle: int = -1
    kept: int = 0
    done: int = 0
    stat: os.stat_result | None = None


def lacking(bundles: Sequence[Bundle], store: Store) -> list[Problem]:
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
                f"{bundle.label} is a delta, and {artifact.full_name}/{file.path} is neither in it "
                f"nor in the store (sha256 {file.sha256})",
                "import the bundle that it builds on first, or name both: the base, then the delta",
                artifact.id,
                file.path,
            )
            for artifact in bundle.artifacts()
            for file in artifact.files
            if file.sha256 in absent
        ]
    return problems


def check_free(bundles: Sequence[Bundle], store: Store) -> None:
    """Raise Failure if the store's disk has no room for what is new."""
    needed = sum(
        size
        for bundle in bundles
        for sha256, size in bundle.contents.payload().items()
        if _BLOB + sha256 in bundle.container.sizes and not store.has(sha256, size)
    )
    begun = sum(path.stat().st_size for path, _ in store.parts())
    free = shutil.disk_usage(nearest_folder(store.root.absolute())).free
    if needed - begun > free:
        raise Failure(
            "disk-space",
            f"{store.root}: {human_bytes(needed - begun)} needed, {human_bytes(free)} free",
            "free some space, or point FETCH_STORE at another disk",
        )


class Importer:
    """Takes one bundle in. Nothing of it is in the store before all of it has been proven."""

    def __init__(self, bundle: Bundle, store: Store) -> None:
        self.bundle = bundle
        self.store = store
        self.taken = Taken()
        self._wanted = bundle.contents.payload()
        self._copies: list[_Copy] = []
        self._now: _Copy | None = None
        self._name = ""

    def run(self, tick: Callable[[str, int], None]) -> Taken:
        """Read, prove and publish; raises Failure, or returns problems with nothing published."""
        self.store.prepare()
        try:
            proofs = self.bundle.proofs(self._take)
            self.taken.problems = proofs.run(tick)
            if not self.taken.problems:
                self._publish()
        except OSError as error:
            raise from_os_error(error, f"writing into the store {self.store.root}") from error
        finally:
            self._discard()
        return self.taken

    def _take(self, name: str, piece: memoryview) -> None:
        """A piece of a file goes by."""
        if name != self._name:
            self._name = name
            self._close()
            sha256 = name.removeprefix(_BLOB)
            size = self._wanted.get(sha256) if name.startswith(_BLOB) else None
            if size is not None:
                if self.store.has(sha256, size):
                    self.taken.already += 1
                else:
                    self._now = self._begin(sha256, size)
        copy = self._now
        if copy is None:
            return
        begin, copy.done = copy.done, copy.done + len(piece)
        if begin < copy.kept:
            piece = self._compare(copy, begin, piece)
        while piece:
            piece = piece[os.write(copy.handle, piece) :]

    def _begin(self, sha256: str, size: int) -> _Copy:
        if size < RESUMED:
            path = self.store.temporary()
            copy = _Copy(sha256, path, None, size)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            copy.handle = os.open(path, flags, 0o444)
        else:
            part = self.store.claim_part(f"sha256:{sha256}")
            copy = _Copy(sha256, part.path, part, size, kept=min(part.size, size))
            copy.handle = os.open(part.path, os.O_RDWR | getattr(os, "O_BINARY", 0))
            os.ftruncate(copy.handle, copy.kept)
        self._copies.append(copy)
        return copy

    @staticmethod
    def _compare(copy: _Copy, begin: int, piece: memoryview) -> memoryview:
        """Pass over what an interrupted import has written; the rest is written anew."""
        old = os.read(copy.handle, min(len(piece), copy.kept - begin))
        if old == piece[: len(old)]:
            return piece[len(old) :]
        copy.kept = 0
        os.lseek(copy.handle, begin, os.SEEK_SET)
        os.ftruncate(copy.handle, begin)
        return piece

    def _close(self) -> None:
        copy, self._now = self._now, None
        if copy is not None:
            if copy.part is None:  # made read-only already
                copy.stat = os.fstat(copy.handle)
            os.close(copy.handle)

    def _publish(self) -> None:
        """Bring all to disk with one sync, then give each its name."""
        self._close()
        if not self._copies:
            return
        sync_filesystem(str(self.store.blobs), [copy.path for copy in self._copies])
        for copy in self._copies:
            self.store.commit(copy.path, copy.sha256, stat=copy.stat)
            if copy.part is not None:
                self.store.drop_part(copy.part)
            self.taken.files += 1
            self.taken.bytes += copy.size
        self._copies.clear()
        self.store.flush()

    def _discard(self) -> None:
        """Remove what was not published; of an import that was cut off, large ones stay."""
        self._close()
        keep = not self.taken.problems
        for copy in self._copies:
            if copy.part is None:
                remove_quietly(copy.path)
            elif keep:
                self.store.leave_part(copy.part)
            else:
                self.store.drop_part(copy.part)
        self._copies.clear()


def remember(store: Store, contents: Contents) -> None:
    """Keep what the bundle's lock needs from `fetch gc`, and let `fetch serve --store` show it."""
    lock = contents.documents.get("fetch.lock")
    if lock is None:
        return
    name = hashlib.sha256(lock).hexdigest()[:24]
    folder = store.root / "imported" / name
    for document, data in contents.documents.items():
        write_atomically(folder.joinpath(*document.split("/")), data)
    entry = store.root / "projects" / f"{name}.json"
    write_atomically(entry, json.dumps({"root": str(folder.absolute())}).encode())


def unpack_project(contents: Contents, target: Path) -> list[Problem]:
    """Write the lock, manifests and layouts into a project; files that differ are left alone."""
    problems = []
    for name, data in sorted(contents.documents.items()):
        path = target.joinpath(*name.split("/"))
        try:
            if path.exists():
                if path.read_bytes() != data:
                    problems.append(
                        Problem(
                            "conflict",
                            f"{path} is there already and differs from the bundle's",
                            "compare them, or choose another folder with --project",
                            file=name,
                        )
                    )
                continue
            write_atomically(path, data)
        except OSError as error:
            problems.append(from_os_error(error, f"writing {path}").problem)
    return problems
