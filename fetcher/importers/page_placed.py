"""Which links of a page some part of it has placed already."""

from __future__ import annotations

from itertools import islice

from fetcher.importers.page_links import Link
from fetcher.importers.target_tree import FileOrigin, TargetTree


class PlacedLinks:
    """Looks up what a tree has; a page may have very many links."""

    def __init__(self, tree: TargetTree) -> None:
        self._tree = tree
        self._addresses: set[str] = set()
        self._hub_paths: dict[str, list[str]] = {}
        self._counted = 0

    def has(self, link: Link, name: str) -> bool:
        """Whether the same file was placed by another part of the page."""
        self._index()
        others = [origin.address for _, origin in self._tree.unnamed]
        unpacked = [item.archive for item in self._tree.unpacked]
        others += [o.address for o in unpacked if isinstance(o, FileOrigin)]
        paths = self._hub_paths.get(link.repo, ()) if link.repo else ()
        return (
            link.address in self._addresses
            or link.address in others
            or any(not name or path.endswith(name) for path in paths)
            or any(bool(link.repo) and repo.repo == link.repo for _, repo in self._tree.repos)
        )

    def _index(self) -> None:
        """Note what was placed since the last time; a page may have very many links."""
        files = self._tree.files
        for origin in islice(reversed(files.values()), max(0, len(files) - self._counted)):
            if isinstance(origin, FileOrigin):
                self._addresses.add(origin.address)
            else:
                self._hub_paths.setdefault(origin.repo.repo, []).append(origin.path)
        self._counted = len(files)
