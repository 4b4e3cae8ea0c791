"""`fetch schema`: the file formats as JSON Schema, for editors."""

from __future__ import annotations

import json

import click

from fetcher.i18n import echo


@click.command("schema")
@click.argument("kind", type=click.Choice(["manifest", "layout", "settings"]))
def command(kind: str) -> int:
    """Print the JSON Schema of manifests, layouts or fetch.yaml, for completion in editors."""
    from fetcher.config import settings
    from fetcher.project import layout, manifest

    makers = {"manifest": manifest, "layout": layout, "settings": settings}
    schema = makers[kind].json_schema()
    echo(json.dumps(schema, indent=2))
    return 0
