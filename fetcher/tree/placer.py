"""Placing blobs of the store in a tree: linked where that is safe, never over a user's file."""

from __future__ import annotations

import errno
import os
import sys
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import (
    Stat,
    copy,
    publish,
    reflink,
    sha256_of,
    sync_file,
    sync_folders,
    writable_mode,
)
from fetcher.fs.boundary import Boundary, OpenFolder, open_own
from fetcher.fs.private_files import private_name, remove_quietly, tidy
from fetcher.i18n import t
from fetcher.store.store import Store
from fetcher.tree import json_edits
from fetcher.tree.hf_cache import HubCache
from fetcher.tree.kept import Kept
from fetcher.tree.plan import Item, row_of
from fetcher.tree.state import FOLDER, StateRow
from fetcher.verify.contract.regular import read_regular

# A content that several files of one tree share is linked once; further ones are copied up to
# this size, so that changing one of them in place does not change the others.
MAX_DUPLICATE = 16 * 1024 * 1024
_OPEN_FOLDERS = 64
_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@dataclass(eq=False, slots=True)
class _Made:
    """A private file that only needs its name; `copied` ones must be brought to disk first.

    `private` is its name in the item's folder.
    """

    item: Item
    sha256: str
    private: str
    copied: bool


class Placer:
    """Places items in one tree. Batches share one sync of the file system.

    Folders are held open while there is work in them: `close` lets go. `confined_cache`: the
    Hugging Face cache is the project's choice, so that no link in it is followed. `prove_blobs`:
    the store is, so that its blobs are read before the cache gets them.
    """

    def __init__(
        self,
        boundary: Boundary,
        store: Store,
        link: str,
        linked: Iterable[str] = (),
        confined_cache: bool = False,
        prove_blobs: bool = False,
    ) -> None:
        self.tree = boundary.root
        self.store = store
        self.link = link
        self._boundary = boundary
        self._linked = set(linked)
        self._folders: OrderedDict[str, OpenFolder] = OrderedDict()
        self._no_reflink = False
        self.kept = Kept(boundary.root, store)
        self._roots: dict[str, Placer] = {}
        self._hub_cache = HubCache(self.link_blob, self._keep_copy, confined_cache, prove_blobs)

    def close(self) -> None:
        """Let go of the folders."""
        while self._folders:
            self._folders.popitem()[1].close()
        for placer in self._roots.values():
            placer.close()

    def _is_elsewhere(self, item: Item) -> bool:
        """Whether an item goes to a library's folder."""
        return bool(item.root) and item.root != str(self.tree)

    def _of_root(self, root: str) -> Placer:
        """What places into a library's folder: links into the store would not outlive a gc."""
        if root not in self._roots:
            link = "auto" if self.link == "symlink" else self.link
            self._roots[root] = Placer(Boundary(Path(root)), self.store, link)
        return self._roots[root]

    def place(
        self, items: Iterable[tuple[Item, str, Stat | None]]
    ) -> tuple[list[StateRow], list[Problem]]:
        """Place each item, whose content is the blob `sha256`; returns rows and what failed.

        The blob's stat goes with it where it is known: a hard link has the same.
        """
        rows: list[StateRow] = []
        problems: list[Problem] = []
        made: list[_Made] = []
        exchanged: list[Item] = []
        for item, sha256, stat in items:
            try:
                if item.hub:
                    rows.append(self._hub_cache.place(item, sha256))
                elif self._is_elsewhere(item):
                    done, failed = self._of_root(item.root).place([(item, sha256, stat)])
                    rows += done
                    problems += failed
                elif item.lost_mode:
                    rows.append(self._let_run(item, sha256))
                elif self._links_directly(item, sha256):
                    rows.append(self._link(item, sha256, stat))
                else:
                    made.append(self._make(item, sha256))
                if item.replaces or item.aside:
                    exchanged.append(item)
            except Failure as failure:
                problems.append(failure.problem.about(item.artifact.id, item.file.path))
            except OSError as error:
                problems.append(_trouble(item, error))
        for one in self._on_disk(made, problems):
            try:
                rows.append(self._publish(one))
            except Failure as failure:
                problems.append(failure.problem.about(one.item.artifact.id, one.item.file.path))
            except OSError as error:
                problems.append(_trouble(one.item, error))
        return self._exchanged_on_disk(exchanged, rows, problems), problems

    def _exchanged_on_disk(
        self, exchanged: list[Item], rows: list[StateRow], problems: list[Problem]
    ) -> list[StateRow]:
        """Wait until a power cut cannot bring back what files have replaced; what may be recorded.

        A record of the new file beside the old one would read as a person's change.
        """
        here = [item for item in exchanged if not (item.hub or self._is_elsewhere(item))]
        if not (here and self.store.durable):
            return rows
        lost: dict[str, OSError] = {}
        for path in {self._folder(item).path for item in here}:
            try:
                sync_folders(path, path)
            except OSError as error:
                lost[path] = error
        failed = [item for item in here if self._folder(item).path in lost]
        problems += [_trouble(item, lost[self._folder(item).path]) for item in failed]
        untold = {item.target for item in failed}
        return [row for row in rows if row.path not in untold]

    def _on_disk(self, made: list[_Made], problems: list[Problem]) -> list[_Made]:
        """Wait until the bytes that were copied are on disk; what may have its name now."""
        copied = [one for one in made if one.copied]
        try:
            if copied:
                files = [self._folder(one.item).at(one.private) for one in copied]
                self.store.bring_to_disk(str(self.tree), files)
        except OSError as error:
            for one in copied:
                remove_quietly(self._folder(one.item).at(one.private))
                problems.append(_trouble(one.item, error))
            return [one for one in made if not one.copied]
        return made

    def _folder(self, item: Item) -> OpenFolder:
        """The folder that an item goes to, made and held open."""
        name = item.below.rpartition("/")[0]
        folder = self._folders.get(name)
        if folder is None:
            if item.aside:
                self._clear_way(item)
            folder = self._folders[name] = self._boundary.open(name)
            tidy(folder.at(""))
            if len(self._folders) > _OPEN_FOLDERS:
                self._folders.popitem(last=False)[1].close()
        else:
            self._folders.move_to_end(name)
        return folder

    # Making the private file

    def _make(self, item: Item, sha256: str) -> _Made:
        folder = self._folder(item)
        private = private_name(_name(item))
        temporary = folder.at(private)
        blob = self.store.blob_path(sha256)
        try:
            if item.edit:
                before = read_regular(blob, json_edits.MAX_BYTES)
                data = json_edits.apply(before, item.edit, item.target)
                with open(temporary, "xb") as stream:  # noqa: PTH123
                    stream.write(data)
                copied = True
            else:
                size = item.file.size if item.file.size is not None else os.stat(blob).st_size
                copied = self._link_or_copy(blob, temporary, sha256, size, item.is_copy)
            if item.file.executable and not os.path.islink(temporary):
                os.chmod(temporary, os.stat(temporary).st_mode | 0o111 & _readers(temporary))
            return _Made(item, sha256, private, copied)
        except BaseException:
            remove_quietly(temporary)
            raise

    def _let_run(self, item: Item, sha256: str) -> StateRow:
        """Let a program be run whose bytes are right. Raises Failure, OSError."""
        path = self._folder(item).at(_name(item))
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            now = os.fstat(handle)
            if not _same(now, item.stat) or now.st_nlink != 1:
                raise Failure(
                    "conflict",
                    t("{target} changed while fetch was running", target=item.target),
                    t("run again"),
                )
            os.fchmod(handle, now.st_mode | 0o111 & (now.st_mode & 0o444) >> 2)
        finally:
            os.close(handle)
        return row_of(item, sha256, now, item.ours)

    def _links_directly(self, item: Item, sha256: str) -> bool:
        """Whether a hard link can be made under the final name at once, as one atomic step."""
        if item.is_copy or item.replaces:
            return False
        if self.link == "auto" and not self.store.may_be_linked(sha256):
            return False
        if self.link == "auto" and self._no_reflink:
            return sha256 not in self._linked or (item.file.size or 0) > MAX_DUPLICATE
        return self.link == "hardlink"

    def _link_or_copy(self, blob: str, target: str, sha256: str, size: int, writable: bool) -> bool:
        """Make `target` by the chosen way; True if bytes were copied."""
        way = "copy" if writable else self.link
        if way == "symlink":
            try:
                os.symlink(blob, target)
            except OSError as error:
                raise Failure(
                    "permission",
                    t("symlinks cannot be made here: {strerror}", strerror=error.strerror),
                    t("use --link auto"),
                ) from error
            return False
        if way in {"auto", "reflink"} or (way == "copy" and not self._no_reflink):
            if not self._no_reflink and reflink(blob, target):
                os.chmod(target, writable_mode(blob))
                return False
            self._no_reflink = True
            if way == "reflink":
                raise Failure(
                    "permission", t("this file system has no reflinks"), t("use --link auto")
                )
        duplicate = way == "auto" and sha256 in self._linked and size <= MAX_DUPLICATE
        if way == "auto" and not self.store.may_be_linked(sha256):
            way = "copy"
        if way in {"auto", "hardlink"} and not duplicate:
            try:
                os.link(blob, target)
                self._linked.add(sha256)
                return False
            except OSError as error:
                if error.errno not in _NO_LINK or way == "hardlink":
                    raise
        copy(blob, target)
        return True

    def link_blob(self, sha256: str, target: str) -> None:
        """Make the new file `target` from a blob, linked where that can be done."""
        if self._link_or_copy(self.store.blob_path(sha256), target, sha256, 0, False):
            self.store.bring_to_disk(os.path.dirname(target), [target])

    # Giving it its name

    def _publish(self, one: _Made) -> StateRow:
        item = one.item
        folder = self._folder(item)
        temporary, path = folder.at(one.private), folder.at(_name(item))
        try:
            wanted = sha256_of(temporary) if item.edit else one.sha256
            if item.aside:
                self._keep_aside(folder, item)
            if item.replaces and _still_as_planned(item, path):
                os.replace(temporary, path)
                # Renaming one link of a file over another leaves both.
                remove_quietly(temporary)
            else:
                _publish_new(item, temporary, path, wanted)
        except BaseException:
            remove_quietly(temporary)
            raise
        stat = os.lstat(path)
        return row_of(item, sha256_of(path) if item.edit else one.sha256, stat)

    def _link(self, item: Item, sha256: str, stat: Stat | None) -> StateRow:
        """Link the blob to the target. `stat` is the blob's, if it is known."""
        folder = self._folder(item)
        self._linked.add(sha256)
        if item.aside:
            self._keep_aside(folder, item)
        name = _name(item)
        try:
            folder.link(self.store.blob_path(sha256), name)
        except FileExistsError:
            _accept_existing(item, folder.at(name), sha256)
        except OSError as error:
            if error.errno not in _NO_LINK or self.link == "hardlink":
                raise
            self._copy(item, sha256, folder)
        else:
            if stat is not None:
                return row_of(item, sha256, stat)
        return row_of(item, sha256, os.lstat(folder.at(name)))

    def _copy(self, item: Item, sha256: str, folder: OpenFolder) -> None:
        temporary = folder.at(private_name(_name(item)))
        try:
            copy(self.store.blob_path(sha256), temporary)
            self.store.bring_to_disk(folder.path, [temporary])
            _publish_new(item, temporary, folder.at(_name(item)), sha256)
        finally:
            remove_quietly(temporary)

    # What stands in the way

    def _keep_copy(self, path: str, relative: str) -> None:
        """Copy a file there; a part of it is no file kept. Raises Failure, OSError."""
        with open_own(self.tree, FOLDER) as folder:
            temporary = folder.at(private_name(relative.rpartition("/")[2]))
            try:
                copy(path, temporary)
                if self.store.durable:
                    sync_file(temporary)
                self.kept.keep(temporary, relative)
            finally:
                remove_quietly(temporary)

    def _clear_way(self, item: Item) -> None:
        """Keep a file that stands where a folder must be."""
        parts = item.target.split("/")[:-1]
        for depth, part in enumerate(parts):
            above = "/".join(parts[:depth])
            try:
                folder = self._boundary.open(above, create=False)
            except FileNotFoundError:
                return
            with folder:
                path = folder.at(part)
                if os.path.lexists(path) and not os.path.isdir(path):
                    self.kept.keep(path, "/".join(parts[: depth + 1]))
                    return

    def _keep_aside(self, folder: OpenFolder, item: Item) -> None:
        """Keep what stands at an item's target."""
        path = folder.at(_name(item))
        if os.path.lexists(path):
            self.kept.keep(path, item.target)


