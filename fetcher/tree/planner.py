"""Makes plans from the lock, the store and the tree, without network and without writing."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import stat as stats
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure, Problem
from fetcher.fs.atomic import digests_of, sha256_of
from fetcher.fs.boundary import Boundary
from fetcher.fs.reserved import is_any_reserved, is_private, is_reserved
from fetcher.fs.safe_paths import BadPath, PathClaims, check_relative, native
from fetcher.fs.spelled import leave_out, quoted, told_apart
from fetcher.i18n import t
from fetcher.project.file_table import FileTable, Run
from fetcher.project.layout import Placement, folder_of, owner_of, placements, takes_whole
from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.project.project import Unit
from fetcher.sources.base import FileEntry, from_top
from fetcher.sources.huggingface import HuggingFace
from fetcher.store.store import Store
from fetcher.tree import json_edits, look_ahead
from fetcher.tree.hf_cache import pointed_to, unlike_in_cache
from fetcher.tree.hint_commands import adopt
from fetcher.tree.item_list import PackedRun
from fetcher.tree.library_folders import LibraryFolders, check_name, taken_in_root
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
from fetcher.tree.recognise import Judged, Piece, judge
from fetcher.tree.state import StateRow
from fetcher.tree.state_rows import Rows
from fetcher.verify.contract.regular import NotRegularError, read_regular

_log = logging.getLogger(__name__)
_SHORT = 1000  # characters of a target that need no second look
Maker = Callable[[FileEntry, str], Item]


class _Folder(NamedTuple):
    """A folder of the tree: what keeps files from being placed in it, if it is absent, its way
    from the root of the project or repository that it really lies in, and who reads or runs
    whatever stands in it."""

    problem: Problem | None
    absent: bool
    below_root: tuple[str, ...] = ()
    owner: str = ""


def what_it_became(item: Item) -> str:
    """What stands where a file was placed, for messages; "" if it is still a file."""
    mode = item.stat.st_mode if item.stat else 0
    if stats.S_ISDIR(mode):
        return t("was a file and is a folder now")
    if stats.S_ISLNK(mode) and not item.hub:
        return t("is a symbolic link now, to {to}", to=_link_text(item))
    return ""


def _link_text(item: Item) -> str:
    try:
        return os.readlink(native(item.path))
    except OSError:
        return "?"


class Planner:
    """Makes plans for one tree. `quick` reads no file; `deep` reads every byte; where nobody is to
    act on them, they `only_look`: what is to be downloaded may then be packed. `project` is where
    the manifests lie; the tree itself if nothing is said. `ahead` has begun to look at the tree."""

    def __init__(
        self,
        boundary: Boundary,
        store: Store,
        rows: Rows,
        hub_cache: Path,
        quick: bool = False,
        deep: bool = False,
        allowed_roots: Collection[str] = (),
        only_look: bool = False,
        project: Path | None = None,
        ahead: look_ahead.LookAhead | None = None,
    ) -> None:
        self.tree = boundary.root
        self._project = project or boundary.root
        self._boundary = boundary
        self.store = store
        self.rows = rows
        self.hub_cache = hub_cache
        self.quick = quick
        self.deep = deep
        self.only_look = only_look
        self._root = str(boundary.root)
        self._claims = PathClaims()
        self._claimed: dict[str, Item] = {}
        self._folders: dict[str, _Folder] = {}
        self._nothing_stored = False
        self._roots = LibraryFolders(allowed_roots)
        self._met = 0  # rows that are of packed targets
        self._unfound: list[Item] = []  # in the store; the tree may have them at another place
        self._packed: dict[str, list[PackedRun]] = {}  # by folder
        self._declared: set[str] = set()  # full names
        self._ahead = ahead
        self._judged: Mapping[tuple[str, int], Judged] = {}

    def plan(self, wanted: Iterable[tuple[Unit, Artifact]], lock: Lock) -> Plan:
        """Decide for every file of every wanted artifact."""
        self._nothing_stored = self.store.is_empty()  # a first run need not ask for each file
        wanted = list(wanted)
        for unit in {id(unit): unit for unit, _ in wanted}.values():
            self._declared.update(f"{unit.manifest.name}/{id}" for id in unit.manifest.declared)
        parts = [ArtifactPlan(unit, artifact, lock.of(artifact)) for unit, artifact in wanted]
        if self._ahead is not None:
            folders = self._to_look_at(parts)
            self._judged = look_ahead.judge_all(folders, self._ahead, self._judge)
            self._ahead.close()
        for part in parts:
            if part.locked is not None:
                self._fill(part, part.locked)
        self._judged = {}
        self._look_elsewhere()
        for part in parts:
            self._refuse_repositories(part)
        if _log.isEnabledFor(logging.DEBUG):
            for part in parts:
                _explain(part)
        return Plan(self.tree, parts, self._met)

    def complete(self, part: ArtifactPlan, locked: LockedArtifact, overwrite: bool) -> None:
        """Decide for the files of an artifact whose archives' members are known only now."""
        part.locked = locked
        self._nothing_stored = False
        self._fill(part, locked)
        self._look_elsewhere()
        self._refuse_repositories(part)
        if overwrite:
            self._overwrite(part.items.singular())

    def _fill(self, part: ArtifactPlan, locked: LockedArtifact) -> None:
        artifact, layout = part.artifact, part.unit.layout
        if not locked.members_known:
            return  # nobody can say yet which files it has
        if self._can_pack(part, locked):
            assert isinstance(locked.files, FileTable)
            for entry in layout.entries_of(artifact.id):
                self._fill_folder(part, entry.target, locked.files)
            self._end(part)
            return
        found, problems = placements(layout, artifact, locked.files)
        part.problems += problems
        part.problems += self._roots.refusals(artifact, found)
        for placement in found:
            item = self._item(part, placement)
            if self._claim(part, item):
                self._decide(item)
                part.items.append(item)
        self._end(part)
        self._check_edits(part, {one.target for one in found if not one.root})
        if artifact.id in layout.hub_cache and isinstance(artifact.source, HuggingFace):
            self._fill_hub(part, artifact.source, locked)

    @staticmethod
    def _end(part: ArtifactPlan) -> None:
        """Begin nothing of an artifact with a name that cannot stand."""
        if any(problem.code == "bad-path" for problem in part.problems):
            _withhold(part)

    def _can_pack(self, part: ArtifactPlan, locked: LockedArtifact) -> bool:
        """Whether all its files go into folders with their own paths, and nothing else is said of
        any of them."""
        layout, id = part.unit.layout, part.artifact.id
        entries = layout.entries_of(id)
        return (
            isinstance(locked.files, FileTable)
            and takes_whole(entries)
            and not (self.deep or layout.edits or layout.writable or id in layout.hub_cache)
        )

    def _to_look_at(self, parts: Sequence[ArtifactPlan]) -> Iterator[look_ahead.Folder]:
        """What `_pack` may come to look at."""
        for part in parts:
            locked, layout = part.locked, part.unit.layout
            if locked is None or not locked.members_known or not self._can_pack(part, locked):
                continue
            assert isinstance(locked.files, FileTable)
            for entry in layout.entries_of(part.artifact.id):
                above = folder_of(layout, entry.target)
                for piece in locked.files.pieces:
                    if not isinstance(piece, Run):
                        continue
                    path = above + piece.folder
                    found = self._folder(path)
                    if not (found.problem or found.absent):
                        yield look_ahead.Folder(path, piece)

    def _judge(self, piece: Piece) -> Judged:
        return judge(self._root, self.rows, piece)

    def _fill_folder(self, part: ArtifactPlan, target: str, files: FileTable) -> None:
        """Decide for all files of an artifact, placed below one folder of its layout."""
        layout, artifact = part.unit.layout, part.artifact
        above = folder_of(layout, target)

        def make(file: FileEntry, target: str) -> Item:
            file = _as_claimed(artifact, file)
            return Item(artifact, file, target, self._root, writable=artifact.writable)

        for piece in files.pieces:
            if isinstance(piece, Run) and self._pack(part, above + piece.folder, piece, make):
                continue
            for file in piece:
                item = make(file, above + file.path)
                if self._claim(part, item):
                    self._decide(item)
                    part.items.append(item)

    def _pack(self, part: ArtifactPlan, folder: str, run: Run, make: Maker) -> bool:
        """Decide for the files of one folder together; False where they are to be one by one."""
        found = self._folder(folder)
        if found.problem or found.owner or len(folder) + max(map(len, run.names)) > _SHORT:
            return False
        if is_any_reserved(found.below_root, run.names):
            return False
        if not self._claims.claim_names(folder[:-1], run.names):
            return False
        gets = self.only_look and found.absent and self._nothing_stored and not self.rows
        packed = PackedRun(run, folder, GET if gets else KEEP, make)
        # A repository is known by such a name.
        heads = _ending_in_head(run.names)
        for index in sorted({*heads, *(() if gets else self._unlike(folder, run, found.absent))}):
            item = packed.singular[index] = make(run[index], folder + run.names[index])
            self._decide(item)
        part.items.pack(packed)
        self._packed.setdefault(folder, []).append(packed)
        return True

    def _unlike(self, folder: str, run: Run, absent: bool) -> Sequence[int]:
        """Which files of a folder, by index, do not stand as recorded and locked."""
        if absent or not self.rows:
            return range(len(run))
        found = self._judged.get((folder, id(run)))
        found = found or self._judge(Piece(folder, run.names, run.sha256))
        self._met += found.met
        return found.unlike

    def _item(self, part: ArtifactPlan, placement: Placement) -> Item:
        layout = part.unit.layout
        if placement.root:
            return self._roots.item(part.artifact, placement, self._root)
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
        part.items.extend(found)

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
        return not any(path.startswith(snapshot) for path in self.rows.placed())

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
                "place the artifact into a folder of its own in the layout, or {leave_out}",
                leave_out=leave_out(item.file.path, part.unit.manifest.file),
            )
            message = t("target {target!r} {error}", target=item.target, error=error)
            self._refuse(part, item, message, hint)
            return False
        other = self._claims.claim(item.target)
        if other is None:
            self._claimed[item.target] = item
            return True
        same = self._claimed.get(other) or self._packed_at(other)
        if other == item.target and same is not None and _same_content(same.file, item.file):
            return False  # the same content, wanted by two manifests
        self._refuse(part, item, *_collision(part, item, other, same))
        return False

    @staticmethod
    def _refuse(part: ArtifactPlan, item: Item, message: str, hint: str) -> None:
        """Let a file not stand where the layout puts it."""
        item.action = BLOCKED
        part.refused.append(item)
        part.problems.append(Problem("bad-path", message, hint, item.artifact.id, item.file.path))

    def _packed_at(self, target: str) -> Item | None:
        """The packed item of a target."""
        folder, slash, name = target.rpartition("/")
        for packed in self._packed.get(folder + slash, ()):
            names = packed.run.names
            index = bisect_left(names, name)
            if index < len(names) and names[index] == name:
                return packed.at(index)
        return None

    def _check_reserved(self, item: Item) -> None:
        """Raise BadPath for a name that is configuration, or code that is run, where it falls."""
        if item.root:
            check_name(item)
            if item.action == BLOCKED:
                return
        folder = self._folder(item.target, item)
        name = item.target.rpartition("/")[2]
        owner = folder.owner or is_private(name)
        if not owner and len(folder.below_root) < 2:  # else the name decides nothing
            owner = is_reserved((*folder.below_root, name))
        if owner:
            raise BadPath(t("is what {owner} reads or runs there", owner=owner))

    def _refuse_repositories(self, part: ArtifactPlan) -> None:
        """An artifact whose names make a folder a git repository is refused: git would run what
        such a repository's configuration says."""
        for item in part.items.singular():
            if item.target[-4:].lower() != "head" or item.outside:
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
                hint = leave_out(item.file.path, part.unit.manifest.file)
                part.problems.append(
                    Problem("bad-path", message, hint, item.artifact.id, item.file.path)
                )
                _withhold(part)
                return

    # One file

    def _decide(self, item: Item) -> None:
        if item.root and item.action == BLOCKED:
            return  # nobody allows it
        folder = _Folder(None, False) if item.hub else self._folder(item.target, item)
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
        self._overwrite(plan.singular())

    def _overwrite(self, items: Iterable[Item]) -> None:
        for item in items:
            if item.problem is not None and item.problem.code == "conflict" and not item.root:
                item.aside, item.problem = True, None
                self._obtain(item)
        self._look_elsewhere()

    def _obtain(self, item: Item) -> None:
        """Decide between the store, another place of the tree, and a download."""
        if sha256 := self._stored(item.file):
            item.action, item.sha256, item.origin = PLACE, sha256, "store"
        else:
            item.action = GET
            if not item.hub and item.file.key:
                self._unfound.append(item)

    def _look_elsewhere(self) -> None:
        """Find what the store does not have at another place of the tree: a target that was
        moved."""
        items, self._unfound = [item for item in self._unfound if item.action == GET], []
        if not (items and self.rows):
            return
        rows = self.rows.with_contents({item.file.key for item in items})
        for item in items:
            row = rows.get(item.file.key)
            if row is not None and self._is_unchanged(row):
                item.action, item.sha256, item.origin = PLACE, row.sha256, "tree"
                item.found_at = row.path

    def _is_unchanged(self, row: StateRow) -> bool:
        try:
            stat = os.lstat(native(os.path.join(self._root, row.path)))
        except OSError:
            return False
        return stats.S_ISREG(stat.st_mode) and row.matches(stat)

    def _stored(self, file: FileEntry) -> str:
        """The sha256 of the store's sound blob of a file, "" if there is none."""
        return "" if self._nothing_stored else self.store.find(file) or ""

    def _folder(self, target: str, item: Item | None = None) -> _Folder:
        """The folder of a target, looked at once; `item` is who wants it, if that is known."""
        folder = target.rpartition("/")[0]
        found = self._folders.get(folder)
        if found is None:
            found = self._folders[folder] = self._inspect(folder, item)
        return found

    def _inspect(self, folder: str, item: Item | None) -> _Folder:
        try:
            if item is not None and item.root:
                found = self._roots.boundary(item.root).locate(item.below.rpartition("/")[0])
            else:
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
        if self._wants(item, row) and self._link_is_sound(item, row):
            self._right(item, row.sha256, row)
        elif row.placed and not item.root:
            item.replaces = True  # ours, of an older lock or before a move of the clone
            self._obtain(item)
        elif item.edit and row.sha256 == item.file.sha256:
            item.replaces = True  # the user's own copy, still to be edited
            self._obtain(item)
        else:
            self._conflict(item)

    def _right(self, item: Item, sha256: str, row: StateRow | None) -> None:
        """The bytes are what is wanted; a program that may not be run is let be run again."""
        assert item.stat is not None
        item.action, item.sha256 = KEEP, sha256
        if item.hub or _mode_is_right(item):
            return
        if stats.S_ISREG(item.stat.st_mode) and item.stat.st_nlink == 1:
            item.action, item.mode_only = PLACE, True
            item.ours = row is not None and bool(row.placed)
        elif not item.root:  # it shares its mode with the store's blob
            item.replaces = True
            self._obtain(item)

    def _link_is_sound(self, item: Item, row: StateRow) -> bool:
        """Whether the blob behind a symlink that we placed still is what it was."""
        assert item.stat is not None
        return not stats.S_ISLNK(item.stat.st_mode) or self.store.has(row.sha256)

    def _guess(self, item: Item, row: StateRow | None) -> None:
        assert item.stat is not None
        if row is not None and row.doubted(item.stat):
            item.action = UNVERIFIED  # a failed probe is no proof that the files are others
        elif row is not None and row.placed:
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
                t(
                    "do not trust this fetch.lock: `fetch lock --update {id}`",
                    id=item.artifact.command_words,
                ),
            )
            return
        if found:
            item.touched = True
            self._right(item, found, row)
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
        row = self.rows.get(item.target)
        # Of an artifact that is not declared any more it is what this one was called.
        owner = item.artifact.full_name if row is None else row.artifact
        own = owner == item.artifact.full_name or owner not in self._declared
        if item.writable and own:
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
        if item.root:
            item.problem = taken_in_root(item)
            return
        if item.hub and (problem := unlike_in_cache(item)):
            item.problem = problem
            return
        what = (
            what_it_became(item) or t("was changed after it was placed")
            if item.changed_by_user
            else (t("is not what the lock wants, and fetch did not put it there"))
        )
        taken = item.path
        if not item.file.key and not item.changed_by_user:
            what = t("is there, but no digest is known to compare it with")
            if item.stat and os.path.islink(native(item.path)):
                taken = os.path.realpath(taken)  # nobody is to take what they do not see
                what = t("is a symlink to {real}, which no digest is known of", real=taken)
        item.problem = Problem(
            "conflict",
            t("{target} {what}", target=item.target, what=what),
            t("keep it, or let --overwrite replace it (the old file goes to .fetch/kept/)")
            if item.file.key or item.changed_by_user
            else t(
                "take it as it is: `{command}`",
                command=adopt(self._project, self.tree, taken, item.artifact, item.file.path),
            ),
            item.artifact.id,
            item.file.path,
        )

    def _block(self, item: Item, code: str, message: str, hint: str) -> None:
        item.action = BLOCKED
        item.problem = Problem(code, message, hint, item.artifact.id, item.file.path)


