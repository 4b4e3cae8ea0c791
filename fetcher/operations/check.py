"""Compare a tree with the lock: what is missing, modified or extra."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fetcher.errors import Problem
from fetcher.i18n import t
from fetcher.operations.workspace import Workspace
from fetcher.tree.plan import BLOCKED, CONFLICT, KEEP, ArtifactPlan, Item, Plan
from fetcher.tree.state import FOLDER, StateRow


@dataclass(frozen=True)
class Finding:
    """One file that was looked at; `state` is ok, missing, modified, extra or blocked."""

    artifact: str
    path: str
    target: str
    state: str
    message: str = ""
    hint: str = ""


def only_what_was_fetched(space: Workspace, optional: bool = False) -> None:
    """Let optional artifacts that are not there be no matter, unless they are asked for.

    The workspace was opened with them, so that those that were fetched are looked at.
    """
    space.options.selection = replace(space.options.selection, optional=optional, exact={})


def examine(space: Workspace, deep: bool, strict: bool) -> tuple[Plan, list[Finding]]:
    """Look at every file; with `deep` every byte, with `strict` also at files that are not ours."""
    planner = space.planner()
    planner.deep = deep
    rows = space.state.rows()
    plan = planner.plan(space.in_scope(rows.values()), space.lock)
    findings = [_judge(item) for item in plan.items]
    if deep:
        findings = _unlike_source(space, plan, findings)
        findings += _spoiled_cache(space, plan)
    findings += _stale(plan, rows)
    if strict:
        findings += _foreign(plan)
    return plan, findings


def _unlike_source(space: Workspace, plan: Plan, findings: list[Finding]) -> list[Finding]:
    """With the files that are as locked, but not as the person's own Hub has listed them."""
    from fetcher.operations.lock_check import unlike_source

    pairs = ((part.artifact, part.locked) for part in plan.artifacts)
    said = {
        (problem.artifact, problem.file): problem
        for problem in unlike_source(pairs, space.store, space.settings)
    }
    found = []
    for finding in findings:
        problem = said.get((finding.artifact, finding.path)) if finding.state == "ok" else None
        if problem is not None:
            message, hint = problem.message, problem.hint or ""
            finding = replace(finding, state="modified", message=message, hint=hint)  # noqa: PLW2901
        found.append(finding)
    return found


def _spoiled_cache(space: Workspace, plan: Plan) -> Iterator[Finding]:
    """What in the repositories of the Hugging Face cache that the plan uses is not what it says."""
    folders = {item.hub: item for item in plan.items if item.hub}
    if not folders:
        return
    from fetcher.sources.huggingface import HuggingFace
    from fetcher.store import upstream_records
    from fetcher.tree.hf_cache_check import CacheCheck

    look = CacheCheck(upstream_records.of_person(space.settings), deep=True)
    known = {item.path for item in plan.items if item.hub and item.action != KEEP}
    for folder, item in sorted(folders.items()):
        source = item.artifact.source
        assert isinstance(source, HuggingFace)
        for path, message, hint in look.of(Path(folder), source):
            if path not in known:
                yield Finding(item.artifact.id, "", path, "modified", message, hint)


def _judge(item: Item) -> Finding:
    name, path = item.artifact.id, item.file.path
    if item.action == KEEP:
        return Finding(name, path, item.target, "ok")
    if item.action == CONFLICT:
        how = t("was changed") if item.changed_by_user else t("is not what the lock says")
        return Finding(
            name, path, item.target, "modified", t("{target} {how}", target=item.target, how=how)
        )
    if item.problem is not None and item.problem.code == "digest-mismatch":
        said = item.problem
        return Finding(name, path, item.target, "modified", said.message, said.hint or "")
    if item.action == BLOCKED:
        message = item.problem.message if item.problem else ""
        return Finding(name, path, item.target, "blocked", message)
    dangling = item.stat is not None and not os.path.exists(item.path)
    if item.stat is not None and not dangling:
        message = t(
            "{target} was placed for an older lock, or before the clone was moved",
            target=item.target,
        )
        return Finding(name, path, item.target, "modified", message, t("run `fetch all`"))
    return Finding(name, path, item.target, "missing", t("{target} is missing", target=item.target))


def _stale(plan: Plan, rows: dict[str, StateRow]) -> Iterator[Finding]:
    """Files that were placed for an artifact whose lock no longer has them.

    Other commits in the Hugging Face cache are anybody's, and no business of this tree.
    """
    targets = {item.target for item in plan.items}
    owners = {
        part.artifact.full_name: part.artifact.id
        for part in plan.artifacts
        if part.locked is not None
    }
    for row in rows.values():
        if not row.placed or row.path in targets or row.artifact not in owners:
            continue
        if os.path.isabs(row.path):
            continue
        if os.path.lexists(os.path.join(plan.tree, row.path)):
            message = t("{path} was placed once, but the lock no longer has it", path=row.path)
            yield Finding(owners[row.artifact], row.path, row.path, "extra", message)


def _foreign(plan: Plan) -> Iterator[Finding]:
    """Files that are not ours: below each layout's root and each artifact's folder, and beside
    each placed file."""
    targets = {item.target for item in plan.items if not item.hub}
    whole = {part.unit.layout.root for part in plan.artifacts} - {""}
    for part in plan.artifacts:
        prefix = f"{part.unit.layout.root}/" if part.unit.layout.root else ""
        whole |= {prefix + e.target for e in part.unit.layout.entries if e.folder and e.target}
    seen: set[str] = set()
    for folder in sorted(whole):
        yield from _others(plan.tree, folder, targets, seen, deeper=True)
    for folder in sorted({target.rpartition("/")[0] for target in targets}):
        yield from _others(plan.tree, folder, targets, seen, deeper=False)


def _others(
    tree: Path, folder: str, targets: set[str], seen: set[str], deeper: bool
) -> Iterator[Finding]:
    path = tree / folder
    if folder in seen or not path.is_dir():
        return
    seen.add(folder)
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            if deeper and entry.name not in {FOLDER, ".git"}:
                yield from _others(tree, name, targets, seen, deeper=True)
        elif name not in targets:
            yield Finding("", name, name, "extra", t("{name} is not ours", name=name))


_HINTS = {
    "missing": t("run `fetch all`"),
    "modified": t("`fetch all --overwrite` restores it and keeps the old file in .fetch/kept/"),
    "extra": t("remove it if nothing needs it"),
    "blocked": t("make way for it, then run `fetch all`"),
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
                    code,
                    finding.message,
                    finding.hint or _HINTS[finding.state],
                    finding.artifact,
                    finding.path,
                )
            )
    return found


def _unlocked(part: ArtifactPlan) -> Problem:
    return Problem(
        "lock",
        t("no current entry in fetch.lock"),
        t("run `fetch all`, or `fetch lock`"),
        part.artifact.id,
    )
