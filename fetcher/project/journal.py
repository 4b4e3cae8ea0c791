"""Several files of a project are changed together: all or none, whatever ends the process.

What they were stands in a journal first. A process that is killed half-way leaves it, and the next
command in the project takes back what was changed: the killed one can then be run again.
"""

from __future__ import annotations

import os
import re
import stat as stats
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure
from fetcher.fs.atomic import sync_folders, write_atomically
from fetcher.fs.private_files import ended, remove_quietly, run_id
from fetcher.fs.processes import machine

NAME = ".fetch-changes.json"
# A clone may bring a journal of its own: it changes nothing but what the clone could have brought.
_MAY_CHANGE = re.compile(r"fetch\.yaml|(?:manifests|layouts)/[^/\\\0]{1,200}\.ya?ml")
_LONGEST = 32 << 20


class _Step(NamedTuple):
    """One file: what it was and what it is to be; None: not there."""

    path: str
    before: str | None
    after: str | None


def _text_of(path: Path) -> str | None:
    from fetcher.verify.contract.regular import read_regular

    try:
        return read_regular(path, _LONGEST).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _put(root: Path, path: str, text: str | None) -> None:
    from fetcher.config.boundaries import of_project

    if text is None:
        remove_quietly(str(of_project(root).real_path(path)))
    else:
        of_project(root).write(path, text.encode("utf-8", "surrogateescape"))


def write_together(root: Path, files: Mapping[str, str | None]) -> None:
    """Replace files of a project, by their paths in it. Raises Failure, OSError; then none is.

    Where a full disk does not even take back what was there, the next command sees to it.
    """
    steps = [_Step(path, _text_of(root / path), after) for path, after in files.items()]
    journal = root / NAME
    if len(steps) > 1:
        import json

        owner = [machine(), os.getpid(), run_id()]
        write_atomically(journal, json.dumps({"owner": owner, "steps": steps}).encode())
    folders = {str((root / step.path).parent) for step in steps}
    try:
        if len(steps) > 1:  # a power cut must not take the journal, and leave the others
            sync_folders(str(root), str(root))
        for step in steps:
            _put(root, step.path, step.after)
        for folder in folders:
            sync_folders(folder, folder)
        _remove(journal)  # without it, all of this counts
    except (OSError, Failure):
        with suppress(OSError, Failure):
            _take_back(root, steps)
        raise


def _remove(journal: Path) -> None:
    with suppress(FileNotFoundError):
        journal.unlink()


def _take_back(root: Path, steps: list[_Step]) -> None:
    for step in steps:
        if _text_of(root / step.path) == step.after:
            _put(root, step.path, step.before)
    _remove(root / NAME)


def take_back(root: Path) -> None:
    """Take back what a process that is gone had begun to change."""
    journal = root / NAME
    if not os.path.lexists(journal):
        return
    # A place that cannot be written is read as it is; links are refused by who reads.
    with suppress(OSError, Failure):
        steps = _read(journal, root)
        if steps is not None:
            _take_back(root, steps)
            import logging

            paths = ", ".join(step.path for step in steps)
            logging.getLogger(__name__).info(
                "another run was ended while it changed these: taken back: %s", paths
            )


def _read(journal: Path, root: Path) -> list[_Step] | None:
    """What is to be taken back: None while its process runs, nothing if it is not for us to do."""
    import json

    stat = os.lstat(journal)
    if not stats.S_ISREG(stat.st_mode) or stat.st_size > _LONGEST:
        return []
    try:
        found = json.loads(journal.read_bytes())
        host, pid, run = found["owner"]
        steps = [_Step(*step) for step in found["steps"]]
        if not ended((str(host), int(pid), str(run)), stat.st_mtime):
            return None
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return []
    sound = all(
        isinstance(step.path, str)
        and _MAY_CHANGE.fullmatch(step.path)
        and isinstance(step.after, str | None)
        and isinstance(step.before, str | None)
        for step in steps
    )
    return steps if sound else []