def _ending_in_head(names: Sequence[str]) -> Iterable[int]:
    """The names, by index, of what may make a folder a repository."""
    if "head\n" not in "\n".join((*names, "")).lower():
        return ()  # nearly always
    return [n for n, name in enumerate(names) if name[-4:].lower() == "head"]


def _mode_is_right(item: Item) -> bool:
    """Whether a program may be run: a link to the store's blob may not, nor a copy of a copy."""
    assert item.stat is not None
    return not item.file.executable or bool(item.stat.st_mode & 0o100) or os.name == "nt"


def _as_claimed(artifact: Artifact, file: FileEntry) -> FileEntry:
    """A locked file; its sha256 goes with its git id unless the manifest itself states it."""
    if file.computed or file.lfs or not (file.sha256 and file.git_blob):
        return file
    stated = (artifact.request.known or {}).get(file.path)
    return file if stated and stated.sha256 else file._replace(computed=True)


def _collision(part: ArtifactPlan, item: Item, other: str, holder: Item | None) -> tuple[str, str]:
    """What to say of a file whose target another one has (or needs as a folder), and what to do."""
    taken = t(" of {id}", id=holder.artifact.id) if holder is not None else ""
    path = item.file.path
    if other == item.target and holder is not None:
        message = t(
            "two files fall on {target!r}: {path} and {file_path}{taken}",
            target=item.target,
            path=path,
            file_path=holder.file.path,
            taken=taken,
        )
    else:
        own, theirs = told_apart(item.target, other)
        message = t("{own} collides with {theirs}{taken}", own=own, theirs=theirs, taken=taken)
    beside = holder.file.path if holder is not None else ""
    hint = t(
        "{leave_out}; or give it another place in {layout}, below `tree`: {place}: {origin}",
        leave_out=leave_out(path, part.unit.manifest.file, beside=beside),
        layout=part.unit.layout.file,
        place=quoted(f"other/{path}", escaped=not path.isascii()),
        origin=quoted(f"{item.artifact.id}/{path}", escaped=not path.isascii()),
    )
    return message, hint


def _withhold(part: ArtifactPlan) -> None:
    """Begin nothing of an artifact whose own names cannot all stand."""
    part.items.withhold({GET, PLACE}, WITHHELD)


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
