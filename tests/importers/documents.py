"""What a document comes to, in a form that tests compare: target -> where it comes from."""

from __future__ import annotations

from pathlib import Path

from fetcher.fs.patterns import expand, is_glob
from fetcher.importers import documents
from fetcher.importers.addresses import file_name
from fetcher.importers.draft import Draft, draft
from fetcher.register.values import node_of_value
from fetcher.sources import SourceType
from fetcher.sources.base import Source
from fetcher.yamldoc.nodes import Document


def read(path: Path, inside: str = "", base: str = "") -> tuple[Draft, str]:
    """The draft of a document that lies at `inside` in its project, and the layout's root."""
    text = path.read_text("utf-8")
    where = documents.Where(inside or path.name, project="project", base=base)
    found = documents.read(text, where, documents.kind_of(path.name, text))
    return draft(found.tree), found.root


def tree_of(made: Draft) -> dict[str, str]:
    """Each target (a folder with a slash) and what stands there: source, then file or patterns."""
    found: dict[str, str] = {}
    for key, value in made.tree.items():
        for item in value if isinstance(value, list) else [value]:
            identifier, _, name = str(item).partition("/")
            for target, text in _lines(made.artifacts[identifier], key, name):
                found[target] = f"{found[target]} + {text}" if target in found else text
    for identifier in made.hub_cache:
        for _, text in _lines(made.artifacts[identifier], "hub_cache/", ""):
            found[f"hub_cache {identifier}"] = text
    return found


def _lines(record: dict[str, object], key: str, name: str) -> list[tuple[str, str]]:
    source = SourceType().decode(node_of_value(record["source"]), Document(""))
    assert isinstance(source, Source)
    where, files = source.describe(), record.get("files")
    tail = _unpacked(record) + (" (optional)" if record.get("optional") else "")
    if record.get("unpack"):
        own = next(iter(files)) if isinstance(files, list | dict) else ""
        return [(key, " ".join(filter(None, [where, own, name])) + tail)]
    if isinstance(files, list | dict) and key.endswith("/") and not name:
        exact = [item for pattern in files for item in expand(pattern)]
        if not any(is_glob(item) for item in exact) and "exclude" not in record:
            folder = "" if key == "./" else key
            return [(folder + item, f"{where} {item}{tail}") for item in exact]
        left = f" but {record['exclude']}" if "exclude" in record else ""
        return [(key, f"{where} {list(files)}{left}{tail}")]
    if key.endswith("/") and files is None and source.type == "url" and (own := file_name(where)):
        return [(("" if key == "./" else key) + own, where + tail)]
    if not key.endswith("/") and not name and isinstance(files, list | dict):
        name = next(iter(files))
    left = f" but {record['exclude']}" if "exclude" in record else ""
    return [(key, f"{where} {name}".strip() + left + tail)]


def _unpacked(record: dict[str, object]) -> str:
    """How an archive is unpacked, "" for what is none."""
    how = record.get("unpack")
    if not isinstance(how, dict):
        return " unpacked" if how else ""
    return " unpacked " + ", ".join(f"{key} {value}" for key, value in how.items())
