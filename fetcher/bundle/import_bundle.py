"""`fetch mirror import`, step by step: open, look, compare with the store, prove and publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fetcher.bundle.blob_import import BlobImport, ImportResult, check_free, missing_contents
from fetcher.bundle.import_claims import AcceptedClaims, ImportChoice, NewClaims, accept
from fetcher.bundle.project_documents import unpack_project
from fetcher.mirror import trust
from fetcher.mirror.bundle import Bundle, open_bundles
from fetcher.store.runs import Runs
from fetcher.store.store import Store
from fetcher.ui.progress import Progress


def import_bundles(
    arguments: Sequence[str],
    store: Store,
    key: Path | None,
    project: Path | None,
    progress: Progress,
    choice: ImportChoice,
) -> ImportResult:
    """Import bundles in order; a problem ends it. Raises Failure, UsageError."""
    found = ImportResult()
    bundles = open_bundles(arguments)
    try:
        for bundle in bundles:
            found.problems += bundle.structure()
        if not found.problems and key is not None:
            for bundle in bundles:
                trust.require_signature(bundle, key)
        if not found.problems:
            store.prepare()
            with Runs(store.root, progress.say, choice.locks):
                new = [NewClaims.of(one.contents, one.label, key, store) for one in bundles]
                accepted = accept(new, store, choice, found)
                if not found.problems:
                    _import(bundles, store, project, progress, found, accepted)
    finally:
        for bundle in bundles:
            bundle.close()
    return found


def _import(
    bundles: list[Bundle],
    store: Store,
    project: Path | None,
    progress: Progress,
    found: ImportResult,
    accepted: AcceptedClaims,
) -> None:
    store.recover()  # what an import that was killed had copied
    found.problems = missing_contents(bundles, store)
    if found.problems:
        return
    check_free(bundles, store, progress.say)
    sizes = [bundle.container.sizes for bundle in bundles]
    progress.begin(sum(map(len, sizes)), sum(sum(item.values()) for item in sizes))
    for bundle in bundles:
        result = BlobImport(bundle, store, progress.advance).run()
        found.add(result)
        if result.problems:
            return
        accepted.keep(bundle.contents, store)
        if project is not None:
            found.problems += unpack_project(bundle.contents, project)
