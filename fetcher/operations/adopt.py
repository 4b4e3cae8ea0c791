"""Take files that are already on this machine into the store, by their digests."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fetcher.config.boundaries import below, outside
from fetcher.errors import Failure, Problem, UsageError, from_os_error
from fetcher.fs import published
from fetcher.fs.atomic import digests_of, sha256_of
from fetcher.fs.first_look import look
from fetcher.fs.formats import Body
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.operations.adopt_in_place import Expected, complaint, expected
from fetcher.operations.inspect_tree import archives_to_get
from fetcher.operations.workspace import Workspace
from fetcher.project import names as naming
from fetcher.project.lockfile import LockedArtifact
from fetcher.project.manifest import Artifact
from fetcher.sources.base import FileEntry
from fetcher.tree.hint_commands import fetch_these, words_into


@dataclass
class ContentIndex:
    """Contents that the project wants, indexed by what is known of them."""

    sizes: set[int] = field(default_factory=set)
    any_size: bool = False
    by_sha256: dict[str, tuple[Artifact, FileEntry]] = field(default_factory=dict)
    by_git: dict[str, tuple[Artifact, FileEntry]] = field(default_factory=dict)

    def add(self, artifact: Artifact, entry: FileEntry) -> None:
        """Index one file."""
        if not entry.key:
            return
        if entry.size is None or entry.size_hint:
            self.any_size = True
        else:
            self.sizes.add(entry.size)
        if entry.sha256:
            self.by_sha256[entry.sha256] = artifact, entry
        elif entry.git_blob:
            self.by_git[entry.git_blob] = artifact, entry


@dataclass
class Adopted:
    """What was taken: (path, artifact id, file, sha256), how many files were looked at, trouble.

    `in_place` are paths that were taken by place and size alone, `left` those that stand where a
    file belongs and are not taken, with the reason.
    """

    taken: list[tuple[str, str, str, str]] = field(default_factory=list)
    in_place: list[str] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    seen: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Next:
    """What comes after adopting: the command that places it; `files` and `bytes` are what that
    still downloads.

    `unknown`: some of them are in no lock yet, or have files whose size nobody knows.
    """

    command: str
    files: int = 0
    bytes: int = 0
    unknown: bool = False


def next_steps(space: Workspace, taken: Iterable[tuple[str, str, str, str]]) -> list[Next]:
    """What places the files that were taken: what a bare `fetch all` does, and what is to be named
    for it."""
    taken = list(taken)
    ids, contents = {one[1] for one in taken}, {one[3] for one in taken}
    plain: list[naming.Pair] = []
    named: list[naming.Pair] = []
    places_some = False
    for pair in space.wanted:
        artifact = pair[1]
        # (A content may be wanted by others than the one that it was taken for.)
        adopted = artifact.id in ids or _has_any(space.lock.of(artifact), contents)
        left_out = (artifact.manifest, artifact.id) in space.choices.left_out
        if not (artifact.reach or artifact.optional or left_out):
            plain.append(pair)  # it downloads the others as well
            places_some |= adopted
        elif adopted:
            named.append(pair)
    plain = plain if places_some else []
    return [_next(space, part, part is named) for part in (plain, named) if part]


def _has_any(locked: LockedArtifact | None, contents: Collection[str]) -> bool:
    return locked is not None and any(file.sha256 in contents for file in locked.files)


def _next(space: Workspace, pairs: Sequence[naming.Pair], named: bool) -> Next:
    plan = space.planner(quick=True).plan(pairs, space.lock)
    sizes = [items[0].file.size for items in plan.to_get().values()]
    sizes += [entry.size for part in plan.artifacts for entry in archives_to_get(part, space.store)]
    artifacts, among = ([artifact for _, artifact in some] for some in (pairs, space.wanted))
    root, tree = space.project.root, space.options.into
    command = fetch_these(root, tree, artifacts, among, bare=not named)
    unknown = None in sizes or any(part.locked is None for part in plan.artifacts)
    known = sum(size or 0 for size in sizes)
    return Next(command, len(sizes), known, unknown)


def not_locked(space: Workspace) -> list[str]:
    """Ids of artifacts whose files cannot be recognised, as no lock has them."""
    return [a.id for _, a in space.wanted if space.lock.of(a) is None and not a.request.known]


def index_of(space: Workspace) -> ContentIndex:
    """Every content that the lock or a manifest knows by digest."""
    wanted = ContentIndex()
    for _, artifact in space.wanted:
        locked = space.lock.of(artifact)
        known = (artifact.request.known or {}).values()
        for entry in (*locked.files, *locked.archives) if locked else known:
            wanted.add(artifact, entry)
    return wanted


def _walk(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = [name for name in folders if name not in {".git", ".fetch"}]
            here = os.path.normpath(folder)
            yield from (name if here == "." else os.path.join(here, name) for name in sorted(names))


def by_digest(
    space: Workspace, paths: Iterable[str], link: bool, first_trust: bool = False
) -> Adopted:
    """Take every file below `paths` whose digest is wanted; only likely sizes are read.

    One without a known digest is taken where it stands at its own place in the tree and is as large
    as its source says; with `first_trust` whatever its size.
    """
    wanted, result = index_of(space), Adopted()
    places = expected(space)
    read: set[tuple[int, int]] = set()
    for path in _walk(paths):
        try:
            stat = os.stat(path)
            identity = stat.st_dev, stat.st_ino
            if not os.path.isfile(path) or identity in read:
                continue
            here = places.get(os.path.realpath(path))
            if not (here and os.path.islink(path)):  # the file itself is still to come
                read.add(identity)
            result.seen += 1
            if here:
                _take_in_place(space, path, here, result, link, first_trust)
            elif wanted.any_size or stat.st_size in wanted.sizes:
                _take(space, path, wanted, result, link)
        except OSError as error:
            problem = from_os_error(error, t("reading {path}", path=path)).problem
            result.problems.append(problem._replace(file=path))
        except Failure as failure:
            result.problems.append(failure.problem)
    return result


def _take_in_place(
    space: Workspace, path: str, here: Expected, result: Adopted, link: bool, first_trust: bool
) -> None:
    why, sha256 = complaint(path, here.entry, first_trust)
    if why is not None:
        result.left.append((path, why))
        return
    if not space.store.has(sha256):
        space.store.add_file(path, sha256, link)
    _learn(space, here.artifact, here.entry, sha256, os.stat(path).st_size)
    result.taken.append((path, here.artifact.id, here.entry.path, sha256))
    result.in_place.append(path)


def _take(space: Workspace, path: str, wanted: ContentIndex, result: Adopted, link: bool) -> None:
    sha256, git_blob = digests_of(path, True)
    found = wanted.by_sha256.get(sha256) or wanted.by_git.get(git_blob)
    if found is None:
        return
    artifact, entry = found
    if entry.git_proof not in {"", git_blob}:
        raise _contradiction(path, git_blob, artifact, entry)
    if not space.store.has(sha256):
        space.store.add_file(path, sha256, link)
    result.taken.append((path, artifact.id, entry.path, sha256))
    if entry.sha256 is None or entry.size is None or entry.size_hint:
        _learn(space, artifact, entry, sha256, os.stat(path).st_size)


def _contradiction(path: str, git_blob: str, artifact: Artifact, entry: FileEntry) -> Failure:
    """The lock's two digests of a file are of two contents, one of which this is."""
    return Failure(
        "digest-mismatch",
        t(
            "{path} is not adopted: it has the sha256 that fetch.lock says, but the git id "
            "{git_blob}, not {wanted}",
            path=path,
            git_blob=git_blob,
            wanted=entry.git_proof,
        ),
        t("ask the source again: fetch lock --update {id}", id=artifact.command_words),
        artifact.id,
        entry.path,
    )


