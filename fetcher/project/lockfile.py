"""`fetch.lock`: the exact files of every artifact, committed, one file a line.

It says of each artifact what kind of knowledge it is: what a source said (`said_by`, `said_at`),
or, without these, what the manifest alone claims. A file's sha256 is what the source or the
manifest gives, or was computed from bytes: so it is beside a `git_blob`, which is what a source has
in its place, and elsewhere if `computed` says it. Anybody may have written all of this: what a
manifest states wins (see `fetcher.project.pins`).
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from fetcher.config.boundaries import of_project, own_file
from fetcher.errors import Failure, LockError, newer_hint
from fetcher.fs.globs import BadPattern
from fetcher.fs.locks import held
from fetcher.fs.nearest import nearest
from fetcher.fs.patterns import select
from fetcher.fs.published import is_sound
from fetcher.fs.safe_paths import BadPath, check_relative, printable
from fetcher.i18n import t
from fetcher.network.urls import public_url
from fetcher.project.file_table import with_flags
from fetcher.project.lock_stream import LockStream, UnusualLock
from fetcher.project.manifest import ID, Artifact
from fetcher.project.pins import Contradiction, contradictions
from fetcher.sources.base import FileEntry
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import MAX_LIST, open_regular, read_regular_text

_log = logging.getLogger(__name__)

SCHEMA = "fetch.lock/1"
NAME = "fetch.lock"
# Held while it is merged; the folder is not committed.
MUTEX = ".fetch/lock"
# Bound, as they are called for every file.
_IS_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_IS_SHA1 = re.compile(r"[0-9a-f]{40}").fullmatch
_IS_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch


_MARKERS = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?: |$)", re.MULTILINE)


def _restore(name: str) -> str:
    return t("restore {name} from git, or delete it and run `fetch lock`", name=name)


def has_markers(text: str) -> bool:
    """Whether a merge was left unfinished in a lock's text."""
    return any(mark[0] in "<>" for mark in _MARKERS.findall(text))


def lines_of(text: str) -> list[str]:
    """A lock's lines. Names may hold what Python takes for the end of one, such as U+2028."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def marker(line: str) -> str:
    """Which of git's conflict markers a line is, by its character; "" if it is none."""
    found = _MARKERS.match(line)
    return found[1][0] if found else ""


def _unfinished(text: str, shown: str) -> LockError:
    """The error for a lock with conflict markers, with what they are about."""
    names = conflicting(text)
    more = t(" and {count} more", count=len(names) - _NAMED) if len(names) > _NAMED else ""
    about = t(": {names}{more}", names=", ".join(names[:_NAMED]), more=more) if names else ""
    hint = t(
        "`fetch lock --resolve ours` (or theirs) merges it, and takes that side of what both "
        "changed; `fetch lock --update NAME` then asks the source"
    )
    if shown != NAME:
        hint = t("finish the merge where it was begun")
    return LockError(t("{shown} has git's conflict markers{about}", shown=shown, about=about), hint)


def conflicting(text: str) -> list[str]:
    """The artifacts, as manifest/id, that conflict markers stand in or around; as lines tell."""
    found: dict[str, None] = {}
    manifest, artifact, side = "", "", ""
    for line in lines_of(text):
        if mark := marker(line):
            side = "" if mark == ">" else mark
            continue
        if head := _HEAD.match(line):
            if len(head[1]) == 4:
                manifest, artifact = head[2], ""
            else:
                artifact = head[2]
        elif line.startswith("      }"):
            artifact = artifact if side else ""
        if side and artifact:
            found[f"{manifest}/{artifact}"] = None
    return list(found)


_LINE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_TEXTS = ("source", "revision", "selection", "said_by", "said_at", "license")
_MAX_SIZE = 2**63 - 1
_NAMED = 5  # artifacts in a message
_LEAST_OF_FILE = 110  # bytes of its line, with a sha256
# A line that begins a manifest (four blanks) or an artifact (six), as `dumps` writes it.
_HEAD = re.compile(rf'( {{4}}|[ ]{{6}})"({ID})": \{{$')
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
    files: Sequence[FileEntry]
    said_by: str = ""
    said_at: str = ""
    archives: tuple[FileEntry, ...] = ()
    license: str = ""

    @property
    def source_files(self) -> Sequence[FileEntry]:
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
        listed = {file.archive for file in with_flags(self.files)}
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
        return verdict.outdated if verdict else t("it has no entry in fetch.lock")

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


