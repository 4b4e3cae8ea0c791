"""Links of a git tree, followed within the tree: what they lead to stands at their paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fetcher.i18n import t
from fetcher.sources.git_objects import TreeEntry

_MOST_FILES = 2_000_000
_MOST_STEPS = 40


def linked(
    tree: Mapping[str, TreeEntry], targets: Mapping[str, str]
) -> tuple[dict[str, TreeEntry], dict[str, str]]:
    """The tree's files, and what its links lead to as files at the links' paths.

    `targets` is what each link holds. The second value says of each link that leads to no file of
    the tree why it is left out.
    """
    files = {path: entry for path, entry in tree.items() if entry.mode in {"100644", "100755"}}
    folders = _folders(files)
    found, left = dict(files), dict[str, str]()
    for link in targets:
        place = _followed(link, targets)
        if place is None:
            left[link] = t("leads out of the repository, or in a circle")
        elif place in files:
            found[link] = files[place]
        elif place in folders and not f"{link}/".startswith(f"{place}/" if place else ""):
            for path in folders[place]:
                if len(found) > _MOST_FILES:
                    left[link] = t("leads to too many files")
                    break
                found[link + path[len(place) :]] = files[path]
        else:
            left[link] = t("leads to nothing, or to its own folder")
    return found, left


def _folders(files: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in files:
        folder = path.rpartition("/")[0]
        while folder:
            found.setdefault(folder, []).append(path)
            folder = folder.rpartition("/")[0]
    return found


def _followed(link: str, targets: Mapping[str, str]) -> str | None:
    """Where a link leads after all links on the way; None out of the tree, or in a circle."""
    waiting, place = link.split("/"), list[str]()
    steps = 0
    while waiting:
        part = waiting.pop(0)
        if part in {"", "."}:
            continue
        if part == "..":
            if not place:
                return None
            place.pop()
            continue
        place.append(part)
        target = targets.get("/".join(place))
        if target is not None:
            steps += 1
            if steps > _MOST_STEPS or target.startswith("/") or "\\" in target:
                return None
            place.pop()
            waiting = target.split("/") + waiting
    return "/".join(place)
