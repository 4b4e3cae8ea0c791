"""`fetch import FILE`: what a project already has, as manifest and layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetcher.commands import common, told_documents
from fetcher.config import settings as all_settings
from fetcher.errors import InvalidDocument, UsageError
from fetcher.i18n import echo, n, t
from fetcher.project.project import find_root
from fetcher.register import changes, model_config
from fetcher.register.changes import Change
from fetcher.register.model_config import Converted
from fetcher.reporting import envelope
from fetcher.yamldoc import edit as yamledit
from fetcher.yamldoc.nodes import parse

if TYPE_CHECKING:
    from fetcher.config.settings import Settings
    from fetcher.importers.address_check import Checked
    from fetcher.importers.draft import Draft


@click.command("import")
@click.argument("file", metavar="FILE")
@click.option("--name", metavar="NAME", help="The manifest's name; default: from the file's name.")
@click.option(
    "--base-url", default="", metavar="URL", help="What stands in front of a registry's names."
)
@click.option(
    "--to", default="", metavar="DIR", help="Folder for what a registry or collection lists."
)
@click.option("--offline", is_flag=True, help="Do not ask whether the addresses are there.")
@click.option("--dry-run", is_flag=True, help="Show the changes and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Write without asking.")
@common.json_option
def command(
    file: str,
    name: str | None,
    base_url: str,
    to: str,
    offline: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Write manifest and layout from FILE, which a project already has.

    FILE is a download script (shell or Python), a page (Markdown, reStructuredText, HTML, or its
    address) with tables, trees or commands, a notebook, a list of addresses, ComfyUI's model list,
    a pooch registry, a .dvc file or dvc.yaml, the model_config.yaml of an image generator, or the
    address of a collection of the Hub. Nothing of it is run. Every address
    is asked whether it is there. The changes are shown first, and what is left to do by hand.
    """
    root = find_root(Path.cwd())
    settings = all_settings.load(root, {"offline": offline})
    settings.check()
    common.tell_choices(settings)
    from fetcher.importers.opening import opened, with_name

    try:
        document = opened(file, root, settings)
    except UsageError as error:
        raise with_name(error, file) from None
    if document.kind == "model-config":
        return _model_config(root, Path(file), name, dry_run, yes, as_json)
    from fetcher.importers import draft as drafts
    from fetcher.importers import writing
    from fetcher.importers.documents import read

    try:
        found = read(document.text, document.where(base_url, to), document.kind)
    except UsageError as error:
        raise with_name(error, file) from None
    draft = drafts.draft(found.tree)
    checked = {} if settings.offline else _check(draft, settings)
    name = model_config.name_for(Path(document.name), name)
    title = (
        f"Imported from {document.name}" if re.fullmatch(r"[\w. -]+", document.name) else "Imported"
    )
    edits = writing.changes_of(draft, root, name, title, found.root) if draft.artifacts else []
    if problems := changes.problems(edits):
        raise InvalidDocument(problems)
    return _finish(root, name, draft, checked, edits, write=not dry_run, yes=yes, as_json=as_json)


def _check(draft: Draft, settings: Settings) -> dict[str, Checked]:
    from fetcher.importers.address_check import check
    from fetcher.network.session import Network

    return check(draft, Network(settings)) if draft.artifacts else {}


