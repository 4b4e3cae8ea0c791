"""What people call an artifact: its id, an alias, or the repository that it comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fetcher.errors import UsageError
from fetcher.fs.nearest import nearest
from fetcher.i18n import t
from fetcher.project.project import SUFFIXES, Project, Unit, catalog_folder

if TYPE_CHECKING:
    from fetcher.project.manifest import Artifact
    from fetcher.sources.base import Source

Pair = tuple[Unit, "Artifact"]
_LISTED = 12  # names in a hint


def pairs_of(units: Iterable[Unit]) -> list[Pair]:
    """Every artifact with its unit, in file order."""
    return [(unit, item) for unit in units for item in unit.manifest.artifacts.values()]


def _repository(artifact: Artifact) -> str:
    """`owner/name` of a Hub or GitHub source, else ""."""
    return str(getattr(artifact.source, "repo", ""))


def matching(pairs: Sequence[Pair], name: str) -> tuple[list[Pair], str]:
    """The artifacts called `name`, and a line that explains it if it is no id.

    An id (or manifest/id) may stand in several manifests; an alias or a repository must lead to
    one artifact. Raises UsageError for one that leads to several.
    """
    found = [pair for pair in pairs if name in {pair[1].id, pair[1].full_name}]
    if found:
        return found, ""
    found = [pair for pair in pairs if name in pair[1].info.get("aliases", ())]
    found = found or [pair for pair in pairs if "/" in name and name == _repository(pair[1])]
    if len(found) > 1:
        raise _ambiguous(name, found)
    return found, explanation(name, found[0][1]) if found else ""


def _ambiguous(name: str, found: Sequence[Pair]) -> UsageError:
    names = [artifact.full_name for _, artifact in found]
    return UsageError(
        t(
            "{name!r} can mean {names} or {names2}",
            name=name,
            names=", ".join(names[:-1]),
            names2=names[-1],
        ),
        t("name one of them with its manifest in front"),
    )


def one(pairs: Sequence[Pair], name: str) -> tuple[Pair, str]:
    """The one artifact called `name`, and a line that explains it if it is no id.

    Where several manifests have the id, those of the first one's folder count: the project's own
    stand before the catalog's. Raises UsageError if there is none or more than one.
    """
    found, note = matching(pairs, name)
    if not found:
        raise unknown(name, pairs)
    first = found[0][0].manifest.path
    beside = [
        pair
        for pair in found
        if first is None or (pair[0].manifest.path or first).parent == first.parent
    ]
    if len(beside) > 1:
        raise _ambiguous(name, beside)
    return beside[0], note


def artifact_and_path(pairs: Sequence[Pair], name: str) -> tuple[Pair, str] | None:
    """The artifact that the longest beginning of `name` is called by, and the path after it.

    None if no beginning is; aliases and repositories may themselves have slashes. Raises
    UsageError for a beginning that several artifacts are called by.
    """
    parts = name.rstrip("/").split("/")
    for count in range(len(parts), 0, -1):
        head = "/".join(parts[:count])
        if matching(pairs, head)[0]:
            return one(pairs, head)[0], "/".join(parts[count:])
    return None


def explanation(name: str, artifact: Artifact) -> str:
    """One line that says which artifact a name stands for."""
    return t(
        "{name} is {full_name}, from {found}",
        name=name,
        full_name=artifact.full_name,
        found=artifact.source.describe(),
    )


def visibility_of(artifact: Artifact) -> str:
    """Who may see it: as its record says; private where nothing is said."""
    return str(artifact.info.get("visibility") or "private")


def described(artifact: Artifact) -> dict[str, Any]:
    """The record as people and programs read it, with where the code of its class is."""
    return {**said(artifact), "visibility": visibility_of(artifact)}


def said(artifact: Artifact) -> dict[str, Any]:
    """The same, with `visibility` only where the manifest says it."""
    found = dict(artifact.info)
    if artifact.code is not None:
        found["code"] = artifact.code.describe()
        from fetcher.project.spellings import repository_type  # most names need it not

        found["repository_type"] = repository_type(artifact.code.type)
    return found


def code_folders(pairs: Iterable[Pair], code: Source) -> list[str]:
    """Where layouts put the artifacts that are this code, relative to the project's root."""
    found = []
    for unit, artifact in pairs:
        if artifact.source == code:
            root = f"{unit.layout.root}/" if unit.layout.root else ""
            found += [
                (root + entry.target).rstrip("/")
                for entry in unit.layout.entries
                if entry.artifact == artifact.id and entry.folder and not entry.root
            ]
    return found


