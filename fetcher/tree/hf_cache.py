"""The Hugging Face cache: artifacts placed so that its clients find them by id, without network.

The form is the one that huggingface_hub 0.30 to 2.x read: `blobs/<etag>`, relative symlinks in
`snapshots/<commit>/`, and the branch's commit in `refs/`. Tests hold it to the oldest and the
newest of them; docs/dependencies.md says why their code is not what reads and writes here.
"""

from __future__ import annotations

import errno
import os
import re
import stat as stats
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fetcher.config.boundaries import came_with_project
from fetcher.config.settings import Settings
from fetcher.errors import Failure, Problem
from fetcher.fs.atomic import digests_of, publish, sha256_of, write_atomically
from fetcher.fs.boundary import OpenFolder, open_own
from fetcher.fs.private_files import private_name, remove_quietly, tidy
from fetcher.fs.safe_paths import BadPath, check_relative, is_below
from fetcher.i18n import t
from fetcher.sources.base import FileEntry, Source, from_top
from fetcher.sources.git_fields import COMMIT
from fetcher.sources.huggingface import HuggingFace
from fetcher.tree.plan import Item, row_of
from fetcher.tree.state import StateRow
from fetcher.verify.contract.regular import NotRegularError, read_regular

BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class CachedBlobs:
    """What a Hugging Face cache already holds, found by digest. Nothing is read.

    In a `confined` cache, which may have come with the project, no link is followed out of it.
    """

    def __init__(self, cache: Path, confined: bool = False) -> None:
        self._cache = cache
        self._real = os.path.join(os.path.realpath(cache), "") if confined else ""
        self._folders: dict[Source, str] = {}  # "" for a repository that is not there
        self._snapshots: dict[str, list[str]] = {}

    @classmethod
    def of(cls, settings: Settings) -> CachedBlobs:
        """The cache that the settings name. Raises UsageError, Failure."""
        cache = settings.hub_cache
        return cls(cache, came_with_project(settings, "hub_cache", cache))

    def has_of(self, source: Source) -> bool:
        """Whether there is anything of this source."""
        folder = self._folders.get(source)
        if folder is None:
            folder = self._folders[source] = self._folder(source)
        return bool(folder)

    def find(self, source: Source, file: FileEntry) -> str | None:
        """The file in the cache that is, by its name and size, this content; or None.

        Blobs are named by their digest. Where the client could make no symlinks, a snapshot has
        the file itself. Whoever takes what is found has to prove it.
        """
        folder = self._folders[source] if self.has_of(source) else ""
        name = file.hub_blob
        if not folder or not name:
            return None
        path = self._blob(f"{folder}{os.sep}blobs{os.sep}{name}", file.size)
        path = path or self._in_snapshot(folder, source, file)
        inside = path is None or os.path.realpath(path).startswith(self._real)
        return path if inside else None

    def _folder(self, source: Source) -> str:
        if not isinstance(source, HuggingFace):
            return ""
        folder = os.path.join(self._cache, source.cache_folder)
        return folder if os.path.isdir(folder) else ""

    def _blob(self, path: str, size: int | None) -> str | None:
        try:
            stat = os.lstat(path)
        except OSError:
            return None
        if stats.S_ISLNK(stat.st_mode):  # into the store that repositories of one cache share
            return self._shared(path, size)
        return path if stats.S_ISREG(stat.st_mode) and size in {None, stat.st_size} else None

    def _shared(self, path: str, size: int | None) -> str | None:
        """Where a blob's symlink leads, if that is a file of the shared store."""
        real = os.path.realpath(path)
        store = os.path.join(os.path.realpath(self._cache), "blobs") + os.sep
        return self._blob(real, size) if real.startswith(store) else None

    def _in_snapshot(self, folder: str, source: Source, file: FileEntry) -> str | None:
        assert isinstance(source, HuggingFace)
        commits = self._snapshots.get(folder)
        if commits is None:
            commits = self._snapshots[folder] = _names(f"{folder}{os.sep}snapshots")
        name = from_top(source.path, file.path)
        for commit in commits:
            path = os.path.join(folder, "snapshots", commit, *name.split("/"))
            try:
                stat = os.lstat(path)
            except OSError:
                continue
            if stats.S_ISREG(stat.st_mode) and file.size in {None, stat.st_size}:
                return path
        return None


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


class CachedRepository(NamedTuple):
    """A repository of which a cache has something; `size` in bytes."""

    repo_type: str
    repo: str
    size: int


class Scan(NamedTuple):
    """What a cache has, and what is wrong with it in words."""

    repositories: Sequence[CachedRepository]
    warnings: Sequence[str]


