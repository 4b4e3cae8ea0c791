"""Whether fetch.lock is what the manifests want: nothing is asked, and nothing written."""

from __future__ import annotations

from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.operations.workspace import Workspace
from fetcher.project import lockfile, pins

_HINT = t("run `fetch lock`, look at the difference, and commit fetch.lock")


def reasons(space: Workspace) -> tuple[list[Problem], list[str]]:
    """Why the lock is not what these manifests want, and entries of manifests that are not there.

    The latter are no fault: a manifest can be named by its path. Raises LockError, Failure.
    """
    lock = lockfile.read(space.project.root)
    problems = [
        Problem(
            "lock",
            t("{name}: {why}", name=artifact.full_name, why=why),
            _HINT,
            artifact.id,
        )
        for _, artifact in space.wanted
        if (why := lock.why_not(artifact))
    ]
    error = pins.mismatch(
        (unit.manifest, found)
        for unit, artifact in space.wanted
        for found in lock.contradictions(artifact)
    )
    problems += error.found if error else []
    left = set() if space.options.selection.exact else _left(space, lock)
    problems += [
        Problem(
            "lock",
            t("{name}: it is in fetch.lock, and its manifest has it no more", name=f"{owner}/{id}"),
            _HINT,
            id,
        )
        for owner, id in sorted(left)
    ]
    known = space.project.names()
    strange = {owner for owner, _ in lock.artifacts if owner not in known} - {
        unit.manifest.name for unit in space.units
    }
    return problems, sorted(strange)


def _left(space: Workspace, lock: lockfile.Lock) -> set[tuple[str, str]]:
    declared = {unit.manifest.name: unit.manifest.declared for unit in space.units}
    return {key for key in lock.artifacts if key[0] in declared and key[1] not in declared[key[0]]}
