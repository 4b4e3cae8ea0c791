"""The distribution that fetch was installed as; nothing is imported before it is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAME = "model-fetcher"
# What it was called up to 0.1; another project has that name on the package index.
FORMER_NAME = "fetcher"
PACKAGE = "fetcher"
_ENTRY_POINT = "fetcher.__main__:main"
_EXTRA = re.compile(r"""(?P<requirement>[^;]*);.*\bextra\s?==\s?['"](?P<extra>[^'"]+)['"]""")


@dataclass(frozen=True)
class Origin:
    """What a distribution was installed from, as its direct_url.json (PEP 610) says.

    kind: `index`, `git`, `editable`, `folder` or `archive`.
    address: git's address, a folder's path, an archive's address or path; "" for an index.
    revision: the branch or tag that was asked for, of git alone.
    """

    kind: str
    address: str = ""
    revision: str = ""


def own() -> Distribution | None:
    """What is installed, rather than what a build has left in the source's folder."""
    from importlib import metadata

    for name in (NAME, FORMER_NAME):
        found = [item for item in metadata.distributions(name=name) if _is_ours(item)]
        if found:
            return next((item for item in found if item.read_text("direct_url.json")), found[0])
    return None


def _is_ours(found: Distribution) -> bool:
    return any(point.value == _ENTRY_POINT for point in found.entry_points)


def owners() -> list[tuple[str, str]]:
    """Names and versions of all distributions that have installed files in `fetcher/`, sorted."""
    from importlib import metadata

    found = set()
    for item in metadata.distributions():
        if item.read_text("RECORD") is not None and PACKAGE in _top_level(item):
            found.add((_normalised(item.metadata["Name"] or ""), item.version))
    return sorted(found)


def _top_level(item: Distribution) -> set[str]:
    told = (item.read_text("top_level.txt") or "").split()
    return set(told) or {path.parts[0] for path in item.files or () if len(path.parts) > 1}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def origin() -> Origin:
    """Where fetch was installed from."""
    found = own()
    text = found.read_text("direct_url.json") if found is not None else None
    try:
        told = json.loads(text or "{}")
    except ValueError:
        told = {}
    if not isinstance(told, dict) or not isinstance(told.get("url"), str):
        return Origin("index")
    url = told["url"]
    address = unquote(urlsplit(url).path) if url.startswith("file:") else url
    vcs, folder = told.get("vcs_info"), told.get("dir_info")
    if isinstance(vcs, dict):
        return Origin("git", url, str(vcs.get("requested_revision") or ""))
    if isinstance(folder, dict):
        return Origin("editable" if folder.get("editable") else "folder", address)
    return Origin("archive", address)


def extras() -> tuple[str, ...]:
    """The extras that there are."""
    found = own()
    return tuple(found.metadata.get_all("Provides-Extra") or ()) if found is not None else ()


def requirements_of(extra: str) -> list[str]:
    """What an extra adds, as the metadata has it; empty where fetch was never installed."""
    return list(_requirements_of(own(), extra))


def _requirements_of(found: Distribution | None, extra: str) -> Iterator[str]:
    for line in (found.requires if found is not None else None) or ():
        told = _EXTRA.match(line)
        if told and told["extra"] == extra:
            yield told["requirement"].strip()
