"""What projects have let go of, and when: how `fetch gc` knows since when nobody needs a content.

    released/NAME.tsv   the project's root as JSON; then "TIME NEED ARTIFACT" a line, in seconds
                        since 1970, as its record has them

A blob's own times say little: one that was cloned into a tree looks as old as its download. What
is said here only explains, and keeps things longer: whoever may write it has nothing removed by it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fetcher.fs.atomic import write_atomically
from fetcher.fs.private_files import remove_quietly
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import MAX_LIST, read_regular

FOLDER = "released"
_LINE = re.compile(r"(\d{1,12}) (git:[0-9a-f]{40}|[0-9a-f]{64}) ([\w.-]+/[\w.-]+)?", re.ASCII)
_MOST_LINES = 100_000  # the latest count


class Release(NamedTuple):
    """A project at `root` needed a content for an artifact (MANIFEST/ID, "" if nobody knows which)
    until about `at`, in seconds since 1970. `need` is a sha256, or "git:" and a git blob id."""

    need: str
    at: float
    artifact: str
    root: Path


def note(
    store: Path, name: str, root: Path, dropped: Mapping[str, Collection[str]], at: float
) -> None:
    """Keep what a project needs no more, by artifact; best effort, as it only explains."""
    if not any(dropped.values()):
        return
    path = store / FOLDER / f"{name}.tsv"
    known = {found.need: found for found in _read(path)}
    for artifact, needs in dropped.items():
        for need in needs:
            known.pop(need, None)
            known[need] = Release(need, at, artifact, root)
    lines = [f"{int(one.at)} {one.need} {one.artifact}" for one in known.values()]
    text = "\n".join([json.dumps({"root": str(root)}), *lines[-_MOST_LINES:], ""])
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, text.encode("ascii"))


def _read(path: Path) -> Iterator[Release]:
    try:
        head, *lines = read_regular(path, MAX_LIST).decode("ascii").split("\n")
        root = Path(str(json_text.loads(head)["root"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    now = time.time()
    for line in lines:
        if found := _LINE.fullmatch(line):
            yield Release(found[2], min(float(found[1]), now), found[3] or "", root)


def releases(store: Path) -> Iterator[Release]:
    """All that was let go of, the latest of each project last."""
    for path in _files(store):
        yield from _read(path)


def _files(store: Path) -> list[Path]:
    return sorted((store / FOLDER).glob("*.tsv"))


def key_of(need: str) -> str:
    """A content's key as downloads have it."""
    return need if need.startswith("git:") else f"sha256:{need}"


def tidy(store: Path, matters: Callable[[str], bool]) -> None:
    """Remove the notes of which no need `matters` any more."""
    for path in _files(store):
        if not any(matters(one.need) for one in _read(path)):
            remove_quietly(str(path))
