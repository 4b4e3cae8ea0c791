"""Moving and taking away what was placed once: never a file that somebody has changed since."""

from __future__ import annotations

import os
import stat as stats
from collections.abc import Iterable
from contextlib import suppress

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.atomic import rename_new, sync_file
from fetcher.fs.boundary import Boundary
from fetcher.fs.private_files import tidy
from fetcher.i18n import t
from fetcher.tree.kept import Kept
from fetcher.tree.orphan import Orphan
from fetcher.tree.plan import Item, row_of
from fetcher.tree.state import StateRow


class Remover:
    """Takes orphans out of one tree. Files that were changed are kept, as are those to be kept.

    `kept` is where they go; folders that become empty go as well.
    """

    def __init__(self, boundary: Boundary, kept: Kept) -> None:
        self._boundary = boundary
        self._kept = kept
        self._emptied: set[str] = set()

    def take(self, orphan: Orphan, aside: bool = False) -> Problem | None:
        """Take one away; returns what kept it from that. `aside`: it is kept, though unchanged."""
        folder, _, name = orphan.path.rpartition("/")
        try:
            with self._boundary.open(folder, create=False) as held:
                path = held.at(name)
                stat = os.lstat(path)
                if os.path.isdir(path) and not os.path.islink(path):
                    return None  # somebody's folder has come to stand there
                if aside or not orphan.row.matches(stat):
                    self._kept.keep(path, orphan.path)
                else:
                    os.unlink(path)
        except FileNotFoundError:
            return None
        except Failure as failure:
            return failure.problem.about(orphan.artifact.rpartition("/")[2], orphan.path)
        except OSError as error:
            doing = t("taking away {path}", path=orphan.path)
            told = from_os_error(error, doing, str(self._boundary.root / orphan.path))
            return told.problem.about(orphan.artifact.rpartition("/")[2], orphan.path)
        self._emptied.add(self._remove_empty(folder))
        return None

    def give_name(self, orphan: Orphan, item: Item) -> StateRow | None:
        """Give an orphan the name that is wanted for it now; None where that cannot be done."""
        above, _, old = orphan.path.rpartition("/")
        folder, _, new = item.target.rpartition("/")
        try:
            with (
                self._boundary.open(above, create=False) as source,
                self._boundary.open(folder) as target,
            ):
                tidy(target.at(""))
                stat = os.lstat(source.at(old))
                if not (stats.S_ISREG(stat.st_mode) and orphan.row.matches(stat)):
                    return None
                if not rename_new(source.at(old), target.at(new)):
                    return None
                found = row_of(item, orphan.row.sha256, os.lstat(target.at(new)))
        except (OSError, Failure):  # another disk, something that came to stand there
            return None
        self._emptied |= {self._remove_empty(above), folder}
        return found

    def _remove_empty(self, folder: str) -> str:
        """Remove a folder that holds nothing any more, and those around it; which one is left."""
        while folder:
            above, _, name = folder.rpartition("/")
            try:
                with self._boundary.open(above, create=False) as held:
                    os.rmdir(held.at(name))
            except (OSError, Failure):
                return folder
            folder = above
        return folder

    def tidy_after(self, paths: Iterable[str]) -> None:
        """Remove folders that a run which was killed has left empty, of files that are gone."""
        for folder in {path.rpartition("/")[0] for path in paths}:
            self._emptied.add(self._remove_empty(folder))

    def bring_to_disk(self) -> None:
        """Let what was taken away stay away after a power cut; best effort."""
        emptied, self._emptied = self._emptied, set()
        for folder in emptied:
            with suppress(OSError, Failure), self._boundary.open(folder, create=False) as held:
                sync_file(held.path)
