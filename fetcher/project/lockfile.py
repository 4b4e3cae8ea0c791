"""`fetch.lock`: the exact files of every artifact, committed, one file a line.

It says of each artifact what kind of knowledge it is: what a source said (`said_by`, `said_at`),
or, without these, what the manifest alone claims. A file's sha256 is what the source or the
manifest gives, or was computed from bytes: so it is beside a `git_blob`, which is what a source has
in its place, and elsewhere if `computed` says it. Anybody may have written all of this: what a
manifest states wins (see `fetcher.project.pins`).
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fetcher.config.boundaries import of_project, own_file
from fetcher.errors import Failure, LockError
from fetcher.fs.globs import BadPattern
from fetcher.fs.locks import held
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import select
from fetcher.fs.published import is_sound
from fetcher.fs.safe_paths import BadPath, check_relative, printable
from fetcher.i18n import t
from fetcher.network.urls import public_url
from fetcher.project.manifest import ID, Artifact
from fetcher.project.pins import Contradiction, contradictions
from fetcher.sources.base import FileEntry
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import MAX_LIST, read_regular_text

_log = logging.getLogger(__name__)

SCHEMA = "fetch.lock/1"
NAME = "fetch.lock"
# Held while it is merged; the folder is not committed.
MUTEX = ".fetch/lock"
# Bound, as they are called for every file.
_IS_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_IS_SHA1 = re.compile(r"[0-9a-f]{40}").fullmatch
_IS_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch


def _restore(name: str) -> str:
    return t("restore {name} from git, or delete it and run `fetch lock`", name=name)


_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_TEXTS = ("source", "revision", "selection", "said_by", "said_at")
_MAX_SIZE = 2**63 - 1
_quoted = json.encoder.encode_basestring


@dataclass(frozen=True)
class LockedArtifact:
    """What an artifact resolved to. `selection` tells if `files` or `exclude` changed since.

    `said_by` is the address that listed the files, and `said_at` the day (UTC, 2026-11-28); both
    are "" where nothing was asked. `archives` are what `unpack` is about: files of the source, each
    with the name of the archive that it is, or is a part of; their members are among `files`, with
    the same name, once they are known.
    """

    source: str
    revision: str
    selection: str
    files: tuple[FileEntry, ...]
    said_by: str = ""
    said_at: str = ""
    archives: tuple[FileEntry, ...] = ()

    @property
    def source_files(self) -> tuple[FileEntry, ...]:
        """What the source itself has: archives, and files that are members of none."""
        if not self.archives:
            return self.files
        return (*self.archives, *(file for file in self.files if not file.archive))

    @property
    def needed(self) -> tuple[FileEntry, ...]:
        """What a store must have for it: its files, and archives that are still to be opened."""
        unlisted = self.unlisted if self.archives else ()
        return (*self.files, *(entry for entry in self.archives if entry.archive in unlisted))

    @cached_property
    def members_known(self) -> bool:
        """Whether the members of all its archives are among `files`."""
        return not self.archives or not self.unlisted

    @cached_property
    def unlisted(self) -> tuple[str, ...]:
        """Names of the archives whose members are not known yet."""
        listed = {file.archive for file in self.files}
        names = dict.fromkeys(entry.archive for entry in self.archives)
        return tuple(name for name in names if name not in listed)

    def parts_of(self, archive: str) -> tuple[FileEntry, ...]:
        """The source's files that an archive is read from, in their order."""
        return tuple(entry for entry in self.archives if entry.archive == archive)

    def with_members(self, archive: str, members: Iterable[FileEntry]) -> LockedArtifact:
        """The same with the members of one archive as they are now known."""
        others = (file for file in self.files if file.archive != archive)
        return replace(self, files=tuple(sorted([*others, *members])))


