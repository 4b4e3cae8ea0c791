"""`fetch config`: every setting, where it comes from, and what the person allows projects."""

from __future__ import annotations

from pathlib import Path

import click

from fetcher.commands import common
from fetcher.commands.other_words import SubCommands
from fetcher.config import permissions, person, settings
from fetcher.config.named_roots import ROOTS
from fetcher.fs.logins import hidden
from fetcher.fs.nearest import nearest
from fetcher.i18n import echo, t
from fetcher.network.hub_account import HubAccount
from fetcher.project import names
from fetcher.project.project import Project, find_root
from fetcher.reporting import envelope
from fetcher.ui.table import Column, print_cut, print_table

_COLUMNS = (
    Column(t("SETTING"), least=12),
    Column(t("VALUE"), least=10, at="middle"),
    Column(t("FROM"), rank=1, least=7),
    Column(t("VARIABLE"), rank=2),
)


def _effective(found: settings.Settings, name: str) -> str:
    """The value to show; tokens are never shown, nor passwords in URLs."""
    if settings.SPECS[name].secret:
        value = HubAccount(found).origin() if name == "hf_token" else found.text(name)
        return "(set)" if value else ""
    if name in {"store", "hub_cache"}:
        return str(getattr(found, name))
    return hidden(found.text(name)).replace("\n", " ").strip()


def _origin(found: settings.Settings, name: str) -> str:
    """Where a value comes from; the Hub's token may be one of `hf auth login`."""
    if name != "hf_token" or found.text(name):
        return found.origin(name)
    return HubAccount(found).origin() or found.origin(name)


@click.group("config", invoke_without_command=True, cls=SubCommands)
@common.json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> int:
    """Show every setting, its value, and where that comes from.

    Later ones win: default, the project's fetch.yaml and .env, your own file, environment,
    command line. `fetch config allow` says what projects may do beyond their own folder.
    """
    if ctx.invoked_subcommand:
        return 0
    root = find_root(Path.cwd())
    found = settings.load(root)
    results = [
        {
            "name": name,
            "value": _effective(found, name),
            "origin": _origin(found, name),
            "variable": spec.env[0],
            "doc": spec.doc,
        }
        for name, spec in settings.SPECS.items()
    ]
    if as_json:
        answer = envelope.Answer({"root": str(root), "own_file": str(person.path() or "")})
        answer.results = list(results)
        envelope.print_json(answer)
        return 0
    print_cut(t("project: {root}", root=root))
    print_cut(t("your own file: {path}", path=person.path() or "-"))
    rows = [(i["name"], i["value"] or "-", i["origin"], i["variable"]) for i in results]
    print_table(_COLUMNS, rows)
    return 0


_KIND = click.argument("kind", type=click.Choice(person.KINDS), required=False)
_WHAT = click.argument("what", nargs=-1)


@command.command("allow")
@_KIND
@_WHAT
def allow(kind: str | None, what: tuple[str, ...]) -> int:
    """Allow projects something beyond their own folder; without a kind, show what is allowed.

    \b
    links FOLDER…           links in a project's tree may lead into these folders
    local FOLDER…           `local:` sources may take files from these folders
    roots NAME…             layouts may place files in these libraries' folders (torch_hub, …)
    pickles SHA256 NAME…    the pickle with this digest may use these classes
    code ARTIFACT…          the code of these artifacts of this project may run
    """
    root = find_root(Path.cwd())
    if kind is None:
        _show(settings.load(root).allowed)
        return 0
    if kind == "code":
        _tell_of_unknown(root, what)
    path = permissions.allow(kind, what, root)
    echo(t("{path}: {kind} has {what}", path=path, kind=kind, what=" ".join(what)))
    return 0


def _tell_of_unknown(root: Path, ids: tuple[str, ...]) -> None:
    """Say which ids the project does not have; one may be allowed before it is registered."""
    known = names.known_names(names.pairs_of(Project(root).load_everything()))
    notes = []
    for name in ids:
        if name not in known:
            close = nearest(name, known)
            guess = t(" (did you mean {close!r}?)", close=close) if close else ""
            notes.append(t("no artifact here is {name!r} yet{guess}", name=name, guess=guess))
    common.explain(notes)


@command.command("deny")
@click.argument("kind", type=click.Choice(person.KINDS))
@_WHAT
def deny(kind: str, what: tuple[str, ...]) -> int:
    """Take back what `fetch config allow` said.

    For pickles the SHA256 is enough; for code, the folder of a project takes all of it back.
    """
    path = permissions.deny(kind, what, find_root(Path.cwd()))
    echo(t("{path}: {kind} no longer has {what}", path=path, kind=kind, what=" ".join(what)))
    return 0


def _show(allowed: person.Allowed) -> None:
    lines = [("links", str(folder)) for folder in allowed.links]
    lines += [("local", str(folder)) for folder in allowed.local]
    lines += [("roots", f"{name} ({ROOTS[name].path()})") for name in sorted(allowed.roots)]
    lines += [("pickles", f"{key} {' '.join(names)}") for key, names in allowed.pickles.items()]
    lines += [("code", f"{folder} {' '.join(ids)}") for folder, ids in allowed.code.items()]
    rows = [(f"{kind:7}", what) for kind, what in lines]
    print_table((Column(), Column(wrap=True)), rows, heading=False)
    if not lines:
        echo(t("nothing beyond what every project may do"))
