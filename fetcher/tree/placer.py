"""Placing blobs of the store in a tree: linked where that is safe, never over a user's file."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import Stat, copy, private_name, publish, reflink, remove_quietly, sha256_of
from fetcher.fs.safe_paths import escapes, native
from fetcher.i18n import t
from fetcher.store.store import Store
from fetcher.tree import json_edits
from fetcher.tree.hf_cache import HubCache
from fetcher.tree.plan import Item, row_of
from fetcher.tree.state import FOLDER, StateRow

# A content that several files of one tree share is linked once; further ones are copied up to
# this size, so that changing one of them in place does not change the others.
MAX_DUPLICATE = 16 * 1024 * 1024
_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@dataclass(eq=False, slots=True)
class _Made:
    """A private file that only needs its name; `copied` ones must be brought to disk first."""

    item: Item
    sha256: str
    temporary: str
    copied: bool


class Placer:
    """Places items in one tree. Batches share one sync of the file system."""

    def __init__(self, tree: Path, store: Store, link: str, linked: Iterable[str] = ()) -> None:
        self.tree = tree
        self.store = store
        self.link = link
        self._linked = set(linked)
        self._folders: set[str] = set()
        self._no_reflink = False
        self._kept = ""
        self._hub_cache = HubCache(self.link_blob, self.kept_path)

    def place(
        self, items: Iterable[tuple[Item, str, Stat | None]]
    ) -> tuple[list[StateRow], list[Problem]]:
        """Place each item, whose content is the blob `sha256`; returns rows and what failed.

        The blob's stat goes with it where it is known: a hard link has the same.
        """
        rows: list[StateRow] = []
        problems: list[Problem] = []
        made: list[_Made] = []
        for item, sha256, stat in items:
            try:
                if item.hub:
                    rows.append(self._hub_cache.place(item, sha256))
                elif self._links_directly(item, sha256):
                    rows.append(self._link(item, sha256, stat))
                else:
                    made.append(self._make(item, sha256))
            except Failure as failure:
                problems.append(failure.problem.about(item.artifact.id, item.file.path))
            except OSError as error:
                problems.append(_trouble(item, error))
        copies = [one.temporary for one in made if one.copied]
        if copies:
            self.store.bring_to_disk(str(self.tree), copies)
        for one in made:
            try:
                rows.append(self._publish(one))
            except Failure as failure:
                problems.append(failure.problem.about(one.item.artifact.id, one.item.file.path))
            except OSError as error:
                problems.append(_trouble(one.item, error))
        return rows, problems

    def _prepare(self, item: Item) -> None:
        """See to the folder that an item goes to."""
        if item.aside:
            self._clear_way(item)
        folder = item.target.rpartition("/")[0]
        if folder not in self._folders:
            self._make_folder(folder)

    # Making the private file

    def _make(self, item: Item, sha256: str) -> _Made:
        self._prepare(item)
        temporary = private_name(item.path)
        blob = self.store.blob_path(sha256)
        try:
            if item.edit:
                data = json_edits.apply(Path(blob).read_bytes(), item.edit, item.target)
                with open(native(temporary), "xb") as stream:  # noqa: PTH123
                    stream.write(data)
                return _Made(item, sha256, temporary, True)
            size = item.file.size if item.file.size is not None else os.stat(blob).st_size
            copied = self._link_or_copy(blob, temporary, sha256, size, item.writable)
            return _Made(item, sha256, temporary, copied)
        except BaseException:
            remove_quietly(temporary)
            raise

    def _links_directly(self, item: Item, sha256: str) -> bool:
        """Whether a hard link can be made under the final name at once, as one atomic step."""
        if item.edit or item.writable or item.replaces:
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
                os.chmod(target, 0o644)
                return False
            self._no_reflink = True
            if way == "reflink":
                raise Failure(
                    "permission", t("this file system has no reflinks"), t("use --link auto")
                )
        duplicate = way == "auto" and sha256 in self._linked and size <= MAX_DUPLICATE
        if way in {"auto", "hardlink"} and not duplicate:
            try:
                os.link(blob, native(target))
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

    def _make_folder(self, relative: str) -> None:
        folder = self.tree / relative
        leak = escapes(self.tree, folder)
        if leak is not None:
            raise Failure(
                "bad-path",
                t("{leak} is a symlink that leads out of {tree}", leak=leak, tree=self.tree),
                t("replace it by a folder"),
            )
        Path(native(folder)).mkdir(parents=True, exist_ok=True)
        self._folders.add(relative)

    # Giving it its name

    def _publish(self, one: _Made) -> StateRow:
        item = one.item
        try:
            if item.aside:
                self._keep_aside(item)
            if item.replaces and self._still_as_planned(item):
                os.replace(native(one.temporary), native(item.path))
                # Renaming one link of a file over another leaves both.
                remove_quietly(one.temporary)
            else:
                self._publish_new(one)
        except BaseException:
            remove_quietly(one.temporary)
            raise
        stat = os.lstat(native(item.path))
        sha256 = sha256_of(item.path) if item.edit else one.sha256
        return row_of(item, sha256, stat)

    @staticmethod
    def _still_as_planned(item: Item) -> bool:
        try:
            now = os.lstat(native(item.path))
        except OSError:
            return False
        then = item.stat
        return then is not None and (now.st_mtime_ns, now.st_size, now.st_ino) == (
            then.st_mtime_ns,
            then.st_size,
            then.st_ino,
        )

    def _link(self, item: Item, sha256: str, stat: Stat | None) -> StateRow:
        """Link the blob to the target. `stat` is the blob's, if it is known."""
        self._prepare(item)
        self._linked.add(sha256)
        if item.aside:
            self._keep_aside(item)
        blob, path = self.store.blob_path(sha256), native(item.path)
        try:
            os.link(blob, path)
        except FileExistsError:
            self._accept_existing(item, sha256)
        except OSError as error:
            if error.errno not in _NO_LINK or self.link == "hardlink":
                raise
            self._copy(item, sha256, blob)
        else:
            if stat is not None:
                return row_of(item, sha256, stat)
        return row_of(item, sha256, os.lstat(path))

    def _copy(self, item: Item, sha256: str, blob: str) -> None:
        one = _Made(item, sha256, private_name(item.path), True)
        try:
            copy(blob, one.temporary)
            self.store.bring_to_disk(str(self.tree), [one.temporary])
            self._publish_new(one)
        finally:
            remove_quietly(one.temporary)

    def _publish_new(self, one: _Made) -> None:
        item = one.item
        wanted = sha256_of(one.temporary) if item.edit else one.sha256
        try:
            publish(one.temporary, item.path)
        except FileExistsError:
            self._accept_existing(item, wanted)

    @staticmethod
    def _accept_existing(item: Item, sha256: str) -> None:
        """Another run may have placed the same; anything else stays as it is."""
        if os.path.isfile(item.path) and sha256_of(item.path) == sha256:
            return
        raise Failure(
            "conflict",
            t("{target} came into being while fetch was running", target=item.target),
            t("look at it, then run again, with --overwrite to replace it"),
        )

    def kept_path(self, relative: str) -> Path:
        """A fresh place below `.fetch/kept/`."""
        if not self._kept:
            self._kept = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        kept = self.tree / FOLDER / "kept" / self._kept / relative
        Path(native(kept.parent)).mkdir(parents=True, exist_ok=True)
        return kept

    def _clear_way(self, item: Item) -> None:
        """Move a file that stands where a folder must be to `.fetch/kept/`."""
        folder = self.tree
        for part in item.target.split("/")[:-1]:
            folder = folder / part
            if os.path.lexists(native(folder)) and not folder.is_dir():
                relative = folder.relative_to(self.tree).as_posix()
                os.rename(native(folder), native(self.kept_path(relative)))
                return

    def _keep_aside(self, item: Item) -> None:
        """Move what stands in the way to `.fetch/kept/<time>/`."""
        if os.path.lexists(native(item.path)):
            os.rename(native(item.path), native(self.kept_path(item.target)))


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
    failure = from_os_error(error, t("placing {target}", target=item.target))
    return failure.problem.about(item.artifact.id, item.file.path)
