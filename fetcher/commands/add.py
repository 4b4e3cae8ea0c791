"""`fetch add`: register a model or dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fetcher.commands import common
from fetcher.config import settings as all_settings
from fetcher.errors import UsageError
from fetcher.i18n import echo, local, t
from fetcher.network.session import Network
from fetcher.project.project import Project, find_root
from fetcher.project.spellings import REPOSITORY_TYPES
from fetcher.register import changes, targets
from fetcher.register.draft import from_json
from fetcher.register.form import FIELDS
from fetcher.register.owner import current_user
from fetcher.register.registration import InvalidForm, Session
from fetcher.register.repository import CHECKPOINT_SOURCES, UPLOAD, Places
from fetcher.reporting import envelope
from fetcher.store.store import Store
from fetcher.verify.contract import json_text

_LARGEST_JSON = 4 * 1024 * 1024


def _field_options(function: Callable[..., int]) -> Callable[..., int]:
    """One option for each field of the form."""
    for item in reversed(FIELDS):
        example = t(" Such as {example}.", example=item.example) if item.example else ""
        words = local(item.help)
        option = click.option(
            *item.flags,
            f"field_{item.key.replace('.', '__')}",
            metavar="|".join(item.choices) if item.closed else "VALUE",
            help=f"{words[0].upper()}{words[1:]}.{local(example)}",
        )
        function = option(function)
    return function


@click.command("add")
@click.argument("source", required=False)
@click.option(
    *("--checkpoint", "--checkpoint-path", "--checkpoint-path-or-file"),
    metavar="SOURCE",
    help="The same as SOURCE.",
)
@click.option(
    "--checkpoint-source",
    metavar="|".join(CHECKPOINT_SOURCES),
    help="Where the checkpoint is; default: as it is written.",
)
@click.option("--upload", is_flag=True, help="Take the file or folder into the store.")
@click.option(
    *("--repository-url", "--repository", "--code", "repository"),
    metavar="REPOSITORY",
    help="Where the code is; the checkpoint too, if no other is named.",
)
@click.option(
    "--repository-type",
    metavar="|".join(REPOSITORY_TYPES),
    help="What kind of repository; default: as it is written.",
)
@click.option("--fetch-code", is_flag=True, help="Fetch the code as well, as an artifact.")
@click.option(
    *("--id", "--model-id", "identifier"), metavar="ID", help="Its id; default: from the name."
)
@_field_options
@click.option(
    "--from-json",
    metavar="FILE",
    help="Read the fields from a JSON object; - for stdin.",
)
@click.option("--manifest", default="", metavar="NAME", help="The manifest that takes it.")
@click.option("--place", default="", metavar="FOLDER", help="Where its files shall stand.")
@click.option("--interactive", "-i", is_flag=True, help="Ask for every field.")
@click.option("--skip-import", is_flag=True, help="Do not try to import the class.")
@click.option("--python", metavar="PATH", help="The interpreter that must import the class.")
@click.option("--dry-run", is_flag=True, help="Show the changes and write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Write without asking.")
@common.json_option
def command(
    source: str | None,
    checkpoint: str | None,
    checkpoint_source: str | None,
    upload: bool,
    repository: str | None,
    repository_type: str | None,
    fetch_code: bool,
    identifier: str | None,
    from_json: str | None,
    manifest: str,
    place: str,
    interactive: bool,
    skip_import: bool,
    python: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **fields: str | None,
) -> int:
    """Register a model or dataset in the project's manifest and layout.

    SOURCE is a Hub or GitHub repository (hf:owner/name, github:owner/name, or the address of its
    page), one file of it by its address, a URL, or a path. Nothing else is needed for a repository:
    name, task, licence, framework, files and gating are read from it. Where the code is elsewhere,
    --repository-url says so. Without SOURCE, in a terminal, every field is asked for, in five
    steps. The changes are shown before they are written.
    """
    given = {name.removeprefix("field_").replace("__", "."): text for name, text in fields.items()}
    given = {key: text for key, text in given.items() if text is not None}
    places = Places(
        repository_type or "",
        repository or "",
        checkpoint_source or (UPLOAD if upload else ""),
        _one_source(source, checkpoint),
        fetch_code,
    )
    ask = interactive or not (given or from_json or identifier or places != Places())
    if ask and (not common.interactive() or as_json):
        raise UsageError(
            t("nothing to add, and nobody to ask"),
            t("name a source (fetch add hf:owner/name), give fields by flags, or --from-json FILE"),
        )
    if upload and not (places.checkpoint or from_json):
        raise UsageError(
            t("--upload needs SOURCE, a file or folder"), t("fetch add --upload model.pt")
        )
    session, places = _session(manifest, from_json, places)
    for item in FIELDS:
        if item.key in given:
            session.draft.set_text(item, given[item.key] or "")
    session.class_named = "class_path" in given
    session.draft.id = identifier or session.draft.id
    if "owner" not in {*session.draft.values, *session.draft.errors}:
        session.draft.set_value("owner", current_user(session.root))
    session.take(places)
    if ask:
        from fetcher.commands.add_prompts import ask_all

        ask_all(session, python, skip_import)
    elif not skip_import:
        session.check_class(python)
    return _finish(session, place, dry_run, yes, as_json, by_flags=not from_json)


def _one_source(source: str | None, checkpoint: str | None) -> str:
    if source and checkpoint and source != checkpoint:
        raise UsageError(t("SOURCE and --checkpoint name two places"), t("give one of them"))
    return source or checkpoint or ""


def _session(manifest: str, json_file: str | None, places: Places) -> tuple[Session, Places]:
    """A session with the fields of the JSON file, and the places that it names or flags do."""
    root = find_root(Path.cwd())
    project = Project(root)
    settings = all_settings.load(root)
    settings.check()
    common.tell_choices(settings)
    data = _read_json(json_file) if json_file else {}
    named = data.get("manifest") if isinstance(data, dict) else None
    wanted = manifest or (named if isinstance(named, str) else "")
    session = Session(
        project, targets.manifest_for(project, wanted), Network(settings), Store.of(settings)
    )
    if json_file:
        session.draft, written = from_json(data)
        flags = {name: value for name, value in vars(places).items() if value}
        places = replace(written, **flags)
    return session, places


def _read_json(name: str) -> Any:
    try:
        if name == "-":
            text = sys.stdin.read(_LARGEST_JSON + 1)
        else:
            with Path(name).open(encoding="utf-8-sig") as stream:
                text = stream.read(_LARGEST_JSON + 1)
        if len(text) > _LARGEST_JSON:
            raise UsageError(
                t(
                    "--from-json {name}: larger than {largest_json} MiB",
                    name=name,
                    largest_json=_LARGEST_JSON >> 20,
                )
            )
        return json_text.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            t("--from-json {name}: {error}", name=name, error=error), t("expected one JSON object")
        ) from error


def _finish(
    session: Session, place: str, dry_run: bool, yes: bool, as_json: bool, *, by_flags: bool
) -> int:
    try:
        edits = session.changes(place)
    except InvalidForm as invalid:
        invalid.flags = by_flags
        raise
    result = envelope.Answer({"id": session.draft.id, "manifest": session.manifest})
    result.results = [{"id": session.draft.id, **session.draft.record()}]
    result.summary |= {"notes": session.notes, "written": False}
    if not as_json:
        for note in session.notes:
            echo(t("note: {note}", note=note))
        echo(changes.diff(edits), end="")
    if not dry_run and common.confirmed(yes or as_json):
        changes.write(session.root, edits)
        result.summary["written"] = True
    if as_json:
        result.summary["diff"] = changes.diff(edits)
        envelope.print_json(result)
    elif result.summary["written"]:
        echo(
            t(
                "added {manifest}/{id}; next: fetch all {name}",
                manifest=session.manifest,
                id=session.draft.id,
                name=session.command_name(),
            )
        )
    else:
        echo(t("nothing was written"))
    return 0
