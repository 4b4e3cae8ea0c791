"""Repositories as the Hub and GitHub show them, made of the files that are held of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fetcher.mirror.inventory import ArtifactRecord
from fetcher.server.hub_json import SiblingJson, TreeEntryJson
from fetcher.sources.base import FileEntry

COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,39}")
_REF = re.compile(r"refs/(?:heads|tags)/(.+)")


@dataclass(frozen=True)
class RepoFile:
    """One file of a repository. `sha256` is None for a small file that was not fetched yet.

    What lies in Git LFS is known to clients by its sha256, other files by their git id; a file
    whose git id nobody knows is shown as one in LFS, for which the sha256 is enough. `claimed`: a
    project or bundle says so, and no source that was asked.
    """

    path: str
    size: int
    sha256: str | None
    git_blob: str | None = None
    claimed: bool = False

    @property
    def etag(self) -> str:
        """What the Hub's clients know the content by."""
        return self.git_blob or self.sha256 or ""

    @cached_property
    def pointer(self) -> bytes:
        """The text that git has in place of a file in LFS."""
        lines = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
        return lines.format(self.sha256, self.size).encode()

    @property
    def oid(self) -> str:
        """The id that git has for it."""
        if self.git_blob:
            return self.git_blob
        return hashlib.sha1(b"blob %d\0" % len(self.pointer) + self.pointer).hexdigest()

    def tree_entry(self) -> TreeEntryJson:
        """The entry of a tree listing."""
        found: TreeEntryJson = {
            "type": "file",
            "oid": self.oid,
            "size": self.size,
            "path": self.path,
        }
        if not self.git_blob:
            found["lfs"] = {
                "oid": self.sha256,
                "size": self.size,
                "pointerSize": len(self.pointer),
            }
        return found

    def sibling(self, blobs: bool) -> SiblingJson:
        """The entry of a repository's info."""
        if not blobs:
            return {"rfilename": self.path}
        found: SiblingJson = {"rfilename": self.path, "size": self.size, "blobId": self.oid}
        if not self.git_blob:
            found["lfs"] = {
                "sha256": self.sha256,
                "size": self.size,
                "pointerSize": len(self.pointer),
            }
        return found


def repo_file(file: FileEntry, path: str = "", claimed: bool = False) -> RepoFile:
    """A held or listed file as an entry; `path` if it is called otherwise there."""
    git_blob = None if file.lfs else file.git_blob
    return RepoFile(path or file.path, file.size or 0, file.sha256, git_blob, claimed)


@dataclass
class Snapshot:
    """A commit: its files by path; all of them if it is `whole`, else those that are held.

    `disputed`: why a path is not shown, where those who claim it contradict each other.
    """

    commit: str
    files: dict[str, RepoFile] = field(default_factory=dict)
    whole: bool = False
    disputed: dict[str, str] = field(default_factory=dict)

    @property
    def claimed(self) -> bool:
        """Whether it is somebody's claim, and not what a source said."""
        return any(file.claimed for file in self.files.values())

    def put(self, file: RepoFile) -> None:
        """Add a file, or what is newly known of one."""
        listed = self.files.get(file.path)
        self.files[file.path] = file
        if listed is None or listed.oid != file.oid:
            for name in ("folders", "entries"):
                self.__dict__.pop(name, None)

    @cached_property
    def folders(self) -> dict[str, str]:
        """Git's tree id of every folder; "" is the root."""
        children: dict[str, list[tuple[bytes, bytes]]] = {"": []}
        for path, entry in self.files.items():
            folder, _, name = path.rpartition("/")
            children.setdefault(folder, []).append(_child(b"100644", name, entry.oid))
            while folder:
                folder = folder.rpartition("/")[0]
                children.setdefault(folder, [])
        ids: dict[str, str] = {}
        for folder in sorted(children, key=lambda name: (-name.count("/") if name else 1, name)):
            body = b"".join(data for _, data in sorted(children[folder]))
            ids[folder] = hashlib.sha1(b"tree %d\0" % len(body) + body).hexdigest()
            if folder:
                above, _, name = folder.rpartition("/")
                children[above].append(_child(b"40000", name, ids[folder]))
        return ids

    @cached_property
    def entries(self) -> dict[str, TreeEntryJson]:
        """Every folder and file as the tree call lists them, by path and in its order."""
        found = {path: entry.tree_entry() for path, entry in self.files.items()}
        for path, oid in self.folders.items():
            if path:
                found[path] = {"type": "directory", "oid": oid, "size": 0, "path": path}
        return dict(sorted(found.items()))

    def listing(self, folder: str, recursive: bool) -> list[str]:
        """Paths below a folder, in order; KeyError if there is no such folder."""
        if folder not in self.folders:
            raise KeyError(folder)
        start = folder + "/" if folder else ""
        return [
            path
            for path in self.entries
            if path.startswith(start) and (recursive or "/" not in path[len(start) :])
        ]


def _child(mode: bytes, name: str, oid: str) -> tuple[bytes, bytes]:
    raw = name.encode("utf-8", "surrogatepass")
    order = raw + b"/" if mode == b"40000" else raw
    return order, mode + b" " + raw + b"\0" + bytes.fromhex(oid)


@dataclass
class Repo:
    """A repository: its commits, and which of them its branches and tags mean.

    `disputed`: why a branch or tag means none, where those who claim it contradict each other.
    """

    kind: str
    id: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    record: ArtifactRecord = field(default_factory=ArtifactRecord)
    releases: dict[str, Snapshot] = field(default_factory=dict)
    info: Mapping[str, object] = field(default_factory=dict)  # as a Hub upstream has it
    disputed: dict[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What stands before the id in a file's address."""
        return "" if self.kind == "model" else f"{self.kind}s/"

    def find(self, revision: str) -> Snapshot | None:
        """By branch, tag, full name of a ref, commit, or the beginning of a commit."""
        named = _REF.fullmatch(revision)
        for name in (revision, named[1] if named else revision):
            if name in self.refs:
                return self.snapshots.get(self.refs[name])
        if revision in self.snapshots:
            return self.snapshots[revision]
        if _SHORT.fullmatch(revision):
            found = [commit for commit in self.snapshots if commit.startswith(revision)]
            return self.snapshots[found[0]] if len(found) == 1 else None
        return None

    def dispute(self, revision: str) -> str:
        """Why a branch or tag is not shown, "" if nobody contradicts anybody about it."""
        named = _REF.fullmatch(revision)
        return self.disputed.get(revision) or self.disputed.get(named[1] if named else "", "")

    def latest(self) -> Snapshot:
        """The default branch's commit; another one where that is not known."""
        return self.find("main") or next(reversed(self.snapshots.values()))

    def split(self, segments: list[str]) -> tuple[str, str]:
        """(revision, path) of an address whose revision may have slashes: the longest known."""
        for width in range(len(segments), 1, -1):
            revision = "/".join(segments[:width])
            named = _REF.fullmatch(revision)
            known = self.refs.keys() | self.disputed.keys()
            if revision in known or (named and named[1] in known):
                return revision, "/".join(segments[width:])
        width = 3 if segments[0] == "refs" and len(segments) > 3 else 1
        return "/".join(segments[:width]), "/".join(segments[width:])


def made_up_commit(lines: Iterable[str]) -> str:
    """What stands for the commit of files whose commit nobody knows."""
    return hashlib.sha1("\n".join(lines).encode()).hexdigest()
