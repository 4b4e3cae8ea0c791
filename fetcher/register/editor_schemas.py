"""What editors need to complete a project's YAML files: JSON Schemas in .fetch/schemas, and lines
at the top of files that lead there. No network is needed for either."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from fetcher.config import settings
from fetcher.config.boundaries import of_project
from fetcher.project import layout, manifest
from fetcher.tree.state import State
from fetcher.yamldoc.schema import JsonSchema

FOLDER = ".fetch/schemas"
KINDS: dict[str, Callable[[], JsonSchema]] = {
    "manifest": manifest.json_schema,
    "layout": layout.json_schema,
    "settings": settings.json_schema,
}
_STATED = re.compile(r"^#.*\$schema", re.MULTILINE)


def text_of(kind: str) -> str:
    """A schema as JSON: of `manifest`, `layout` or `settings`."""
    return json.dumps(KINDS[kind](), indent=2) + "\n"


def install(root: Path) -> list[str]:
    """Write all schemas below a project's root; their paths. Raises OSError, Failure."""
    State(root).ensure_folder()
    paths = {f"{FOLDER}/{kind}.schema.json": text_of(kind) for kind in KINDS}
    for path, text in paths.items():
        of_project(root).write(path, text.encode())
    return list(paths)


def with_schema(path: str, text: str) -> str:
    """A new file's text with the lines that name its schema; as it is where it names one."""
    folder, _, name = path.rpartition("/")
    kind = {"manifests": "manifest", "layouts": "layout"}.get(folder)
    kind = "settings" if path == "fetch.yaml" else kind
    if kind is None or not name.endswith((".yaml", ".yml")) or _STATED.search(text[:4096]):
        return text
    place = f"{'../' if folder else ''}{FOLDER}/{kind}.schema.json"
    # The second is how JetBrains' editors have it.
    return f"# yaml-language-server: $schema={place}\n# $schema: {place}\n{text}"
