"""One artifact in the tree: where it stands, and fetched first if that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fetcher.catalog.fallback import NotUsable
from fetcher.config.settings import Settings
from fetcher.operations.fetch_all import fetch_all
from fetcher.operations.open_project import warn_of_choices
from fetcher.operations.workspace import Options, Workspace
from fetcher.project.lockfile import Lock
from fetcher.project.names import Pair
from fetcher.project.project import Project, Selection
from fetcher.tree.plan import ArtifactPlan
from fetcher.ui.progress import Progress


def space_of(
    project: Project,
    pairs: Sequence[Pair],
    settings: Settings,
    tree: Path,
    fetch: bool,
    quiet: bool = False,
) -> Workspace:
    """A workspace of these artifacts alone; without `fetch` it is only looked at."""
    exact: dict[str, tuple[str, ...]] = {}
    for _, artifact in pairs:
        exact[artifact.manifest] = (*exact.get(artifact.manifest, ()), artifact.id)
    units = {unit.manifest.name: unit for unit, _ in pairs}
    paths = [unit.manifest.path for unit in units.values()]
    options = Options(tree, Selection(exact=exact))
    return Workspace(
        project,
        list(units.values()),
        settings,
        options,
        Progress(quiet=quiet or not fetch),
        readonly=not fetch,
        names=tuple(str(path) for path in paths if path),
    )


def locked(pairs: Sequence[Pair], lock: Lock) -> list[Pair]:
    """Those artifacts that the lock knows as the manifests want them."""
    return [pair for pair in pairs if lock.of(pair[1]) is not None]


def laid_out(
    project: Project, pairs: Sequence[Pair], settings: Settings, tree: Path
) -> list[ArtifactPlan]:
    """The plans of those artifacts whose files are all there, by stat; nothing is read."""
    if not pairs:
        return []
    space = space_of(project, pairs, settings, tree, fetch=False)
    try:
        parts = space.planner(quick=True).plan(space.wanted, space.lock).artifacts
    finally:
        space.close()
    return [part for part in parts if is_there(part)]


def is_there(part: ArtifactPlan) -> bool:
    """Whether all files of an artifact are there; a file that the user changed counts as well."""
    return bool(part.items) and all(item.stands for item in part.items.pending())


def fetch(project: Project, pair: Pair, settings: Settings, tree: Path) -> None:
    """Fetch one artifact into the tree. Raises NotUsable with the reason."""
    warn_of_choices(settings)
    space = space_of(project, [pair], settings, tree, fetch=True)
    try:
        carry_out(space)
    finally:
        space.close()


def carry_out(space: Workspace) -> None:
    """Fetch what a workspace is about. Raises NotUsable with the reason."""
    found = fetch_all(space)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.problems:
        first = next((p for p in found.problems if p.code in {"gated", "auth"}), None)
        problem = first or found.problems[0]
        raise NotUsable("gated" if first else "missing", problem.message, problem.hint)
