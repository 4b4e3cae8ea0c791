"""Which artifacts a bill of materials is about, and what it is made from."""

from __future__ import annotations

from collections.abc import Mapping

from fetcher.errors import LockError
from fetcher.i18n import t
from fetcher.operations.workspace import Workspace
from fetcher.project import lockfile
from fetcher.project.manifest import Artifact
from fetcher.project.project import Unit
from fetcher.reporting import purl
from fetcher.reporting.sbom import Origin
from fetcher.reporting.sbom_components import Entry


def unlocked_manifests(space: Workspace) -> list[str]:
    """Manifests that nobody named and of which nothing is locked, while others are."""
    locked = {manifest for manifest, _ in space.lock.artifacts}
    names = [unit.manifest.name for unit in space.units]
    return [] if space.names or locked.isdisjoint(names) else sorted({*names} - locked)


def entries_of(space: Workspace, every: bool = False) -> list[Entry]:
    """The locked artifacts of a space, all choices of variants; optional ones where they are
    locked, or all if `every` is to be. Those of `unlocked_manifests` are left out.

    Raises LockError for what is wanted and has no current entry.
    """
    space.take_every_variant()
    asked = dict(text.split("=", 1) for text in space.options.selection.variants if "=" in text)
    found, missing, left = [], {}, unlocked_manifests(space)
    for unit, artifact in space.wanted:
        if artifact.manifest in left:
            continue
        locked = space.lock.of(artifact)
        if locked is None:
            if every or not artifact.optional:
                missing[artifact.id] = space.lock.why_not(artifact)
            continue
        variant, chosen = _variant(unit, artifact, asked)
        page = purl.address(artifact.source.page(space.network))
        found.append(Entry(artifact, locked, page, variant, chosen and not artifact.optional))
    if missing:
        raise LockError(
            t("no current entry in fetch.lock"), t("run `fetch lock`, then again"), missing
        )
    return found


def _variant(unit: Unit, artifact: Artifact, asked: Mapping[str, str]) -> tuple[str, bool]:
    """The choice that an artifact belongs to (NAME=CHOICE, or ""), and whether it is taken: the
    one that is asked for, else the default. What this machine would take is no matter."""
    for variant in unit.manifest.variants:
        if choices := variant.of(artifact.id):
            wanted = asked.get(variant.name, variant.default)
            wanted = wanted if wanted in variant.choices else variant.default
            choice = wanted if wanted in choices else choices[0]
            return f"{variant.name}={choice}", wanted in choices
    return "", True


def origin_of(space: Workspace, epoch: int | None) -> Origin:
    """What the document is made from; it is called as the manifests are."""
    left = unlocked_manifests(space)
    names = {unit.manifest.name for unit in space.units}.difference(left)
    name = ", ".join(sorted(names))
    return Origin(name, lockfile.dumps(space.lock), epoch)