@dataclass
class Lock:
    """All locked artifacts by (manifest, artifact id)."""

    artifacts: dict[tuple[str, str], LockedArtifact] = field(default_factory=dict)
    _verdicts: dict[tuple[str, str], _Verdict] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, artifact: Artifact) -> LockedArtifact | None:
        """The entry of an artifact if it still answers to what the manifest says."""
        verdict = self._verdict(artifact)
        if verdict is None:
            _log.debug("%s is not taken from the lock: it has no entry", artifact.full_name)
            return None
        why = verdict.outdated or next((item.message for item in verdict.contradictions), "")
        if why:
            _log.debug("%s is not taken from the lock: %s", artifact.full_name, why)
        return None if why else verdict.locked

    def contradictions(self, artifact: Artifact) -> Sequence[Contradiction]:
        """Pins of the manifest that its entry does not keep, though it was written for them."""
        verdict = self._verdict(artifact)
        return verdict.contradictions if verdict else ()

    def why_not(self, artifact: Artifact) -> str:
        """Why the artifact has no entry that counts, for people; "" if it has one."""
        verdict = self._verdict(artifact)
        return verdict.outdated if verdict else t("it has no entry")

    def _verdict(self, artifact: Artifact) -> _Verdict | None:
        """What its entry is worth, None if there is none; kept, as many steps of a run ask."""
        key = artifact.manifest, artifact.id
        locked = self.artifacts.get(key)
        if locked is None:
            return None
        before = self._verdicts.get(key)
        if before is None or before.locked is not locked or before.artifact is not artifact:
            why = outdated(locked, artifact)
            found = () if why else tuple(against(artifact, locked))
            before = self._verdicts[key] = _Verdict(locked, artifact, why, found)
        return before


@dataclass(frozen=True)
class _Verdict:
    """What an entry is worth to an artifact: out of date for a reason, or against these pins."""

    locked: LockedArtifact
    artifact: Artifact
    outdated: str
    contradictions: tuple[Contradiction, ...]


def against(artifact: Artifact, locked: LockedArtifact) -> Iterator[Contradiction]:
    """Every pin of the artifact that an entry does not keep."""
    count = len(locked.files) if locked.members_known else None
    return contradictions(artifact, locked.revision, locked.source_files, count)


def outdated(locked: LockedArtifact, artifact: Artifact) -> str:
    """Why an entry was written for another wish than the manifest's of today; "" if it was not."""
    source = artifact.source.describe()
    if locked.source != source:
        there, here = shown_source(locked.source), shown_source(source)
        if there == here:
            return t("its source is {locked} with another query than in the manifest", locked=there)
        return t(
            "its source is {locked} there and {stated} in the manifest", locked=there, stated=here
        )
    if locked.selection != artifact.selection:
        return t("it was written for other `files` or `exclude` than the manifest has")
    return "" if _answers(locked, artifact) else t("its files are not those that are selected")


def shown_source(source: str) -> str:
    """A source's canonical text in messages: no login, no query, nothing that moves a cursor."""
    return public_url(source) if "://" in source else printable(source)


def _answers(locked: LockedArtifact, artifact: Artifact) -> bool:
    """Whether the files are those that the manifest selects: a bad merge can lose or add lines."""
    request = artifact.request
    if bool(locked.archives) is (artifact.unpack is None):
        return False
    paths = [file.path for file in locked.source_files]
    if request.files is None and not request.exclude:
        return bool(paths)
    try:
        if artifact.source.lists and (names := artifact.source_names) is not None:
            return set(names) == set(paths)
        chosen = select(paths, request.files, request.exclude).names
        return bool(paths) and len(chosen) == len(paths)
    except BadPattern:
        return False


def locked(
    artifact: Artifact, revision: str, files: Iterable[FileEntry], said_by: str = ""
) -> LockedArtifact:
    """The lock's entry for a resolved artifact; `said_by` is who listed it, today."""
    said_at = time.strftime("%Y-%m-%d", time.gmtime()) if said_by else ""
    source, selection = artifact.source.describe(), artifact.selection
    archives, plain = split_archives(artifact, sorted(files))
    return LockedArtifact(source, revision, selection, plain, said_by, said_at, archives)


def split_archives(
    artifact: Artifact, files: Sequence[FileEntry]
) -> tuple[tuple[FileEntry, ...], tuple[FileEntry, ...]]:
    """A source's files as archives, which say what they are (a part) of, and all others.

    Raises Failure for an archive that `unpack` names and the source does not have.
    """
    if artifact.unpack is None:
        return (), tuple(files)
    by_path = {file.path: file for file in files}
    if missing := artifact.unpack.missing(list(by_path)):
        close = nearest(missing[0], by_path)
        raise Failure(
            "missing-upstream",
            t("{where} has no archive {name!r}", where=artifact.id, name=missing[0]),
            t("did you mean {close!r}?", close=close)
            if close
            else t("compare `unpack` with the source's list"),
            file=missing[0],
        )
    groups = artifact.unpack.groups(list(by_path))
    archives = [by_path[p]._replace(archive=g.name) for g in groups.values() for p in g.files]
    taken = {entry.path for entry in archives}
    return tuple(archives), tuple(file for file in files if file.path not in taken)


