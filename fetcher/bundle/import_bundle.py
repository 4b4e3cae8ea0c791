"""`fetch mirror import`, step by step: open, look, compare with the store, prove and publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fetcher.bundle.importer import Importer, check_free, lacking, remember, unpack_project
from fetcher.errors import Problem
from fetcher.mirror import trust
from fetcher.mirror.bundle import open_bundles, record_of
from fetcher.store.store import Store
from fetcher.ui.progress import Progress


@dataclass
class TakenIn:
    """What an import of bundles did."""

    artifacts: list[dict[str, Any]] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    already: int = 0
    problems: list[Problem] = field(default_factory=list)


def take(
    arguments: Sequence[str],
    store: Store,
    key: Path | None,
    project: Path | None,
    progress: Progress,
) -> TakenIn:
    """Import bundles in order; a problem ends it. Raises Failure, UsageError."""
    found = TakenIn()
    bundles = open_bundles(arguments)
    try:
        for bundle in bundles:
            found.problems += bundle.structure()
        if not found.problems and key is not None:
            for bundle in bundles:
                trust.require_signature(bundle, key)
        if not found.problems:
            store.recover()  # what an import that was killed had copied
            found.problems = lacking(bundles, store)
        if found.problems:
            return found
        check_free(bundles, store)
        sizes = [bundle.container.sizes for bundle in bundles]
        progress.begin(sum(map(len, sizes)), sum(sum(item.values()) for item in sizes))
        for bundle in bundles:
            taken = Importer(bundle, store, progress.advance).run()
            found.problems += taken.problems
            if taken.problems:
                return found
            found.files += taken.files
            found.bytes += taken.bytes
            found.already += taken.already
            found.artifacts += [record_of(artifact) for artifact in bundle.artifacts()]
            remember(store, bundle.contents)
            if project is not None:
                found.problems += unpack_project(bundle.contents, project)
    finally:
        for bundle in bundles:
            bundle.close()
    return found
