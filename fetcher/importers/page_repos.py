"""Whole repositories of a page: which of their files are wanted, and which exclude each other."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from fetcher.i18n import t
from fetcher.importers import page_names, page_trees
from fetcher.importers.document_paths import is_pattern
from fetcher.importers.folder_trees import FolderTree
from fetcher.importers.origins import Place, of_repo
from fetcher.importers.page_links import Link
from fetcher.importers.target_tree import HubFile, TargetTree


def covering(tree: TargetTree, path: str, link: Link) -> str:
    """The whole repository that another statement puts where this file belongs, or ""."""
    for folder, repo in tree.repos:
        if path.startswith(folder + "/") and not repo.files and repo.repo != link.repo:
            return repo.repo
    return ""


def fill_from_trees(trees: Sequence[FolderTree], tree: TargetTree) -> None:
    """The files that a tree shows in a repository's folder are those that are wanted."""
    for index, (folder, repo) in reversed(list(enumerate(tree.repos))):
        if not repo.drawn or repo.files:
            continue
        shown = [e for e in page_trees.drawn(trees) if folder and e.path.startswith(folder + "/")]
        others = [path for path in tree.files if path.startswith(folder + "/")]
        if len(shown) < 2 or others or page_trees.has_more(trees, folder):
            continue
        names = []
        for entry in shown:
            name = entry.path[len(folder) + 1 :]
            own = page_trees.own_path(entry)
            if page_trees.is_copy(entry):
                continue
            if own != posixpath.basename(name):
                path = posixpath.join(posixpath.dirname(name), own)
                tree.files[entry.path] = HubFile(replace(repo, count=None, drawn=False), path)
                continue
            right = page_names.mended(name)
            if right != name:
                tree.remark(entry.line, t("{name} is taken to be {right}", name=name, right=right))
            names.append(right)
        if names and not any(is_pattern(name) for name in names):
            tree.repos[index] = (
                folder,
                replace(repo, files=tuple(dict.fromkeys(names)), count=None),
            )
        elif not names:
            del tree.repos[index]


def leave_out_chosen(tree: TargetTree, chosen: Sequence[tuple[str, Place]]) -> None:
    """Of a repository that the text links as a whole, only what code or a list chooses of it.

    `chosen` are the folders that they put something into, and where it comes from.
    """
    tree.repos[:] = [
        (folder, repo)
        for folder, repo in tree.repos
        if repo.files
        or not repo.drawn
        or not any(
            place == of_repo(repo) and (where + "/").startswith(folder + "/")
            for where, place in chosen
        )
    ]


def part_rivals(tree: TargetTree) -> None:
    """Two whole repositories in one folder cannot both stand there: the last one does."""
    last: dict[str, int] = {}
    for index, (folder, _) in enumerate(tree.repos):
        last[folder] = index
    kept = []
    for index, (folder, repo) in enumerate(tree.repos):
        other = tree.repos[last[folder]][1]
        if repo.files or last[folder] == index or other.repo == repo.repo:
            kept.append((folder, repo))
            continue
        why = t(
            "{repo} and {other} cannot both stand in {folder}: it goes into the Hub's cache",
            repo=repo.repo,
            other=other.repo,
            folder=folder,
        )
        tree.remark(repo.line, why)
        tree.cached.append(replace(repo, optional=True))
    tree.repos[:] = kept