def _learn(space: Workspace, artifact: Artifact, entry: FileEntry, sha256: str, size: int) -> None:
    key = artifact.manifest, artifact.id
    locked = space.lock.artifacts.get(key)
    if locked is None:
        return  # only the manifest speaks of it so far
    files, archives = (
        tuple(
            file.proven(size, sha256)
            if (file.path, file.archive) == (entry.path, entry.archive)
            else file
            for file in found
        )
        for found in (locked.files, locked.archives)
    )
    space.lock.artifacts[key] = replace(locked, files=files, archives=archives)
    space.save_lock({key: space.lock.artifacts[key]})


def _find(space: Workspace, name: str) -> tuple[Artifact, FileEntry]:
    """The artifact and file that `--as` names, resolved if it has to be."""
    found = naming.artifact_and_path(space.wanted, name)
    if found is None:
        artifact_id = name.partition("/")[0]
        raise UsageError(
            t("--as {name}: no artifact {artifact_id!r}", name=name, artifact_id=artifact_id),
            naming.what_there_is(artifact_id, space.wanted),
        )
    (_, artifact), path = found
    locked: LockedArtifact | None = space.lock.of(artifact)
    if locked is None:
        space.wanted = [pair for pair in space.wanted if pair[1] is artifact]
        resolution = space.resolve()
        if resolution.problems:
            problem = resolution.problems[0]
            raise Failure(problem.code, problem.message, problem.hint, problem.artifact)
        locked = space.lock.of(artifact)
    assert locked is not None
    files = {entry.path: entry for entry in (*locked.archives, *locked.files)}
    if not path and len(files) == 1:
        path = next(iter(files))
    if path not in files:
        close = nearest(path, files)
        raise UsageError(
            t("--as {name}: {id!r} has no file {path!r}", name=name, id=artifact.id, path=path),
            t("did you mean {id}/{close}?", id=artifact.id, close=close)
            if close
            else t("its files: {files}", files=", ".join(list(files)[:8])),
        )
    return artifact, files[path]


