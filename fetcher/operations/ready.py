"""What is ready to be placed."""

from __future__ import annotations

from typing import NamedTuple

from fetcher.fs.atomic import Stat
from fetcher.tree.plan import Item


class Ready(NamedTuple):
    """An item whose content is in the store, as the blob `sha256` of `size` bytes.

    `stat` is the blob's where it is known. `new`: the lock has no digest of it yet.
    """

    item: Item
    sha256: str
    size: int | None = None
    stat: Stat | None = None
    new: bool = False
