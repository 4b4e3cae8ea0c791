"""Reading one or several documents of a project as one tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from fetcher.config.settings import Settings
from fetcher.errors import FetchError, InvalidDocument, UsageError
from fetcher.i18n import t
from fetcher.importers import document_search
from fetcher.importers.documents import Read, read
from fetcher.importers.opening import Opened, opened, with_name
from fetcher.importers.target_tree import TargetTree
from fetcher.importers.tree_merge import Sources, append


@dataclass
class Gathered:
    """What documents say together: the tree, the layout's root, and where each line stands.

    `unread` are documents that could not be read, with the reason.
    """

    tree: TargetTree = field(default_factory=TargetTree)
    root: str = ""
    sources: Sources = field(default_factory=Sources)
    unread: list[tuple[str, str]] = field(default_factory=list)


def gather(names: Sequence[str], root: Path, settings: Settings) -> Gathered:
    """The tree of documents: files, folders whose documents are looked for, addresses of pages.

    What is told twice counts once; of two places for one file the first document's is taken.
    Raises UsageError, Failure for what a person named and cannot be read.
    """
    result = Gathered()
    texts: list[tuple[Opened, bool]] = []
    found: list[tuple[Opened, Read]] = []
    for name, chosen in _each(names, root):
        with _told(result, name, chosen):
            document = opened(name, root, settings)
            if document.kind == "model-config":
                raise UsageError(
                    t("{name} is the model_config.yaml of an image generator", name=name),
                    t("import it by itself: fetch import {name}", name=name),
                )
            texts.append((document, chosen))
    beside = [document.path for document, _ in texts if document.inside]
    for document, chosen in texts:
        with _told(result, document.path or document.name, chosen):
            where = document.where("", "", beside)
            if not chosen:  # the folder that a person names is the project
                where = replace(where, has_folder=document.has_folder)
            found.append((document, read(document.text, where, document.kind)))
    tops = {said.root for _, said in found if said.tree.count() or said.tree.cached}
    result.root = tops.pop() if len(tops) == 1 else ""
    for document, said in found:
        name = document.address or document.path or document.name
        offset = result.sources.add(name, document.text, said.cells)
        append(result.tree, said.tree, offset, "" if said.root == result.root else said.root)
    return result


@contextmanager
def _told(result: Gathered, name: str, chosen: bool) -> Iterator[None]:
    """Note what cannot be read; what a person named is an error."""
    try:
        yield
    except (FetchError, OSError) as error:
        if chosen:
            raise (with_name(error, name) if isinstance(error, UsageError) else error) from None
        result.unread.append((name, _reason(error)))


def _each(names: Sequence[str], root: Path) -> Iterator[tuple[str, bool]]:
    """(document, whether a person named it), each once; raises UsageError for an empty folder."""
    seen: set[str] = set()
    for name in names:
        is_folder = not re.match(r"https?://", name) and Path(name).is_dir()
        documents = _in_folder(name, root) if is_folder else [name]
        for document in documents:
            key = document if "://" in document else os.path.realpath(document)
            if key not in seen:
                seen.add(key)
                yield document, not is_folder


def _in_folder(folder: str, root: Path) -> Iterable[str]:
    found = [os.path.join(folder, path) for path in document_search.find(Path(folder))]
    if not found:
        raise UsageError(
            t("no README, download script or list is in {folder}", folder=folder),
            t("name the file that says what to download: --from FILE"),
        )
    return [path.removeprefix("./") for path in found]


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidDocument) and error.found:
        return str(error.found[0])
    return error.message if isinstance(error, FetchError) else str(error)