class _Verdict(NamedTuple):
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
    if request.files is None and not request.exclude:
        return bool(locked.source_files)
    paths = [file.path for file in locked.source_files]
    try:
        if artifact.source.lists and (names := artifact.source_names) is not None:
            return set(names) == set(paths)
        chosen = select(paths, request.files, request.exclude).names
        return bool(paths) and len(chosen) == len(paths)
    except BadPattern:
        return False


def locked(
    artifact: Artifact,
    revision: str,
    files: Iterable[FileEntry],
    said_by: str = "",
    license: str = "",
) -> LockedArtifact:
    """The lock's entry for a resolved artifact; `said_by` is who listed it, today."""
    said_at = time.strftime("%Y-%m-%d", time.gmtime()) if said_by else ""
    source, selection = artifact.source.describe(), artifact.selection
    archives, plain = split_archives(artifact, sorted(files))
    return LockedArtifact(source, revision, selection, plain, said_by, said_at, archives, license)


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
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
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
    files = tuple(file_entry(entry, where) for entry in item["files"])
    if len({file.path for file in files}) != len(files):
        raise LockError(t("{where}: a file is listed twice", where=where))
    listed = item.get("archives", [])
    if not isinstance(listed, list):
        raise LockError(t("{where}: archives is no list", where=where))
    archives = tuple(file_entry(entry, where) for entry in listed)
    return _made(item, files, archives, where)


def _made(
    item: Mapping[str, object],
    files: Sequence[FileEntry],
    archives: tuple[FileEntry, ...],
    where: str,
) -> LockedArtifact:
    """A locked artifact of `files`, each of which stands there once. Raises LockError."""
    texts = [text for name in _TEXTS if isinstance(text := item.get(name, ""), str)]
    if len(texts) != len(_TEXTS) or not all(map(_LINE.fullmatch, texts)):
        raise LockError(
            t("{where}: {names} must be text of one line", where=where, names=", ".join(_TEXTS))
        )
    paths = {entry.path for entry in archives}
    names = {entry.archive for entry in archives}
    if len(paths) != len(archives) or not all(names):
        raise LockError(t("{where}: an archive is listed twice, or has no name", where=where))
    if any(file.archive and file.archive not in names for file in with_flags(files)):
        raise LockError(t("{where}: a file is of an archive that is not there", where=where))
    source, revision, selection, said_by, said_at, license = texts
    return LockedArtifact(source, revision, selection, files, said_by, said_at, archives, license)


def loads(text: str, shown: str = NAME) -> Lock:
    """Parse a lock; raises LockError for anything that is not as this tool writes it."""
    try:
        return _loads(text, shown)
    except LockError as error:
        if has_markers(text):
            raise _unfinished(text, shown) from error
        error.hint = error.hint or _restore(shown)
        raise
    except (ValueError, RecursionError) as error:
        if has_markers(text):
            raise _unfinished(text, shown) from error
        raise LockError(
            t("{shown} cannot be read: {error}", shown=shown, error=error), _restore(shown)
        ) from error


def _check_schema(data: object, shown: str) -> None:
    found = data.get("schema") if isinstance(data, dict) else None
    if found == SCHEMA:
        return
    raise LockError(
        t(
            "{shown} has schema {found}, this version reads {schema!r}",
            shown=shown,
            found=_shown(found),
            schema=SCHEMA,
        ),
        newer_hint(found, SCHEMA),
    )


def _loads(text: str, shown: str) -> Lock:
    data = json_text.loads(text, object_pairs_hook=_object)
    _check_schema(data, shown)
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


