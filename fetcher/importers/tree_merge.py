"""Several documents as one tree: what a second one says again is one, what it says otherwise is
a remark."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from fetcher.i18n import t
from fetcher.importers.document_paths import TEMPORARY, Unreadable, join, split_base, visible
from fetcher.importers.origins import of_file, of_repo
from fetcher.importers.target_tree import (
    FileOrigin,
    HubFile,
    Origin,
    Remark,
    RepoOrigin,
    TargetTree,
    Unpacked,
    shown,
)


@dataclass
class Sources:
    """The documents that stand one behind the other in a merged tree, with the line before the
    first of each. A part of a document, such as a notebook's cell, counts its own lines."""

    names: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    cells: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, name: str, text: str, cells: tuple[int, ...] = ()) -> int:
        """One more document; returns what is to be added to its lines."""
        offset = self._end
        self.names.append(name)
        self.offsets.append(offset)
        self.cells.append(cells)
        self._end = offset + text.count("\n") + 2
        return offset

    _end: int = 0

    def of(self, line: int) -> tuple[str, int]:
        """(document, its own line) of a line of the merged tree."""
        for name, offset in zip(reversed(self.names), reversed(self.offsets), strict=True):
            if line > offset:
                return name, line - offset
        return (self.names[0] if self.names else "", line)

    def told(self, line: int) -> str:
        """A place as people read it: `README.md:12`, `demo.ipynb cell 3`."""
        name, own = self.of(line)
        cells = self.cells[self.names.index(name)] if name in self.names else ()
        if cells:
            return f"{name} cell {sum(first <= own for first in cells)}"
        return f"{name}:{own}"


def append(into: TargetTree, other: TargetTree, offset: int = 0, folder: str = "") -> None:
    """Add what another document brings; its lines begin after `offset`, its paths in `folder`."""
    _Merge(into, offset, folder).run(other)


class _Merge:
    def __init__(self, into: TargetTree, offset: int, folder: str) -> None:
        self.into, self.offset, self.folder = into, offset, folder
        self.before = dict(into.files)
        self.repos = list(into.repos)
        self.unnamed = list(into.unnamed)
        self.unpacked = list(into.unpacked)
        self.places: dict[object, list[str]] = {}  # of files, by what they are
        for path, origin in into.files.items():
            self.places.setdefault(of_file(origin), []).append(path)

    def run(self, other: TargetTree) -> None:
        """Files, repositories, archives, and what is left to do."""
        for path, origin in other.files.items():
            self._file(self._at(path), self._line(origin))
        for folder, repo in other.repos:
            self._repo(self._at(folder), replace(repo, line=repo.line + self.offset))
        for folder, file in other.unnamed:
            self._unnamed(self._at(folder), replace(file, line=file.line + self.offset))
        for item in other.unpacked:
            self._unpacked(item)
        for repo in other.cached:
            if not any(_same_repo(repo, one) for one in self._all_repos()):
                self.into.cached.append(replace(repo, line=repo.line + self.offset))
        known = {shown(origin) for origin in self.before.values()}
        known |= {origin.address for _, origin in self.unnamed}
        for remark in other.remarks:
            if remark.text not in known:  # another document brings it
                self.into.remarks.append(replace(remark, line=remark.line + self.offset))

    def _at(self, path: str) -> str:
        if not self.folder or split_base(path)[0] or path.startswith(TEMPORARY):
            return path
        return join(self.folder, path) if path else self.folder

    def _line(self, origin: Origin) -> Origin:
        if isinstance(origin, FileOrigin):
            return replace(origin, line=origin.line + self.offset)
        return replace(origin, repo=replace(origin.repo, line=origin.repo.line + self.offset))

    def _remark(self, line: int, path: str, text: str) -> None:
        why = t("another document puts it at {path}: that is taken", path=visible(path) or ".")
        self.into.remarks.append(Remark(line, why, text))

    def _file(self, path: str, origin: Origin) -> None:
        there = list(self.places.get(of_file(origin), ()))
        if path not in there and path not in self.before:
            there += [where for where, repo in self.repos if _holds(repo, where, origin)]
            there += [item.folder for item in self.unpacked if _same_file(item.archive, origin)]
            there += [where for where, one in self.unnamed if _same_file(one, origin)]
        if there and path not in there:
            if not any((path + "/").startswith(where + "/") for where in there):
                self._remark(origin.line, there[0], shown(origin))
            return
        try:
            self.into.put(path, origin)
        except Unreadable as why:
            self.into.remark(origin.line, why.args[0], shown(origin))

    def _repo(self, folder: str, repo: RepoOrigin) -> None:
        alike = [where for where, one in self.repos if _same_repo(one, repo)]
        files = [
            posixpath.dirname(path)
            for path, origin in self.before.items()
            if isinstance(origin, HubFile) and _same_place(origin.repo, repo)
        ]
        if alike and folder not in alike:
            self._remark(repo.line, alike[0], repo.repo)
        elif not alike and not (repo.drawn and (files or self._has_part(repo, folder))):
            self.into.put_repo(folder, repo)

    def _has_part(self, repo: RepoOrigin, folder: str) -> bool:
        """Whether an earlier document chooses what of a repository stands in its folder."""
        if repo.files:
            return False
        archives = (item.archive for item in self.unpacked)
        origins = [*self.before.values(), *archives]
        chosen = any(
            _same_place(one, repo) and (where + "/").startswith(folder + "/")
            for where, one in self.repos
        )
        return chosen or any(of_file(origin)[0] == of_repo(repo) for origin in origins)

    def _unnamed(self, folder: str, origin: FileOrigin) -> None:
        known: Iterable[Origin] = (
            *self.before.values(),
            *(one for _, one in self.unnamed),
            *(item.archive for item in self.unpacked),
        )
        if not any(_same_file(one, origin) for one in known):
            self.into.unnamed.append((folder, origin))

    def _unpacked(self, item: Unpacked) -> None:
        moved = tuple((member, self._at(end)) for member, end in item.moved)
        found = replace(
            item,
            archive=self._line(item.archive),
            folder=self._at(item.folder),
            line=item.line + self.offset,
            moved=moved,
        )
        for path in self.places.get(of_file(found.archive), ()):
            self.into.files.pop(path, None)  # one document says that it is unpacked
        if not any(_same_file(one.archive, found.archive) for one in self.unpacked):
            self.into.unpacked.append(found)

    def _all_repos(self) -> Iterator[RepoOrigin]:
        yield from (repo for _, repo in self.repos)
        yield from self.into.cached


def _same_file(one: Origin, other: Origin) -> bool:
    return of_file(one) == of_file(other)


def _same_place(one: RepoOrigin, other: RepoOrigin) -> bool:
    return (one.hub, one.kind, one.repo) == (other.hub, other.kind, other.repo)


def _same_repo(one: RepoOrigin, other: RepoOrigin) -> bool:
    alike = (one.files, one.exclude, one.path) == (other.files, other.exclude, other.path)
    return _same_place(one, other) and (alike or not (one.files or one.path))


def _holds(repo: RepoOrigin, folder: str, origin: Origin) -> bool:
    """Whether a whole repository brings this file."""
    return not (repo.files or repo.exclude or repo.path) and of_file(origin)[0] == of_repo(repo)
