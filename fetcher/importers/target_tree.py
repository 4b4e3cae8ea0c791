"""The tree that a document would make: what stands where, and where it comes from.

Paths are relative to the project's root. Nothing here touches the disk or the network.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from fetcher.i18n import t

# A path that begins so is absolute and lies in the project, or in the person's home. Both are of
# Unicode's private use: no path that a document writes begins so.
ROOT, HOME = "\ue000", "\ue001"
# What a document puts into a folder for temporary files, and takes from there again.
TEMPORARY = "\ue002"
ARCHIVES = re.compile(
    r"\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst)|7z|rar|gz|bz2|xz|zst)$", re.IGNORECASE
)
MOST_ENTRIES = 100_000


class Unreadable(Exception):
    """What a document means cannot be told; the text says why."""


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
    mirrors: tuple[str, ...] = ()
    optional: bool = False
    title: str = ""


@dataclass(frozen=True)
class RepoOrigin:
    """A repository of the Hub, or what `files` and `exclude` (names and globs) choose of it."""

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
    """An archive whose members go into `folder`, without their first `strip` folders."""

    archive: Origin
    folder: str
    line: int
    strip: int = 0
    members: tuple[str, ...] = ()


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


@dataclass
class TargetTree:
    """Files, whole repositories by folder, archives that were unpacked, and remarks."""

    files: dict[str, Origin] = field(default_factory=dict)
    repos: list[tuple[str, RepoOrigin]] = field(default_factory=list)
    cached: list[RepoOrigin] = field(default_factory=list)
    unpacked: list[Unpacked] = field(default_factory=list)
    archives: dict[str, Origin] = field(default_factory=dict)
    unnamed: list[tuple[str, FileOrigin]] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    languages: Languages = field(default_factory=Languages)

    def remark(self, line: int, reason: str, text: str = "") -> None:
        """Note what is left to do, once."""
        found = Remark(line, reason, " ".join(text.split())[:200])
        if found not in self.remarks:
            self.remarks.append(found)

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
        )

    def put(self, path: str, origin: Origin) -> None:
        """A file at `path`; the same address twice is one, another at one path is a remark."""
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

        Raises Unreadable where it would take a part of a repository or archive.
        """
        if is_pattern(source):
            found = [path for path in self.files if _matches(path, source)]
            found += [path for path, _ in self.repos if _matches(path, source)]
            for path in found:
                self._carry_one(path, join(target, posixpath.basename(path)), copy)
            return bool(found)
        into = self.is_folder(target) and source != target
        return self._carry_one(
            source, join(target, posixpath.basename(source)) if into else target, copy
        )

    def _carry_one(self, source: str, target: str, copy: bool) -> bool:
        moved = [path for path in self.files if path == source or path.startswith(source + "/")]
        repos = [
            (index, folder)
            for index, (folder, _) in enumerate(self.repos)
            if folder == source or folder.startswith(source + "/")
        ]
        unpacked = [
            index
            for index, item in enumerate(self.unpacked)
            if item.folder == source or item.folder.startswith(source + "/")
        ]
        for path in moved:
            origin = self.files[path] if copy else self.files.pop(path)
            self.put(target + path[len(source) :], origin)
        for index, folder in repos:
            renamed = (target + folder[len(source) :], self.repos[index][1])
            if copy:
                self.repos.append(renamed)
            else:
                self.repos[index] = renamed
        for index in unpacked:
            item = self.unpacked[index]
            self.unpacked[index] = replace(item, folder=target + item.folder[len(source) :])
        for folder in [name for name in self.folders if (name + "/").startswith(source + "/")]:
            self.folders.add(target + folder[len(source) :])
            if not copy:
                self.folders.discard(folder)
        return bool(moved or repos or unpacked)

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
        """Note the digest (`sha256` or `md5`) that the document gives for the file at `path`."""
        origin = self.files.get(path)
        if not isinstance(origin, FileOrigin):
            return False
        self.files[path] = (
            replace(origin, sha256=digest) if kind == "sha256" else replace(origin, md5=digest)
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
        names = [
            name
            for name in (*self.files, *self.archives)
            if name == path or (is_pattern(path) and _matches(name, path))
        ]
        for name in dict.fromkeys(names):
            origin = self.files.pop(name, None) or self.archives[name]
            self.archives[name] = origin
            item = Unpacked(origin, folder, line, strip, tuple(members))
            if item not in self.unpacked:
                self.unpacked.append(item)
        return bool(names)


def _same(one: Origin, other: Origin) -> bool:
    if isinstance(one, FileOrigin) and isinstance(other, FileOrigin):
        return one.address == other.address
    if isinstance(one, HubFile) and isinstance(other, HubFile):
        bare = [replace(item.repo, line=0, optional=False, title="") for item in (one, other)]
        return bare[0] == bare[1] and one.path == other.path
    return False


def shown(origin: Origin) -> str:
    """An origin for a remark."""
    if isinstance(origin, FileOrigin):
        return origin.address
    return f"hf:{origin.repo.repo} {origin.path}"


def is_pattern(text: str) -> bool:
    """Whether it has wildcards."""
    return re.search(r"[*?\[{]", text) is not None


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def join(folder: str, name: str) -> str:
    """A path in a folder; "" is the root."""
    return f"{folder}/{name}" if folder else name


def located(cwd: str, text: str) -> str:
    """A path as a document writes it, in the folder `cwd`, relative to the root.

    Raises Unreadable for one outside the project.
    """
    path = text.replace("\\", "/") if re.match(r"[\w.-]+\\", text) else text
    if path == "~" or path.startswith("~/"):
        path = HOME + path[1:]
    if re.match(r"(/var)?/tmp(/|$)", path):
        path = TEMPORARY + path.partition("/tmp")[2]
    elif path.startswith(TEMPORARY):
        pass
    elif path.startswith(ROOT):
        path = path[len(ROOT) :].lstrip("/")
    elif path.startswith((HOME, "/")) or re.match(r"[A-Za-z]:[/\\]", path):
        raise Unreadable(t("{path} lies outside the project", path=visible(path)))
    else:
        path = join(cwd, path)
    path = posixpath.normpath(path) if path else ""
    if path == ".." or path.startswith("../"):
        raise Unreadable(t("{path} lies outside the project", path=visible(text)))
    if HOME in path or ROOT in path or TEMPORARY in path[1:]:
        raise Unreadable(t("{path} lies outside the project", path=visible(text)))
    return "" if path == "." else path


def visible(text: str) -> str:
    """A value for a remark, without our marks in it."""
    return (
        text.replace(ROOT + "/", "./")
        .replace(ROOT, ".")
        .replace(HOME, "~")
        .replace(TEMPORARY, "/tmp")
    )


def walk(tree: TargetTree) -> Iterator[tuple[str, Origin]]:
    """Every file by its path, in order."""
    yield from sorted(tree.files.items())
