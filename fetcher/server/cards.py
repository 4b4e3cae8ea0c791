"""What a repository's README says of it to machines: the front matter that the Hub shows."""

from __future__ import annotations

import re
from typing import Any

from fetcher.fs.extents import read
from fetcher.server.http import Content
from fetcher.yamldoc import nodes
from fetcher.yamldoc.nodes import Node

MAX_CARD = 4 << 20
_FRONT = re.compile(rb"---[ \t]*\r?\n(.{0,65536}?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
# Keys of the card, and those of them that stand in the info itself as well.
_KEYS = ("pipeline_tag", "library_name", "license", "base_model", "language", "tags", "datasets")
_ABOVE = ("pipeline_tag", "library_name")


def card_of(content: Content) -> dict[str, Any]:
    """Keys for the repository's info; what is no text or list of texts is left out."""
    try:
        found = _FRONT.match(b"".join(read(content.extents)))
    except (OSError, EOFError):
        return {}
    root = nodes.parse(found[1], "README.md").root if found else None
    if root is None or root.kind != "mapping":
        return {}
    card = {
        key.text: value
        for key, node in root.pairs
        if key.text in _KEYS and (value := _plain(node)) is not None
    }
    above = {key: card[key] for key in _ABOVE if isinstance(card.get(key), str)}
    return {**above, **({"cardData": card} if card else {})}


def _plain(node: Node) -> str | list[str] | None:
    if node.kind == "scalar" and not node.is_null:
        return node.text
    if node.kind == "sequence" and all(item.kind == "scalar" for item in node.items):
        return [item.text for item in node.items][:100]
    return None
