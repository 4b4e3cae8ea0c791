"""Members of an archive, put into the store: hashed as they come, written once, never twice."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import chain
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
# Small members are handed to the thread that writes in groups: each costs as much as a member.
_GROUP_FILES = 64
_GROUP_BYTES = 1 << 20
_AHEAD = 4  # groups, or pieces of a large member, that may wait for that thread


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


class _Small(NamedTuple):
    """A member that is held in memory."""

    member: Member
    data: bytes
    wanted: FileEntry | None


class Unpacking:
    """One archive on its way into the store; `stop` ends it at the next member.

    One thread reads and unpacks, another hashes and writes what has come of it.

    `opened` is where the archive lies; it is closed at the end. `known` gives what the lock says
    of each member that is wanted, None if all that the rules select are. `arrived` gets each batch
    that is in the store. `asked_by` is what `fetch lock --update` takes for it.
    """

    def __init__(
        self,
        store: Store,
        archive: str,
        opened: ArchiveFile,
        rules: Rules,
        known: Mapping[str, FileEntry] | None,
        arrived: Callable[[list[Unpacked]], None],
        asked_by: str = "NAME",
    ) -> None:
        self._store = store
        self._archive = archive
        self._asked_by = asked_by
        self._opened = opened
        self._rules = rules
        self._known = known
        self._arrived = arrived
        self._batch: list[_Written] = []
        self._bytes = 0
        self._group: list[_Small] = []
        self._group_bytes = 0
        self._writing: deque[Future[list[_Written]]] = deque()
        self._recent: set[str] = set()  # digests of the batch: the writing thread's
        self._began = time.monotonic()
        self.stop = False

    def _anew(self) -> str:
        return t(
            "the archive changed upstream: `fetch lock --update {id}` asks for it anew",
            id=self._asked_by,
        )

    def run(self) -> None:
        """Read it from beginning to end. Raises Failure: what came before it is kept."""
        self._store.prepare()
        with ThreadPoolExecutor(1, thread_name_prefix="members") as self._writer:
            try:
                missing = self._all()
            except OSError as error:
                doing = t("unpacking {archive}", archive=self._archive)
                raise from_os_error(error, doing, str(self._store.root)) from error
            finally:
                self._clear()
        if missing:
            raise refused(
                self._archive,
                t("has no {path}, which fetch.lock says is in it", path=min(missing)),
                hint=self._anew(),
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
        self._hand_over()
        self._flush()
        return missing

    def _clear(self) -> None:
        """Remove what is not in the store: all was flushed, or something went wrong."""
        for future in self._writing:
            with suppress(Exception):
                self._batch += future.result()
        for written in self._batch:
            remove_quietly(written.temporary)

    def _take(self, member: Member, budget: Budget) -> None:
        wanted = self._known[member.path] if self._known is not None else None
        if wanted and wanted.sha256 and self._store.has(wanted.sha256, wanted.size):
            size = os.stat(self._store.blob_path(wanted.sha256)).st_size
            self._add([_Written(member, "", wanted.sha256, size, None)])
            return
        pieces = chunks(self._archive, member, budget)
        held, size = [], 0
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > _SMALL:
                self._add([self._write_large(member, held, pieces, wanted)])
                return
        self._group.append(_Small(member, b"".join(held), wanted))
        self._group_bytes += size
        if len(self._group) >= _GROUP_FILES or self._group_bytes >= _GROUP_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let the group be written; wait if too much waits for that."""
        if self._group:
            self._writing.append(self._writer.submit(self._write_all, self._group))
            self._group, self._group_bytes = [], 0
        while len(self._writing) > _AHEAD:
            self._add(self._writing.popleft().result())

    def _add(self, written: list[_Written]) -> None:
        self._batch += written
        self._bytes += sum(one.size for one in written)
        full = len(self._batch) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES
        if full or time.monotonic() - self._began > _BATCH_SECONDS:
            self._flush()

    def _compare(self, member: Member, sha256: str, wanted: FileEntry | None) -> None:
        """Raise Failure for a member that is not what the lock says."""
        if wanted is not None and wanted.sha256 not in {None, sha256}:
            raise Failure(
                "digest-mismatch",
                t(
                    "{archive}: {path} has the sha256 {sha256} instead of {wanted}",
                    archive=self._archive,
                    path=member.path,
                    sha256=sha256,
                    wanted=wanted.sha256,
                ),
                self._anew(),
                file=member.path,
            )

    def _write_all(self, group: list[_Small]) -> list[_Written]:
        """A private file for each of these, unless the store has its bytes; in the other thread.

        Raises Failure, OSError: then nothing is left of them.
        """
        done: list[_Written] = []
        try:
            for member, data, wanted in group:
                sha256 = hashlib.sha256(data).hexdigest()
                self._compare(member, sha256, wanted)
                temporary, stat = "", None
                if not (sha256 in self._recent or self._store.has(sha256, len(data))):
                    temporary = self._store.temporary(sha256)
                    stat = write_new(temporary, data)
                    self._recent.add(sha256)
                done.append(_Written(member, temporary, sha256, len(data), stat))
        except BaseException:
            for written in done:
                remove_quietly(written.temporary)
            raise
        return done

    def _write_large(
        self, member: Member, held: list[bytes], pieces: Iterator[bytes], wanted: FileEntry | None
    ) -> _Written:
        """A private file with a member's bytes, hashed and written while more is unpacked.

        Raises Failure, OSError.
        """
        digest, size = hashlib.sha256(), 0
        temporary = self._store.temporary()
        steps: deque[Future[None]] = deque()
        stream = open(temporary, "xb", buffering=0)  # noqa: PTH123, SIM115

        def step(piece: bytes) -> None:
            digest.update(piece)
            left = memoryview(piece)
            while left:
                left = left[stream.write(left) :]

        try:
            for piece in chain(held, pieces):
                size += len(piece)
                steps.append(self._writer.submit(step, piece))
                if len(steps) > _AHEAD:
                    steps.popleft().result()
            held.clear()
            while steps:
                steps.popleft().result()
            sha256 = digest.hexdigest()
            self._compare(member, sha256, wanted)
            if self._store.has(sha256, size):
                temporary, there = "", temporary
                remove_quietly(there)
        except BaseException:
            wait(steps)
            remove_quietly(temporary)
            raise
        finally:
            stream.close()
        return _Written(member, temporary, sha256, size, None)

    def _flush(self) -> None:
        """Bring a batch to disk, give each blob its name, and tell of it. Raises OSError."""
        while self._writing:
            for written in self._writing.popleft().result():
                self._batch.append(written)
        self._recent.clear()  # the other thread has nothing to do just now
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
