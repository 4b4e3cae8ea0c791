"""`fetch schema`: the file formats as JSON Schema, for editors."""

from __future__ import annotations

from pathlib import Path

import click

from fetcher.errors import UsageError
from fetcher.i18n import echo, t


@click.command("schema")
@click.argument("kind", required=False, type=click.Choice(["manifest", "layout", "settings"]))
@click.option("--install", is_flag=True, help="Write all three into .fetch/schemas/, for editors.")
def command(kind: str | None, install: bool) -> int:
    """Print the JSON Schema of manifests, layouts or fetch.yaml, for completion in editors."""
    from fetcher.project.project import find_root
    from fetcher.register import editor_schemas

    if install is bool(kind):
        raise UsageError(
            t("say either which schema is to be printed, or --install"),
            t("fetch schema manifest, or fetch schema --install"),
        )
    if kind is not None:
        echo(editor_schemas.text_of(kind).rstrip("\n"))
        return 0
    for path in editor_schemas.install(find_root(Path.cwd())):
        echo(path)
    return 0
