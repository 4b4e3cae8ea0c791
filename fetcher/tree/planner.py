"""Makes plans from the lock, the store and the tree, without network and without writing."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shlex
import stat as stats
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure, Problem
from fetcher.fs.atomic import digests_of, sha256_of
from fetcher.fs.boundary import Boundary
from fetcher.fs.reserved import is_private, is_reserved
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative, native
from fetcher.i18n import t
from fetcher.project.layout import Placement, owner_of, placements
from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.project.project import Unit
from fetcher.sources.base import FileEntry, from_top
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.store import Store
from fetcher.tree import json_edits
from fetcher.tree.hf_cache import pointed_to, unlike_in_cache
from fetcher.tree.plan import (
    BLOCKED,
    CONFLICT,
    GET,
    KEEP,
    PLACE,
    UNVERIFIED,
    WITHHELD,
    ArtifactPlan,
    Item,
    Plan,
)
from fetcher.tree.state import StateRow
from fetcher.verify.contract.regular import NotRegularError, read_regular

_log = logging.getLogger(__name__)


class _Folder(NamedTuple):
    """A folder of the tree: what keeps files from being placed in it, if it is absent, its way
    from the root of the project or repository that it really lies in, and who reads or runs
    whatever stands in it."""

    problem: Problem | None
    absent: bool
    below_root: tuple[str, ...] = ()
    owner: str = ""


class Planner:
    """Makes plans for one tree. `quick` reads no file; `deep` reads every byte."""

    def __init__(
        self,
        boundary: Boundary,
        store: Store,
        rows: Mapping[str, StateRow],
        hub_cache: Path,
        quick: bool = False,
        deep: bool = False,
    ) -> None:
        self.tree = boundary.root
        self._boundary = boundary
        self.store = store
        self.rows = rows
        self.hub_cache = hub_cache
        self.quick = quick
        self.deep = deep
        self._root = str(boundary.root)
        self._claims = PathClaims()
        self._claimed: dict[str, Item] = {}
        self._folders: dict[str, _Folder] = {}
        self._nothing_stored = False

    def plan(self, wanted: Iterable[tuple[Unit, Artifact]], lock: Lock) -> Plan:
        """Decide for every file of every wanted artifact."""
        self._nothing_stored = self.store.is_empty()  # a first run need not ask for each file
        parts = []
        for unit, artifact in wanted:
            part = ArtifactPlan(unit, artifact, lock.of(artifact))
            if part.locked is not None:
                self._fill(part, part.locked)
            parts.append(part)
        for part in parts:
            self._refuse_repositories(part)
        if _log.isEnabledFor(logging.DEBUG):
            for part in parts:
                _explain(part)
        return Plan(self.tree, parts)

    def complete(self, part: ArtifactPlan, locked: LockedArtifact, overwrite: bool) -> None:
        """Decide for the files of an artifact whose archives' members are known only now."""
        part.locked = locked
        self._nothing_stored = False
        self._fill(part, locked)
        self._refuse_repositories(part)
        if overwrite:
            self._overwrite(part.items)

    def _fill(self, part: ArtifactPlan, locked: LockedArtifact) -> None:
        artifact, layout = part.artifact, part.unit.layout
        if not locked.members_known:
            return  # nobody can say yet which files it has
        found, problems = placements(layout, artifact, locked.files)
        part.problems += problems
        for placement in found:
            item = self._item(part, placement)
            if self._claim(part, item):
                self._decide(item)
                part.items.append(item)
        if any(problem.code == "bad-path" for problem in part.problems):
            _withhold(part)
        self._check_edits(part, {placement.target for placement in found})
        if artifact.id in layout.hub_cache and isinstance(artifact.source, HuggingFace):
            self._fill_hub(part, artifact.source, locked)

    def _item(self, part: ArtifactPlan, placement: Placement) -> Item:
        layout = part.unit.layout
        target = f"{layout.root}/{placement.target}" if layout.root else placement.target
        values = layout.edits.get(placement.target)
        return Item(
            part.artifact,
            _as_claimed(part.artifact, placement.file),
            target,
            self._root,
            None if values is None else json_edits.expand(values, self.tree / layout.root),
            part.artifact.writable or layout.is_writable(placement.target),
        )

    @staticmethod
    def _check_edits(part: ArtifactPlan, targets: set[str]) -> None:
        """An edit of a file that the artifact turns out not to have is a problem."""
        layout, artifact = part.unit.layout, part.artifact
        for target in layout.edits.keys() - targets:
            if owner_of(layout, target) == artifact.id:
                line, column = layout.places[f"edits:{target}"]
                place = f"{layout.file}:{line}:{column}"
                message = t(
                    "{place}: {id} places no file at {target!r}",
                    place=place,
                    id=artifact.id,
                    target=target,
                )
                part.problems.append(
                    Problem(
                        "layout-mismatch",
                        message,
                        t("write the path as it is in the tree"),
                        artifact.id,
                        target,
                    )
                )

    def _fill_hub(self, part: ArtifactPlan, source: HuggingFace, locked: LockedArtifact) -> None:
        if not re.fullmatch(r"[0-9a-f]{40}", locked.revision):
            part.problems.append(
                Problem(
                    "layout-mismatch",
                    t(
                        "{id}: the Hugging Face cache needs a commit, and the lock has only the "
                        "revision {revision!r}",
                        id=part.artifact.id,
                        revision=locked.revision,
                    ),
                    t("write the commit into the manifest's `revision`"),
                    part.artifact.id,
                )
            )
            return
        folder = source.cache_folder
        snapshot = self.hub_cache / folder / "snapshots" / locked.revision
        found: list[Item] = []
        for file in locked.files:
            path = str(snapshot / from_top(source.path, file.path))
            item = Item(part.artifact, file, path, self._root, hub=str(self.hub_cache / folder))
            self._decide(item)
            found.append(item)
        self._see_to_ref(found)
        part.items += found

    def _see_to_ref(self, items: list[Item]) -> None:
        """A run that was ended may have placed all files, but not the name that leads to them."""
        if not items or any(item.action != KEEP for item in items):
            return
        if not self._leads(items[0]):
            min(items, key=lambda item: item.file.size or 0).action = PLACE

    def _leads(self, item: Item) -> bool:
        """Whether a branch points to an item's commit, or to one that others have fetched."""
        commit = pointed_to(item)
        if not commit:
            return commit is None
        snapshot = f"{item.hub}{os.sep}snapshots{os.sep}{commit}{os.sep}"
        if item.path.startswith(snapshot):
            return True
        if not os.path.isdir(snapshot):
            return False  # nobody can load anything by that name
        return not any(row.placed and path.startswith(snapshot) for path, row in self.rows.items())

    def _claim(self, part: ArtifactPlan, item: Item) -> bool:
        """Whether this item may have its target; a second, equal claim is dropped."""
        try:
            # Both halves of the target were checked when they were read; only the whole can
            # still be too long.
            if len(item.target) > 1000:
                check_relative(item.target)
            self._check_reserved(item)
        except BadPath as error:
            hint = t(
                "place the artifact into a folder of its own in the layout, or leave the file out "
                "in the manifest: exclude: [{path!r}]",
                path=item.file.path,
            )
            message = t("target {target!r} {error}", target=item.target, error=error)
            part.problems.append(
                Problem("bad-path", message, hint, item.artifact.id, item.file.path)
            )
            return False
        other = self._claims.claim(item.target)
        if other is None:
            self._claimed[item.target] = item
            return True
        same = self._claimed.get(other)
        if other == item.target and same is not None and _same_content(same.file, item.file):
            return False  # the same content, wanted by two manifests
        taken = t(" of {id}", id=same.artifact.id) if same is not None else ""
        part.problems.append(
            Problem(
                "bad-path",
                t(
                    "two files fall on {target!r}: {path} and {file_path}{taken}",
                    target=item.target,
                    path=item.file.path,
                    file_path=same.file.path,
                    taken=taken,
                )
                if other == item.target and same is not None
                else t(
                    "{target!r} collides with {other!r}{taken}",
                    target=item.target,
                    other=other,
                    taken=taken,
                ),
                t("place one of them in another folder, or rename it"),
                item.artifact.id,
                item.file.path,
            )
        )
        return False

    def _check_reserved(self, item: Item) -> None:
        """Raise BadPath for a name that is configuration, or code that is run, where it falls."""
        folder = self._folder(item.target)
        name = item.target.rpartition("/")[2]
        owner = folder.owner or is_private(name)
        if not owner and len(folder.below_root) < 2:  # else the name decides nothing
            owner = is_reserved((*folder.below_root, name))
        if owner:
            raise BadPath(t("is what {owner} reads or runs there", owner=owner))

    def _refuse_repositories(self, part: ArtifactPlan) -> None:
        """An artifact whose names make a folder a git repository is refused: git would run what
        such a repository's configuration says."""
        for item in part.items:
            if item.target[-4:].lower() != "head" or item.hub:
                continue
            folder, _, name = item.target.rpartition("/")
            if len(name) != 4:
                continue
            start = f"{folder}/" if folder else ""

            def stands(name: str, start: str = start) -> bool:
                path = os.path.join(self._root, start + name)
                return self._claims.has(start + name) or os.path.lexists(path)

            if stands("commondir") or (stands("objects") and stands("refs")):
                message = t("{target} would make a git repository", target=item.target)
                hint = t("exclude it in the manifest: exclude: [{path!r}]", path=item.file.path)
                part.problems.append(
                    Problem("bad-path", message, hint, item.artifact.id, item.file.path)
                )
                _withhold(part)
                return

    # One file

    def _decide(self, item: Item) -> None:
        folder = _Folder(None, False) if item.hub else self._folder(item.target)
        if problem := folder.problem:
            self._block(item, problem.code, problem.message, problem.hint)
            return
        if folder.absent:
            self._obtain(item)  # a fresh clone: one look for all files of a folder
            return
        try:
            item.stat = os.stat(item.path) if item.hub else os.lstat(native(item.path))
        except (FileNotFoundError, NotADirectoryError):
            self._obtain(item)
            return
        except OSError as error:
            name_too_long = error.errno == errno.ENAMETOOLONG
            code = "bad-path" if name_too_long else "permission"
            reason = t("name too long") if name_too_long else error.strerror
            self._block(
                item,
                code,
                t("{target}: {reason}", target=item.target, reason=reason),
                t("choose a shorter name") if name_too_long else t("check the mode of its folder"),
            )
            return
        row = self.rows.get(item.target)
        if row is not None and row.matches(item.stat) and not self.deep:
            self._untouched(item, row)
        elif self.quick:
            self._guess(item, row)
        else:
            self._read(item, row)

    def overwrite_conflicts(self, plan: Plan) -> None:
        """Turn conflicts into replacements that keep the old files aside."""
        self._nothing_stored = self.store.is_empty()
        self._overwrite(plan.items)

    def _overwrite(self, items: Iterable[Item]) -> None:
        for item in items:
            if item.problem is not None and item.problem.code == "conflict":
                item.aside, item.problem = True, None
                self._obtain(item)

    def _obtain(self, item: Item) -> None:
        """Decide between the store and a download."""
        if sha256 := self._stored(item.file):
            item.action, item.sha256, item.origin = PLACE, sha256, "store"
        else:
            item.action = GET

    def _stored(self, file: FileEntry) -> str:
        """The sha256 of the store's sound blob of a file, "" if there is none."""
        return "" if self._nothing_stored else self.store.find(file) or ""

    def _folder(self, target: str) -> _Folder:
        """The folder of a target, looked at once."""
        folder = target.rpartition("/")[0]
        found = self._folders.get(folder)
        if found is None:
            found = self._folders[folder] = self._inspect(folder)
        return found

    def _inspect(self, folder: str) -> _Folder:
        try:
            found = self._boundary.locate(folder)
        except Failure as failure:
            return _Folder(failure.problem, False)
        below = found.below_root
        return _Folder(None, found.absent, below, is_reserved((*below, "")) if below else "")

    def _wants(self, item: Item, row: StateRow) -> bool:
        """Whether a row's content is what the lock wants, as placed or as read."""
        file = item.file
        if item.edit:
            keys = {file.key, f"git:{file.git_blob}"}
            return row.edit == item.edit_key and row.want in keys
        if row.edit:
            return False
        if file.sha256:
            return row.sha256 == file.sha256
        if file.git_blob:
            return row.want == f"git:{file.git_blob}"
        return False  # nobody knows what the source has now

    def _untouched(self, item: Item, row: StateRow) -> None:
        """Nothing has changed since the row was written."""
        if self._wants(item, row) and self._link_is_sound(item, row) and _mode_is_right(item):
            item.action, item.sha256 = KEEP, row.sha256
        elif row.placed:
            item.replaces = True  # ours, of an older lock or before a move of the clone
            self._obtain(item)
        elif item.edit and row.sha256 == item.file.sha256:
            item.replaces = True  # the user's own copy, still to be edited
            self._obtain(item)
        else:
            self._conflict(item)

    def _link_is_sound(self, item: Item, row: StateRow) -> bool:
        """Whether the blob behind a symlink that we placed still is what it was."""
        assert item.stat is not None
        return not stats.S_ISLNK(item.stat.st_mode) or self.store.has(row.sha256)

    def _guess(self, item: Item, row: StateRow | None) -> None:
        assert item.stat is not None
        if row is not None and row.placed:
            self._changed(item)
        elif stats.S_ISREG(item.stat.st_mode) and item.file.size in {None, item.stat.st_size}:
            item.action = UNVERIFIED
        else:
            item.action = CONFLICT

    def _read(self, item: Item, row: StateRow | None) -> None:
        """The file is new to us or was touched: its bytes decide."""
        try:
            found = self._content(item)
            contradicted = self._contradicts_itself(item, found)
        except OSError as error:
            self._block(
                item,
                "permission",
                t(
                    "{target} cannot be read: {strerror}",
                    target=item.target,
                    strerror=error.strerror,
                ),
                t("check its owner and mode"),
            )
            return
        if contradicted:
            self._block(
                item,
                "digest-mismatch",
                t(
                    "{target}: fetch.lock says that it has the sha256 {sha256} and the git id "
                    "{git_blob}: what stands there has one and not the other",
                    target=item.target,
                    sha256=item.file.sha256,
                    git_blob=item.file.git_blob,
                ),
                t("do not trust this fetch.lock: `fetch lock --update {id}`", id=item.artifact.id),
            )
            return
        if found:
            item.action, item.sha256, item.touched = KEEP, found, True
        elif row is not None and row.placed and self._sha256_if_regular(item) == row.sha256:
            item.touched = True  # only its times changed
            self._untouched(item, row)
        elif row is not None and row.placed:
            self._changed(item)
        else:
            self._conflict(item)

    def _changed(self, item: Item) -> None:
        """The user changed a file that we placed; a writable one is there to be changed."""
        item.changed_by_user = True
        if item.writable:
            item.action = KEEP
        elif self.quick:
            item.action = CONFLICT
        else:
            self._conflict(item)

    @staticmethod
    def _sha256_if_regular(item: Item) -> str:
        return sha256_of(item.path) if item.stat and stats.S_ISREG(item.stat.st_mode) else ""

    def _content(self, item: Item) -> str:
        """The file's sha256 if it is what is wanted, else ""."""
        mode = os.stat(native(item.path)).st_mode if os.path.exists(item.path) else 0
        if not stats.S_ISREG(mode):
            return ""
        if item.edit:
            return self._edited_content(item) or self._edited_before(item)
        size = os.stat(native(item.path)).st_size
        if not item.file.key or item.file.size not in {None, size}:
            return ""
        wanted = item.file.git_proof
        sha256, git_blob = digests_of(native(item.path), bool(wanted))
        same = sha256 == (item.file.sha256 or sha256) and git_blob == wanted
        return sha256 if same else ""

    def _contradicts_itself(self, item: Item, found: str) -> bool:
        """Whether what stands there has one of the lock's two digests, and not the other.

        `found` is its sha256 if it is what is wanted. Of what it is not, both digests tell; of what
        it is, the git id is computed where it counts: as a name in the cache, and where every
        byte is to be looked at. Raises OSError.
        """
        file = item.file
        if not (file.sha256 and file.git_blob) or file.lfs:
            return False
        if item.edit:
            proof = file.git_proof
            return bool(proof) and self.store.has(file.sha256) and not self.store.find(file)
        if found and (file.git_proof or not (self.deep or item.hub)):
            return False  # the git id is proven already, or a later look does it
        if not found and not os.path.isfile(native(item.path)):
            return False
        sha256, git_blob = digests_of(native(item.path), True)
        return (sha256 == file.sha256) != (git_blob == file.git_blob)

    def _edited_content(self, item: Item) -> str:
        """The sha256 of a file that is exactly the edited form of the locked content."""
        sha256 = self._stored(item.file)
        if not sha256:
            return ""
        try:
            original = read_regular(self.store.blob_path(sha256), json_edits.MAX_BYTES)
            expected = json_edits.apply(original, item.edit or {}, item.target)
        except (Failure, NotRegularError):
            return ""
        try:
            same = read_regular(item.path, len(expected)) == expected
        except NotRegularError:  # longer, as of an older lock maybe
            same = False
        return hashlib.sha256(expected).hexdigest() if same else ""

    def _edited_before(self, item: Item) -> str:
        """The sha256 of a file that still is as it was right after it was edited."""
        row = self.rows.get(item.target)
        if row is None or not self._wants(item, row) or sha256_of(item.path) != row.sha256:
            return ""
        return row.sha256

    def _conflict(self, item: Item) -> None:
        item.action = CONFLICT
        if item.hub and (problem := unlike_in_cache(item)):
            item.problem = problem
            return
        what = (
            t("was changed after it was placed")
            if item.changed_by_user
            else (t("is not what the lock wants, and fetch did not put it there"))
        )
        taken = item.target
        if not item.file.key and not item.changed_by_user:
            what = t("is there, but no digest is known to compare it with")
            if item.stat and os.path.islink(native(item.path)):
                taken = os.path.realpath(item.path)  # nobody is to take what they do not see
                what = t("is a symlink to {real}, which no digest is known of", real=taken)
        item.problem = Problem(
            "conflict",
            t("{target} {what}", target=item.target, what=what),
            t("keep it, or let --overwrite replace it (the old file goes to .fetch/kept/)")
            if item.file.key or item.changed_by_user
            else t(
                "take it as it is: fetch adopt {target} --as {id}/{path}",
                target=shlex.quote(taken),
                id=item.artifact.id,
                path=item.file.path,
            ),
            item.artifact.id,
            item.file.path,
        )

    def _block(self, item: Item, code: str, message: str, hint: str) -> None:
        item.action = BLOCKED
        item.problem = Problem(code, message, hint, item.artifact.id, item.file.path)