def _finish(
    root: Path,
    name: str,
    draft: Draft,
    checked: Mapping[str, Checked],
    edits: Sequence[Change],
    *,
    write: bool,
    yes: bool,
    as_json: bool,
) -> int:
    states = {key: checked[key].state if key in checked else "unchecked" for key in draft.artifacts}
    result = envelope.Answer({"artifacts": len(draft.artifacts), "written": False})
    result.results = [
        {"id": key, "line": draft.lines[key], "address": states[key], **record}
        for key, record in draft.artifacts.items()
    ]
    result.summary["left"] = [
        {"line": item.line, "reason": str(item.reason), "text": item.text} for item in draft.remarks
    ]
    if not as_json:
        echo(changes.diff(edits), end="")
        told_documents.tell_of_addresses(checked)
        _tell(draft)
    if write and edits and common.confirmed(yes or as_json):
        changes.write(root, edits)
        result.summary["written"] = True
    if as_json:
        envelope.print_json(result)
    elif not draft.artifacts:
        echo(t("nothing that could be fetched was found"))
    elif result.summary["written"]:
        paths = [item.path for item in edits if item.before != item.after]
        echo(t("written: {paths}", paths=", ".join(paths)) if paths else t("nothing to change"))
        echo(t("next: fetch plan {name}, then fetch all {name}", name=name))
    else:
        echo(t("nothing was written"))
    return 0


def _tell(draft: Draft) -> None:
    """What is left to do."""
    if draft.remarks:
        echo(
            n(
                "left to do by hand, {count} line:",
                "left to do by hand, {count} lines:",
                len(draft.remarks),
            )
        )
    for remark in draft.remarks:
        tail = f"\n      {remark.text}" if remark.text else ""
        echo(t("  line {line}: {reason}{tail}", line=remark.line, reason=remark.reason, tail=tail))


def _model_config(
    root: Path, file: Path, name: str | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """A model_config.yaml: its settings become `runtime:` in fetch.yaml as well."""
    name = model_config.name_for(file, name)
    converted = model_config.read(file)
    edits = _changes(root, name, converted, file.name)
    if problems := changes.problems(edits):
        raise InvalidDocument(problems)
    result = envelope.Answer({"artifacts": len(converted.artifacts), "written": False})
    result.results = [{"id": key, **record} for key, record in converted.artifacts.items()]
    result.summary |= {"runtime": converted.runtime, "notes": converted.notes}
    if not as_json:
        echo(changes.diff(edits), end="")
        for note in converted.notes:
            echo(t("note: {note}", note=note))
    if not dry_run and common.confirmed(yes or as_json):
        changes.write(root, edits)
        result.summary["written"] = True
    if as_json:
        envelope.print_json(result)
    elif result.summary["written"]:
        paths = [edit.path for edit in edits if edit.before != edit.after]
        echo(t("written: {paths}", paths=", ".join(paths)) if paths else t("nothing to change"))
        asked = t("fetch access {name}, ", name=name) if converted.artifacts else ""
        echo(t("next: {asked}fetch runtime --fetch", asked=asked))
    return 0


def _changes(root: Path, name: str, converted: Converted, origin: str) -> list[Change]:
    from fetcher.importers.writing import new_file

    title = f"Imported from {origin}" if re.fullmatch(r"[\w. -]+", origin) else "Imported"
    found = []
    documents = {"manifests": converted.manifest(name, title), "layouts": converted.layout(name)}
    for folder, text in documents.items() if converted.artifacts else ():
        found.append(new_file(root, folder, name, text))
    before = changes.read_text(root, "fetch.yaml")
    if converted.runtime:
        found.append(Change("fetch.yaml", before, _with_runtime(before, converted.runtime)))
    return found


def _with_runtime(text: str, runtime: Mapping[str, object]) -> str:
    """fetch.yaml with the keys of `runtime:` added; what says something else is not changed."""
    document = parse(text.encode(), "fetch.yaml")
    whole = yamledit.plain(document.root, document) if document.root is not None else {}
    there = whole.get("runtime") if isinstance(whole, Mapping) else None
    if not isinstance(there, Mapping):
        return yamledit.put(text, [], "runtime", runtime, "fetch.yaml")
    for key, value in runtime.items():
        if key in there and there[key] != value:
            raise UsageError(
                t("fetch.yaml has another runtime: {key}: already", key=key),
                t("remove it there, then import again"),
            )
        if key not in there:
            text = yamledit.put(text, ["runtime"], key, value, "fetch.yaml")
    return text