def _refuse_lent(space: Workspace, path: str, name: str) -> None:
    """Raise Failure for what is no file, and for a link in the project that leads out of it: its
    name would have the person take what they do not see."""
    real = os.path.realpath(path)
    if not os.path.isfile(real):
        raise Failure(
            "bad-path", t("{path} is no file", path=path), t("name the file itself"), file=path
        )
    if below(space.project.root, Path(path)) and (
        outside(space.settings, Path(path)) and not space.settings.allowed.may_take_from(Path(real))
    ):
        raise Failure(
            "bad-path",
            t("{path} leads to {real}, outside the project", path=path, real=real),
            t(
                "if you want that file: fetch adopt {real} --as {name}",
                real=shlex.quote(real),
                name=shlex.join([name, *_where(space)]),
            ),
            file=path,
        )


def _where(space: Workspace) -> list[str]:
    """The options that a person gave to say which manifests and which tree are meant."""
    manifests = [word for name in space.names for word in ("--manifest", name)]
    return [*manifests, *words_into(space.project.root, space.options.into)]


def _is_known(path: str, entry: FileEntry, sha256: str) -> bool:
    if entry.sha256 or entry.git_blob:
        same = entry.sha256 in {None, sha256}
        return same and entry.git_proof in {"", digests_of(path, True)[1]}
    stated = entry.md5 is not None or entry.published is not None
    return stated and published.holds(path, sha256, entry.md5, entry.published)


def as_file(
    space: Workspace, path: str, name: str, link: bool, first_trust: bool = False
) -> Adopted:
    """Take one file as what `name` (artifact/file) says it is; a known digest must match.

    Without one it must look like that file, unless a person vouches for it (`first_trust`).
    Raises Failure, UsageError.
    """
    _refuse_lent(space, path, name)
    artifact, entry = _find(space, name)
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            size = os.fstat(stream.fileno()).st_size
            complaint = look(Body(stream, size), entry.path)
        sha256 = sha256_of(path)
        known = entry.sha256 or entry.git_blob or entry.md5 or entry.published
        same = _is_known(path, entry, sha256)
        if known and not same:
            raise Failure(
                "digest-mismatch",
                t(
                    "{path} is not {name}: its sha256 is {sha256}{which}",
                    path=path,
                    name=name,
                    sha256=sha256,
                    which=t("; it is {complaint}", complaint=complaint) if complaint else "",
                ),
                t("download it again, or correct the manifest"),
                artifact.id,
                entry.path,
            )
        if not (known or first_trust) and (complaint or not size):
            raise Failure(
                "not-a-file",
                t("{path} is {complaint}", path=path, complaint=complaint or t("empty")),
                t(
                    "save the file itself, not the page that links to it; if these bytes are "
                    "right all the same: add --first-trust"
                ),
                artifact.id,
                entry.path,
            )
        if not space.store.has(sha256):
            space.store.add_file(path, sha256, link)
    except OSError as error:
        raise from_os_error(error, t("adopting {path}", path=path)) from error
    _learn(space, artifact, entry, sha256, size)
    return Adopted([(path, artifact.id, entry.path, sha256)], seen=1)
