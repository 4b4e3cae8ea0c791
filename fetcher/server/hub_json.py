"""What the Hub's API answers, as far as its clients read it. Sizes are in bytes."""

from __future__ import annotations

from typing import Literal, TypedDict


class TreeLfsJson(TypedDict):
    """A file in Git LFS, in a tree listing."""

    oid: str | None
    size: int
    pointerSize: int


class LastCommitJson(TypedDict):
    """The commit that changed an entry last (`expand=true`)."""

    id: str
    title: str
    date: str


class _TreeEntry(TypedDict):
    type: Literal["file", "directory"]
    oid: str
    size: int
    path: str


class TreeEntryJson(_TreeEntry, total=False):
    """A file or folder of `tree` and `paths-info`."""

    lfs: TreeLfsJson
    lastCommit: LastCommitJson


class SiblingLfsJson(TypedDict):
    """A file in Git LFS, in a repository's info."""

    sha256: str | None
    size: int
    pointerSize: int


class _Sibling(TypedDict):
    rfilename: str


class SiblingJson(_Sibling, total=False):
    """A file of a repository's info; the rest is there with `blobs=true`."""

    size: int
    blobId: str
    lfs: SiblingLfsJson


class _RepoInfo(TypedDict):
    _id: str
    id: str
    author: str | None
    sha: str
    private: bool
    gated: bool
    disabled: bool
    downloads: int
    likes: int
    tags: list[str]


class RepoInfoJson(_RepoInfo, total=False):
    """What is known of a repository without reading its files."""

    modelId: str


class RefJson(TypedDict):
    """A branch or tag."""

    name: str
    ref: str
    targetCommit: str


class RefsJson(TypedDict):
    """Branches and tags of a repository."""

    branches: list[RefJson]
    converts: list[RefJson]
    tags: list[RefJson]


class CommitJson(TypedDict):
    """An entry of a repository's history."""

    id: str
    title: str
    message: str
    date: str
    authors: list[str]


class CardJson(TypedDict, total=False):
    """What a README's front matter adds to a repository's info."""

    pipeline_tag: str
    library_name: str
    cardData: dict[str, str | list[str]]
