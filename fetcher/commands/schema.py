"""`fetch schema`: the file formats as JSON Schema, for editors."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.argument("kind", type=click.Choice(["manifest", "layout"]))
def command(kind: str) -> int:
    """Print the JSON Schema of manifests or layouts, for completion in editors."""
    from fetcher import layout, manifest

    schema = manifest.json_schema() if kind == "manifest" else layout.json_schema()
    print(json.dumps(schema, indent=2))
    return 0
