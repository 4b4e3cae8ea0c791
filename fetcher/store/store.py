"""The store: verified blobs by sha256 in an OCI image layout, shared by all clones.

Its contents are safe for many processes at once without any lock: every writer works in files of
its own and publishes them with one rename. (Locks only save downloads: see `fetcher.store.runs`.)
A blob may be hard-linked into trees and so be changed behind our back; a *stamp* records the stat
it had when this person's runs last read it (see `fetcher.store.stamps`), and a blob whose stat
differs is read again before it is trusted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat as stats
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fetcher.config.boundaries import came_with_project
from fetcher.config.settings import Settings
from fetcher.errors import Failure, from_os_error
from fetcher.fs.atomic import (
    Stat,
    copy,
    digests_of,
    make_read_only,
    reflink,
    rename_new,
    sha256_of,
    spread_subfolders,
    stat_of,
    sync_file,
    sync_filesystem,
    write_atomically,
)
from fetcher.fs.boundary import refuse_links
from fetcher.fs.free_space import allocated
from fetcher.fs.owners import hard_link, is_foreign, is_ours_alone
from fetcher.fs.private_files import (
    ended,
    owner_in,
    remove_quietly,
    run_id,
    tidy,
    unique_name,
)
from fetcher.fs.processes import alive, machine, started
from fetcher.i18n import t
from fetcher.sources.base import FileEntry
from fetcher.store import part_map
from fetcher.store.stamps import FOLDER as STAMPS
from fetcher.store.stamps import Stamp, Stamps

_log = logging.getLogger(__name__)

BLOB_NAME = re.compile(r"[0-9a-f]{64}")
# Up to here git ids are computed as well when a blob is read: a Hub has larger files in LFS, by
# sha256.
GIT_SIZES = 16 << 20
# A proven file begins with its digest; without one it is a process's folder of such files.
_PRIVATE = re.compile(r"(?:([0-9a-f]{64})\.)?([^.]+)\.(\d{1,9})-([0-9a-f]{12})-\d+\.tmp")
_OWNER = re.compile(r"(.+)\.([^.]+)\.(\d{1,9})\.([0-9a-f-]+)\.part")
# How the owner's part of the name ends where no digest of the content is known.
_NO_DIGEST = "-0"
# A number may be given out again: with it stands when its process began (see `started`).
_BEGAN = re.compile(r".+\.[0-9a-f]{12}-[0-9a-f]{8}-b(\d{1,20})(?:-0)?\.part")
_STALE_PART_SECONDS = 600
# What may lie beside a partial file: which of its ranges are there, and what older versions wrote.
PART_NOTES = (".etag", part_map.SUFFIX)
# What a store has beside its blobs. A link among these would have other files written or removed.
OWN_FOLDERS = (
    "partial",
    STAMPS,
    "runs",
    "projects",
    "released",
    "imported",
    "damaged",
    "upstream",
    "wrong",
)
INDEX = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [],
}


class Part(NamedTuple):
    """A partial download that this process alone owns; `was` is its path before, if it is left."""

    path: str
    size: int
    was: str = ""


_own_start = lru_cache(maxsize=1)(started)
# Parts that this process writes just now; others that carry its id are left over.
_IN_USE: set[str] = set()


def part_bytes(path: str) -> int:
    """How many bytes of its body a partial file holds: those of its record, else its length."""
    try:
        data = Path(path + part_map.SUFFIX).read_bytes()
        return sum(part_map.counts(data))
    except (OSError, struct.error):
        pass
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def private_prefix(sha256: str) -> str:
    """What a private file's name begins with if the digest of its content is known."""
    return f"{sha256}." if sha256 else ""


def _refuse_links(root: Path) -> None:
    """Raise Failure if a store's folder, or what lies in it beside blobs, is a link."""
    for folder in ("", "blobs", *OWN_FOLDERS):
        with suppress(FileNotFoundError), os.scandir(root / folder) as entries:
            refuse_links(root, (os.path.join(folder, entry.name) for entry in entries))


class Unfinished(NamedTuple):
    """A private file: `of_living` if the process that made it still runs; one that is `proven`
    is published when that has died."""

    of_living: bool
    proven: bool


