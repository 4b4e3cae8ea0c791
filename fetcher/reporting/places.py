"""Where in the repository a case is to be mended: its document's line, or its artifact's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fetcher.project.project import Unit
from fetcher.reporting.verdict import Case, Place
from fetcher.tree.gitignore import repository_of

_SETTINGS, _LOCK = "fetch.yaml", "fetch.lock"


class Places:
    """Places of one project; `root` is its folder, `units` the manifests that could be read.

    Paths are relative to the root of the git repository that the project lies in, or to the
    project where it lies in none.
    """

    def __init__(self, root: Path, units: Iterable[Unit]) -> None:
        self._root = root
        self._repository = os.path.realpath(repository_of(root) or root)
        self._manifests = [unit.manifest for unit in units]

    def located(self, cases: Sequence[Case]) -> list[Case]:
        """The cases with the places of findings, and of the first of each artifact; their files
        are relative to the repository then, "" outside of it."""
        suites = set()  # one case of each is enough: there may be a million files
        found = []
        for case in cases:
            if case.rule:
                place, file = self._place(case), self._relative(case.file)
                found.append(replace(case, place=place, file=file))
            elif case.suite in suites:
                found.append(case)
            else:
                found.append(replace(case, place=self._of_artifact(case)))
            suites.add(case.suite)
        return found

    def _place(self, case: Case) -> Place:
        if case.document and (path := self._relative(case.document)):
            return Place(path, case.line or 1, case.column or 1)
        if place := self._of_artifact(case):
            return place
        if path := self._relative(case.file):
            return Place(path)
        own = _LOCK if case.kind == "lock" or not (self._root / _SETTINGS).exists() else _SETTINGS
        return Place(self._relative(str(self._root / own)))

    def _of_artifact(self, case: Case) -> Place | None:
        """Where the manifest declares it. Two manifests may have one id: the first then."""
        owner = case.suite.rpartition("/")[0]
        for manifest in self._manifests:
            if case.artifact in manifest.places and owner in {"", manifest.name}:
                path = self._relative(str(manifest.path or manifest.file))
                if path:
                    return Place(path, *manifest.places[case.artifact])
        return None

    def _relative(self, path: str) -> str:
        """A path that is absolute, or as the command's folder has it, or the project's."""
        if not path or "\0" in path:
            return ""
        place = Path(path).absolute() if os.path.lexists(path) else self._root / path
        # A link is named, not what it leads to; the folders above may be links of the machine.
        folder = os.path.realpath(place.parent)
        try:
            relative = os.path.relpath(os.path.join(folder, place.name), self._repository)
        except ValueError:  # another drive
            return ""
        parts = relative.split(os.sep)
        return "" if parts[0] == os.pardir else "/".join(parts)