def _shown(value: Any) -> str:
    """A value from outside, cut short for a message."""
    text = printable(repr(value))
    return text if len(text) <= 80 else text[:79] + "…"


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; a key that stands twice, as after a wrong merge, is an error."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LockError(t("the key {twice} stands twice in one object", twice=_shown(twice)))
    return found


def file_entry(item: Any, where: str) -> FileEntry:
    """A file's record, checked; `where` names the place in messages. Raises LockError."""
    if not isinstance(item, dict):
        raise LockError(t("{where}: a file is no object", where=where))
    path, size = item.get("path"), item.get("size")
    sha256, git_blob, md5 = item.get("sha256"), item.get("git_blob"), item.get("md5")
    if not isinstance(path, str):
        raise LockError(t("{where}: a file has no path", where=where))
    try:
        check_relative(path)
    except BadPath as error:
        raise LockError(
            t("{where}: path {path!r} {error}", where=where, path=printable(path), error=error)
        ) from error
    if size is not None and (type(size) is not int or not 0 <= size <= _MAX_SIZE):
        raise LockError(
            t("{where}: {path} has the size {size}", where=where, path=path, size=_shown(size))
        )
    for digest, sound in ((sha256, _IS_SHA256), (git_blob, _IS_SHA1), (md5, _IS_MD5)):
        if digest is not None and not (isinstance(digest, str) and sound(digest)):
            raise LockError(
                t(
                    "{where}: {path} has the digest {digest}",
                    where=where,
                    path=path,
                    digest=_shown(digest),
                )
            )
    computed = sha256 is not None and item.get("computed", git_blob is not None) is True
    published = item.get("published")
    if published is not None and not (isinstance(published, str) and is_sound(published)):
        raise LockError(
            t(
                "{where}: {path} has the digest {digest}",
                where=where,
                path=path,
                digest=_shown(published),
            )
        )
    hint = item.get("size_hint") is True and size is not None and sha256 is None
    archive, executable = item.get("archive", ""), item.get("executable") is True
    if not isinstance(archive, str) or not _LINE.fullmatch(archive):
        raise LockError(
            t(
                "{where}: {path} is of the archive {name}",
                where=where,
                path=path,
                name=_shown(archive),
            )
        )
    lfs = item.get("lfs") is True
    known = path, size, sha256, git_blob, lfs, md5, computed, hint, published
    return FileEntry(*known, archive, executable)


def _artifact(item: Any, where: str) -> LockedArtifact:
    if not isinstance(item, dict) or not isinstance(item.get("files"), list):
        raise LockError(t("{where} has no list of files", where=where))
    texts = [item.get(name, "") for name in _TEXTS]
    if not all(isinstance(text, str) and _LINE.fullmatch(text) for text in texts):
        raise LockError(
            t("{where}: {names} must be text of one line", where=where, names=", ".join(_TEXTS))
        )
    files = tuple(file_entry(entry, where) for entry in item["files"])
    if len({file.path for file in files}) != len(files):
        raise LockError(t("{where}: a file is listed twice", where=where))
    listed = item.get("archives", [])
    if not isinstance(listed, list):
        raise LockError(t("{where}: archives is no list", where=where))
    archives = tuple(file_entry(entry, where) for entry in listed)
    paths = {entry.path for entry in archives}
    names = {entry.archive for entry in archives}
    if len(paths) != len(archives) or not all(names):
        raise LockError(t("{where}: an archive is listed twice, or has no name", where=where))
    if any(file.archive and file.archive not in names for file in files):
        raise LockError(t("{where}: a file is of an archive that is not there", where=where))
    return LockedArtifact(texts[0], texts[1], texts[2], files, texts[3], texts[4], archives)


