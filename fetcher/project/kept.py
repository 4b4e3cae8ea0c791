"""What this process has made of files, for as long as these are the same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
Mark = tuple[object, ...]


def mark_of(files: Iterable[tuple[Path, str]], *others: object) -> Mark:
    """What has to be the same for files to be what they were, and to be called so in messages,
    and `others`. Raises OSError where a file is not there."""
    marks = list(others)
    for path, shown in files:
        now = os.stat(path)
        marks.append((str(path), shown, now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size))
    return tuple(marks)


class Kept(Generic[T]):
    """By a file, what was made of it and what else, and by what these are known again."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[T, Mark]] = {}

    def keep(self, path: Path, made: T, mark: Mark) -> None:
        """Remember what was made."""
        self._kept[path] = made, mark

    def of(self, path: Path) -> tuple[T, Mark] | None:
        """What was made last, with its mark, for the caller to compare."""
        return self._kept.get(path)
