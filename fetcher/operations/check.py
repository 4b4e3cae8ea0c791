"""Compare a tree with the lock: what is missing, modified or extra."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fetcher.errors import Problem
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.operations import reconcile
from fetcher.operations.doubt import doubt_files
from fetcher.operations.workspace import Workspace
from fetcher.project.project import SETTLED
from fetcher.reporting.orphan_words import entry_of, reason
from fetcher.tree.hint_commands import fetch_all, words_into
from fetcher.tree.orphan import Orphan
from fetcher.tree.plan import BLOCKED, CONFLICT, KEEP, ArtifactPlan, Item, Plan
from fetcher.tree.planner import what_it_became
from fetcher.tree.state import FOLDER
from fetcher.tree.target_names import TargetNames


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


def examine(
    space: Workspace, deep: bool, strict: bool, each: bool = False
) -> tuple[Plan, list[Finding], tuple[Orphan, ...]]:
    """Look at every file; with `deep` every byte, with `strict` also at files that are not ours.

    Orphans are told apart: they are findings only where one is `strict`. Files that are as they
    were recorded are findings where `each` is to be one, or `deep`.
    """
    planner = space.planner(only_look=True)
    planner.deep = deep
    plan = planner.plan(space.in_scope(space.rows), space.lock)
    hints = _Hints(space.project.root, plan)
    findings = [_judge(item, hints) for item in (plan.items if each or deep else plan.pending())]
    if deep:
        # (A lost executable bit says nothing of the bytes.)
        doubt_files(space, (item for item in plan.items if item.action == CONFLICT))
        findings = _unlike_source(space, plan, findings)
        findings += _spoiled_cache(space, plan)
    orphans = reconcile.look(space, plan).orphans
    if strict:
        prune = shlex.join(["fetch", "prune", *words_into(space.project.root, plan.tree)])
        findings += [_of_orphan(orphan, prune) for orphan in orphans]
        own = {orphan.path for orphan in orphans}
        if plan.tree == space.project.root:
            own |= {*SETTLED, ".gitignore"}
        findings += _foreign(plan, own)
    return plan, findings, orphans


def right(plan: Plan, findings: Iterable[Finding]) -> int:
    """How many files are as locked."""
    every = sum(len(part.items) for part in plan.artifacts)
    return every - sum(bool(one.path) and one.state not in {"ok", "extra"} for one in findings)


def _of_orphan(orphan: Orphan, prune: str) -> Finding:
    message = t("{path} was placed once: {why}", path=orphan.path, why=reason(entry_of(orphan)))
    name = orphan.artifact.partition("/")[2]
    return Finding(
        name, orphan.path, orphan.path, "extra", message, t("run `{command}`", command=prune)
    )


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


def _judge(item: Item, hints: _Hints) -> Finding:
    name, path = item.artifact.id, item.file.path
    if item.action == KEEP:
        return Finding(name, path, item.target, "ok")
    if item.lost_mode:
        message = t("{target} is a program, and may not be run any more", target=item.target)
        return Finding(name, path, item.target, "modified", message, hints.run(name))
    if item.action == CONFLICT:
        how = t("is not what the lock says")
        if item.changed_by_user:
            how = what_it_became(item) or t("was changed")
        return Finding(
            name, path, item.target, "modified", t("{target} {how}", target=item.target, how=how)
        )
    if item.problem is not None and item.problem.code == "digest-mismatch":
        said = item.problem
        return Finding(name, path, item.target, "modified", said.message, said.hint or "")
    if item.action == BLOCKED:
        message = t("{target} is not looked at: its folder is not allowed", target=item.target)
        message = item.problem.message if item.problem else message
        return Finding(name, path, item.target, "blocked", message)
    dangling = item.stat is not None and not os.path.exists(item.path)
    if item.stat is not None and not dangling:
        message = t(
            "{target} was placed for an older lock, or before the clone was moved",
            target=item.target,
        )
        return Finding(name, path, item.target, "modified", message, hints.run(name))
    return Finding(name, path, item.target, "missing", t("{target} is missing", target=item.target))


def _foreign(plan: Plan, known: set[str]) -> Iterator[Finding]:
    """Files that are not ours: below each layout's root and each artifact's folder, and beside
    each placed file; `known` are not to be told of."""
    targets = TargetNames(plan)
    whole = {part.unit.layout.root for part in plan.artifacts} - {""}
    for part in plan.artifacts:
        prefix = f"{part.unit.layout.root}/" if part.unit.layout.root else ""
        whole |= {
            prefix + e.target
            for e in part.unit.layout.entries
            if e.folder and e.target and not e.root
        }
    seen: set[str] = set()
    for folder in sorted(whole):
        yield from _others(plan.tree, folder, targets, known, seen, deeper=True)
    for folder in sorted(targets.folders):
        yield from _others(plan.tree, folder, targets, known, seen, deeper=False)


def _others(
    tree: Path, folder: str, targets: TargetNames, known: set[str], seen: set[str], deeper: bool
) -> Iterator[Finding]:
    path = tree / folder
    if folder in seen or not path.is_dir():
        return
    seen.add(folder)
    ours = targets.in_folder(folder)
    found = [entry for entry in os.scandir(path) if deeper or entry.name not in ours]
    for entry in sorted(found, key=lambda entry: entry.name):
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            if deeper and entry.name not in {FOLDER, ".git"}:
                yield from _others(tree, name, targets, known, seen, deeper=True)
        elif entry.name not in ours and name not in known:
            message = t("{name} is no file of any artifact", name=printable(name))
            yield Finding("", name, name, "extra", message)


class _Hints:
    """What to do about findings of one plan."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self._root, self._plan = root, plan
        self._parts: dict[str, list[ArtifactPlan]] = {}
        for part in plan.artifacts:
            self._parts.setdefault(part.artifact.id, []).append(part)

    def of(self, finding: Finding) -> str:
        if finding.state == "extra":
            return t("remove it if nothing needs it")
        if finding.state == "modified":
            command = self._command(finding.artifact, "--overwrite")
            return t(
                "`{command}` restores it and keeps the old file in .fetch/kept/", command=command
            )
        if finding.state == "blocked":
            command = self._command(finding.artifact)
            return t("make way for it, then run `{command}`", command=command)
        return self.run(finding.artifact)

    def run(self, artifact: str) -> str:
        """The hint for what a run brings without more being said."""
        return t("run `{command}`", command=self._command(artifact))

    def _command(self, artifact: str, *flags: str) -> str:
        return fetch_all(self._root, self._plan, self._parts.get(artifact, ()), *flags)


def problems_of(root: Path, plan: Plan, findings: Iterable[Finding]) -> list[Problem]:
    """What is wrong, as problems with exit codes; `root` is the project's."""
    hints = _Hints(root, plan)
    found = [problem for part in plan.artifacts for problem in part.problems]
    found += [_unlocked(root, plan, part) for part in plan.artifacts if part.locked is None]
    for finding in findings:
        if finding.state != "ok":
            code = "missing" if finding.state == "blocked" else finding.state
            found.append(
                Problem(
                    code,
                    finding.message,
                    finding.hint or hints.of(finding),
                    finding.artifact,
                    finding.path,
                )
            )
    return found


def _unlocked(root: Path, plan: Plan, part: ArtifactPlan) -> Problem:
    return Problem(
        "lock",
        t("no current entry in fetch.lock"),
        t("run `{command}`, or `fetch lock`", command=fetch_all(root, plan, [part])),
        part.artifact.id,
    )
