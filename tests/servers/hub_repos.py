"""What a hub holds: repositories with commits, refs, git object ids and LFS pointers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .wire import Content, digest, git_blob_id, lfs_pointer, size_of

# True for the files (path, size) that are stored with LFS
LfsRule = Callable[[str, int], bool]

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
# what a new repository's .gitattributes names
WEIGHTS = (
    "7z|arrow|bin|bz2|ckpt|ftz|gz|h5|joblib|mlmodel|model|msgpack|npy|npz|onnx|ot|parquet|pb"
    "|pickle|pkl|pt|pth|rar|safetensors|tar|tflite|tgz|wasm|xz|zip|zst"
)
MEDIA = "pcm|sam|raw|aac|flac|mp3|ogg|wav|bmp|gif|png|tiff|jpg|jpeg|webp|mp4|webm"
LARGE = 10 << 20


@dataclass(frozen=True)
class Entry:
    """One file of a commit."""

    path: str
    content: Content
    size: int
    oid: str  # of the pointer where the file is in LFS, as in git
    sha256: str | None = None  # only of LFS files
    pointer_size: int = 0

    @classmethod
    def make(cls, path: str, content: Content, in_lfs: bool) -> Entry:
        size = size_of(content)
        if not in_lfs:
            return cls(path, content, size, git_blob_id(content))
        sha256 = digest(content)
        pointer = lfs_pointer(sha256, size)
        return cls(path, content, size, git_blob_id(pointer), sha256, len(pointer))

    @property
    def raw(self) -> Content:
        """What git itself holds."""
        return self.content if self.sha256 is None else lfs_pointer(self.sha256, self.size)

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size}
        if self.sha256 is not None:
            found["lfs"] = {
                "oid": self.sha256,
                "size": self.size,
                "pointerSize": self.pointer_size,
            }
        return {**found, "path": self.path}

    def sibling(self, blobs: bool) -> dict[str, Any]:
        if not blobs:
            return {"rfilename": self.path}
        found: dict[str, Any] = {"rfilename": self.path, "size": self.size, "blobId": self.oid}
        if self.sha256 is not None:
            found["lfs"] = {
                "sha256": self.sha256,
                "size": self.size,
                "pointerSize": self.pointer_size,
            }
        return found


@dataclass
class Commit:
    sha: str
    files: dict[str, Entry]
    title: str
    date: str
    parent: str | None = None
    extra: list[dict[str, Any]] = field(default_factory=list)  # listed as they are
    extra_contents: dict[str, Content] = field(default_factory=dict)

    @cached_property
    def folders(self) -> dict[str, str]:
        """Git's tree id of every folder; "" is the root."""
        children: dict[str, dict[str, tuple[str, str]]] = {"": {}}
        for path, entry in self.files.items():
            folder, _, name = path.rpartition("/")
            children.setdefault(folder, {})[name] = ("100644", entry.oid)
            while folder:
                folder = folder.rpartition("/")[0]
                children.setdefault(folder, {})
        ids: dict[str, str] = {}
        for folder in sorted(children, key=_deepest_first):
            ids[folder] = _tree_id(children[folder])
            above, _, name = folder.rpartition("/")
            if folder:
                children[above][name] = ("40000", ids[folder])
        return ids

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Every folder and file as the tree call lists them, by path."""
        found = [entry.record() for entry in self.files.values()]
        found += [
            {"type": "directory", "oid": oid, "size": 0, "path": path}
            for path, oid in self.folders.items()
            if path
        ]
        return sorted(found, key=lambda record: str(record["path"]))

    def listing(self, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """The entries below `folder`; KeyError if there is no such folder."""
        self.folders[folder]
        if not folder and recursive:
            return self.records + self.extra
        start = folder + "/" if folder else ""
        found = [r for r in self.records if r["path"].startswith(start)]
        if not recursive:
            found = [r for r in found if "/" not in r["path"][len(start) :]]
        return found if folder else found + self.extra


def _deepest_first(folder: str) -> tuple[int, str]:
    return (-(folder.count("/") + 1) if folder else 0, folder)


def _tree_id(children: Mapping[str, tuple[str, str]]) -> str:
    def order(name: str) -> bytes:
        return (name + "/" if children[name][0] == "40000" else name).encode()

    body = b"".join(
        f"{children[name][0]} {name}".encode() + b"\0" + bytes.fromhex(children[name][1])
        for name in sorted(children, key=order)
    )
    return hashlib.sha1(b"tree %d\0" % len(body) + body).hexdigest()


@dataclass
class Repo:
    id: str
    kind: str
    private: bool
    gated: str | bool
    lfs: LfsRule
    xet: bool = False
    info: dict[str, Any] = field(default_factory=dict)
    xet_hashes: Mapping[str, str] = field(default_factory=dict)  # by sha256
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return "" if self.kind == "model" else self.kind + "s/"

    @property
    def api(self) -> str:
        return f"/api/{self.kind}s/{self.id}"

    def xet_hash(self, sha256: str) -> str:
        """What the storage calls a content; where there is no storage, some hash."""
        return self.xet_hashes.get(sha256, sha256[::-1])

    def commit(self, revision: str) -> Commit:
        """By branch, tag, full ref name or full sha; KeyError otherwise."""
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.commits[self.refs[name]]
        return self.commits[revision]

    def grow(
        self,
        files: Mapping[str, Content],
        delete: Iterable[str],
        revision: str,
        title: str,
        sha: str | None,
    ) -> Commit:
        """A new commit on a branch, which is created if it is not there."""
        branch = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
        parent = self.commits[self.refs[branch]] if branch in self.refs else None
        gone = set(delete)
        kept = {p: e for p, e in parent.files.items() if p not in gone} if parent else {}
        made = {p: Entry.make(p, c, self.lfs(p, size_of(c))) for p, c in files.items()}
        entries = {**kept, **made}
        number = len(self.commits)
        date = f"2024-03-{number // 24 % 28 + 1:02}T{number % 24:02}:00:00.000Z"
        if sha is None:
            lines = [self.kind, self.id, parent.sha if parent else "", title, branch]
            lines += sorted(f"{entry.oid} {path}" for path, entry in entries.items())
            sha = hashlib.sha1("\n".join(lines).encode()).hexdigest()
        commit = Commit(sha, entries, title, date, parent.sha if parent else None)
        self.commits[sha] = commit
        self.refs[branch] = sha
        return commit

    def history(self, commit: Commit) -> list[Commit]:
        found = [commit]
        while (parent := found[-1].parent) is not None:
            found.append(self.commits[parent])
        return found


def lfs_rule(lfs: LfsRule | Iterable[str] | int | None, kind: str) -> LfsRule:
    """A rule from a callable, suffixes, a size from which on, or None for the hub's own habit."""
    if callable(lfs):
        return lfs
    if isinstance(lfs, int):
        least = lfs
        return lambda path, size: size >= least
    if lfs is None:
        names = f"{WEIGHTS}|{MEDIA}" if kind == "dataset" else WEIGHTS
        ending = re.compile(rf".*\.({names})", re.IGNORECASE | re.DOTALL)
        return lambda path, size: size >= LARGE or ending.fullmatch(path) is not None
    given = tuple(lfs)
    return lambda path, size: path.endswith(given)
