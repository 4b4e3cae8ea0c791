"""What `fetch diff` compares: two locks, and the newer one with its manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fetcher.errors import FetchError, LockError, Problem
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.project import git_revision, lock_diff, lockfile, manifest, pins, terms
from fetcher.project.git_revision import HEAD, GitRevision
from fetcher.project.lock_diff import ArtifactChange
from fetcher.project.lockfile import Lock
from fetcher.project.manifest import Artifact, Description, Manifest
from fetcher.project.pins import Contradiction
from fetcher.project.project import SUFFIXES, Project
from fetcher.project.terms import TermChange
from fetcher.verify.contract.regular import read_regular_text
from fetcher.yamldoc import nodes

Key = tuple[str, str]


@dataclass(frozen=True)
class LockDiff:
    """Two locks by the names they were given, what differs, and what speaks against the new one.

    `problems` has a problem for each of `contradictions`, in the same order, with the place in the
    manifest. `outdated` gives for artifacts (as manifest/id) why the new lock's entry is none for
    the manifest of today. `unread` are manifests that could not be compared, with the reason.
    `terms` are licence and gate, where the manifests of both sides differ in them.
    """

    old: str
    new: str
    changes: list[ArtifactChange]
    contradictions: list[Contradiction]
    problems: list[Problem]
    outdated: dict[str, str]
    unread: list[str]
    terms: dict[tuple[str, str], list[TermChange]]


def diff(root: Path, old: str | None, new: str | None) -> LockDiff:
    """Compare the locks that two arguments mean: files, or git revisions of the project at `root`.

    `old` is git's HEAD by default, `new` the working tree. Raises UsageError, LockError.
    """
    before, earlier = _lock_of(root, old or HEAD)
    after, revision = _lock_of(root, new) if new else (lockfile.read(root), None)
    unread: list[str] = []
    found, outdated, infos = [], {}, {}
    for made in _manifests(root, after, revision, unread):
        for artifact in made.artifacts.values():
            infos[artifact.manifest, artifact.id] = artifact.info
            found += [(made, item) for item in after.contradictions(artifact)]
            if why := _outdated(after, artifact):
                outdated[artifact.full_name] = why
    error = pins.mismatch(found)
    changes = lock_diff.compare(before, after)
    return LockDiff(
        old or HEAD,
        new or lockfile.NAME,
        changes,
        [item for _, item in found],
        error.found if error else [],
        outdated,
        unread,
        _terms(changes, _infos(root, before, earlier) if changes else {}, infos),
    )


def _infos(root: Path, lock: Lock, revision: GitRevision | None) -> dict[Key, Description]:
    """What the manifests of the older lock say of its artifacts; of a file's, those of today."""
    unread: list[str] = []  # the newer ones matter, and these may be gone
    return {
        (artifact.manifest, artifact.id): artifact.info
        for made in _manifests(root, lock, revision, unread)
        for artifact in made.artifacts.values()
    }


def _terms(
    changes: Iterable[ArtifactChange],
    before: Mapping[Key, Description],
    after: Mapping[Key, Description],
) -> dict[Key, list[TermChange]]:
    found = {}
    for change in changes:
        key = change.manifest, change.id
        old = before.get(key) if change.old is not None else None
        new = after.get(key) if change.new is not None else None
        if None in (old, new) and None not in (change.old, change.new):
            continue  # a manifest that could not be read says nothing
        if differing := list(terms.of_manifests(old, new)):
            found[key] = differing
    return found


def _outdated(lock: Lock, artifact: Artifact) -> str:
    known = (artifact.manifest, artifact.id) in lock.artifacts
    return lock.why_not(artifact) if known else ""


def _lock_of(root: Path, name: str) -> tuple[Lock, GitRevision | None]:
    """The lock in a file or at a git revision (empty if it has none), and that revision."""
    path = Path(name)
    path = path / lockfile.NAME if path.is_dir() else path
    if path.is_file():
        return _parsed(path), None
    revision = GitRevision(root, name)
    data = revision.read(lockfile.NAME)
    shown = f"{name}:{lockfile.NAME}"
    return (Lock() if data is None else lockfile.loads(data, shown)), revision


def _parsed(path: Path) -> Lock:
    shown = printable(str(path))
    try:
        return lockfile.loads(read_regular_text(path, git_revision.MAX_BYTES), shown)
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(t("{path} cannot be read: {error}", path=shown, error=error)) from error


def _manifests(
    root: Path, lock: Lock, revision: GitRevision | None, unread: list[str]
) -> Iterator[Manifest]:
    """The manifests that the lock names: of the revision, else as they stand in the project."""
    own = dict(_at(revision)) if revision is not None else {}
    project = Project(root)
    for name in sorted({name for name, _ in lock.artifacts}):
        try:
            if revision is None:
                place = project.manifest_path(name)
                within = place.relative_to(root) if place.is_relative_to(root) else place
                made, document = manifest.load(place, within.as_posix())
            elif name in own:
                path, text = own[name]
                document = nodes.parse(text.encode("utf-8"), path)
                made = manifest.decode(document)
            else:
                unread.append(t("{name}: it is not there", name=name))
                continue
        except FetchError as error:
            unread.append(t("{name}: {message}", name=name, message=error.message))
            continue
        if document.problems:
            unread.append(t("{name}: {message}", name=name, message=str(document.problems[0])))
        if made is not None:
            yield made


def _at(revision: GitRevision) -> Iterator[tuple[str, tuple[str, str]]]:
    for path in revision.names("manifests"):
        stem, suffix = Path(path).stem, Path(path).suffix
        data = revision.read(path) if suffix in SUFFIXES else None
        if data is not None:
            yield stem, (path, data)