def left_unfinished(path: Path, stat: os.stat_result) -> Unfinished | None:
    """What a private file or folder of a store is; None for what is no such one."""
    name = _PRIVATE.fullmatch(path.name)
    owner = (name[2], int(name[3]), name[4]) if name else owner_in(path.name)
    if owner is None:
        return None
    proven = bool(name and name[1]) and stats.S_ISREG(stat.st_mode) and not is_foreign(stat)
    return Unfinished(not ended(owner, stat.st_mtime), proven)


class Store:
    """One store directory. Nothing is created before something is written."""

    def __init__(self, root: Path, readonly: bool = False, durable: bool = True) -> None:
        self.root = root
        self.durable = durable
        self.readonly = readonly
        self.blobs = root / "blobs" / "sha256"
        self.partial = root / "partial"
        self._blobs = str(self.blobs) + os.sep
        # Whether the person chose it: what other runs say in a project's own store is not taken.
        self.is_ours = True
        self._stamps = Stamps(root)
        self._foreign: set[str] = set()
        self._left: dict[str, list[tuple[int, str]]] | None = None
        self._ready = False

    @classmethod
    def of(cls, settings: Settings, readonly: bool = False) -> Store:
        """The store that the settings name. Raises UsageError; Failure for one that may have come
        with the project and has a link where a folder or file must be."""
        store = cls(settings.store, readonly, settings.sync)
        if came_with_project(settings, "store", settings.store):
            _refuse_links(settings.store)
            store.is_ours = False
        return store

    def blob_path(self, sha256: str) -> str:
        """Where the blob of this digest lies or would lie."""
        return self._blobs + sha256

    def prepare(self) -> None:
        """Make the store's folders. Raises Failure."""
        if self._ready:
            return
        try:
            for folder in (self.blobs, self.partial, self.root / STAMPS):
                folder.mkdir(parents=True, exist_ok=True)
            tidy(str(self.partial))
            spread_subfolders(str(self.partial))
            if not (self.root / "oci-layout").exists():
                marker = json.dumps({"imageLayoutVersion": "1.0.0"})
                write_atomically(self.root / "oci-layout", marker.encode())
            if not (self.root / "index.json").exists():
                write_atomically(self.root / "index.json", json.dumps(INDEX).encode())
        except OSError as error:
            raise from_os_error(error, t("preparing the store {root}", root=self.root)) from error
        self._ready = True

    # Stamps

    def stamp_of(self, sha256: str) -> Stamp | None:
        """What this person's runs know of a blob."""
        return self._stamps.proven.get(sha256)

    def is_proven(self, sha256: str, stat: os.stat_result) -> bool:
        """Whether this person's runs have read or made a blob with this stat."""
        stamp = self.stamp_of(sha256)
        return stamp is not None and stamp.matches(stat, is_foreign(stat))

    def _stamp(self, sha256: str, stat: Stat | os.stat_result, git_blob: str) -> None:
        self._stamps.add(sha256, Stamp.of(stat, git_blob), not self.readonly)

    def believe(self, sha256: str, stat: Stat) -> None:
        """Take over what another run of this person has just made or proven."""
        self._stamps.add(sha256, Stamp.of(stat, ""), False)

    def refresh(self) -> None:
        """Look anew at what other processes have made or left."""
        self.flush()
        self._stamps.refresh()
        self._left = None

    def flush(self) -> None:
        """Let other processes see the stamps made so far."""
        text = self._stamps.take_unwritten()
        if text:
            with suppress(OSError, Failure):
                self._append_stamps(text)

    def _append_stamps(self, text: str) -> None:
        self.prepare()
        self._stamps.write(text)

    def close(self) -> None:
        """Finish this writer's stamps."""
        self.flush()
        self._stamps.close()

    # Reading

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether a sound blob is there; one that was touched is read, and set aside if wrong."""
        path = self.blob_path(sha256)
        try:
            stat = os.lstat(path)
        except OSError:
            return False
        if not stats.S_ISREG(stat.st_mode):
            return False  # a link would be whatever it leads to at the time
        foreign = is_foreign(stat)
        if foreign:
            self._foreign.add(sha256)
        stamp = self._stamps.proven.get(sha256)
        if stamp is not None and stamp.matches(stat, foreign):
            return size is None or stat.st_size == size
        _log.debug("blob %s was touched, or is new to us: it is read", sha256)
        return self.prove(sha256)

    def doubt(self, sha256: str) -> None:
        """Have a blob read before it is trusted again."""
        if sha256 in self._stamps.proven:
            self._stamps.add(sha256, Stamp(0, 0, 0, ""), True)

    def prove(self, sha256: str) -> bool:
        """Read a blob; stamp it if it is sound, set it aside if it is not."""
        path = self.blob_path(sha256)
        try:
            before = os.lstat(path)  # a change during the reading makes this stamp a wrong one
            if not stats.S_ISREG(before.st_mode):
                return False
            found, git_blob = digests_of(path, before.st_size <= GIT_SIZES)
        except OSError:
            return False
        if found != sha256:
            self.set_aside(sha256)
            return False
        self._stamp(sha256, before, git_blob)
        return True

    def may_be_linked(self, sha256: str) -> bool:
        """Whether a tree may share a blob: another person could change it there afterwards."""
        return sha256 not in self._foreign

    def discard(self, sha256: str) -> None:
        """Remove a blob that this run has made and that nobody needs; best effort."""
        if not self.readonly:
            remove_quietly(self.blob_path(sha256))

    def set_aside(self, sha256: str) -> None:
        """Move a blob that is not what its name says out of the way."""
        if self.readonly:
            return
        _log.info("blob %s is not what its name says: set aside in %s/damaged", sha256, self.root)
        folder = self.root / "damaged"
        # Where it cannot be moved it stays, and is not trusted all the same.
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            os.replace(self.blob_path(sha256), folder / f"{sha256}.{os.urandom(4).hex()}")

    def git_blob(self, sha256: str) -> str:
        """The git id of a blob, computed once; "" if it is not there and sound."""
        return self._git_blob(sha256) if self.has(sha256) else ""

    def _git_blob(self, sha256: str) -> str:
        """The same of a blob that was found sound a moment ago."""
        stamp = self._stamps.proven.get(sha256)
        if stamp is not None and stamp.git_blob:
            return stamp.git_blob
        try:
            before = os.lstat(self.blob_path(sha256))
            found, git_blob = digests_of(self.blob_path(sha256), True)
        except OSError:
            return ""
        if found != sha256:
            self.set_aside(sha256)
            return ""
        self._stamp(sha256, before, git_blob)
        return git_blob

    def by_git_blob(self, git_blob: str) -> str | None:
        """The sha256 of a sound blob whose bytes have this git id, None if there is none.

        Where only somebody's stamp says so, the id is computed before it is believed.
        """
        own = self._stamps.by_git().get(git_blob)
        if own and self.has(own):
            return own
        for claimed in self._stamps.claimed(git_blob):
            if self.git_blob(claimed) == git_blob:
                return claimed
        return None

    def digest_of(self, file: FileEntry) -> str | None:
        """A file's sha256: as it says, else of the sound blob with its git id; None if unknown."""
        return file.sha256 or (self.by_git_blob(file.git_blob) if file.git_blob else None)

    def claimed_by_git(self, git_blob: str) -> list[str]:
        """The sha256 of contents that may have this git id, as far as stamps say; no proof."""
        own = self._stamps.by_git().get(git_blob)
        return list(dict.fromkeys([*([own] if own else []), *self._stamps.claimed(git_blob)]))

    def find(self, file: FileEntry) -> str | None:
        """The sha256 of the sound blob that is all that a file's digests say, None without one."""
        wanted = file.git_proof
        if file.sha256 is None:
            sha256 = self.by_git_blob(wanted) if wanted else None
            fits = file.size is None or (sha256 and self.has(sha256, file.size))
            return sha256 if fits else None
        if not self.has(file.sha256, file.size):
            return None
        return file.sha256 if not wanted or self._git_blob(file.sha256) == wanted else None

    def is_empty(self) -> bool:
        """Whether there is no blob at all."""
        try:
            with os.scandir(self.blobs) as entries:
                return next(entries, None) is None
        except OSError:
            return True

    def digests(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every blob with its stat; a link or folder of such a name is none."""
        if not self.blobs.is_dir():
            return
        with os.scandir(self.blobs) as entries:
            for entry in entries:
                if BLOB_NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):
                        stat = entry.stat(follow_symlinks=False)
                        if stats.S_ISREG(stat.st_mode):
                            yield entry.name, stat

    # Writing

    def bring_to_disk(self, folder: str, files: list[str]) -> None:
        """Wait until new files in a folder of any file system are on disk. Raises OSError.

        Not where the user has said that a power cut is no concern (a CI job, a container).
        """
        if self.durable:
            sync_filesystem(folder, files)

    def temporary(self, sha256: str = "") -> str:
        """A name of this process's own, on the store's file system.

        If it has the digest of its content, that is not lost when the process is: see `recover`.
        """
        return f"{self.partial}{os.sep}{private_prefix(sha256)}{unique_name()}"

    def private_folder(self) -> str:
        """A folder's name, for the private files of one of our processes; it is to make it."""
        return f"{self.partial}{os.sep}{unique_name()}"

    def recover(self) -> int:
        """Publish what dead processes had proven and not published yet; returns how many."""
        if self.readonly or not self.partial.is_dir():
            return 0
        tidy(str(self.partial))
        self._drop_lone_notes()
        found = self._recover_from(self.partial)
        if found:
            _log.info("%d files that another run had proven when it died are taken over", found)
            self.flush()
        return found

    def _drop_lone_notes(self) -> None:
        """Remove what was remembered of partial files that are gone."""
        for beside in PART_NOTES:
            for path in self.partial.glob(f"*.part{beside}"):
                part = path.with_name(path.name.removesuffix(beside))
                owner = _OWNER.fullmatch(part.name)
                with suppress(OSError):
                    dead = owner and self._orphaned(
                        (owner[1], owner[2], int(owner[3])), path.stat().st_mtime
                    )
                    if dead and not part.exists():
                        path.unlink()

    def _recover_from(self, folder: Path) -> int:
        found = 0
        for path in list(folder.glob("*.tmp")):
            name = _PRIVATE.fullmatch(path.name)
            if name is None:
                continue
            with suppress(OSError):
                stat = path.lstat()
                # Another person's would stay theirs to change, under a blob's name.
                if stats.S_ISLNK(stat.st_mode) or is_foreign(stat):
                    continue
                if not ended((name[2], int(name[3]), name[4]), stat.st_mtime):
                    continue
                if name[1]:
                    found += self._recover(str(path), name[1])
                else:
                    found += self._recover_from(path)
                    path.rmdir()
        return found

    def _recover(self, path: str, sha256: str) -> bool:
        mine = self.temporary(sha256)
        os.rename(path, mine)  # one process only can
        if sha256_of(mine) != sha256:
            remove_quietly(mine)
            return False
        sync_file(mine)
        self.commit(mine, sha256)
        return True

    def commit(
        self, temporary: str, sha256: str, git_blob: str = "", stat: Stat | None = None
    ) -> Stat:
        """Publish a private file, whose bytes have this digest, as a read-only blob.

        `stat` is that of a file that already is read-only.
        """
        if stat is None:
            make_read_only(temporary)
            stat = stat_of(temporary)
        path = self.blob_path(sha256)
        try:
            renamed = rename_new(temporary, path)
        except FileExistsError:
            renamed = False
        if not renamed and self.has(sha256):
            # Another run was faster. Replacing its blob would break links that are being made.
            remove_quietly(temporary)
            there = os.lstat(path)
            if self.is_proven(sha256, there):
                self._stamp(sha256, there, git_blob)
            return Stat(there.st_size, there.st_mtime_ns, there.st_ino)
        if not renamed:
            os.replace(temporary, path)
        self._stamp(sha256, stat, git_blob)
        return stat

    def add_file(self, path: str, sha256: str, link: bool = False) -> None:
        """Take a file on disk in, by reflink, hard link (if `link`) or copy; proves its digest.

        Only a regular file that nobody else may write is linked. Raises Failure, OSError.
        """
        self.prepare()
        temporary = self.temporary()
        try:
            linked = link and hard_link(path, temporary)
            if not linked and not reflink(path, temporary):
                copy(path, temporary)
            before = os.lstat(temporary)
            if sha256_of(temporary) != sha256:
                raise Failure("digest-mismatch", t("{path} changed while it was read", path=path))
            if self.durable:  # its name must not outlive its bytes
                sync_file(temporary)
            if linked:  # the file is the user's own as well: its mode stays
                os.replace(temporary, self.blob_path(sha256))
                self._stamp(sha256, before, "")
            else:
                self.commit(temporary, sha256)
        finally:
            remove_quietly(temporary)

    # Partial downloads: a name carries its owner; one that is dead may be claimed by a rename.

    @staticmethod
    def label_of(key: str) -> str:
        """A short name for a content's key, fit for file names."""
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    def claim_part(
        self, key: str, anyone: bool = True, anew: bool = False, copies: bool = False
    ) -> Part:
        """A private partial file for `key`, with what a dead process left of it if anything.

        What other people may have written is copied, and only taken if `anyone`: where a digest
        will tell. `anew`: nothing is taken, as it was wrong before. `copies`: nobody gets the rest
        of what others have begun and still have open, so that is copied.
        """
        self.prepare()
        label = self.label_of(key)
        began = _own_start(os.getpid())
        mark = (f"-b{began}" if began else "") + ("" if anyone else _NO_DIGEST)
        unique = f"{run_id()}-{os.urandom(4).hex()}{mark}"
        name = f"{label}.{machine()}.{os.getpid()}.{unique}.part"
        mine = str(self.partial / name)
        _IN_USE.add(mine)
        left = [] if anew else self._orphans().pop(label, [])
        for _, path in sorted(left, reverse=True):
            with suppress(OSError):  # another process was faster
                if self._take_part(path, mine, anyone):
                    part = Part(mine, os.stat(mine).st_size, path)
                    _log.debug("%d bytes of an earlier run are there for %s", part.size, label)
                    return part
        if copies and anyone and not anew and self._copy_of_part(label, mine):
            return Part(mine, os.stat(mine).st_size)
        # Nobody else may write what is read again once it is proven.
        os.close(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
        return Part(mine, 0)

    @staticmethod
    def label_in(path: Path) -> str:
        """The label of a partial file's content."""
        return path.name.partition(".")[0]

    @staticmethod
    def lacks_digest(path: Path) -> bool:
        """Whether a partial file is of a content without a digest; of earlier versions' nobody
        knows."""
        found = _OWNER.fullmatch(path.name)
        return found is not None and found[4].endswith(_NO_DIGEST) and found[4].count("-") > 1

    @staticmethod
    def _take_part(path: str, mine: str, anyone: bool) -> bool:
        """Make a partial file that was left our own. Raises OSError."""
        stat = os.lstat(path)
        if not stats.S_ISREG(stat.st_mode):
            return False
        if is_ours_alone(stat) and stat.st_nlink == 1:
            os.rename(path, mine)
        elif anyone:
            try:
                if not reflink(path, mine):
                    copy(path, mine)
                os.chmod(mine, 0o600 | os.stat(mine).st_mode & 0o044)
            except OSError:
                remove_quietly(mine)
                raise
        else:
            return False
        with suppress(FileNotFoundError):
            os.replace(path + part_map.SUFFIX, mine + part_map.SUFFIX)
        for name in ("", *PART_NOTES):
            remove_quietly(path + name)
        return True

    def _copy_of_part(self, label: str, mine: str) -> bool:
        """Copy the most that another process has of a content; False if there is nothing."""
        found = [path for path, owner in self.parts() if owner[0] == label and path != Path(mine)]
        sizes = {path: part_bytes(str(path)) for path in found if str(path) not in _IN_USE}
        for path in sorted(sizes, key=lambda path: -sizes[path]):
            if not sizes[path] or not stats.S_ISREG(path.lstat().st_mode):
                continue
            try:
                # What the record says is in the file: so the record first, if it is still written.
                with suppress(FileNotFoundError):
                    copy(f"{path}{part_map.SUFFIX}", mine + part_map.SUFFIX)
                if not reflink(str(path), mine):
                    copy(str(path), mine)
                os.chmod(mine, 0o600 | os.stat(mine).st_mode & 0o044)
            except OSError:
                remove_quietly(mine + part_map.SUFFIX)
                remove_quietly(mine)
                continue
            _log.debug("%d bytes that another run has are copied for %s", sizes[path], label)
            return True
        return False

    def growth(self) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
        """How many bytes of a content are there, by label; and of each process (machine, pid)."""
        by_label: dict[str, int] = {}
        by_owner: dict[tuple[str, int], int] = {}
        for path, (label, host, pid) in self.parts():
            size = part_bytes(str(path))
            by_label[label] = max(by_label.get(label, 0), size)
            by_owner[host, pid] = by_owner.get((host, pid), 0) + size
        return by_label, by_owner

    def leave_part(self, part: Part) -> None:
        """Leave a partial file to whoever asks for its content next."""
        _IN_USE.discard(part.path)
        self._left = None

    @property
    def has_left(self) -> bool:
        """Whether dead processes left anything."""
        return bool(self._orphans())

    def drop_left(self, key: str) -> None:
        """Remove what dead processes left of `key`, which is here now."""
        for _, path in self._orphans().pop(self.label_of(key), []):
            self.drop_part(Part(path, 0))

    @staticmethod
    def drop_part(part: Part) -> None:
        """Remove a partial file and what was remembered of it."""
        _IN_USE.discard(part.path)
        remove_quietly(part.path)
        for beside in PART_NOTES:
            remove_quietly(part.path + beside)

    def _orphans(self) -> dict[str, list[tuple[int, str]]]:
        """Partial files that nobody writes any more, by label; looked for once."""
        left = self._left
        if left is None:
            left = {}
            for path, owner in self.parts():
                with suppress(OSError):
                    stat = path.lstat()
                    if not stats.S_ISREG(stat.st_mode):
                        continue
                    if str(path) not in _IN_USE and self._left_by(path, owner, stat.st_mtime):
                        left.setdefault(owner[0], []).append((stat.st_size, str(path)))
            self._left = left  # whole: other threads look as well
        return left

    def begun(self) -> Iterator[tuple[Path, int]]:
        """Every partial download, with the bytes of disk that it takes."""
        for path, _ in self.parts():
            with suppress(OSError):
                yield path, allocated(path.stat())

    def orphaned_parts(self) -> list[Path]:
        """Partial downloads that nobody writes any more."""
        found = []
        for path, owner in self.parts():
            with suppress(OSError):
                mtime = path.stat().st_mtime
                if str(path) not in _IN_USE and self._left_by(path, owner, mtime):
                    found.append(path)
        return found

    def _left_by(self, path: Path, owner: tuple[str, str, int], mtime: float) -> bool:
        """Whether nobody writes a partial file any more, by its name and when it changed last."""
        _, host, pid = owner
        found = _BEGAN.fullmatch(path.name)
        reused = found and host == machine() and not alive(pid, found[1])
        return bool(reused) or self._orphaned(owner, mtime)

    @staticmethod
    def _orphaned(owner: tuple[str, str, int], mtime: float) -> bool:
        _, host, pid = owner
        if host == machine() and pid == os.getpid():
            return True  # of an earlier transfer, or of a dead process that had our number
        if host == machine() and sys.platform != "win32":
            return not alive(pid)
        return time.time() - mtime > _STALE_PART_SECONDS

    def parts(self) -> Iterator[tuple[Path, tuple[str, str, int]]]:
        """Every partial download with (label, host, pid) of its owner."""
        for path in self.partial.glob("*.part"):
            found = _OWNER.fullmatch(path.name)
            if found:
                yield path, (found[1], found[2], int(found[3]))
