"""A draft as changes of a project's manifest and layout."""

from __future__ import annotations

from pathlib import Path

from fetcher.errors import UsageError
from fetcher.i18n import t
from fetcher.importers.draft import Draft
from fetcher.project.project import SUFFIXES
from fetcher.register import changes
from fetcher.register.changes import Change
from fetcher.register.editor_schemas import with_schema
from fetcher.yamldoc.edit import dump, spaced


def changes_of(draft: Draft, root: Path, name: str, title: str, top: str) -> list[Change]:
    """The manifest and the layout. `top` is the layout's `root`.

    Raises UsageError where one of that name says something else already.
    """
    manifest = dump({"manifest": name, "title": title}, 1) + spaced(
        dump({"artifacts": draft.artifacts}, 3)
    )
    return [
        new_file(root, "manifests", name, manifest),
        new_file(root, "layouts", name, _layout(draft, name, top)),
    ]


def _layout(draft: Draft, name: str, top: str) -> str:
    head: dict[str, object] = {"layout": name}
    if top:
        head["root"] = top
    text = dump(head, 1) + dump({"tree": draft.tree}, 2)
    if draft.hub_cache:
        text += dump({"hub_cache": draft.hub_cache}, 1)
    return text


def new_file(root: Path, folder: str, name: str, text: str) -> Change:
    """The change that makes a manifest or layout. Raises UsageError for another one there."""
    path = f"{folder}/{name}.yaml"
    there = [suffix for suffix in SUFFIXES if (root / folder / (name + suffix)).exists()]
    before = changes.read_text(root, path) if there else ""
    if before == with_schema(path, text):
        text = before
    if there and before != text:
        raise UsageError(
            t("{path} is there already", path=path), t("choose another name with --name")
        )
    return changes.change(root, path, text)
