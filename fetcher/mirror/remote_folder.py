"""Bundles that lie elsewhere as a folder of files: behind a web server, or in a bucket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.mirror import oci_documents
from fetcher.mirror.bundle import INDEX, SIGNATURE, SUMS, blob_name
from fetcher.mirror.inventory import HeldArtifact
from fetcher.mirror.oci_documents import Contents, Descriptor
from fetcher.mirror.remote_signature import SignedBundle
from fetcher.network.session import Network
from fetcher.network.urls import public_url
from fetcher.sources.base import Candidate, FileEntry, UrlCandidate


class RemoteFolder(ABC):
    """A bundle's files by name, somewhere else."""

    label: str

    @abstractmethod
    def get(self, name: str) -> bytes | None:
        """A small file's bytes, None if it is not there. Raises Failure."""

    @abstractmethod
    def candidate(self, sha256: str) -> Candidate:
        """A blob for the engine."""

    @cached_property
    def _index(self) -> bytes | None:
        """Asked for once: what is proven is what is used."""
        return self.get(INDEX)

    def contents(self) -> Contents:
        """Everything that the index leads to. Raises Failure."""
        index = self._index
        if index is None:
            raise Failure(
                "not-found",
                t("{label} has no {index}", label=self.label, index=INDEX),
                t("name the folder of a bundle"),
            )
        return oci_documents.parse(index, self._document, self.label)

    def _document(self, descriptor: Descriptor) -> bytes:
        data = self.get(blob_name(descriptor.sha256))
        if data is None:
            raise Failure(
                "missing",
                t("{label} lacks {sha256}", label=self.label, sha256=blob_name(descriptor.sha256)),
            )
        return data

    def signed_blobs(self, key: Path) -> set[str]:
        """Digests of all blobs that the signature covers. Raises Failure, UsageError."""
        sums, signature, index = self.get(SUMS), self.get(SIGNATURE), self._index
        if sums is None or signature is None or index is None:
            hint = t("sign the bundle before it is put there: fetch mirror sign")
            raise Failure("signature", t("{label} is not signed", label=self.label), hint)
        return SignedBundle(self.label, index, sums, signature).blobs(key)


class RemotePlace:
    """Such a bundle, or a plain store, as a mirror. With a key, its signature is checked first."""

    def __init__(self, folder: RemoteFolder, key: Path | None) -> None:
        self._folder = folder
        self._signed = None if key is None else folder.signed_blobs(key)

    def candidates(self, file: FileEntry) -> list[Candidate]:
        """The blob, if its sha256 is known (and signed, where that is asked for)."""
        if not file.sha256 or (self._signed is not None and file.sha256 not in self._signed):
            return []
        return [self._folder.candidate(file.sha256)]

    def artifacts(self) -> Sequence[HeldArtifact]:
        """A bundle's; a plain store has no index, which is a Failure."""
        return self._folder.contents().artifacts


class WebFolder(RemoteFolder):
    """Behind a web server, `fetch serve` included."""

    def __init__(self, url: str, network: Network) -> None:
        self.label = public_url(url)
        self._url = url.rstrip("/")
        self._network = network

    def get(self, name: str) -> bytes | None:
        """GET."""
        answer = self._network.request(f"{self._url}/{name}")
        if answer.status in {404, 410}:
            return None
        if answer.status != 200:
            denied = answer.status in {401, 403}
            raise Failure(
                "auth" if denied else "network",
                t(
                    "{label}/{name}: HTTP {status}",
                    label=self.label,
                    name=name,
                    status=answer.status,
                ),
                t("put a login for its host into ~/.netrc") if denied else "",
            )
        return answer.body

    def candidate(self, sha256: str) -> Candidate:
        """The blob's address."""
        return UrlCandidate("mirror", f"{self._url}/{blob_name(sha256)}")
