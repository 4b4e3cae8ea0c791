"""The tree that a document would make: what stands where, and where it comes from.

Paths are relative to the project's root. Nothing here touches the disk or the network.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from fetcher.i18n import t
from fetcher.importers.document_paths import Unreadable, is_pattern, join, split_base
from fetcher.ui.redact import Redactor

ARCHIVES = re.compile(
    r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst)|7z|rar|gz|bz2|xz|zst)$", re.IGNORECASE
)
MOST_ENTRIES = 100_000
redacted = Redactor()


@dataclass(frozen=True)
class FileOrigin:
    """One file behind an address. `name` is its own name where the address does not say it;
    the digests are lower-case hex, `size` is in bytes, `line` that of the document."""

    address: str
    line: int
    name: str = ""
    size: int | None = None
    sha256: str = ""
    md5: str = ""
    sha1: str = ""
    sha512: str = ""
    mirrors: tuple[str, ...] = ()
    optional: bool = False
    title: str = ""


@dataclass(frozen=True)
class RepoOrigin:
    """A repository, or what `files` and `exclude` (names and globs) choose of it.

    `hub` is the type of source that has it: huggingface or modelscope.
    """

    repo: str
    line: int
    kind: str = "model"
    revision: str = ""
    path: str = ""
    files: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    optional: bool = False
    count: int | None = None
    title: str = ""
    hub: str = "huggingface"
    drawn: bool = False  # a page names it: what its tree shows there is all that is wanted


@dataclass(frozen=True)
class HubFile:
    """One file of a repository of the Hub, by its path in it."""

    repo: RepoOrigin
    path: str

    @property
    def line(self) -> int:
        """The line of the document that names it."""
        return self.repo.line

    @property
    def optional(self) -> bool:
        """Whether only some people want it."""
        return self.repo.optional


Origin = FileOrigin | HubFile


@dataclass(frozen=True)
class Unpacked:
    """An archive whose members go into `folder`, without their first `strip` folders.

    `moved` are members (a folder's ends in `/`) and where they stand instead; `rest` says whether
    the others stay in `folder`.
    """

    archive: Origin
    folder: str
    line: int
    strip: int = 0
    members: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    rest: bool = True

    @property
    def stem(self) -> str:
        """The archive's name without its suffixes, "" where it is not told."""
        if isinstance(self.archive, FileOrigin):
            name = self.archive.name or posixpath.basename(self.archive.address.partition("?")[0])
        else:
            name = posixpath.basename(self.archive.path)
        return ARCHIVES.sub("", name)

    def inner(self, path: str) -> str | None:
        """The member that stands at `path` as it was unpacked; None where none can."""
        if not self.folder:
            return path
        return path[len(self.folder) + 1 :] if path.startswith(self.folder + "/") else None


@dataclass(frozen=True)
class Unpacking:
    """How an archive is unpacked; `name` is what the script calls it."""

    name: str
    folder: str
    line: int
    strip: int = 0
    members: tuple[str, ...] = ()

    def of(self, archive: Origin) -> Unpacked:
        """This archive, unpacked so."""
        return Unpacked(archive, self.folder, self.line, self.strip, self.members)


@dataclass(frozen=True)
class Remark:
    """What is left to do by hand, or could not be read. `text` is the line itself, or ""."""

    line: int
    reason: str
    text: str = ""


class ReadScript(Protocol):
    """Reads a script into a tree: its text, its path, first line and folder, and whether what it
    fetches is optional."""

    def __call__(
        self, text: str, tree: TargetTree, script: str, first_line: int, cwd: str, optional: bool
    ) -> None:
        """Read it."""


def _unread(
    text: str, tree: TargetTree, script: str, first_line: int, cwd: str, optional: bool
) -> None:
    raise Unreadable(t("a script within a script is not read here"))


@dataclass(frozen=True)
class Languages:
    """How scripts within scripts are read: each may hold the other."""

    shell: ReadScript = _unread
    python: ReadScript = _unread
    sibling: Callable[[str], str] = lambda _: ""  # a text of the project by its path, "" for none


@dataclass
class TargetTree:
    """Files, whole repositories by folder, archives that were unpacked, and remarks."""

    files: dict[str, Origin] = field(default_factory=dict)
    repos: list[tuple[str, RepoOrigin]] = field(default_factory=list)
    cached: list[RepoOrigin] = field(default_factory=list)
    unpacked: list[Unpacked] = field(default_factory=list)
    archives: dict[str, Origin] = field(default_factory=dict)
    unnamed: list[tuple[str, FileOrigin]] = field(default_factory=list)
    claimed: dict[str, list[Unpacking]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    languages: Languages = field(default_factory=Languages)
    _told: set[Remark] = field(default_factory=set)

    def remark(self, line: int, reason: str, text: str = "") -> None:
        """Note what is left to do, once."""
        found = Remark(line, reason, without_login(" ".join(text.split()))[:200])
        if found not in self._told:
            self._told.add(found)
            self.remarks.append(found)

    def count(self) -> int:
        """How much has been brought so far."""
        return len(self.files) + len(self.repos) + len(self.unpacked) + len(self.unnamed)

    def targets(self) -> Iterator[str]:
        """Every path that files or folders are brought to."""
        yield from self.files
        for folder, _ in (*self.repos, *self.unnamed):
            yield folder
        for item in self.unpacked:
            yield item.folder
            yield from (end for _, end in item.moved)

    def knows(self, path: str) -> bool:
        """Whether a file or folder stands there by now."""
        return path in self.files or path in self.texts or self.is_folder(path)

    def is_folder(self, path: str) -> bool:
        """Whether a folder stands there by now."""
        return (
            path == ""
            or path in self.folders
            or any(name.startswith(path + "/") for name in (*self.files, *self.folders))
            or any(name == path or name.startswith(path + "/") for name, _ in self.repos)
            or any(item.folder == path for item in self.unpacked)
            or any(
                member.endswith("/") and path == target
                for item in self.unpacked
                for member, target in item.moved
            )
        )

    def is_unpacked(self, path: str) -> bool:
        """Whether an archive may have brought what stands at a path."""
        return any(item.inner(path) for item in self.unpacked)

    def put(self, path: str, origin: Origin) -> None:
        """A file at `path`; the same address twice is one, another at one path is a remark.

        Raises Unreadable for a path that is a folder's alone.
        """
        if not split_base(path)[1]:
            raise Unreadable(t("it names no file"))
        there = self.files.get(path)
        if there is not None and not _same(there, origin):
            self.remark(
                origin.line,
                t(
                    "another file stands at {path} already (line {line})",
                    path=path,
                    line=there.line,
                ),
                shown(origin),
            )
            return
        if len(self.files) >= MOST_ENTRIES:
            raise Unreadable(t("more than {most:,} files", most=MOST_ENTRIES))
        if there is None or (there.optional and not origin.optional):
            self.files[path] = origin

    def put_repo(self, folder: str, origin: RepoOrigin) -> None:
        """A repository, or a choice of its files, in a folder."""
        exact = origin.files and not origin.exclude and not any(map(is_pattern, origin.files))
        if not exact:
            bare = replace(origin, line=0, title="", count=None, optional=False, drawn=False)
            for there, other in self.repos:
                if (
                    there == folder
                    and replace(other, line=0, title="", count=None, optional=False, drawn=False)
                    == bare
                ):
                    return
            self.repos.append((folder, origin))
            return
        for name in origin.files:
            self.put(join(folder, name), HubFile(replace(origin, files=()), name))

    def carry(self, source: str, target: str, copy: bool = False) -> bool:
        """Move or copy what stands at `source` (a path or glob); False if nothing does.

        Raises Unreadable where it would take a part of a repository.
        """
        if is_pattern(source):
            found = [path for path in self.files if _matches(path, source)]
            found += [path for path, _ in self.repos if _matches(path, source)]
            for path in found:
                self._carry_one(path, join(target, posixpath.basename(path)), copy)
            return bool(found) or self._carry_unnamed(source, target)
        into = self.is_folder(target) and source != target
        return self._carry_one(
            source, join(target, posixpath.basename(source)) if into else target, copy
        )

    def _carry_unnamed(self, pattern: str, target: str) -> bool:
        """Move the files of the pattern's folder whose names only the server knows."""
        here = posixpath.dirname(pattern)
        found = [item for item in self.unnamed if item[0] == here]
        for folder, origin in found:
            self.unnamed[self.unnamed.index((folder, origin))] = (target, origin)
        return bool(found)

    def _carry_one(self, source: str, target: str, copy: bool) -> bool:
        moved = [path for path in self.files if path == source or path.startswith(source + "/")]
        for path in moved:
            origin = self.files[path] if copy else self.files.pop(path)
            self.put(target + path[len(source) :], origin)
        found = bool(moved) | self._carry_repos(source, target, copy)
        found |= self._carry_unpacked(source, target)
        for folder in [name for name in self.folders if (name + "/").startswith(source + "/")]:
            self.folders.add(target + folder[len(source) :])
            if not copy:
                self.folders.discard(folder)
        return found

    def _carry_repos(self, source: str, target: str, copy: bool) -> bool:
        found = False
        for index, (folder, repo) in enumerate(list(self.repos)):
            if (folder + "/").startswith(source + "/"):
                renamed = (target + folder[len(source) :], repo)
                if copy:
                    self.repos.append(renamed)
                else:
                    self.repos[index] = renamed
                found = True
        return found

    def _carry_unpacked(self, source: str, target: str) -> bool:
        """Move folders that archives were unpacked into, and members that were moved before."""
        found = False
        for index, item in enumerate(self.unpacked):
            folder, moved = item.folder, item.moved
            if (folder + "/").startswith(source + "/") and folder:
                folder = target + folder[len(source) :]
            moved = tuple(
                (member, target + end[len(source) :])
                if (end + "/").startswith(source + "/")
                else (member, end)
                for member, end in moved
            )
            if (folder, moved) != (item.folder, item.moved):
                self.unpacked[index] = replace(item, folder=folder, moved=moved)
                found = True
        return found

    def name_unnamed(self, path: str) -> bool:
        """Whether `path` must be the one file of its folder that the server has named: it is then.

        A script that goes on with a file which nothing else can have brought means that one.
        """
        folder, name = posixpath.split(path)
        here = [item for item in self.unnamed if item[0] == folder]
        if self.knows(path) or len(here) != 1 or not name or is_pattern(path):
            return False
        self.unnamed.remove(here[0])
        self.put(path, replace(here[0][1], name=name))
        return True

    def state(self, path: str, kind: str, digest: str) -> bool:
        """Note a digest that the document gives for the file at `path`.

        `kind` is sha256, sha512, sha1 or md5.
        """
        origin = self.files.get(path)
        if not isinstance(origin, FileOrigin):
            return False
        self.files[path] = replace(
            origin,
            sha256=digest if kind == "sha256" else origin.sha256,
            sha512=digest if kind == "sha512" else origin.sha512,
            sha1=digest if kind == "sha1" else origin.sha1,
            md5=digest if kind == "md5" else origin.md5,
        )
        return True

    def remove(self, path: str) -> bool:
        """Take files away again (a path or glob); True if one was wanted that is no archive."""
        gone = [
            name
            for name in self.files
            if name == path
            or name.startswith(path + "/")
            or (is_pattern(path) and _matches(name, path))
        ]
        lost = False
        for name in gone:
            lost = lost or not ARCHIVES.search(name)
            del self.files[name]
        return lost

    def unpack(
        self, path: str, folder: str, line: int, strip: int = 0, members: Iterable[str] = ()
    ) -> bool:
        """Unpack the archive at `path` (a path or glob); False if none is known there.

        The archive leaves the tree: what people want is what is in it.
        """
        how = Unpacking(posixpath.basename(path), folder, line, strip, tuple(members))
        if is_pattern(path):
            every = (*self.files, *self.archives)
            names = [name for name in every if name == path or _matches(name, path)]
        else:
            names = [path] if path in self.files or path in self.archives else []
        for name in dict.fromkeys(names):
            origin = self.files.pop(name, None) or self.archives[name]
            self.archives[name] = origin
            self.add_unpacked(how.of(origin))
        return bool(names) or self._unpack_unnamed(path, how)

    def add_unpacked(self, item: Unpacked) -> None:
        """One more archive that is unpacked; what is said twice of one counts once."""
        alike = (
            _same(item.archive, other.archive)
            and replace(item, archive=other.archive, line=other.line) == other
            for other in self.unpacked
            if item.folder == other.folder
        )
        if not any(alike):
            self.unpacked.append(item)

    def _unpack_unnamed(self, path: str, how: Unpacking) -> bool:
        """Unpack archives of a folder whose names only the server knows, once all are unpacked.

        Which of them is called so makes no difference where all are unpacked alike; else they are
        taken in the order in which they were fetched, and that is a remark.
        """
        here = posixpath.dirname(path)
        unnamed = [origin for folder, origin in self.unnamed if folder == here]
        if not unnamed or self.knows(path):
            return False
        if is_pattern(path):
            claims = [how] * len(unnamed)
        else:
            claims = self.claimed.setdefault(here, [])
            if how.name not in {claim.name for claim in claims}:
                claims.append(how)
            if len(claims) < len(unnamed):
                return True
        alike = len({(item.folder, item.strip, item.members) for item in claims}) == 1
        for claim, origin in zip(claims, unnamed, strict=True):
            self.unnamed.remove((here, origin))
            self.add_unpacked(claim.of(origin if alike else replace(origin, name=claim.name)))
            if not alike:
                why = t("its name is not told: it is taken to be {name}", name=claim.name)
                self.remark(origin.line, why, origin.address)
        self.claimed.pop(here, None)
        return True


def _same(one: Origin, other: Origin) -> bool:
    if isinstance(one, FileOrigin) and isinstance(other, FileOrigin):
        return one.address == other.address
    if isinstance(one, HubFile) and isinstance(other, HubFile):
        bare = [replace(item.repo, line=0, optional=False, title="") for item in (one, other)]
        return bare[0] == bare[1] and one.path == other.path
    return False


_PASSWORD = re.compile(
    r"(--(?:http-|proxy-|ftp-)?(?:user|password|passwd|token)(?:=|\s+)|\s-u\s+|--post-data\s+)"
    r"(?:\"[^\"]*\"|'[^']*'|\S+)"
)


def without_login(text: str) -> str:
    """A line of a document as it may be shown: passwords and tokens in it are hidden."""
    return redacted(_PASSWORD.sub(r"\1***", text))


def shown(origin: Origin) -> str:
    """An origin for a remark."""
    if isinstance(origin, FileOrigin):
        return origin.address
    return f"hf:{origin.repo.repo} {origin.path}"


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def walk(tree: TargetTree) -> Iterator[tuple[str, Origin]]:
    """Every file by its path, in order."""
    yield from sorted(tree.files.items())