def read(root: Path) -> Lock:
    """The project's lock, empty if there is none. Raises LockError, Failure."""
    path = own_file(root, NAME)
    try:
        return _streamed(path) or loads(read_regular_text(path, MAX_LIST))
    except FileNotFoundError:
        return Lock()
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", "") or error
        raise LockError(
            t("{path} cannot be read: {error}", path=path, error=told), _restore(NAME)
        ) from error


def most_files(root: Path) -> int:
    """How many files the project's lock may have, by its size alone."""
    try:
        return os.lstat(root / NAME).st_size // _LEAST_OF_FILE
    except OSError:
        return 0


def _streamed(path: Path) -> Lock | None:
    """The lock read line by line, None for one that is to be read as a whole. Raises OSError."""
    with open_regular(path) as raw:
        if os.fstat(raw.fileno()).st_size > MAX_LIST:
            return None
        with io.TextIOWrapper(
            io.BufferedReader(cast(io.RawIOBase, raw)), "utf-8", newline="\n"
        ) as text:
            return stream_lock(text)


def stream_lock(text: TextIO) -> Lock | None:
    """The lock that a text is line by line, as `dumps` writes it; None for another, which
    need not be wrong: as a whole it is what `loads` says."""
    try:
        return _read_lines(LockStream(text, lambda item: file_entry(item, NAME)))
    except (LockError, ValueError, RecursionError):
        return None


_MANIFEST = re.compile(rf' {{4}}"({ID})": \{{')
_ARTIFACT = re.compile(rf' {{6}}"({ID})": \{{')


def _read_lines(stream: LockStream) -> Lock:
    """Raises UnusualLock, LockError, or ValueError for other lines than `dumps` writes."""
    stream.expect("{", f'  "schema": "{SCHEMA}",', '  "manifests": {')
    lock, after = Lock(), ","
    while after == ",":
        manifest = stream.match(_MANIFEST)
        if any(key[0] == manifest for key in lock.artifacts):
            raise UnusualLock
        while after == ",":
            key = manifest, stream.match(_ARTIFACT)
            if key in lock.artifacts:
                raise UnusualLock
            lock.artifacts[key] = _read_artifact(stream)
            after = stream.closed("      }")
        after = stream.closed("    }")
    stream.expect("  }", "}")
    if stream.line():
        raise UnusualLock
    return lock


def _read_artifact(stream: LockStream) -> LockedArtifact:
    head: dict[str, object] = {}
    archives: Sequence[FileEntry] = ()
    while (line := stream.line()) != '        "files": [':
        if line == '        "archives": [' and not archives:
            archives = stream.files(ordered=False)
            stream.expect("        ],")
            continue
        if not (line.startswith('        "') and line.endswith('",')):
            raise UnusualLock
        found = json.loads(f"{{{line[:-1]}}}", object_pairs_hook=_object)
        if head.keys() & found.keys() or not found.keys() <= {*_TEXTS}:
            raise UnusualLock
        head |= found
    files = stream.files()
    stream.expect("        ]")
    return _made(head, files, tuple(archives), NAME)


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


def dump_entry(name: str, item: LockedArtifact) -> str:
    """The lines of one artifact in a lock, without what follows them."""
    head = {"source": item.source, "revision": item.revision}
    for key, value in (
        ("selection", item.selection),
        ("said_by", item.said_by),
        ("said_at", item.said_at),
        ("license", item.license),
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
    return (
        f"      {json.dumps(name)}: {{\n{body},\n"
        f'{archives}        "files": [\n{lines}\n        ]\n      }}'
    )


def dumps(lock: Lock) -> str:
    """The lock as text: sorted, one file a line."""
    by_manifest: dict[str, list[str]] = {}
    for (manifest, name), item in sorted(lock.artifacts.items()):
        by_manifest.setdefault(manifest, []).append(dump_entry(name, item))
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


def replace_lock(
    root: Path, lock: Lock, say: Callable[[str], None] = lambda _: None, mode: str = "auto"
) -> None:
    """Write a whole lock in place of what is there, which may be no lock. As `update`."""
    with held(root / MUTEX, t("updating {name}", name=NAME), say, mode):
        of_project(root).write(NAME, dumps(lock).encode())
