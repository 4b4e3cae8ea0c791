"""Fetch's own mirrors, as a manifest names them under `mirrors`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fetcher.errors import Failure
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.network.urls import host_of, public_url
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    Request,
    Resolved,
    Source,
)
from fetcher.yamldoc.schema import Field, Text


@dataclass(frozen=True)
class FetchMirror(Source):
    """A fetch mirror: a bundle, a folder that is a store, a registry, a bucket, a web server."""

    location: str

    type: ClassVar[str] = "mirror"
    mirror_only: ClassVar[bool] = True
    fields: ClassVar[dict[str, Field]] = {
        "location": Field(
            Text(), t("a bundle, a store's folder, or an http(s), oci or s3 URL"), required=True
        ),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The location itself."""
        return {"location": text}

    def describe(self) -> str:
        """The host, directory or file."""
        if not self.location.startswith(("http://", "https://")):
            return public_url(self.location) if "://" in self.location else self.location
        try:
            return host_of(self.location)
        except Failure:
            return public_url(self.location)

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Never called: a mirror holds blobs and knows no artifacts."""
        raise Failure("refused", t("a mirror cannot list an artifact"))

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """None: what a mirror has is known to `fetcher.mirror.locations`, which opens it."""
        return []
