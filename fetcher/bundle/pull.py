"""`fetch mirror pull`: everything that a registry, bucket or web server has, into the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fetcher.bundle.blob_import import ImportResult
from fetcher.bundle.import_claims import ImportChoice, NewClaims, accept
from fetcher.bundle.project_documents import unpack_project
from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.mirror.bundle import summary_of
from fetcher.mirror.document_pins import contradictions_of
from fetcher.mirror.locations import remote_folder
from fetcher.mirror.oci_documents import Contents
from fetcher.mirror.oci_registry import Registry, parse_reference, signed_blobs
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.sources.base import Candidate
from fetcher.store.runs import Runs
from fetcher.store.store import Store
from fetcher.transfer.download import Delivered, Download
from fetcher.transfer.engine import Engine
from fetcher.ui.progress import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _RemoteContents:
    """What is to be had, how, and (with a key) which of it is signed. `place`: where it lies,
    without a login or a pin."""

    place: str
    contents: Contents
    candidate: Callable[[str], Candidate]
    signed: set[str] | None


def _look(source: str, network: Network) -> _RemoteContents:
    key = network.settings.verify_key
    if network.offline:
        raise Failure(
            "offline", t("{source} is needed, but the network may not be used", source=source)
        )
    if source.startswith("oci://"):
        registry = Registry(parse_reference(source), network)
        signed = None if key is None else signed_blobs(registry, key)
        place = str(replace(registry.reference, digest=""))
        return _RemoteContents(
            place, registry.contents(), lambda sha256: registry.candidate("mirror", sha256), signed
        )
    if not source.startswith(("s3://", "http://", "https://")):
        raise UsageError(
            t("{source} is no registry, bucket or web server", source=source),
            t("a bundle on this machine is taken in by: fetch mirror import"),
        )
    folder = remote_folder(source, network, mine=True)
    signed = None if key is None else folder.signed_blobs(key)
    return _RemoteContents(public_url(source), folder.contents(), folder.candidate, signed)


def pull(
    source: str,
    store: Store,
    network: Network,
    project: Path | None,
    progress: Progress,
    choice: ImportChoice,
) -> ImportResult:
    """Bring all contents into the store. Raises Failure, UsageError."""
    there = _look(source, network)
    done = ImportResult()
    done.problems = contradictions_of(there.contents, public_url(source))
    if done.problems:
        return done
    done.artifacts = [summary_of(artifact) for artifact in there.contents.artifacts]
    store.prepare()
    with Runs(store.root, progress.say, choice.locks) as runs:
        key = network.settings.verify_key
        new = [NewClaims.of(there.contents, there.place, key, store)]
        accepted = accept(new, store, choice, done)
        if done.problems:
            return done
        downloads = _missing(there, store, done, public_url(source))
        size = sum(download.file.size or 0 for download in downloads)
        _log.info(
            "%s has %d artifacts: %d contents to fetch, %d bytes; %d are in the store",
            *(public_url(source), len(done.artifacts), len(downloads), size, done.already),
        )
        progress.begin(len(downloads), size)
        if downloads:
            _transfer(downloads, Engine(network, store, progress, _count(done), runs=runs), done)
        if not done.problems:
            accepted.keep(there.contents, store)
            if project is not None:
                done.problems = unpack_project(there.contents, project)
    return done


def _missing(
    there: _RemoteContents, store: Store, done: ImportResult, source: str
) -> list[Download]:
    """What the store lacks; the rest is counted. Raises Failure for what nobody has signed."""
    downloads: dict[str, Download] = {}
    for artifact in there.contents.artifacts:
        for file in artifact.files:
            sha256 = file.sha256 or ""
            if sha256 in downloads:
                continue
            if there.signed is not None and sha256 not in there.signed:
                text = t(
                    "{source}: {full_name}/{path} is not among what was signed",
                    source=source,
                    full_name=artifact.full_name,
                    path=file.path,
                )
                raise Failure("signature", text, t("do not use it"), artifact.id, file.path)
            if store.has(sha256, file.size):
                done.already += 1
            else:
                downloads[sha256] = Download(artifact.id, file, [there.candidate(sha256)])
    return list(downloads.values())


def _count(done: ImportResult) -> Callable[[list[Delivered]], None]:
    def arrived(batch: list[Delivered]) -> None:
        done.files += len(batch)
        done.bytes += sum(item.size for item in batch)

    return arrived


def _transfer(downloads: list[Download], engine: Engine, done: ImportResult) -> None:
    with engine:
        failed = engine.run(downloads)
    done.problems = [
        problem.about(download.artifact, download.file.path) for download, problem in failed
    ]
    for problem in done.problems:
        _log.info("%s/%s did not come: %s", problem.artifact, problem.file, problem.message)
