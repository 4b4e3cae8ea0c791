"""Where a project's own files may lie: in it, or where the person lets its links lead.

They are read and written by name everywhere; that a link leads out is rare, and only then the
person's own file is asked.
"""

from __future__ import annotations

import os
import shlex
from functools import lru_cache
from pathlib import Path

from fetcher.config.settings import Settings, allowed
from fetcher.errors import Failure
from fetcher.fs.boundary import Boundary
from fetcher.fs.home import home
from fetcher.fs.reserved import is_private, is_secret
from fetcher.fs.safe_paths import is_below
from fetcher.i18n import t


def may_lead_to(place: Path) -> bool:
    """Whether the person lets a project's links lead to `place` (a real path)."""
    return allowed().may_lead_to(place)


def of_project(root: Path) -> Boundary:
    """What is in a project, and where its links may lead."""
    return Boundary(root, may_lead_to)


def own_file(root: Path, path: str) -> Path:
    """A file of a project by its path below the root, to be read. Raises Failure if a link leads
    it out of the project, or to what belongs to git or to fetch."""
    of_project(root).real_path(path)
    return root / path


def below(root: Path, path: Path) -> str:
    """A path below a project's root as its files name it, links not followed; "" for none."""
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(root))
    parts = relative.split(os.sep)
    return "" if parts[0] in {os.pardir, os.curdir} or os.path.isabs(relative) else "/".join(parts)


def check_output(root: Path, path: Path) -> None:
    """Raise Failure if what a person names for output lies in the project at `root`, where a link
    that came with it leads out. A link that lies elsewhere is theirs."""
    if relative := below(root, path):
        of_project(root).real_path(relative)


def came_with_project(settings: Settings, name: str, place: Path) -> bool:
    """Whether the folder that a setting names may have come with the project, links and all: the
    project chose it, or it lies there, whoever named it.

    What lies in a home is the person's, even if that is marked as a project. Raises Failure for a
    name in the project that a link leads out of it.
    """
    if settings.is_from_project(name):
        return True
    root, own = _real(settings.root), home()
    if own is not None and is_below(os.path.realpath(own), root):
        return False
    check_output(settings.root, place)
    return is_below(os.path.realpath(place), root)


@lru_cache(maxsize=4)
def _real(root: Path) -> str:
    return os.path.realpath(root)


def outside(settings: Settings, path: Path) -> Path | None:
    """The real path of what a project's files name, if it is not the project's; else None."""
    root, real = _real(settings.root), os.path.realpath(path)
    return None if is_below(real, root) else Path(real)


def taken_from(settings: Settings, path: Path) -> Path:
    """The real path of what a project's files name on this machine, to be read.

    What is not the project's needs the person's word. Raises Failure.
    """
    if real := outside(settings, path):
        if settings.allowed.may_take_from(real):
            return real
        folder = real if real.is_dir() else real.parent
        raise Failure(
            "bad-path",
            t(
                "{path} lies outside the project{which}: nothing is taken from there because a "
                "manifest says so",
                path=path,
                which="" if str(real) == os.path.abspath(path) else t(" (it is {real})", real=real),
            ),
            t("if you want it: fetch config allow local {real}", real=shlex.quote(str(folder))),
        )
    real = Path(os.path.realpath(path))
    parts = real.relative_to(_real(settings.root)).parts
    owner = next(filter(None, map(is_private, parts)), "") or (parts and is_secret(parts[0]))
    if owner:
        raise Failure(
            "bad-path",
            t("{path} belongs to {owner}: it is not taken as an artifact", path=path, owner=owner),
            t("keep what is to be fetched in a folder of its own"),
        )
    return real
