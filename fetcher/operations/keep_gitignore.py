"""Keeps the tree's `.gitignore` in step, so that `git add .` takes no weights."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from fetcher.errors import Failure
from fetcher.fs.boundary import write_own
from fetcher.fs.safe_paths import is_below
from fetcher.i18n import echo, t
from fetcher.operations.workspace import Workspace
from fetcher.project.layout import placements
from fetcher.project.manifest import Artifact
from fetcher.project.project import Unit
from fetcher.tree import gitignore

_log = logging.getLogger(__name__)
_UNWANTED = "not-wanted-now"
_SHOWN = 3


def keep_in_step(space: Workspace, unwanted: Iterable[str] = ()) -> None:
    """Have `.gitignore` name what fetch places by these layouts, and `unwanted` paths that stand.

    Only for a tree in the project, in a git repository; other manifests' lines stay. What keeps it
    from that is said on stderr: it is no failure of a run.
    """
    tree = space.options.into
    repository = gitignore.repository_of(tree)
    if repository is None or not is_below(
        os.path.realpath(tree), os.path.realpath(space.project.root)
    ):
        return
    groups: dict[str, list[str]] = {}
    try:
        if space.settings.gitignore:
            space.boundary.real_path(gitignore.NAME)
            text = gitignore.read(tree)
            tracked = frozenset(gitignore.tracked(repository, tree))
            groups = _groups(space, gitignore.groups_of(text), tracked, set(unwanted))
            fresh = gitignore.with_groups(text, groups)
            if fresh != text:
                space.boundary.write(gitignore.NAME, fresh.encode("utf-8", "surrogateescape"))
                _tell_of_tracked(space, tracked)
    except (OSError, Failure) as error:
        told = error.message if isinstance(error, Failure) else error.strerror or str(error)
        note = t(".gitignore is not kept in step: {reason}", reason=told)
        echo(t("note: {note}", note=note), file=sys.stderr)
        return
    with suppress(OSError, Failure):
        write_own(tree, gitignore.RECORD, gitignore.digest_of(groups).encode())


def _groups(
    space: Workspace, before: dict[str, list[str]], tracked: Collection[str], unwanted: set[str]
) -> dict[str, list[str]]:
    """The lines of the block: new for the manifests that are read, as before for others."""
    groups = {
        name: lines
        for name, lines in before.items()
        if name not in {*space.gone_manifests, _UNWANTED}
    }
    for unit in space.units:
        groups[unit.manifest.name] = list(_lines(space, unit, tracked))
    known = {line for lines in groups.values() for line in lines}
    # Of manifests that were not looked at this time.
    rows = space.state.rows().values()
    old = set(before.get(_UNWANTED, ()))
    lines = {gitignore.line_of(row.path): row.path for row in rows if row.placed}
    kept = {path for line, path in lines.items() if line in old}
    standing = sorted(
        path for path in unwanted | kept if os.path.lexists(space.options.into / path)
    )
    groups[_UNWANTED] = [line for line in map(gitignore.line_of, standing) if line not in known]
    return groups


def _lines(space: Workspace, unit: Unit, tracked: Collection[str]) -> Iterator[str]:
    """What one manifest's layout places: folders as a whole where nothing else is tracked there."""
    root = f"{unit.layout.root}/" if unit.layout.root else ""
    folders: set[str] = set()
    for artifact in unit.manifest.artifacts.values():
        files: set[str] | None = None
        for entry in unit.layout.entries_of(artifact.id):
            if entry.root:
                continue
            target = f"{root}{entry.target}".strip("/")
            if not entry.folder:
                yield gitignore.line_of(target)
                continue
            files = _files(space, unit, artifact, root) if files is None else files
            if target and not gitignore.has_strangers(target, files, tracked):
                folders.add(target)
                yield gitignore.line_of(target, folder=True)
            else:
                yield from map(gitignore.line_of, _below(target, files))


def _below(folder: str, files: Iterable[str]) -> Iterator[str]:
    return (path for path in files if not folder or path.startswith(f"{folder}/"))


def _files(space: Workspace, unit: Unit, artifact: Artifact, root: str) -> set[str]:
    """The paths of an artifact's files in the tree, as far as the lock knows them."""
    locked = space.lock.of(artifact)
    if locked is None:
        return set()
    found, _ = placements(unit.layout, artifact, locked.files)
    return {root + one.target for one in found if not one.root}


def _tell_of_tracked(space: Workspace, tracked: Collection[str]) -> None:
    """Name what git has already: no line of `.gitignore` takes that out of it."""
    ours = sorted(
        row.path for row in space.state.rows().values() if row.placed and row.path in tracked
    )
    if ours:
        shown = " ".join(ours[:_SHOWN]) + (" …" if len(ours) > _SHOWN else "")
        note = t("git tracks what fetch places: {files}", files=shown)
        echo(t("note: {note}", note=note), file=sys.stderr)
        hint = t("git rm --cached FILE takes a file out of git, and leaves it where it is")
        echo(t("hint: {hint}", hint=hint), file=sys.stderr)
