"""The command lines that hints name: they reach the tree and artifact that a hint is about."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.project.project import SUFFIXES

if TYPE_CHECKING:
    from fetcher.project.manifest import Artifact
    from fetcher.tree.plan import ArtifactPlan, Plan


def words_into(root: Path, tree: Path) -> list[str]:
    """The option that names a tree; none for the project's own folder, `root`."""
    same = os.path.abspath(tree) == os.path.abspath(root)
    return [] if same else ["--into", str(tree)]


def fetch_all(root: Path, plan: Plan, parts: Iterable[ArtifactPlan], *flags: str) -> str:
    """The `fetch all` that brings these artifacts into the plan's tree."""
    among = [part.artifact for part in plan.artifacts]
    return fetch_these(root, plan.tree, [part.artifact for part in parts], among, *flags)


def fetch_these(
    root: Path,
    tree: Path,
    artifacts: Iterable[Artifact],
    among: Sequence[Artifact],
    *flags: str,
    bare: bool = True,
) -> str:
    """The `fetch all` that brings some artifacts, of those that are in reach, into a tree.

    A bare one leaves out what is optional, and manifests that are not the project's own: those are
    named. `bare` is False where it leaves them out for other reasons.
    """
    artifacts = list(artifacts)
    unasked = bare and not any(one.reach or one.optional for one in artifacts)
    names = names_of(artifacts, among)
    if any(one.optional and is_elsewhere(one) for one in artifacts):
        names.append("--include-optional")
    return shlex.join(
        ["fetch", "all", *([] if unasked else names), *flags, *words_into(root, tree)]
    )


def names_of(artifacts: Iterable[Artifact], among: Sequence[Artifact]) -> list[str]:
    """What commands call artifacts, of those that are in reach: all of a manifest elsewhere."""
    counts = Counter(artifact.id for artifact in among)
    return list(
        dict.fromkeys(
            one.reach
            if is_elsewhere(one)
            else one.called or (one.id if counts[one.id] == 1 else one.full_name)
            for one in artifacts
        )
    )


def is_elsewhere(artifact: Artifact) -> bool:
    """Whether only the path of its manifest leads to it."""
    return artifact.reach.endswith(SUFFIXES) or os.sep in artifact.reach


def adopt(root: Path, tree: Path, path: str, artifact: Artifact, file: str) -> str:
    """The `fetch adopt` that takes what stands at `path` as this file of the artifact."""
    into = words_into(root, tree)
    line = f"fetch adopt {shlex.quote(_shown(root, path))} --as {artifact.as_words(file)}"
    return f"{line} {shlex.join(into)}" if into else line


def _shown(root: Path, path: str) -> str:
    """A path as it is typed in the current folder; in the project's, if that is no part of it."""
    here = Path.cwd()
    start = here if here.is_relative_to(os.path.abspath(root)) else root
    relative = os.path.relpath(path, start)
    return path if relative.startswith("..") else relative
