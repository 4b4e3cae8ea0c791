"""Reading a whole store: blobs that are damaged, and stamps and locks that say what is not so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fetcher.errors import FetchError, Problem
from fetcher.i18n import t
from fetcher.project import lockfile
from fetcher.store.demands import projects
from fetcher.store.stamps import FOLDER, StampFiles
from fetcher.store.store import Store


@dataclass(frozen=True)
class FalseEntry:
    """A file of a project's lock whose sha256 is not that of the content with its git id."""

    project: Path
    artifact: str
    path: str
    sha256: str
    git_blob: str


@dataclass
class Soundness:
    """What reading a store gave; `stamps` are pairs of a sha256 and a git id that is not its.

    `inodes` are those of damaged blobs: trees may share them.
    """

    blobs: int = 0
    damaged: list[str] = field(default_factory=list)
    inodes: list[int] = field(default_factory=list)
    stamps: list[tuple[str, str]] = field(default_factory=list)
    entries: list[FalseEntry] = field(default_factory=list)


def read_all(store: Store) -> Soundness:
    """Read every blob, and compare with it what others say of it. Damaged ones are set aside,
    false stamps removed."""
    found = Soundness()
    for sha256, stat in sorted(store.digests()):
        found.blobs += 1
        if not store.prove(sha256):
            found.damaged.append(sha256)
            found.inodes.append(stat.st_ino)
    hints = StampFiles(store.root / FOLDER)
    found.stamps = sorted(
        (sha256, git_blob)
        for sha256, git_blob in hints.git_ids()
        if store.git_blob(sha256) not in {"", git_blob}
    )
    if found.stamps and not store.readonly:
        with suppress(OSError):  # nobody believes them
            hints.drop(set(found.stamps))
    found.entries = list(false_entries(store, projects(store)))
    return found


def problem_of(entry: FalseEntry) -> Problem:
    """What to say of a false entry."""
    return Problem(
        "modified",
        t(
            "{lock}: {artifact}/{path} has the sha256 of a content whose git id is not {git_blob}",
            lock=entry.project / lockfile.NAME,
            artifact=entry.artifact,
            path=entry.path,
            git_blob=entry.git_blob,
        ),
        t(
            "in {project}: fetch lock --update {artifact}, then fetch all",
            project=entry.project,
            artifact=entry.artifact,
        ),
        entry.artifact,
        entry.path,
    )


def false_entries(store: Store, roots: Iterable[Path]) -> Iterator[FalseEntry]:
    """The false entries of these projects' locks; contents are read to compute their git ids."""
    for root in roots:
        with suppress(FetchError):
            for (_, artifact), locked in lockfile.read(root).artifacts.items():
                for file in locked.files:
                    wanted = file.git_proof
                    if not file.sha256 or not wanted:
                        continue
                    if store.git_blob(file.sha256) not in {"", wanted}:
                        yield FalseEntry(root, artifact, file.path, file.sha256, wanted)
