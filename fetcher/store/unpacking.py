"""Members of an archive, put into the store: hashed as they come, written once, never twice."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from fetcher.archives.errors import refused
from fetcher.archives.members import Budget, Member, chunks
from fetcher.archives.opening import ArchiveFile, members
from fetcher.archives.rules import Rules
from fetcher.errors import Failure, from_os_error
from fetcher.fs.atomic import Stat, stat_of, write_new
from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import t
from fetcher.sources.base import FileEntry
from fetcher.store.store import Store

# A member up to this size is hashed in memory, and not written at all where the store has it.
_SMALL = 4 << 20
_BATCH_FILES = 1024
_BATCH_BYTES = 256 << 20
_BATCH_SECONDS = 1.0


class Unpacked(NamedTuple):
    """A member that is in the store now, as the blob `sha256` of `size` bytes."""

    path: str
    sha256: str
    size: int
    executable: bool
    stat: Stat


class _Written(NamedTuple):
    """A private file that has a member's bytes; "" where the store has them already."""

    member: Member
    temporary: str
    sha256: str
    size: int
    stat: Stat | None


class Unpacking:
    """One archive on its way into the store; `stop` ends it at the next member.

    `opened` is where the archive lies; it is closed at the end. `known` gives what the lock says
    of each member that is wanted, None if all that the rules select are. `arrived` gets each batch
    that is in the store.
    """

    def __init__(
        self,
        store: Store,
        archive: str,
        opened: ArchiveFile,
        rules: Rules,
        known: Mapping[str, FileEntry] | None,
        arrived: Callable[[list[Unpacked]], None],
    ) -> None:
        self._store = store
        self._archive = archive
        self._opened = opened
        self._rules = rules
        self._known = known
        self._arrived = arrived
        self._batch: list[_Written] = []
        self._bytes = 0
        self._began = time.monotonic()
        self.stop = False

    def run(self) -> None:
        """Read it from beginning to end. Raises Failure: what came before it is kept."""
        self._store.prepare()
        try:
            missing = self._all()
        except OSError as error:
            doing = t("unpacking {archive}", archive=self._archive)
            raise from_os_error(error, doing, str(self._store.root)) from error
        finally:
            for written in self._batch:
                remove_quietly(written.temporary)
        if missing:
            raise refused(
                self._archive,
                t("has no {path}, which fetch.lock says is in it", path=min(missing)),
                hint=t("the archive changed upstream: `fetch lock --update` asks for it anew"),
            )

    def _all(self) -> set[str]:
        """Take all that is wanted; returns what is not in the archive. Raises Failure, OSError."""
        missing = set(self._known or ())
        for member, budget in members(self._archive, self._opened, self._rules):
            if self.stop:
                raise KeyboardInterrupt
            if self._known is not None and member.path not in self._known:
                continue
            missing.discard(member.path)
            self._take(member, budget)
        self._flush()
        return missing

    def _take(self, member: Member, budget: Budget) -> None:
        wanted = self._known[member.path] if self._known is not None else None
        if wanted and wanted.sha256 and self._store.has(wanted.sha256, wanted.size):
            size = os.stat(self._store.blob_path(wanted.sha256)).st_size
            written = _Written(member, "", wanted.sha256, size, None)
        else:
            written = self._write(member, budget)
            self._batch.append(written)  # removed from there if it is not what it must be
            if wanted is not None:
                self._compare(written, wanted)
            self._batch.pop()
        self._batch.append(written)
        self._bytes += written.size
        full = len(self._batch) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES
        if full or time.monotonic() - self._began > _BATCH_SECONDS:
            self._flush()

    def _compare(self, written: _Written, wanted: FileEntry) -> None:
        """Raise Failure for a member that is not what the lock says."""
        if wanted.sha256 not in {None, written.sha256}:
            raise Failure(
                "digest-mismatch",
                t(
                    "{archive}: {path} has the sha256 {sha256} instead of {wanted}",
                    archive=self._archive,
                    path=written.member.path,
                    sha256=written.sha256,
                    wanted=wanted.sha256,
                ),
                t("the archive changed upstream: `fetch lock --update` asks for it anew"),
                file=written.member.path,
            )

    def _write(self, member: Member, budget: Budget) -> _Written:
        """A private file with a member's bytes, unless the store has them. Raises Failure."""
        pieces = chunks(self._archive, member, budget)
        held, size = [], 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > _SMALL:
                return self._write_large(member, held, pieces)
        data = b"".join(held)
        sha256 = hashlib.sha256(data).hexdigest()
        if self._store.has(sha256, size) or any(w.sha256 == sha256 for w in self._batch[-64:]):
            return _Written(member, "", sha256, size, None)
        temporary = self._store.temporary(sha256)
        return _Written(member, temporary, sha256, size, write_new(temporary, data))

    def _write_large(self, member: Member, held: list[bytes], pieces: Iterator[bytes]) -> _Written:
        digest, size = hashlib.sha256(), 0
        temporary = self._store.temporary()
        try:
            with open(temporary, "xb") as stream:  # noqa: PTH123
                while held or (piece := next(pieces, b"")):
                    piece = held.pop(0) if held else piece
                    digest.update(piece)
                    stream.write(piece)
                    size += len(piece)
            sha256 = digest.hexdigest()
            if self._store.has(sha256, size):
                remove_quietly(temporary)
                return _Written(member, "", sha256, size, None)
        except BaseException:
            remove_quietly(temporary)
            raise
        return _Written(member, temporary, sha256, size, None)

    def _flush(self) -> None:
        """Bring a batch to disk, give each blob its name, and tell of it. Raises OSError."""
        store, batch = self._store, self._batch
        new = [written.temporary for written in batch if written.temporary]
        if new:
            store.bring_to_disk(str(store.blobs), new)
        done = []
        for member, temporary, sha256, size, stat in batch:
            if temporary:
                there = store.commit(temporary, sha256, "", stat)
            else:
                there = stat_of(store.blob_path(sha256))
            done.append(Unpacked(member.path, sha256, size, member.executable, there))
        self._batch, self._bytes = [], 0
        if done:
            store.flush()
            self._arrived(done)
        self._began = time.monotonic()
