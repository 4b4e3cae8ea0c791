"""`fetch config`: every setting and where it comes from."""

from __future__ import annotations

import re
from pathlib import Path

import click

from fetcher.commands import common
from fetcher.config import settings
from fetcher.i18n import echo, t
from fetcher.network.hub_account import HubAccount
from fetcher.project.project import find_root
from fetcher.reporting import envelope
from fetcher.ui.table import Column, print_table

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
    return re.sub(r"://[^/@\s]*@", "://***@", found.text(name)).replace("\n", " ").strip()


def _origin(found: settings.Settings, name: str) -> str:
    """Where a value comes from; the Hub's token may be one of `hf auth login`."""
    if name != "hf_token" or found.text(name):
        return found.origin(name)
    return HubAccount(found).origin() or found.origin(name)


@click.command("config")
@common.json_option
def command(as_json: bool) -> int:
    """Show every setting, its value, and where that comes from.

    Later ones win: default, fetch.yaml, .env, environment, command line.
    """
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
        answer = envelope.Answer({"root": str(root)})
        answer.results = list(results)
        envelope.print_json(answer)
        return 0
    echo(t("project: {root}", root=root))
    rows = [(i["name"], i["value"] or "-", i["origin"], i["variable"]) for i in results]
    print_table(_COLUMNS, rows)
    return 0