def _mode_is_right(item: Item) -> bool:
    """Whether a program may be run: a link to the store's blob may not."""
    assert item.stat is not None
    return not item.file.executable or bool(item.stat.st_mode & 0o100) or os.name == "nt"


def _as_claimed(artifact: Artifact, file: FileEntry) -> FileEntry:
    """A locked file; its sha256 goes with its git id unless the manifest itself states it."""
    if file.computed or file.lfs or not (file.sha256 and file.git_blob):
        return file
    stated = (artifact.request.known or {}).get(file.path)
    return file if stated and stated.sha256 else file._replace(computed=True)


def _withhold(part: ArtifactPlan) -> None:
    """Begin nothing of an artifact whose own names cannot all stand."""
    for item in part.items:
        item.action = WITHHELD if item.action in {GET, PLACE} else item.action


def _explain(part: ArtifactPlan) -> None:
    """Log what was decided for an artifact's files and why: a line for each kind of answer."""
    if part.locked is None:
        _log.debug("%s: not resolved, so nothing is planned", part.artifact.full_name)
    alike: dict[tuple[str, str], list[str]] = {}
    for item in part.items:
        alike.setdefault((item.action, _why(item)), []).append(item.target)
    for (action, why), targets in alike.items():
        more = f" and {len(targets) - 1:,} more" if len(targets) > 1 else ""
        _log.debug("%s: %s %s%s: %s", part.artifact.full_name, action, targets[0], more, why)
    for problem in part.problems:
        _log.debug("%s: %s", part.artifact.full_name, problem.message)


def _why(item: Item) -> str:
    """What led to a file's action, as far as many files share it."""
    if item.problem is not None:
        return item.problem.message.removeprefix(item.target).lstrip(": ")
    if item.aside:
        return "what stands there goes to .fetch/kept/"
    before = "what we placed there is no longer wanted" if item.replaces else "not in the tree"
    if item.stat is not None and not item.replaces:
        before = "what stands there is not it"
    if item.changed_by_user:
        return "changed since, as a writable file may be"
    return {
        GET: f"{before}, and no sound blob in the store",
        PLACE: f"{before}, but in the store",
        KEEP: "read: as locked" if item.touched else "size, time and inode as recorded",
        UNVERIFIED: "of the right size, not read",
        WITHHELD: "its artifact cannot be had as a whole",
    }.get(item.action, "")


def _same_content(one: FileEntry, other: FileEntry) -> bool:
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return one.git_blob is not None and one.git_blob == other.git_blob
