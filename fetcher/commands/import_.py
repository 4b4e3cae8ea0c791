"""`fetch import FILE`: convert a model_config.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.errors import InvalidDocument, UsageError
from fetcher.i18n import echo, t
from fetcher.project.project import SUFFIXES, find_root
from fetcher.register import changes, model_config
from fetcher.register.changes import Change
from fetcher.register.model_config import Converted
from fetcher.reporting import envelope
from fetcher.yamldoc import edit as yamledit
from fetcher.yamldoc.nodes import parse


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The manifest's name; default: from the file's name.")
@click.option("--dry-run", is_flag=True, help="Show the changes and write nothing.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@common.json_option
def command(file: Path, name: str | None, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Convert FILE, the model_config.yaml of an image generator, into this project's own files.

    Its models become manifests/NAME.yaml and layouts/NAME.yaml, its settings `runtime:` in
    fetch.yaml. No key is lost: what is not known is kept, and named. The changes are shown first.
    """
    root = find_root(Path.cwd())
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
    title = f"Imported from {origin}" if re.fullmatch(r"[\w. -]+", origin) else "Imported"
    found = []
    documents = {"manifests": converted.manifest(name, title), "layouts": converted.layout(name)}
    for folder, text in documents.items() if converted.artifacts else ():
        path = f"{folder}/{name}.yaml"
        there = [path for suffix in SUFFIXES if (root / folder / (name + suffix)).exists()]
        if there and changes.read_text(root, path) != text:
            raise UsageError(
                t("{path} is there already", path=path), t("choose another name with --name")
            )
        found.append(changes.change(root, path, text))
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
