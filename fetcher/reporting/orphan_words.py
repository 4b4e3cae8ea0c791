"""What reports say of orphans: files that were placed once, and that nothing wants any more."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Sequence
from typing import Literal, TypedDict

from fetcher.i18n import n, t
from fetcher.tree.orphan import MOVED, OTHER, REPLACED, UNLISTED, Orphan
from fetcher.ui.units import human_bytes

_SHOWN = 5


class OrphanEntry(TypedDict):
    """One orphan in a report.

    `state` is left, moved (gone; its content stands at `to`), kept (moved below `kept`) or pruned
    (gone). `why` is moved, replaced, unlisted, other-variant or removed. `size` is in bytes;
    `changed` says that somebody has changed it since it was placed.
    """

    path: str
    artifact: str
    why: str
    changed: bool
    size: int
    to: str
    state: str
    kept: str


def entry_of(orphan: Orphan, state: str = "left", kept: str = "") -> OrphanEntry:
    """An orphan for a report."""
    return {
        "path": orphan.path,
        "artifact": orphan.artifact,
        "why": orphan.why,
        "changed": orphan.changed,
        "size": orphan.size,
        "to": orphan.to,
        "state": state,
        "kept": f"{kept}/{orphan.path}" if kept else "",
    }


def reason(entry: OrphanEntry) -> str:
    """Why nothing wants it any more."""
    why, artifact = entry["why"], entry["artifact"]
    if why == MOVED:
        said = t("its content stands at {to} now", to=entry["to"])
    elif why == REPLACED:
        said = t("{artifact} has no such file now, but a loader may read it", artifact=artifact)
    elif why == OTHER:
        said = t("{artifact} is of another choice of a variant", artifact=artifact)
    elif why == UNLISTED:
        said = t("{artifact} has no such file now", artifact=artifact)
    else:
        said = t("nothing declares {artifact} any more", artifact=artifact)
    return t("{why}; it was changed", why=said) if entry["changed"] else said


def done_lines(entries: Sequence[OrphanEntry], again: Sequence[str] = ()) -> Iterator[str]:
    """What a run did to orphans, and which are left, a line for each kind."""
    moved, kept, pruned = (
        [entry for entry in entries if entry["state"] == state]
        for state in ("moved", "kept", "pruned")
    )
    if moved:
        yield t("moved: {files}", files=_files(moved))
    if kept:
        folder = kept[0]["kept"].removesuffix(f"/{kept[0]['path']}")
        yield t(
            "not wanted any more, moved aside to {folder}: {files}",
            folder=folder,
            files=_files(kept),
        )
    if pruned:
        yield t("not wanted any more, taken away: {files}", files=_files(pruned))
    yield from left_lines(entries, again)


def ahead_lines(
    entries: Sequence[OrphanEntry], prune: bool, again: Sequence[str] = ()
) -> Iterator[str]:
    """What a run would do to orphans, and which it would leave."""
    moved, aside, taken, rest = (list[OrphanEntry]() for _ in range(4))
    for entry in entries:
        if entry["why"] == MOVED and not entry["changed"]:
            moved.append(entry)
        elif entry["changed"] if prune else entry["why"] == REPLACED and not entry["changed"]:
            aside.append(entry)
        elif entry["why"] == OTHER and not entry["changed"]:
            taken.append(entry)
        else:
            rest.append(entry)
    if moved:
        yield t("to be moved: {files}", files=_files(moved))
    if aside:
        yield t(
            "not wanted any more, to be moved aside to .fetch/kept/: {files}", files=_files(aside)
        )
    if prune:
        taken, rest = [*taken, *rest], []
    if taken:
        yield t("to be taken away: {files}", files=_files(taken))
    yield from left_lines(rest, again)


def left_lines(entries: Sequence[OrphanEntry], again: Sequence[str] = ()) -> Iterator[str]:
    """The orphans that stand there still, with what to do.

    `again` is what of the command line is to be said again: its manifests and its tree.
    """
    left = [entry for entry in entries if entry["state"] == "left"]
    to_move = [entry for entry in left if entry["why"] == MOVED and not entry["changed"]]
    if to_move:
        yield t("still to be moved: {files}", files=_files(to_move))
        command = shlex.join(["fetch", "all", *again])
        yield t("hint: {hint}", hint=t("`{command}` moves them", command=command))
    left = [entry for entry in left if entry not in to_move]
    if not left:
        return
    size = human_bytes(sum(entry["size"] for entry in left))
    yield t("nothing wants these any more: {files} ({size})", files=_files(left), size=size)
    command = shlex.join(["fetch", "prune", *again])
    yield t("hint: {hint}", hint=t("`{command}` says why, and takes them away", command=command))


_ENDS: tuple[Literal["path", "to"], ...] = ("path", "to")


def replaced_line(folder: str, paths: Sequence[str]) -> str:
    """What stood in the way of a run's files, and where it is now."""
    return t("the old files are in {folder}: {files}", folder=folder, files=_some(paths))


def _files(entries: Sequence[OrphanEntry]) -> str:
    return _some(_folders_moved(entries))


def _folders_moved(entries: Sequence[OrphanEntry]) -> list[str]:
    """A name for each entry; one for all that went from one folder to another together."""
    together: dict[tuple[str, ...], list[OrphanEntry]] = {}
    for entry in entries:
        together.setdefault(_way(entry), []).append(entry)
    names = []
    for some in together.values():
        if len(some) > 1:
            before, after = (posixpath.commonpath([entry[key] for entry in some]) for key in _ENDS)
            files = n("{count:,} file", "{count:,} files", len(some))
            names.append(f"{before}/ → {after}/ ({files})")
        else:
            (entry,) = some
            names.append(f"{entry['path']} → {entry['to']}" if entry["to"] else entry["path"])
    return names


def _way(entry: OrphanEntry) -> tuple[str, ...]:
    """From which folder to which a file went with all that is below; else the file itself."""
    old, new = entry["path"].split("/"), entry["to"].split("/")
    while len(old) > 1 and len(new) > 1 and old[-1] == new[-1]:
        del old[-1], new[-1]
    moved = entry["to"] and len(old) < entry["path"].count("/") + 1
    return ("/".join(old), "/".join(new)) if moved else (entry["path"],)


def _some(names: Sequence[str]) -> str:
    shown = list(names[:_SHOWN])
    if (more := len(names) - _SHOWN) > 0:
        shown.append(t("and {count:,} more", count=more))
    return ", ".join(shown)
