"""The targets of a plan in the tree, by folder: whether a path is one of them, and in another
spelling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from fetcher.fs.safe_paths import collision_key
from fetcher.tree.item_list import PackedRun
from fetcher.tree.plan import Plan


class TargetNames:
    """Every target of a plan that is in its tree."""

    def __init__(self, plan: Plan) -> None:
        self._names: dict[str, list[Sequence[str]]] = {}
        self._last: tuple[str, set[str]] | None = None
        for part in plan.artifacts:
            for piece in part.items.pieces():
                if isinstance(piece, PackedRun):
                    self._names.setdefault(piece.folder[:-1], []).append(piece.run.names)
                else:
                    self._add(item.target for item in piece if not item.outside)

    def _add(self, targets: Iterable[str]) -> None:
        folders: dict[str, list[str]] = {}
        for target in targets:
            folder, _, name = target.rpartition("/")
            folders.setdefault(folder, []).append(name)
        for folder, names in folders.items():
            self._names.setdefault(folder, []).append(names)

    @property
    def folders(self) -> Iterable[str]:
        """Every folder that has some, "" for the tree itself."""
        return self._names

    def in_folder(self, folder: str) -> set[str]:
        """The names of those in one folder; kept while one folder is asked about."""
        if self._last is None or self._last[0] != folder:
            self._last = folder, set().union(*self._names.get(folder, ()))
        return self._last[1]

    def __contains__(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self.in_folder(folder)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for folder in self._names:
            found.setdefault(collision_key(folder), []).append(folder)
        return found

    def alike(self, path: str) -> str | None:
        """A target that is the same file as a path where names are folded, None without one."""
        above, _, last = path.rpartition("/")
        key = collision_key(last)
        for folder in self._folded.get(collision_key(above), ()):
            for name in self.in_folder(folder):
                if collision_key(name) == key:
                    return f"{folder}/{name}" if folder else name
        return None