def loads(text: str, shown: str = NAME) -> Lock:
    """Parse a lock; raises LockError for anything that is not as this tool writes it."""
    hint = _restore(shown)
    try:
        data = json_text.loads(text, object_pairs_hook=_object)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, dict) else None
            raise LockError(
                t(
                    "{shown} has schema {found}, this version reads {schema!r}",
                    shown=shown,
                    found=_shown(found),
                    schema=SCHEMA,
                )
            )
        manifests = data.get("manifests")
        if not isinstance(manifests, dict):
            raise LockError(t("{shown} has no manifests", shown=shown))
        lock = Lock()
        for manifest, artifacts in manifests.items():
            if not isinstance(artifacts, dict):
                raise LockError(
                    t(
                        "{shown}: manifest {manifest} is no object",
                        shown=shown,
                        manifest=_shown(manifest),
                    )
                )
            for name, item in artifacts.items():
                if not (re.fullmatch(ID, manifest) and re.fullmatch(ID, name)):
                    raise LockError(
                        t(
                            "{shown}: {text} is no artifact's id",
                            shown=shown,
                            text=_shown(f"{manifest}/{name}"),
                        )
                    )
                lock.artifacts[manifest, name] = _artifact(item, f"{shown}: {manifest}/{name}")
        return lock
    except LockError as error:
        error.hint = error.hint or hint
        raise
    except (ValueError, RecursionError) as error:
        if re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE):
            hint = t("finish the merge: keep either side, then run `fetch lock`")
            raise LockError(t("{shown} has git's conflict markers", shown=shown), hint) from error
        raise LockError(
            t("{shown} cannot be read: {error}", shown=shown, error=error), hint
        ) from error


def read(root: Path) -> Lock:
    """The project's lock, empty if there is none. Raises LockError, Failure."""
    path = own_file(root, NAME)
    try:
        return loads(read_regular_text(path, MAX_LIST))
    except FileNotFoundError:
        return Lock()
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", "") or error
        raise LockError(
            t("{path} cannot be read: {error}", path=path, error=told), _restore(NAME)
        ) from error


def _file_line(file: FileEntry) -> str:
    # Written by hand: there may be a million of them.
    path, size, sha256, git_blob, lfs, md5, computed, hint, published, archive, executable = file
    text = f'          {{"path": {_quoted(path)}'
    if size is not None and sha256 is not None:
        text += f', "size": {size}, "sha256": {_quoted(sha256)}'
    elif size is not None:
        text += f', "size": {size}'
    elif sha256 is not None:
        text += f', "sha256": {_quoted(sha256)}'
    if hint:
        text += ', "size_hint": true'
    if git_blob is not None:
        text += f', "git_blob": {_quoted(git_blob)}'
    if md5 is not None:
        text += f', "md5": {_quoted(md5)}'
    if published is not None:
        text += f', "published": {_quoted(published)}'
    if computed is (git_blob is None) and sha256 is not None:
        text += ', "computed": true' if computed else ', "computed": false'
    if archive:
        text += f', "archive": {_quoted(archive)}'
    if executable:
        text += ', "executable": true'
    return text + (', "lfs": true}' if lfs else "}")


def dumps(lock: Lock) -> str:
    """The lock as text: sorted, one file a line."""
    by_manifest: dict[str, list[str]] = {}
    for (manifest, name), item in sorted(lock.artifacts.items()):
        head = {"source": item.source, "revision": item.revision}
        for key, value in (
            ("selection", item.selection),
            ("said_by", item.said_by),
            ("said_at", item.said_at),
        ):
            if value:
                head[key] = value
        lines = ",\n".join(map(_file_line, item.files))
        packed = ",\n".join(map(_file_line, item.archives))
        archives = f'        "archives": [\n{packed}\n        ],\n' if packed else ""
        body = ",\n".join(
            f"        {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
            for key, value in head.items()
        )
        by_manifest.setdefault(manifest, []).append(
            f"      {json.dumps(name)}: {{\n{body},\n"
            f'{archives}        "files": [\n{lines}\n        ]\n      }}'
        )
    blocks = [
        f"    {json.dumps(name)}: {{\n" + ",\n".join(items) + "\n    }"
        for name, items in by_manifest.items()
    ]
    inner = ",\n".join(blocks)
    return f'{{\n  "schema": "{SCHEMA}",\n  "manifests": {{\n{inner}\n  }}\n}}\n'


def update(
    root: Path,
    changed: Mapping[tuple[str, str], LockedArtifact],
    gone: Iterable[tuple[str, str]] = (),
    say: Callable[[str], None] = lambda _: None,
    mode: str = "auto",
) -> bool:
    """Merge `changed` into the lock on disk and drop `gone`; True if the file was written.

    One run at a time reads, merges and writes, so that two do not lose each other's entries.
    `say` is told whom we wait for; `mode`: see `fetcher.fs.locks`. Raises Failure, LockError,
    OSError.
    """
    with held(root / MUTEX, t("updating {name}", name=NAME), say, mode):
        lock = read(root)
        before = dict(lock.artifacts)
        lock.artifacts.update(changed)
        for key in gone:
            lock.artifacts.pop(key, None)
        if lock.artifacts == before and (root / NAME).exists():
            return False
        of_project(root).write(NAME, dumps(lock).encode())
        return True