def known_names(pairs: Iterable[Pair]) -> list[str]:
    """Ids and aliases, for suggestions."""
    return [name for _, a in pairs for name in (a.id, *a.info.get("aliases", ()))]


def of_project(pairs: Iterable[Pair]) -> list[Pair]:
    """Those of the project's own manifests, without the built-in catalog's."""
    built_in = catalog_folder("manifests")
    return [
        pair for pair in pairs if pair[0].manifest.path and pair[0].manifest.path.parent != built_in
    ]


def what_there_is(name: str, pairs: Iterable[Pair], more: Iterable[str] = ()) -> str:
    """The hint for a name that nothing is called: the nearest, or what there is.

    The project's own come first; the built-in catalog is named where they have nothing alike.
    `more` are other names that would do.
    """
    pairs = list(pairs)
    own = of_project(pairs)
    names = [*known_names(own), *more]
    close = nearest(name, names) or nearest(name, known_names(pairs))
    if close:
        return t("did you mean {close!r}?", close=close)
    ids = list(dict.fromkeys(artifact.id for _, artifact in own or pairs))
    if not own and (not ids or len(ids) > _LISTED):
        return t("`fetch list --catalog` shows what there is")
    listed = ", ".join(ids[:_LISTED])
    if len(ids) > _LISTED:
        return t(
            "there are {listed} and {count:,} more: see `fetch list`",
            listed=listed,
            count=len(ids) - _LISTED,
        )
    if own and len(own) < len(pairs):
        return t("there are: {listed}; the built-in catalog: `fetch list --catalog`", listed=listed)
    return t("there are: {listed}", listed=listed)


def unknown(name: str, pairs: Iterable[Pair], what: str = t("artifact")) -> UsageError:
    """The error for a name that nothing is called."""
    return UsageError(t("no {what} {name!r}", what=what, name=name), what_there_is(name, pairs))


def translated(names: Iterable[str], pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Names with aliases replaced by ids, and a line about each that was; globs stay."""
    result, notes = [], []
    for name in names:
        found, note = matching(pairs, name)
        result.append(found[0][1].id if found and note else name)
        notes += [note] * bool(note)
    return result, notes


@dataclass
class RequestedNames:
    """What the arguments of a command name: whole manifests, and single artifacts.

    `exact` maps a manifest that is not wanted as a whole to the ids wanted of it. `notes` explain
    aliases, one line each.
    """

    manifests: list[str] = field(default_factory=list)
    exact: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _is_manifest(name: str, known: Iterable[str]) -> bool:
    """Whether a manifest is meant: its name or its path. A file that happens to stand here and be
    called like an artifact is none: a path without a suffix begins as no name does."""
    plain = name in known or name.endswith(SUFFIXES)
    return plain or ((name.startswith(".") or os.path.isabs(name)) and os.path.isfile(name))


def are_manifests(project: Project, names: Sequence[str]) -> bool:
    """Whether all names are those of manifests; no file is read."""
    known = project.names() if names else []
    return all(_is_manifest(name, known) for name in names)


def sort_out(project: Project, names: Sequence[str]) -> RequestedNames:
    """Tell manifests from artifacts, aliases and repositories. Raises UsageError."""
    known = project.names()
    wanted = RequestedNames([name for name in names if _is_manifest(name, known)])
    others = [name for name in names if not _is_manifest(name, known)]
    if not others:
        return wanted
    pairs = pairs_of(project.load_everything())
    whole = set(wanted.manifests)
    for name in others:
        if not matching(pairs, name)[0]:
            raise UsageError(
                t("no manifest or artifact {name!r}", name=name),
                what_there_is(name, pairs, known),
            )
        (unit, artifact), note = one(pairs, name)
        wanted.notes += [note] * bool(note)
        stem = unit.manifest.path.stem if unit.manifest.path else unit.manifest.name
        if stem in whole:
            continue
        if stem not in wanted.manifests:
            wanted.manifests.append(stem)
        chosen = {*wanted.exact.get(unit.manifest.name, ()), artifact.id}
        wanted.exact[unit.manifest.name] = tuple(sorted(chosen))
    return wanted
