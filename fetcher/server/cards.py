"""What a repository's README says of it to machines: the front matter that the Hub shows."""

from __future__ import annotations

import re

from fetcher.fs.extents import read
from fetcher.server.http import Content
from fetcher.server.hub_json import CardJson
from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Node

MAX_CARD = 4 << 20
_FRONT = re.compile(rb"---[ \t]*\r?\n(.{0,65536}?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
# What is passed on of a card; texts of the first two stand in the info itself as well.
_KEYS = ("pipeline_tag", "library_name", "license", "base_model", "language", "tags", "datasets")


def card_of(content: Content) -> CardJson:
    """Keys for the repository's info; what is no text or list of texts is left out."""
    try:
        front = _FRONT.match(b"".join(read(content.extents)))
    except (OSError, EOFError):
        return {}
    root = nodes.parse(front[1], "README.md").root if front else None
    if root is None or root.kind != "mapping":
        return {}
    card = {
        key.text: value
        for key, node in root.pairs
        if key.text in _KEYS and (value := _plain(node)) is not None
    }
    found: CardJson = {"cardData": card} if card else {}
    if isinstance(tag := card.get("pipeline_tag"), str):
        found["pipeline_tag"] = tag
    if isinstance(library := card.get("library_name"), str):
        found["library_name"] = library
    return found


def _plain(node: Node) -> str | list[str] | None:
    if node.kind == "scalar" and not node.is_null:
        return node.text
    if node.kind == "sequence" and all(item.kind == "scalar" for item in node.items):
        return [item.text for item in node.items][:100]
    return None
