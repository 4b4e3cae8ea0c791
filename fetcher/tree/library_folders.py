"""Libraries' folders in a plan: files that a layout places under the name of such a folder.

Other projects read what is there. So nothing that stands there is replaced, nothing that is run
gets in, and the person allows each folder once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from fetcher.config.named_roots import ROOTS
from fetcher.errors import Problem, UsageError
from fetcher.fs.boundary import Boundary
from fetcher.fs.reserved import is_private
from fetcher.fs.safe_paths import BadPath
from fetcher.i18n import t
from fetcher.project.layout import Placement
from fetcher.project.manifest import Artifact
from fetcher.tree.plan import BLOCKED, Item

# What Python, the system or a library itself runs or obeys, whoever put it there.
_RUN = frozenset(
    [
        ".py",
        ".pyc",
        ".pyo",
        ".pyw",
        ".pyi",
        ".pyd",
        ".pyx",
        ".so",
        ".dll",
        ".dylib",
        ".exe",
        ".bat",
        ".cmd",
        ".ps1",
        ".sh",
        ".bash",
        ".zsh",
        ".js",
        ".mjs",
        ".jar",
        ".whl",
        ".egg",
        ".command",
        ".app",
        ".desktop",
        ".lnk",
    ]
)
_OBEYED = frozenset({"trusted_list", "keras.json"})


class LibraryFolders:
    """The folders of one plan; `allowed` are the names that the person lets layouts use."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = allowed
        self._paths: dict[str, str | UsageError] = {}
        self._boundaries: dict[str, Boundary] = {}

    def path(self, name: str) -> str:
        """Where a folder lies; "" if that is nowhere."""
        found = self._find(name)
        return found if isinstance(found, str) else ""

    def _find(self, name: str) -> str | UsageError:
        found = self._paths.get(name)
        if found is None:
            try:
                found = str(ROOTS[name].path())
            except UsageError as error:
                found = error
            self._paths[name] = found
        return found

    def boundary(self, root: str) -> Boundary:
        """The border of a folder: no link leads out of it."""
        if root not in self._boundaries:
            self._boundaries[root] = Boundary(Path(root))
        return self._boundaries[root]

    def refusals(self, artifact: Artifact, found: Sequence[Placement]) -> list[Problem]:
        """Why an artifact's files may not go where its layout wants them, once for each folder."""
        names = dict.fromkeys(placement.root for placement in found if placement.root)
        problems = []
        for name in names:
            place = self._find(name)
            if isinstance(place, UsageError):
                problems.append(Problem("bad-path", place.message, place.hint, artifact.id))
            elif name not in self._allowed:
                text = t(
                    "{name} ({path}) is shared with other projects: nothing is placed there "
                    "because a layout says so",
                    name=name,
                    path=place,
                )
                hint = t("if you want it: fetch config allow roots {name}", name=name)
                problems.append(Problem("bad-path", text, hint, artifact.id))
        return problems

    def item(self, artifact: Artifact, placement: Placement, tree: str) -> Item:
        """A file of a library's folder; it is blocked where that may not be used."""
        root = self.path(placement.root)
        item = Item(
            artifact,
            placement.file,
            f"{root or os.sep + placement.root}/{placement.target}",
            tree,
            root=root or os.sep + placement.root,
            root_name=placement.root,
        )
        if not root or placement.root not in self._allowed:
            item.action = BLOCKED
        return item


def check_name(item: Item) -> None:
    """Raise BadPath for a name under which a library's folder has what is run or obeyed."""
    *folders, name = item.below.split("/")
    for part in (*folders, name):
        if owner := is_private(part):
            raise BadPath(t("belongs to {owner}", owner=owner))
    lower = name.lower()
    if item.file.executable or os.path.splitext(lower)[1] in _RUN or lower in _OBEYED:
        raise BadPath(t("is run or obeyed by whoever uses that folder, in other projects too"))


def taken_in_root(item: Item) -> Problem:
    """What to say of a file that is there with other bytes."""
    return Problem(
        "conflict",
        t(
            "{target} is there with other bytes: {root} is shared with other projects, so it is "
            "left as it is",
            target=item.target,
            root=item.root_name,
        ),
        t("if nothing needs it: remove it yourself, then run `fetch all`"),
        item.artifact.id,
        item.file.path,
    )
