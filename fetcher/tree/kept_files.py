"""What lies in `.fetch/kept/`: how much it takes, and taking it away when the person says so."""

from __future__ import annotations

import os
import re
import shutil
import stat as stats
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import Failure, Problem, from_os_error
from fetcher.fs.boundary import open_own
from fetcher.fs.free_space import filled
from fetcher.i18n import t
from fetcher.tree.state import FOLDER

PLACE = f"{FOLDER}/kept"
# One run's folder: when it began, and its process.
_RUN = re.compile(r"(\d{8}T\d{6})-\d+", re.ASCII)


@dataclass(frozen=True)
class KeptRun:
    """What one run moved aside: `files` with `bytes`; `freed_bytes` are shared with no store and
    no other tree. `at`: when, in seconds since 1970. `links` has the (device, inode) of the rest.
    """

    name: str
    files: int
    bytes: int
    freed_bytes: int
    at: float
    links: tuple[tuple[int, int], ...] = ()


def kept_runs(tree: Path) -> list[KeptRun]:
    """What is kept in a tree, the oldest first; nothing where the way to it is a link."""
    found = []
    with suppress(OSError, Failure), open_own(tree, PLACE, create=False) as folder:
        with os.scandir(folder.at(".")) as entries:
            names = sorted(entry.name for entry in entries if _RUN.fullmatch(entry.name))
        for name in names:
            with suppress(OSError):
                found.append(_look(name, list(_walk(folder.at(name)))))
    return found


def _walk(folder: str) -> Iterator[os.stat_result]:
    """All files below a folder; no link is followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            else:
                yield entry.stat(follow_symlinks=False)


def _look(name: str, files: list[os.stat_result]) -> KeptRun:
    alone = [stat for stat in files if stat.st_nlink <= 1]
    linked = tuple((stat.st_dev, stat.st_ino) for stat in files if stat.st_nlink > 1)
    try:
        at = time.mktime(time.strptime(name.partition("-")[0], "%Y%m%dT%H%M%S"))
    except (ValueError, OverflowError):
        at = 0.0
    size, freed = sum(map(filled, files)), sum(map(filled, alone))
    return KeptRun(name, len(files), size, freed, at, linked)


@dataclass(frozen=True)
class KeptFolder:
    """A project's `.fetch/kept/`: files that stood in the way."""

    root: str
    files: int
    bytes: int
    freed_bytes: int
    since: float


def kept_folder(root: Path, runs: Iterable[KeptRun]) -> KeptFolder:
    """All that a tree keeps."""
    every = list(runs)
    return KeptFolder(
        str(root),
        sum(run.files for run in every),
        sum(run.bytes for run in every),
        sum(run.freed_bytes for run in every),
        min((run.at for run in every), default=0.0),
    )


def remove(tree: Path, runs: Iterable[KeptRun]) -> list[Problem]:
    """Remove what some runs kept; gives what went wrong."""
    problems: list[Problem] = []
    for run in runs:
        path = str(tree / PLACE / run.name)
        try:
            with open_own(tree, PLACE, create=False) as folder:
                held = folder.at(run.name)
                if not stats.S_ISDIR(os.lstat(held).st_mode):
                    continue
                shutil.rmtree(held)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(from_os_error(error, t("removing {path}", path=path), path).problem)
        except Failure as failure:
            problems.append(failure.problem)
    above, _, name = PLACE.rpartition("/")
    with suppress(OSError, Failure), open_own(tree, above, create=False) as folder:
        os.rmdir(folder.at(name))  # if nothing is left
    return problems
