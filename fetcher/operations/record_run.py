"""Records what a run did: rows of the tree's state, digests for the lock, the seal at the end.

A file without its row is read again next time; a file without its digest in the lock would be a
stranger to the next run, so that is saved before such a file is placed.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.private_files import tidy
from fetcher.fs.safe_paths import PathClaims
from fetcher.i18n import t
from fetcher.operations.workspace import Workspace
from fetcher.project.lockfile import NAME, LockedArtifact
from fetcher.project.resolve import Resolution
from fetcher.sources.base import FileEntry
from fetcher.tree.plan import GET, KEEP, PLACE, Item, Plan, row_of
from fetcher.tree.state import StateRow

_log = logging.getLogger(__name__)
_RECORD_SECONDS = 0.5


class Recorder:
    """Gathers what one run learns, and writes it in time."""

    def __init__(self, space: Workspace, resolution: Resolution) -> None:
        self._space = space
        self._fresh = resolution.fresh
        self._listed: set[tuple[str, str]] = set()  # artifacts whose archives were opened
        self._learned: dict[tuple[str, str], dict[str, FileEntry]] = {}
        self._rows: list[StateRow] = []
        self._unnamed: list[str] = []  # sha256 of contents that had no digest before
        self._uses_store = False
        self._known = True  # to the store: no need to tell it who uses it
        self._written = time.monotonic()

    def begin(self, plan: Plan) -> None:
        """Tell the store who needs what it is about to get, whatever ends this run."""
        try:
            used = plan.actions() & {GET, PLACE, KEEP}
            if used or plan.to_unpack():
                self._uses_store = True
                self._space.remember_project()
        except OSError as error:
            # Where we may not write, we remove nothing either; else the next run tries again.
            self._known = error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}
            _log.info("the store does not know of this project: %s", error)

    def recognised(self, plan: Plan) -> None:
        """Files that were read for the plan and are right need not be read again."""
        rows = [
            row_of(item, item.sha256, item.stat)
            for item in plan.singular()
            if item.action == KEEP and item.touched and item.stat is not None
        ]
        # Of a run that was killed, maybe: it had no time to take away what it was working on.
        for folder in {os.path.dirname(item.path) for item in plan.singular() if item.touched}:
            tidy(folder)
        self._rows += rows
        self._write_rows()

    def placed(self, rows: Sequence[StateRow]) -> None:
        """Keep rows of placed files, and write them now and then."""
        self._rows += rows
        if time.monotonic() - self._written > _RECORD_SECONDS:
            self._write_rows()

    def _write_rows(self) -> None:
        """Best effort: a file without its row is read again by the next run."""
        rows, self._rows = self._rows, []
        self._written = time.monotonic()
        try:
            if rows:
                self._space.state.record(rows)
        except Failure as failure:
            _log.info("what was placed is not recorded: %s", failure.message)

    def learn(self, item: Item, sha256: str, size: int) -> None:
        """Note a digest or size that the lock does not have yet."""
        file = item.file
        path, known = file.path, file.sha256
        if known is None or file.size is None or file.size_hint:
            found = self._learned.setdefault((item.artifact.manifest, item.artifact.id), {})
            if path not in found:
                if not file.key:
                    self._unnamed.append(sha256)
                found[path] = file.proven(size, sha256)

    def learn_archive(self, key: tuple[str, str], path: str, sha256: str, size: int) -> None:
        """Note the digest and size of an archive that has come."""
        self._put_archive(key, path, lambda entry: entry.proven(size, sha256))

    def forget_archive(self, key: tuple[str, str], entry: FileEntry) -> None:
        """Have an archive as the source told of it."""
        self._put_archive(key, entry.path, lambda _: entry)

    def _put_archive(
        self, key: tuple[str, str], path: str, change: Callable[[FileEntry], FileEntry]
    ) -> None:
        locked = self._space.lock.artifacts[key]
        archives = tuple(change(e) if e.path == path else e for e in locked.archives)
        self._put(key, replace(locked, archives=archives))

    def learn_members(
        self, key: tuple[str, str], archive: str, members: Sequence[FileEntry]
    ) -> LockedArtifact:
        """Note what is in an archive; returns the artifact as it is known now. Raises Failure."""
        locked = self._space.lock.artifacts[key]
        if not members:
            raise Failure(
                "missing-upstream",
                t("{archive} has no file that is wanted", archive=archive),
                t("compare `members`, `exclude` and `strip` with the archive's list"),
                file=archive,
            )
        others = {file.path for file in locked.files if file.archive != archive}
        claims = PathClaims()
        for path in others:
            claims.claim(path)
        for member in members:
            if (other := claims.claim(member.path)) is not None:
                raise Failure(
                    "bad-path",
                    t(
                        "{archive}: {path!r} falls on one path with {other!r}",
                        archive=archive,
                        path=member.path,
                        other=other,
                    ),
                    t("make two artifacts of these archives, each with a folder of its own"),
                    file=archive,
                )
        full = locked.with_members(archive, members)
        self._unnamed += [member.sha256 for member in members if member.sha256]
        self._put(key, full)
        return full

    def _put(self, key: tuple[str, str], locked: LockedArtifact) -> None:
        self._space.lock.artifacts[key] = locked
        self._listed.add(key)

    def save_lock(self) -> list[Problem]:
        """Merge what was resolved and learned so far into fetch.lock."""
        changed: dict[tuple[str, str], LockedArtifact] = dict(self._fresh)
        changed |= {key: self._space.lock.artifacts[key] for key in self._listed}
        for key, entries in self._learned.items():
            locked = self._space.lock.artifacts[key]
            files = tuple(entries.get(file.path, file) for file in locked.files)
            changed[key] = replace(locked, files=files)
        try:
            if self._space.save_lock(changed):
                _log.info("fetch.lock written: %d artifacts changed", len(changed))
        except OSError as error:
            return [_lock_not_written(error, self._space)]
        except Failure as failure:
            return [failure.problem]
        return []

    def finish(self, plan: Plan, complete: bool) -> list[Problem]:
        """Write all that is left, and leave the store tidy; `complete`: nothing went wrong."""
        self._write_rows()
        for item in plan.pending():
            # An edited file's bytes are not the source's, unless they were placed just now.
            known = item.action == KEEP and item.sha256 and (item.placed or not item.edit)
            if known and item.file.size is not None and not item.file.size_hint:
                self.learn(item, item.sha256, item.file.size)
        problems = self.save_lock()
        try:
            self._space.note_manifests()
        except Failure as failure:
            _log.info("whose files these are is not recorded: %s", failure.message)
        self._tell(plan)
        self._tell_store()
        self._space.store.close()
        try:
            if complete and self._known and not problems:
                self._space.seal(plan)
        except (OSError, Failure, sqlite3.Error) as error:
            _log.info("the next run looks at every file: %s", error)
        return problems

    def _tell_store(self) -> None:
        """Let the store know what else this project needs, now that it has a digest."""
        if not (self._uses_store and self._unnamed):
            return
        try:
            self._space.remember_project(self._unnamed)
        except OSError as error:
            _log.info("the store does not know what this project needs: %s", error)

    def _tell(self, plan: Plan) -> None:
        """Let the plan know its files as the lock has them now."""
        for part in plan.artifacts:
            learned = self._learned.get((part.artifact.manifest, part.artifact.id), {})
            for item in part.items.singular() if learned else ():
                item.file = learned.get(item.file.path, item.file)


def _lock_not_written(error: OSError, space: Workspace) -> Problem:
    path = str(space.project.root / NAME)
    return from_os_error(error, t("writing {path}", path=path), path).problem
