"""Who a manifest says has signed a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fetcher.yamldoc.json_fields import JsonFields

DEFAULT = "model.sig"


@dataclass(frozen=True)
class Signer:
    """Who a manifest says has signed a model: `signature:`.

    `file` is the signature's path in the artifact. Of the rest, `key` (a path, PEM), or
    `certificates` (paths), or `identity` and `issuer` (Sigstore) is given.
    """

    file: str = DEFAULT
    key: str = ""
    certificates: tuple[str, ...] = ()
    identity: str = ""
    issuer: str = ""

    @classmethod
    def of_manifest(cls, fields: Mapping[str, object]) -> Signer:
        """As the manifest's schema has checked it."""
        read = JsonFields(fields)
        return cls(
            read.text("file") or DEFAULT,
            read.text("key"),
            tuple(read.texts("certificates")),
            read.text("identity"),
            read.text("issuer"),
        )
