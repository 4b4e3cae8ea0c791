"""The rows of a tree's state, all in memory or asked for as they are needed.

A look at a tree of a million files reads each row once, in the order of the targets; a run that
changes the tree wants to know what was there when it began.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from fetcher.tree.state import SOUND, State, StateReader, StateRow

# path, size, mtime_ns, inode, sha256, edit: of a row that was damaged they may be anything.
Facts = tuple[object, ...]
_FACTS = "path, size, mtime_ns, inode, sha256, edit"
# What may stand in a row that is ours: a state may have come with a clone.
_SHORT = (
    "typeof(path) = 'text' AND length(path) <= 4096 AND length(edit) <= 4096 "
    "AND length(sha256) = 64"
)
_SLACK = 1000  # rows between those of a batch that are read with them
_MANY = 10_000  # rows that are read at a time: others write between
_TERMS = 400  # contents that one query looks for


class Rows(Protocol):
    """The rows of a state by path."""

    def __bool__(self) -> bool: ...

    def get(self, path: str) -> StateRow | None:
        """The row of a path."""

    def batch(self, paths: Sequence[str]) -> Sequence[Facts | None]:
        """What is known of these paths, which ascend."""

    def each(self) -> Iterable[StateRow]:
        """Every row, those of one folder mostly together."""

    def owners(self) -> set[str]:
        """The full names of artifacts of which something was placed."""

    def placed(self) -> Iterable[str]:
        """The path of every file that was placed, those of one folder mostly together."""

    def count_in_tree(self) -> int:
        """How many rows there are of files in the tree, at least."""

    def with_contents(self, keys: Collection[str]) -> dict[str, StateRow]:
        """By key of the content, a file of the tree that was placed with it and not edited."""


class KnownRows(dict[str, StateRow]):
    """All rows as they were when they were read."""

    def __bool__(self) -> bool:
        return len(self) > 0

    def batch(self, paths: Sequence[str]) -> Sequence[Facts | None]:
        """What is known of these paths."""
        return [row and (*row[:5], row.edit) for row in map(self.get, paths)]

    def each(self) -> Iterable[StateRow]:
        """Every row."""
        return self.values()

    def owners(self) -> set[str]:
        """The full names of artifacts of which something was placed."""
        return {row.artifact for row in self.values() if row.placed}

    def count_in_tree(self) -> int:
        """How many rows there are of files in the tree."""
        return sum(not os.path.isabs(path) for path in self)

    def placed(self) -> Iterable[str]:
        """The path of every file that was placed."""
        return (row.path for row in self.values() if row.placed)

    def with_contents(self, keys: Collection[str]) -> dict[str, StateRow]:
        """By key of the content, a file of the tree that was placed with it and not edited."""
        return _by_content(self.values(), keys)


class StoredRows:
    """The rows as they are in the database when they are asked for."""

    def __init__(self, state: State | StateReader) -> None:
        self._state = state
        self._any = False

    def __bool__(self) -> bool:
        if not self._any:  # asked for each folder
            self._any = bool(self._ask("SELECT 1 FROM files LIMIT 1"))
        return self._any

    def _ask(self, query: str, values: Sequence[object] = (), most: int = -1) -> list[Facts]:
        return self._state.ask(query, values, most)

    def get(self, path: str) -> StateRow | None:
        """The row of a path."""
        found = self._ask(f"SELECT * FROM files WHERE path = ? AND {SOUND}", (path,))
        return StateRow(*found[0]) if found else None  # type: ignore[arg-type]

    def batch(self, paths: Sequence[str]) -> Sequence[Facts | None]:
        """What is known of these paths, which ascend."""
        query = f"SELECT {_FACTS} FROM files WHERE path BETWEEN ? AND ? ORDER BY path"
        most = len(paths) + _SLACK
        found = self._ask(query, (paths[0], paths[-1]), most)
        if len(found) == most:  # too much of others stands between them
            query = f"SELECT {_FACTS} FROM files WHERE path = ?"
            return [next(iter(self._ask(query, (path,))), None) for path in paths]
        if len(found) == len(paths) and [row[0] for row in found] == paths:
            return found
        by_path = {row[0]: row for row in found}
        return [by_path.get(path) for path in paths]

    def each(self) -> Iterable[StateRow]:
        """Every row, by ascending paths."""
        last = ""
        query = f"SELECT * FROM files WHERE path > ? AND {SOUND} ORDER BY path"
        while rows := self._ask(query, (last,), _MANY):  # no cursor stays open: others write
            yield from map(StateRow._make, rows)
            last = str(rows[-1][0])

    def backwards(self, owners: Collection[str]) -> Iterator[Facts]:
        """What is known of the files of these artifacts, by descending paths."""
        query = f"SELECT {_FACTS}, artifact FROM files WHERE {_SHORT}"
        rows = self._ask(f"{query} ORDER BY path DESC", (), _MANY)
        while rows:
            yield from (row[:-1] for row in rows if row[-1] in owners)
            rows = self._ask(f"{query} AND path < ? ORDER BY path DESC", (rows[-1][0],), _MANY)

    def owners(self) -> set[str]:
        """The full names of artifacts of which something was placed."""
        query = (
            "SELECT DISTINCT artifact FROM files WHERE placed != 0 AND typeof(artifact) = 'text'"
        )
        return {str(name) for (name,) in self._ask(query)}

    def count_in_tree(self) -> int:
        """How many rows there are of files in the tree, at least."""
        found = self._ask("SELECT count(*) FROM files WHERE substr(path, 1, 1) != '/'")
        return int(found[0][0]) if found else 0  # type: ignore[call-overload]

    def placed(self) -> Iterator[str]:
        """The path of every file that was placed, by ascending paths."""
        last = ""
        query = "SELECT path FROM files WHERE path > ? AND placed != 0 AND typeof(path) = 'text'"
        while rows := self._ask(f"{query} ORDER BY path", (last,), _MANY):
            yield from (str(path) for (path,) in rows)
            last = str(rows[-1][0])

    def with_contents(self, keys: Collection[str]) -> dict[str, StateRow]:
        """By key of the content, a file of the tree that was placed with it and not edited."""
        if len(keys) > _TERMS:
            return _by_content(self.each(), keys)
        marks, names = ", ".join("?" * len(keys)), sorted(keys)
        digests = [name.removeprefix("sha256:") for name in names]
        query = f"SELECT * FROM files WHERE (sha256 IN ({marks}) OR want IN ({marks})) AND {SOUND}"
        rows = self._ask(query, (*digests, *names))
        return _by_content(map(StateRow._make, rows), keys)


def _by_content(rows: Iterable[StateRow], keys: Collection[str]) -> dict[str, StateRow]:
    return {
        key: row
        for row in rows
        if row.placed and not row.edit and not os.path.isabs(row.path)
        for key in (f"sha256:{row.sha256}", row.want)
        if key in keys
    }
