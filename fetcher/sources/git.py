"""Files of a git repository at a commit, over https, by the person's own git."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.disposition import has_ending
from fetcher.network.session import Network
from fetcher.sources import git_lfs
from fetcher.sources.base import (
    Candidate,
    DeferredCandidate,
    FileEntry,
    PathCandidate,
    Request,
    Resolved,
    Source,
    UrlCandidate,
    asked,
    below,
    choose,
    left_out,
)
from fetcher.sources.git_fields import (
    COMMIT,
    PATH_FIELD,
    REVISION_FIELD,
    SHORT_TAIL,
    admits_revision,
)
from fetcher.sources.git_links import linked
from fetcher.sources.git_objects import GitObjects, TreeEntry
from fetcher.yamldoc.schema import Field, Text

_URL = r"https://[A-Za-z0-9.-]+(?::\d{1,5})?/[^\s@:?#]{1,500}"


@dataclass(frozen=True)
class Git(Source):
    """`git:https://host/owner/name.git@ref:path`."""

    url: str
    ref: str = "HEAD"
    path: str = ""

    type: ClassVar[str] = "git"
    fields: ClassVar[dict[str, Field]] = {
        "url": Field(
            Text(_URL, t("an https address without a login")),
            t("the repository's address, as git clones it"),
            required=True,
        ),
        "ref": REVISION_FIELD,
        "path": PATH_FIELD,
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`https://…[@ref][:path]`, also without its scheme."""
        text = (
            text if "://" in text else "https:" + (text if text.startswith("//") else f"//{text}")
        )
        found = re.fullmatch(rf"({_URL}?){SHORT_TAIL}", text)
        if not found:
            raise ValueError(t("expected git:https://host/name.git, with @ref and :path if wanted"))
        given = dict(zip(("url", "ref", "path"), found.groups(), strict=True))
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """An https address that ends in `.git`."""
        parts = urlsplit(url)
        plain = parts.scheme == "https" and not parts.query and not parts.fragment
        return {"url": url} if plain and re.fullmatch(rf"{_URL}\.git", url) else None

    def describe(self) -> str:
        """The short form."""
        return f"git:{self.url}@{self.ref}" + (f":{self.path}" if self.path else "")

    def page(self, network: Network) -> str:
        """The repository's address, which mostly is its page too."""
        return self.url.removesuffix(".git")

    def pinned_revision(self) -> str:
        """The ref as the manifest has it."""
        return self.ref

    def admits(self, revision: str) -> bool:
        """The commit, or for a branch or tag any commit."""
        return admits_revision(self.ref, revision)

    def beside(self) -> Source:
        """The folder of a file that `path` names."""
        folder = self.path.rpartition("/")[0] if has_ending(self.path) else self.path
        return replace(self, path=folder)

    def _objects(self, network: Network) -> GitObjects:
        return network.once(f"git {self.url}", lambda: GitObjects(self.url, network))

    def _commit(self, network: Network) -> str:
        if COMMIT.fullmatch(self.ref):
            return self.ref
        return network.once(
            f"git {self.url} {self.ref}", lambda: self._objects(network).revision(self.ref)
        )

    def resolve(self, request: Request, network: Network) -> Resolved:
        """The commit, its tree and its small blobs: two calls of git. Raises Failure."""
        commit = self._commit(network)
        objects = self._objects(network)
        with objects.lock:
            tree = objects.tree(commit)
            entries, lfs = self._entries(tree, commit, objects, network)
            files = choose(entries, request, f"{self.url}@{commit[:8]}")
            files = self._through_pointers(files, commit, objects) if lfs else files
        return Resolved(commit, files, said_by=asked(self.url))

    def _entries(
        self, tree: Mapping[str, TreeEntry], commit: str, objects: GitObjects, network: Network
    ) -> tuple[dict[str, FileEntry], bool]:
        """Files below the path, and whether some of them may lie in Git LFS."""
        links = [path for path, entry in tree.items() if entry.mode == "120000"]
        texts = _texts({path: tree[path].oid for path in links}, commit, objects)
        found, left = linked(tree, texts)
        left |= {
            path: t("is a submodule") for path, entry in tree.items() if entry.mode == "160000"
        }
        sizes, entries = objects.sizes(), {}
        for path, entry in found.items():
            relative = below(self.path, path)
            if relative is not None:
                entries[relative] = FileEntry(
                    relative, sizes.get(entry.oid), None, entry.oid,
                    executable=entry.mode == "100755",
                )  # fmt: skip
        here = {path: why for path, why in left.items() if below(self.path, path) is not None}
        left_out(self.describe(), here, network)
        return entries, any(path.rpartition("/")[2] == ".gitattributes" for path in tree)

    def _through_pointers(
        self, files: Sequence[FileEntry], commit: str, objects: GitObjects
    ) -> list[FileEntry]:
        """With pointers to Git LFS replaced by what they point at."""
        sizes = objects.sizes()
        small = {
            file.path: file.git_blob or ""
            for file in files
            if sizes.get(file.git_blob or "", 0) in git_lfs.POINTER_SIZES
            and not file.path.endswith(".gitattributes")
        }
        found = []
        contents = _contents(small, commit, objects)
        for file in files:
            pointer = git_lfs.pointer(contents.get(file.path, b""))
            if pointer is None:
                found.append(file)
                continue
            found.append(
                FileEntry(
                    file.path,
                    pointer.size,
                    pointer.sha256,
                    lfs=True,
                    executable=file.executable,
                )
            )
        return found

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The blob out of a repository of our own; what lies in LFS from its server."""
        if file.lfs:
            return [DeferredCandidate(self.type, lambda net: self._from_lfs(file, net))]
        if file.git_blob:
            self._objects(network).want(file.git_blob)
        commit = revision if COMMIT.fullmatch(revision) else ""
        return [DeferredCandidate(self.type, lambda net: self._from_git(commit, file, net))]

    def _from_git(
        self, commit: str, file: FileEntry, network: Network
    ) -> PathCandidate | UrlCandidate:
        objects = self._objects(network)
        commit = commit or self._commit(network)
        if file.git_blob:
            return PathCandidate(self.type, objects.blob(commit, file.git_blob), link=True)
        # Nothing has been listed: nobody has looked whether it lies in LFS.
        place = objects.blob(commit, self._oid(commit, file, objects))
        pointer = None
        if os.path.getsize(place) in git_lfs.POINTER_SIZES:
            pointer = git_lfs.pointer(Path(place).read_bytes())
        if pointer is None:
            return PathCandidate(self.type, place, link=True)
        content = file._replace(size=pointer.size, sha256=pointer.sha256)
        return self._from_lfs(content, network)

    def _oid(self, commit: str, file: FileEntry, objects: GitObjects) -> str:
        path = file.path
        if self.path:
            whole = has_ending(self.path) and self.path.rpartition("/")[2] == path
            path = self.path if whole else f"{self.path}/{path}"
        entry = objects.tree(commit).get(path)
        if entry is None or not entry.mode.startswith("100"):
            text = t("{source} has no {path}", source=self.describe(), path=file.path)
            raise Failure("missing-upstream", text)
        return entry.oid

    def _from_lfs(self, file: FileEntry, network: Network) -> UrlCandidate:
        url, answer = git_lfs.answer_of_batch(self.url.removesuffix(".git"), file, network)
        if answer.status in {401, 403}:
            text = t("{url}: Git LFS lets nobody in without a login", url=self.url)
            raise Failure("auth", text, t("put a login for its host into ~/.netrc"))
        place = git_lfs.place_of(url, answer, file, self.type, network)
        if answer.status != 200 or place is None:
            raise git_lfs.not_there(self.url, file.path)
        return place

    def check_access(self, network: Network) -> bool:
        """Ask where the ref stands."""
        self._objects(network).revision("HEAD" if COMMIT.fullmatch(self.ref) else self.ref)
        return True


def _texts(blobs: Mapping[str, str], commit: str, objects: GitObjects) -> dict[str, str]:
    return {
        path: content.decode("utf-8", "surrogateescape")
        for path, content in _contents(blobs, commit, objects).items()
    }


def _contents(blobs: Mapping[str, str], commit: str, objects: GitObjects) -> dict[str, bytes]:
    """Contents of small blobs, by the names that they are given under."""
    for oid in blobs.values():
        objects.want(oid)
    return {path: Path(objects.blob(commit, oid)).read_bytes() for path, oid in blobs.items()}
