"""Compare a tree with the lock: what is missing, modified or extra."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fetcher.errors import Problem
from fetcher.plan import BLOCKED, CONFLICT, KEEP, ArtifactPlan, Item, Plan
from fetcher.state import FOLDER, Row
from fetcher.workspace import Workspace


@dataclass(frozen=True)
class Finding:
    """One file that was looked at; `state` is ok, missing, modified, extra or blocked."""

    artifact: str
    path: str
    target: str
    state: str
    message: str = ""


def examine(space: Workspace, deep: bool, strict: bool) -> tuple[Plan, list[Finding]]:
    """Look at every file; with `deep` every byte, with `strict` also at files that are not ours."""
    planner = space.planner()
    planner.deep = deep
    rows = space.state.rows()
    plan = planner.plan(space.in_scope(rows.values()), space.lock)
    findings = [_judge(item) for item in plan.items]
    findings += _stale(plan, rows)
    if strict:
        findings += _foreign(plan)
    return plan, findings


def _judge(item: Item) -> Finding:
    name, path = item.artifact.id, item.file.path
    if item.action == KEEP:
        return Finding(name, path, item.target, "ok")
    if item.action == CONFLICT:
        how = "was changed" if item.changed_by_user else "is not what the lock says"
        return Finding(name, path, item.target, "modified", f"{item.target} {how}")
    if item.action == BLOCKED:
        message = item.problem.message if item.problem else ""
        return Finding(name, path, item.target, "blocked", message)
    if item.stat is not None:
        return Finding(
            name, path, item.target, "modified", f"{item.target} is of an older lock or edit"
        )
    return Finding(name, path, item.target, "missing", f"{item.target} is missing")


def _stale(plan: Plan, rows: dict[str, Row]) -> Iterator[Finding]:
    """Files that were placed for an artifact whose lock no longer has them."""
    targets = {item.target for item in plan.items}
    owners = {
        f"{part.artifact.manifest}/{part.artifact.id}": part.artifact.id
        for part in plan.artifacts
        if part.locked is not None
    }
    for row in rows.values():
        if not row.placed or row.path in targets or row.artifact not in owners:
            continue
        if os.path.lexists(os.path.join(plan.tree, row.path)):
            message = f"{row.path} was placed once, but the lock no longer has it"
            yield Finding(owners[row.artifact], row.path, row.path, "extra", message)


def _foreign(plan: Plan) -> Iterator[Finding]:
    """Files that are not ours, in folders where ours lie."""
    targets = {item.target for item in plan.items if not item.hub}
    folders = sorted({target.rpartition("/")[0] for target in targets})
    for folder in folders:
        path = os.path.join(plan.tree, folder)
        if not os.path.isdir(path):
            continue
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{folder}/{entry.name}" if folder else entry.name
                if name in targets or entry.is_dir(follow_symlinks=False) or name == FOLDER:
                    continue
                yield Finding("", name, name, "extra", f"{name} is not ours")


_HINTS = {
    "missing": "run `fetch all`",
    "modified": "`fetch all --overwrite` restores it and keeps the old file in .fetch/kept/",
    "extra": "remove it if nothing needs it",
    "blocked": "make way for it, then run `fetch all`",
}


def problems_of(plan: Plan, findings: Iterable[Finding]) -> list[Problem]:
    """What is wrong, as problems with exit codes."""
    found = [problem for part in plan.artifacts for problem in part.problems]
    found += [_unlocked(part) for part in plan.artifacts if part.locked is None]
    for finding in findings:
        if finding.state != "ok":
            code = "missing" if finding.state == "blocked" else finding.state
            found.append(
                Problem(
                    code, finding.message, _HINTS[finding.state], finding.artifact, finding.target
                )
            )
    return found


def _unlocked(part: ArtifactPlan) -> Problem:
    return Problem(
        "lock",
        "no current entry in fetch.lock",
        "run `fetch all`, or `fetch lock`",
        part.artifact.id,
    )
