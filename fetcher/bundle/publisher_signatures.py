"""Publishers' own signatures, wherever the files are: in the store, in the tree, in a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fetcher.errors import FetchError, Problem
from fetcher.fs.extents import read
from fetcher.fs.private_files import scratch_folder
from fetcher.i18n import t
from fetcher.mirror import publisher_signature
from fetcher.mirror.bundle import Bundle
from fetcher.mirror.signer import DEFAULT, Signer
from fetcher.operations.workspace import Workspace
from fetcher.sources.base import FileEntry

_MAX_READ = 256 << 20


def _problems(
    artifact: str,
    files: Iterable[FileEntry],
    signature: Path,
    signer: Signer | None,
    root: Path,
) -> list[Problem]:
    try:
        publisher_signature.check(artifact, files, signature, signer, root)
    except FetchError as error:
        return [
            Problem("signature", problem.message, problem.hint, artifact)
            for problem in error.problems()
        ]
    return []


def of_project(space: Workspace, places: Mapping[str, str] | None = None) -> list[Problem]:
    """What is wrong with signatures of the artifacts that a command is about.

    An artifact with a `model.sig`, or with `signature` in its manifest, is looked at once all of
    its files are known by sha256. `places` says which file has which digest; default: the store.
    """
    problems: list[Problem] = []
    for _, artifact in space.wanted:
        locked = space.lock.of(artifact)
        if locked is None:
            continue
        signer = None if artifact.signature is None else Signer.of_manifest(artifact.signature)
        name = signer.file if signer else DEFAULT
        entry = next((file for file in locked.files if file.path == name), None)
        if entry is None:
            if signer is not None:
                text = t(
                    "{id} is not signed by its publisher: it has no {name}",
                    id=artifact.id,
                    name=name,
                )
                hint = t("add it to `files`, or drop `signature` from the manifest")
                problems.append(Problem("signature", text, hint, artifact.id))
            continue
        sha256 = space.store.digest_of(entry) or ""
        path = (places or {}).get(sha256) or space.store.blob_path(sha256)
        known = [file._replace(sha256=space.store.digest_of(file)) for file in locked.files]
        if os.path.isfile(path):
            root = space.project.root
            problems += _problems(artifact.id, known, Path(path), signer, root)
    return problems


def of_bundle(bundle: Bundle) -> list[Problem]:
    """What is wrong with the `model.sig` of a bundle's artifacts, whoever made it."""
    problems = []
    for artifact in bundle.artifacts():
        entry = next((file for file in artifact.files if file.path == DEFAULT), None)
        extents = bundle.locate(entry.sha256 or "") if entry is not None else None
        if entry is None or extents is None or (entry.size or 0) > _MAX_READ:
            continue
        with scratch_folder() as folder:
            path = Path(folder, DEFAULT)
            path.write_bytes(b"".join(read(extents)))
            problems += _problems(artifact.id, artifact.files, path, None, Path())
    return problems