def scan(cache: Path) -> Scan:
    """Look through a whole cache, as `hf cache` does; one that is not there is empty.

    Raises Failure if it cannot be read.
    """
    from huggingface_hub import scan_cache_dir

    if not cache.is_dir():
        return Scan((), ())
    try:
        found = scan_cache_dir(cache)
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            "permission", t("{cache} cannot be read: {error}", cache=cache, error=error)
        ) from error
    repositories = sorted(
        CachedRepository(repo.repo_type, repo.repo_id, repo.size_on_disk) for repo in found.repos
    )
    return Scan(repositories, sorted(map(str, found.warnings)))


def branch_of(item: Item) -> str | None:
    """The branch or tag that leads to an item's commit; None where the manifest pins the commit.

    A ref says where a branch is: nobody has said that of a commit that is pinned.
    """
    ref = str(getattr(item.artifact.source, "revision", "main"))
    try:
        check_relative(ref)
    except BadPath:
        return None
    return None if COMMIT.fullmatch(ref) else ref


def is_shared(settings: Settings) -> bool:
    """Whether other projects may read the cache: all but one that the project chose below it."""
    below = is_below(os.path.realpath(settings.hub_cache), os.path.realpath(settings.root))
    return not (settings.is_from_project("hub_cache") and below)


def is_content(path: str, name: str) -> bool:
    """Whether a file is what its blob's name says: a sha256 or a git id. Raises OSError."""
    return (digests_of(path, True)[1] if COMMIT.fullmatch(name) else sha256_of(path)) == name


def pointed_to(item: Item) -> str | None:
    """The commit that the branch of an item's repository points to, "" for none.

    None where that cannot be read, or is none of our business.
    """
    ref = branch_of(item)
    if ref is None:
        return None
    try:
        return read_regular(Path(item.hub, "refs", ref), 1000).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""
    except (OSError, NotRegularError):
        return None


class HubCache:
    """Places items there. `link_blob(sha256, path)` makes a new file from a blob of the store;
    `keep(path, relative)` keeps a copy of what stands in the way. In a `confined` cache, which
    may have come with the project, no folder is a link. Blobs of such a store are read before they
    get a name here (`prove`): who made it made its stamps."""

    def __init__(
        self,
        link_blob: Callable[[str, str], None],
        keep: Callable[[str, str], None],
        confined: bool = False,
        prove: bool = False,
    ) -> None:
        self._prove = prove
        self._link_blob = link_blob
        self._keep = keep
        self._confined = confined
        self._refs: set[tuple[str, str]] = set()
        self._absences: dict[str, bool] = {}

    def _open(self, repository: Path, folder: str, create: bool = True) -> OpenFolder:
        """A folder of a repository's part of the cache. Raises Failure, OSError."""
        if self._confined:
            return open_own(repository.parent, f"{repository.name}/{folder}", create)
        path = repository / folder
        if create:
            path.mkdir(parents=True, exist_ok=True)
        return OpenFolder(str(path), None)

    def place(self, item: Item, sha256: str) -> StateRow:
        """Blob by its ETag, symlink in the snapshot, ref. Raises Failure, OSError.

        The blob's name is computed before it is used; one that is true stays as it is.
        """
        repository = Path(item.hub)
        name = item.etag or item.file.git_blob or sha256
        way = Path(item.path).relative_to(repository)
        if self._confined:  # or the file would be there, and nothing point to it
            self._open(repository, "refs").close()
        with (
            self._open(repository, "blobs") as blobs,
            self._open(repository, way.parent.as_posix()) as snapshot,
        ):
            blob, path = blobs.at(name), snapshot.at(way.name)
            self._see_to_blob(item, blob, name, sha256)
            self._make_way(item, path, sha256)
            if not os.path.lexists(path):
                try:
                    up = os.path.relpath(repository / "blobs" / name, repository / way.parent)
                    os.symlink(up, path)
                except OSError as error:
                    # Windows without the privilege: a plain file serves as well.
                    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}:
                        raise
                    self._publish(sha256, path)
            stat = os.stat(path)
        self._forget_absence(item)
        self._point_ref(item)
        return row_of(item, sha256, stat)

    def _see_to_blob(self, item: Item, blob: str, name: str, sha256: str) -> None:
        if os.path.lexists(blob):
            if os.path.exists(blob) and is_content(blob, name):
                if sha256_of(blob) != sha256:
                    raise two_contents(item, name, sha256)
                return
            # A damaged download of another tool under a content's name, or a link into the
            # shared store that leads nowhere any more.
            os.unlink(blob)
        self._publish(sha256, blob, lambda path: self._check_name(item, path, name, sha256))

    def _check_name(self, item: Item, path: str, name: str, sha256: str) -> None:
        """Raise Failure unless a new blob is what its name is to say."""
        sound = not self._prove or sha256_of(path) == sha256
        if name != sha256:
            sound = sound and bool(COMMIT.fullmatch(name)) and digests_of(path, True)[1] == name
        if not sound:
            raise two_contents(item, name, sha256)

    def _forget_absence(self, item: Item) -> None:
        """Remove the client's note that the commit has no such file: it would believe the note.

        An incomplete mirror that was asked before may have caused it.
        """
        repository = Path(item.hub)
        commit, *names = Path(item.path).parts[len(repository.parts) + 1 :]
        notes = repository / ".no_exist" / commit
        known = self._absences.get(str(notes))
        if known is None:
            known = self._absences[str(notes)] = notes.is_dir()
        if known:
            place = "/".join([".no_exist", commit, *names[:-1]])
            with suppress(OSError, Failure), self._open(repository, place, False) as folder:
                os.unlink(folder.at(names[-1]))

    def _make_way(self, item: Item, path: str, sha256: str) -> None:
        if not os.path.lexists(path):
            return
        if not os.path.exists(path):
            os.unlink(path)  # a link whose blob is gone
        elif item.aside:
            self._keep(path, Path(item.path).relative_to(Path(item.hub).parent).as_posix())
            os.unlink(path)
        elif item.replaces and sha256_of(path) != sha256:
            os.unlink(path)  # ours, of an older lock

    def _publish(
        self, sha256: str, target: str, check: Callable[[str], None] = lambda _: None
    ) -> None:
        tidy(os.path.dirname(target))
        temporary = private_name(target)
        self._link_blob(sha256, temporary)
        try:
            check(temporary)
            publish(temporary, target)
        except FileExistsError:
            pass  # another run was faster
        except Failure:
            remove_quietly(temporary)
            raise

    def _point_ref(self, item: Item) -> None:
        """Point the branch at the snapshot, so that loading by id finds it offline.

        Only one whose place is known: `item.ref`.
        """
        repository = Path(item.hub)
        snapshot = Path(item.path).parts[len(repository.parts) + 1]
        ref = item.ref
        if not ref or (item.hub, ref) in self._refs:
            return
        self._refs.add((item.hub, ref))
        above, _, name = f"refs/{ref}".rpartition("/")
        with self._open(repository, above) as folder:
            path = Path(folder.at(name))
            # The client takes the file's text as it is: a line break at its end names no commit.
            try:
                told = b"" if path.is_symlink() else read_regular(path)
            except (FileNotFoundError, NotRegularError):
                told = b""
            if told != snapshot.encode():
                write_atomically(path, snapshot.encode())


