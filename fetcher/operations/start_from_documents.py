"""Starts a project from documents that it has: what they bring, as manifest and layout.

What the project's manifests say already stays as it is; only what is new is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import InvalidDocument
from fetcher.importers import joining
from fetcher.importers.address_check import Checked, check
from fetcher.importers.draft import Draft, draft
from fetcher.importers.reading import Gathered, gather
from fetcher.network.session import Network
from fetcher.operations.keep_gitignore import keep_in_step
from fetcher.operations.open_project import open_workspace
from fetcher.project.project import Project, Unit
from fetcher.register import changes
from fetcher.register.changes import Change
from fetcher.register.ids import propose
from fetcher.tree import gitignore
from fetcher.ui.progress import Progress


@dataclass
class Begun:
    """What documents came to.

    `draft` holds what is new, `had` the ids of what the project had; `checked` what the addresses
    answered; `changes` are not written yet.
    """

    name: str
    gathered: Gathered
    draft: Draft
    had: list[str]
    checked: Mapping[str, Checked] = field(default_factory=dict)
    changes: Sequence[Change] = ()


def begin(documents: Sequence[str], root: Path, name: str, settings: Settings) -> Begun:
    """Read documents for the project at `root`. `name` is the manifest's, "" for the usual one.

    Raises UsageError, Failure for what cannot be read, InvalidDocument for a project that is wrong.
    """
    project = Project(root)
    own = [str(path) for path in project.own_manifests()]
    units = project.load(own) if own else []
    known = joining.known_of(units)
    found = gather(documents, root, settings)
    made = draft(found.tree, known.ids)
    checked = {} if settings.offline or not made.artifacts else check(made, Network(settings))
    had = joining.keep_new(made, known, found.root)
    chosen = name or _name(project, units)
    result = Begun(chosen, found, made, had, checked)
    if made.artifacts:
        title = f"Models and data of {root.absolute().name}"
        title = title if re.fullmatch(r"[\w. -]+", title) else "Models and data"
        result.name, result.changes = joining.joined_changes(made, root, chosen, title, found.root)
        if problems := changes.problems(result.changes):
            raise InvalidDocument(problems)
    return result


def _name(project: Project, units: Sequence[Unit]) -> str:
    """The project's only manifest, else the one of its folder's name."""
    own = [path.stem for path in project.own_manifests()]
    return own[0] if len(own) == 1 else propose(project.root.absolute().name)


def ignore_placed(root: Path) -> bool:
    """Have `.gitignore` name what the project's layouts place; whether that changed it."""
    if not gitignore.repository_of(root):
        return False
    before = gitignore.read(root)
    space = open_workspace(root, (), progress=Progress(quiet=True), optional=True)
    try:
        keep_in_step(space)
    finally:
        space.close()
    return gitignore.read(root) != before
