"""The names of the files of what is registered, as far as they are known without asking anybody."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fetcher.errors import Failure
from fetcher.fs.globs import BadPattern
from fetcher.fs.patterns import select
from fetcher.network.session import Network
from fetcher.register.checkpoint import Checkpoint
from fetcher.register.draft import Draft
from fetcher.sources.base import Request
from fetcher.sources.local import Local
from fetcher.sources.url import Url


def known(
    taken: Checkpoint | None, listed: Collection[str], draft: Draft, network: Network
) -> list[str]:
    """Sorted names, relative to the source; none where nobody knows them.

    `listed` is what upstream has, which the draft's `files` and `exclude` narrow.
    """
    if taken is None:
        return []
    if taken.only:
        return [taken.only]
    wanted, left_out = _texts(draft, "files"), _texts(draft, "exclude") or []
    try:
        if isinstance(taken.source, Url):
            return [name for name in taken.source.names(Request(wanted)) if name]
        if isinstance(taken.source, Local):
            listed = taken.source.names(network)
        if not listed:
            return wanted or []
        chosen = select(listed, wanted, left_out)
    except (Failure, BadPattern, OSError):
        return wanted or []
    return chosen.names


def _texts(draft: Draft, key: str) -> list[str] | None:
    """A field's names; None where there are none, or where they are wrong."""
    value = draft.values.get(key)
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, Mapping)) and all(isinstance(item, str) for item in value):
        return list(value)
    return None
