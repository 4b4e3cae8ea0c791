"""Changes of a project's files: shown as a diff, checked as a whole, then written."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fetcher.config import settings
from fetcher.config.boundaries import own_file
from fetcher.errors import DocumentProblem, Failure, UsageError
from fetcher.i18n import t
from fetcher.project import layout as layouts
from fetcher.project import manifest as manifests
from fetcher.project.crosscheck import cross_check
from fetcher.project.journal import write_together
from fetcher.register.editor_schemas import install, with_schema
from fetcher.verify.contract.regular import MAX_DOCUMENT, read_regular
from fetcher.yamldoc import edit
from fetcher.yamldoc.nodes import parse

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """One file: `path` relative to the project's root, its text before and after ("" for none)."""

    path: str
    before: str
    after: str


def read_text(root: Path, path: str, largest: int = MAX_DOCUMENT) -> str:
    """A file's text, "" if it is not there. Raises UsageError for one that is no text,
    Failure for a link out of the project, OSError for one of more than `largest` bytes."""
    try:
        return read_regular(own_file(root, path), largest).decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(t("{path} is not UTF-8 text", path=path), t("save it as UTF-8")) from error


def change(root: Path, path: str, after: str) -> Change:
    """The change that makes a file say `after`."""
    return Change(path, read_text(root, path), after)


def diff(changes: Iterable[Change]) -> str:
    """All changes as one unified diff."""
    return "".join(edit.diff(item.before, _begun(item), item.path) for item in changes)


def problems(changes: Iterable[Change]) -> list[DocumentProblem]:
    """What would be wrong with the project's files after these changes.

    A manifest and the layout of its name are judged together where both are among them.
    """
    found: list[DocumentProblem] = []
    documents = {item.path: parse(item.after.encode(), item.path) for item in changes if item.after}
    decoded_layouts = {}
    for path, document in documents.items():
        if path.startswith("layouts/"):
            decoded_layouts[Path(path).stem] = layouts.decode(document), document
        elif path == "fetch.yaml" and document.root is not None:
            settings.SCHEMA.decode(document.root, document)
    for path, document in documents.items():
        if path.startswith("manifests/"):
            manifest = manifests.decode(document)
            if manifest is None:
                continue
            layout, layout_document = decoded_layouts.get(manifest.layout, (None, document))
            if layout is not None:
                layouts.add_targets(layout, manifest, document)
                cross_check(manifest, layout, document, layout_document)
    for document in documents.values():
        found += document.problems
    return found


def write(root: Path, changes: Iterable[Change]) -> None:
    """Write every changed file, or none. Raises OSError, UsageError if one changed meanwhile."""
    changed = [item for item in changes if item.before != item.after]
    for item in changed:
        if read_text(root, item.path) != item.before:
            raise UsageError(
                t("{path} was changed meanwhile", path=item.path), t("run the command again")
            )
    write_together(root, {item.path: _begun(item) or None for item in changed})
    if any(_begun(item) != item.after for item in changed):
        try:
            install(root)
        except (OSError, Failure) as error:  # the files are right without it
            _log.info("editors get no schemas: %s", error)


def _begun(item: Change) -> str:
    """A file's text after the change; one that is new says where its schema lies."""
    return item.after if item.before or not item.after else with_schema(item.path, item.after)
