"""`.fetch/kept/`: where files go that stood in the way, one folder for each run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fetcher.errors import Failure
from fetcher.fs.atomic import move, sync_file, sync_folders
from fetcher.fs.boundary import OpenFolder, open_own
from fetcher.store.store import Store
from fetcher.tree.state import FOLDER


class Kept:
    """Keeps files of one tree: on disk before their place is free, if the store is durable."""

    def __init__(self, tree: Path, store: Store) -> None:
        self._tree = tree
        self._store = store
        self._run = ""
        self.paths: list[str] = []  # of what was kept, as it stood in the tree

    @property
    def folder(self) -> str:
        """This run's folder, relative to the tree; "" while it has kept nothing."""
        return f"{FOLDER}/kept/{self._run}" if self._run else ""

    def keep(self, path: str, relative: str) -> None:
        """Move a file or folder to this run's folder, under the path that it had in the tree.

        Raises Failure, OSError.
        """
        if not self._run:
            self._run = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
        above, _, name = relative.rpartition("/")
        place = "/".join(filter(None, (self.folder, above)))
        try:
            with open_own(self._tree, place) as kept:
                move(path, kept.at(name))
                self._bring_to_disk(kept, name)
            self.paths.append(relative)
        except BaseException:
            self._remove_empty(place)
            raise

    def _remove_empty(self, place: str) -> None:
        """Remove the folders that were made for nothing."""
        while place != FOLDER:
            above, _, name = place.rpartition("/")
            try:
                with open_own(self._tree, above) as held:
                    os.rmdir(held.at(name))
            except FileNotFoundError:
                pass  # it was not even made
            except (OSError, Failure):
                return
            place = above

    def _bring_to_disk(self, kept: OpenFolder, name: str) -> None:
        if self._store.durable:
            if os.path.isfile(kept.at(name)) and not os.path.islink(kept.at(name)):
                sync_file(kept.at(name))
            sync_folders(kept.path, os.path.realpath(self._tree))