def _readers(path: str) -> int:
    """Who may read a file, as bits of those who may run it."""
    return (os.stat(path).st_mode & 0o444) >> 2


def _name(item: Item) -> str:
    return item.target.rpartition("/")[2]


def _still_as_planned(item: Item, path: str) -> bool:
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return _same(now, item.stat)


def _same(now: os.stat_result, then: os.stat_result | None) -> bool:
    return then is not None and (now.st_mtime_ns, now.st_size, now.st_ino) == (
        then.st_mtime_ns,
        then.st_size,
        then.st_ino,
    )


def _publish_new(item: Item, temporary: str, path: str, sha256: str) -> None:
    try:
        publish(temporary, path)
    except FileExistsError:
        _accept_existing(item, path, sha256)


def _accept_existing(item: Item, path: str, sha256: str) -> None:
    """Another run may have placed the same; anything else stays as it is."""
    if os.path.isfile(path) and sha256_of(path) == sha256:
        return
    raise Failure(
        "conflict",
        t("{target} came into being while fetch was running", target=item.target),
        t("look at it, then run again, with --overwrite to replace it"),
    )


def _trouble(item: Item, error: OSError) -> Problem:
    if sys.platform == "win32" and error.errno == errno.EACCES:
        hint = t("is the file open in another program?")
        return Problem(
            "permission",
            t("placing {target}: {strerror}", target=item.target, strerror=error.strerror),
            hint,
            item.artifact.id,
            item.file.path,
        )
    doing = t("placing {target}", target=item.target)
    failure = from_os_error(error, doing, item.path, item.file.size)
    return failure.problem.about(item.artifact.id, item.file.path)
