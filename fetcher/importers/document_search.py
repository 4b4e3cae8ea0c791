"""Finding the documents of a project that say where its models and data come from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from fetcher.errors import UsageError
from fetcher.importers import documents
from fetcher.importers.document_names import README, Kind, kind_of_name
from fetcher.verify.contract.regular import read_regular

MOST = 60  # documents that one project has
_MOST_SEEN = 20_000  # names that are looked at
_DEEPEST = 3
_SKIPPED = {
    "node_modules",
    "site-packages",
    "third_party",
    "thirdparty",
    "third-party",
    "submodules",
    "vendor",
    "build",
    "dist",
    "tests",
    "test",
    "manifests",
    "layouts",
    "__pycache__",
    "venv",
    "env",
}
_MAY_BE_PAGE = re.compile(r"[^/]+\.(md|markdown|rst|ipynb)", re.IGNORECASE)
_TRANSLATION = re.compile(r"readme[._-](zh|cn|ja|jp|ko|kr|en|es|fr|de|ru|pt|vi)", re.IGNORECASE)


def find(root: Path) -> list[str]:
    """Paths of a project's documents from its root, those that are run first, then its README and
    pages. Links are not followed."""
    found: list[tuple[Kind, int, str]] = []
    pages: list[str] = []
    for path in _files(root):
        kind = kind_of_name(path)
        if kind is not None and _is_document(root, path):
            found.append((kind, path.count("/"), path))
        elif kind is None and _MAY_BE_PAGE.fullmatch(path):
            pages.append(path)
    if not found:  # a project whose only page has a name of its own
        return [path for path in pages if _is_document(root, path)][:MOST]
    paths = [path for _, _, path in sorted(found)]
    return _without_translations(paths)[:MOST]


def _files(root: Path) -> Iterator[str]:
    seen = 0
    for folder, folders, names in os.walk(root):
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        depth = prefix.count("/")
        folders[:] = sorted(
            name
            for name in folders
            if depth < _DEEPEST
            and not name.startswith(".")
            and name.lower() not in _SKIPPED
            and not (Path(folder) / name / ".git").exists()  # a clone of somebody else's
        )
        for name in sorted(names):
            seen += 1
            if seen > _MOST_SEEN:
                return
            yield prefix + name


def _is_document(root: Path, path: str) -> bool:
    """Whether it is a text of a kind that is read; what is no such is passed over here."""
    whole = root / path
    if whole.is_symlink():
        return False
    try:
        text = read_regular(whole, documents.LARGEST).decode("utf-8-sig")
        kind = documents.kind_of(path, text)
    except (UsageError, OSError, ValueError):
        return False
    if kind == "model-config":
        return path.endswith(("model_config.yaml", "model_config.yml"))
    return True


def _without_translations(paths: list[str]) -> list[str]:
    """One README of several languages: they say the same, and the plain one is kept."""
    plain = {
        os.path.dirname(path)
        for path in paths
        if README.fullmatch(os.path.basename(path))
        and not _TRANSLATION.match(os.path.basename(path))
    }
    return [
        path
        for path in paths
        if not (_TRANSLATION.match(os.path.basename(path)) and os.path.dirname(path) in plain)
    ]
