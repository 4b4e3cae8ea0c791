"""Mirrors by their location: what stands behind `--from`, FETCH_MIRRORS and `mirror:` in manifests.

A mirror is never trusted: what it delivers counts only if its digest is the lock's. With a
verify key, it must also be signed, and whole.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fetcher.config.boundaries import taken_from
from fetcher.errors import FetchError, UsageError
from fetcher.i18n import t
from fetcher.mirror import trust
from fetcher.mirror.bundle import Bundle, blob_name, is_bundle, open_bundle
from fetcher.mirror.inventory import HeldArtifact
from fetcher.mirror.remote_folder import RemoteFolder, RemotePlace, WebFolder
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    ExtentsCandidate,
    FileEntry,
    PathCandidate,
    Source,
)
from fetcher.sources.fetch_mirror import FetchMirror

_log = logging.getLogger(__name__)

ORIGIN = "mirror"
_GUARD = threading.Lock()


class Mirror(Protocol):
    """An opened mirror."""

    def candidates(self, file: FileEntry) -> list[Candidate]:
        """Where it has this content; nothing if it cannot be asked for."""

    def artifacts(self) -> Sequence[HeldArtifact]:
        """What it says that its contents are; nothing if it cannot say. Raises Failure."""


class StoreMirror:
    """A store's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def candidates(self, file: FileEntry) -> list[Candidate]:
        """The blob, whether it is there or not."""
        if not file.sha256:
            return []
        return [PathCandidate(ORIGIN, str(self._root / blob_name(file.sha256)))]

    def artifacts(self) -> Sequence[HeldArtifact]:
        """Nothing: projects of any origin have put contents there."""
        return ()


class BundleMirror:
    """A bundle on this machine, read in place."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._by_git = {
            file.git_blob: file.sha256
            for artifact in bundle.artifacts()
            for file in artifact.files
            if file.git_blob and not file.lfs
        }

    def candidates(self, file: FileEntry) -> list[Candidate]:
        """The pieces that hold the content, known by its sha256 or its git id."""
        sha256 = file.sha256 or self._by_git.get(file.git_blob or "")
        extents = self._bundle.locate(sha256) if sha256 else None
        return [] if extents is None else [ExtentsCandidate(ORIGIN, extents)]

    def artifacts(self) -> Sequence[HeldArtifact]:
        """The bundle's."""
        return self._bundle.artifacts()


def opened(location: str, network: Network) -> Mirror:
    """The mirror at a location, opened once in a run. Raises Failure, UsageError."""
    with _GUARD:
        place = network.mirrors.get(location)
        if place is None:
            try:
                place = network.mirrors[location] = _open(location, network)
            except FetchError as error:
                _log.info(
                    "mirror %s is refused: %s", FetchMirror(location).describe(), error.message
                )
                raise
            _log.info(
                "mirror %s is opened as a %s",
                FetchMirror(location).describe(),
                type(place).__name__,
            )
    found: Mirror = place
    return found


def candidates_of(source: Source, file: FileEntry, network: Network) -> list[Candidate]:
    """Where an artifact's mirror, of whatever kind, has a file's content. Raises FetchError.

    A fetch mirror is opened for it, and knows contents by their digests alone.
    """
    if isinstance(source, FetchMirror):
        check_allowed(source.location, network)
        return opened(source.location, network).candidates(file)
    return source.candidates(source.pinned_revision(), file, network)


def _open(location: str, network: Network) -> Mirror:
    key = network.settings.verify_key
    mine = location in network.settings.own_mirrors
    if location.startswith("oci://"):
        from fetcher.mirror.oci_registry import RegistryPlace

        return RegistryPlace(location, network, key, mine)
    if "://" in location:
        return RemotePlace(remote_folder(location, network, mine), key)
    path = str(local_path(location, network.settings.root))
    if not is_bundle(path):
        trust.refuse_unsigned(location, key)
        return StoreMirror(Path(path))
    bundle = open_bundle(path)
    try:
        if key is not None:
            trust.require(bundle, key)
    except BaseException:
        bundle.close()
        raise
    return BundleMirror(bundle)


def local_path(location: str, root: Path) -> Path:
    """Where a mirror on this machine lies, for the project at `root`."""
    return root / os.path.expanduser(location)


def check_allowed(location: str, network: Network) -> None:
    """Raise Failure for a folder or file outside the project that only the project names.

    What --from, FETCH_MIRRORS or the person's own file name is the person's word.
    """
    settings = network.settings
    if "://" in location or (
        location in settings.mirrors and not settings.is_from_project("mirrors")
    ):
        return
    taken_from(settings, local_path(location, settings.root))


def remote_folder(location: str, network: Network, mine: bool) -> RemoteFolder:
    """A folder of files elsewhere; `mine`: the person named it, and it may have their keys.

    Raises UsageError.
    """
    if location.startswith("s3://"):
        from fetcher.mirror.s3 import Bucket

        return Bucket(location, network, mine)
    return WebFolder(location, network)


def check_location(location: str, root: Path) -> None:
    """Raise UsageError for a mirror named on the command line that is none."""
    if "://" in location:
        return
    path = str(local_path(location, root))
    if os.path.isdir(path) and not is_bundle(path) and not os.path.isdir(f"{path}/blobs/sha256"):
        raise UsageError(
            t(
                "--from {location}: no bundle and no store there (no folder blobs/sha256)",
                location=location,
            ),
            t("name a bundle, or a store's folder, such as the one `fetch store du` shows"),
        )
    if not os.path.isdir(path) and not is_bundle(path):
        raise UsageError(
            t("--from {location}: no bundle and no store there", location=location),
            t("name a bundle, or a store's folder, such as the one `fetch store du` shows"),
        )
