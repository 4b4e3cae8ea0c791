"""The command lines that hints name: they reach the tree and artifact that a hint is about."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.project.project import catalog_folder

if TYPE_CHECKING:
    from fetcher.tree.plan import ArtifactPlan, Plan


def words_into(root: Path, tree: Path) -> list[str]:
    """The option that names a tree; none for the project's own folder, `root`."""
    same = os.path.abspath(tree) == os.path.abspath(root)
    return [] if same else ["--into", str(tree)]


def fetch_all(root: Path, plan: Plan, parts: Iterable[ArtifactPlan], *flags: str) -> str:
    """The `fetch all` that brings these artifacts into the plan's tree.

    A bare one leaves out what is optional, and manifests that are not the project's own: those are
    named.
    """
    ids = [part.artifact.id for part in plan.artifacts]
    names: dict[str, None] = {}
    unasked = True
    for part in parts:
        artifact, path = part.artifact, part.unit.manifest.path
        folder = os.path.abspath(path.parent) if path is not None else ""
        own = folder == os.path.abspath(root / "manifests")
        unasked &= own and not artifact.optional
        if own or folder == os.path.abspath(catalog_folder("manifests")):
            names[artifact.id if ids.count(artifact.id) == 1 else artifact.full_name] = None
        else:
            names |= dict.fromkeys([str(path), *["--include-optional"] * artifact.optional])
    said = [] if unasked else names
    return shlex.join(["fetch", "all", *said, *flags, *words_into(root, plan.tree)])
