"""Files that stand at their own place in the tree, and whose digest nobody knows.

What a person has downloaded by hand is theirs: it is taken if it is as large as the source says and
looks like its name. Half a download is not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from fetcher.fs import published
from fetcher.fs.atomic import sha256_of
from fetcher.fs.first_look import look
from fetcher.fs.formats import Body
from fetcher.i18n import t
from fetcher.operations.workspace import Workspace
from fetcher.project.layout import placements
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.ui.units import human_bytes


@dataclass(frozen=True)
class Expected:
    """The one file that belongs at a place."""

    artifact: Artifact
    entry: FileEntry


def expected(space: Workspace) -> dict[str, Expected]:
    """Files of the lock without sha256 or git id, by the real path of their place in the tree."""
    tree = os.path.realpath(space.options.into)
    found: dict[str, Expected] = {}
    for unit, artifact in space.wanted:
        locked = space.lock.of(artifact)
        files = [entry for entry in locked.files if not entry.key] if locked else []
        if not files or artifact.unpack is not None:
            continue
        for one in placements(unit.layout, artifact, files)[0]:
            if not one.root:
                path = os.path.normpath(os.path.join(tree, unit.layout.root, one.target))
                found[path] = Expected(artifact, one.file)
    return found


def complaint(path: str, entry: FileEntry, first_trust: bool) -> tuple[str | None, str]:
    """(why a file is not taken as the one that belongs there, its sha256); None where it is taken.

    Raises OSError.
    """
    if os.path.islink(path):
        return t("it is a link: name what it leads to, with --as"), ""
    with open(path, "rb") as stream:  # noqa: PTH123
        size = os.fstat(stream.fileno()).st_size
        odd = look(Body(stream, size), entry.path)
    if entry.md5 is not None or entry.published is not None:
        sha256 = sha256_of(path)
        sound = published.holds(path, sha256, entry.md5, entry.published)
        return (None if sound else t("its digest is another")), sha256
    if entry.size is not None and size != entry.size:
        has, says = human_bytes(size), human_bytes(entry.size)
        return t("it has {has}, its source says {says}", has=has, says=says), ""
    if entry.size is None and not first_trust:
        return t("its source says neither digest nor size: --first-trust takes it as it is"), ""
    if (odd or not size) and not first_trust:
        return t("it is {complaint}", complaint=odd or t("empty")), ""
    return None, sha256_of(path)
