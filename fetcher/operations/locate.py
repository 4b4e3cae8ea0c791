"""Finds where an artifact, or a file or folder of it, stands in the tree."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.operations.ensure import space_of
from fetcher.operations.fetch_all import carry_out, prepare
from fetcher.project import names as naming
from fetcher.project.names import Pair
from fetcher.project.project import Project
from fetcher.reporting.report import ProblemsError, Report
from fetcher.tree.plan import KEEP, ArtifactPlan, Item


@dataclass(frozen=True)
class Named:
    """What a name stands for: an artifact, and a path in it ("" for all of it)."""

    name: str
    project: Project
    pair: Pair
    path: str


def find(project: Project, name: str) -> Named:
    """What `name` stands for: the project's own first, then the catalog's. Raises UsageError."""
    pairs: Sequence[Pair] = ()
    if project.own_manifests():
        pairs = naming.pairs_of(project.load())
        if found := naming.artifact_and_path(pairs, name):
            return Named(name, project, *found)
    pairs = naming.pairs_of(project.load_everything())
    if found := naming.artifact_and_path(pairs, name):
        return Named(name, project, *found)
    raise naming.unknown(name.partition("/")[0], pairs)


def standing(named: Named, settings: Settings, tree: Path) -> Path | None:
    """Where it stands, by stat alone; None if it is not there, or not whole. Raises UsageError."""
    space = space_of(named.project, [named.pair], settings, tree, fetch=False)
    try:
        (part,) = space.planner(quick=True).plan(space.wanted, space.lock).artifacts
    finally:
        space.close()
    return None if part.locked is None else _place(named, part)


def fetched(named: Named, settings: Settings, tree: Path, quiet: bool) -> Path:
    """Where it stands once its artifact was fetched. Raises ProblemsError, UsageError."""
    space = space_of(named.project, [named.pair], settings, tree, fetch=True, quiet=quiet)
    try:
        prepared = prepare(space)
        (part,) = prepared.plan.artifacts
        if part.locked is not None:
            _items(named, part)  # a wrong name is told before anything is downloaded
        report = carry_out(space, prepared)
    finally:
        space.close()
    if report.interrupted:
        raise KeyboardInterrupt
    found = None if part.locked is None else _place(named, part)
    if found is None:
        raise ProblemsError(_about(report, named.path))
    return found


def _about(report: Report, path: str) -> Report:
    """The report with what is wrong with the named file in front."""
    report.problems.sort(key=lambda problem: problem.file != path)
    return report


def _items(named: Named, part: ArtifactPlan) -> list[Item]:
    """The items that are meant: at least one. Raises UsageError."""
    path = named.path
    items = [i for i in part.items if not path or i.file.path == path]
    items = items or [i for i in part.items if i.file.path.startswith(f"{path}/")]
    if items or part.problems:
        return items
    assert part.locked is not None
    names = [file.path for file in part.locked.files]
    if not path or any(name == path or name.startswith(f"{path}/") for name in names):
        raise UsageError(
            t("{name} has no place in the layout", name=named.name),
            t("name one in {file}", file=part.unit.layout.file),
        )
    close = nearest(path, names)
    raise UsageError(
        t("{id} has no file {path!r}", id=part.artifact.id, path=path),
        t("did you mean {id}/{close}?", id=part.artifact.id, close=close)
        if close
        else t("its files: {names}", names=", ".join(names[:8])),
    )


def _place(named: Named, part: ArtifactPlan) -> Path | None:
    """The path of the file, or of the folder that the files stand in, if all of them do."""
    items = _items(named, part)
    # The tree's own copy before that in the Hugging Face cache.
    items = [item for item in items if not item.outside] or items
    if not items or not all(_stands(item) for item in items):
        return None
    paths = {item.file.path for item in items}
    if len(paths) == 1 and (named.path in paths or not named.path):
        return Path(items[0].path)
    return Path(_folder(items, named.path))


def _stands(item: Item) -> bool:
    return item.action == KEEP or (item.changed_by_user and os.path.exists(item.path))


def _folder(items: Sequence[Item], path: str) -> str:
    """The folder below which the files have their own names; else the deepest that has them all."""
    tops = {
        item.path[: -len(item.file.path)].rstrip("/" + os.sep)
        if item.path.replace(os.sep, "/").endswith(f"/{item.file.path}")
        else ""
        for item in items
    }
    top = tops.pop()
    if top and not tops:
        return os.path.join(top, path) if path else top
    return os.path.commonpath([os.path.dirname(item.path) for item in items])