def unlike_in_cache(item: Item) -> Problem | None:
    """What to say of a cached file that is not what the lock wants; None if nobody can tell which
    of the two is right. A blob's name says what it is: one that is true stays."""
    blob = os.path.realpath(item.path)
    name = os.path.basename(blob)
    if os.path.basename(os.path.dirname(blob)) != "blobs" or not BLOB.fullmatch(name):
        return None
    with suppress(OSError):
        if not is_content(blob, name):
            message = t(
                "{path}: its content is not the one that its name says, {name}",
                path=item.path,
                name=name,
            )
            hint = t("remove {blob}, then run `fetch all`", blob=blob)
            return Problem("conflict", message, hint, item.artifact.id, item.file.path)
        message = t(
            "{path}: fetch.lock wants {wanted} there, the Hugging Face cache has {name}, which is "
            "what its name says: it is left as it is",
            path=item.path,
            wanted=item.file.sha256 or item.file.git_blob,
            name=name,
        )
        hint = t(
            "one of both is not that commit's: `fetch doctor` asks the Hub about the cache, "
            "`fetch lock --update {id}` about the lock",
            id=item.artifact.command_words,
        )
        return Problem("conflict", message, hint, item.artifact.id, item.file.path)
    return None


def two_contents(item: Item, name: str, sha256: str) -> Failure:
    """The refusal of bytes that are not what is said of an item: its id `name`."""
    return Failure(
        "digest-mismatch",
        t(
            "{path}: {by} says that it is {name}, and the content with sha256 {sha256}, which the "
            "project wants there, is not: it is not placed in the Hugging Face cache",
            path=item.file.path,
            by=item.said_by or "fetch.lock",
            name=name,
            sha256=sha256,
        ),
        t(
            "do not trust this project's digests; if they are an old mistake: remove them from "
            "the manifest, and `fetch lock --update {id}`",
            id=item.artifact.command_words,
        ),
    )
