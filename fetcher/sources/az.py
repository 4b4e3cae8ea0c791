"""Blobs of Azure Storage; its listings give sizes and, mostly, md5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from fetcher.i18n import t
from fetcher.network.cloud_logins import azure_query
from fetcher.network.session import Network
from fetcher.sources.base import FileEntry
from fetcher.sources.object_stores import (
    PATH_FIELD,
    VERSION,
    Found,
    ObjectStore,
    Place,
    hex_of,
    quoted,
    version_field,
    whole,
)
from fetcher.sources.xml_listing import rows
from fetcher.yamldoc.schema import Field, Text

_ACCOUNT = r"[a-z0-9]{3,24}"
_CONTAINER = r"(?:\$root|\$web|(?!.*--)[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])?)"
_HOST = re.compile(rf"({_ACCOUNT})\.(?:blob|dfs)\.core\.windows\.net")


@dataclass(frozen=True)
class AzureBlob(ObjectStore):
    """`az:account/container/blob`, `az:account/container/prefix`, `…?versionid=…`."""

    account: str
    container: str
    path: str = ""
    revision: str = ""

    type: ClassVar[str] = "az"
    product: ClassVar[str] = "Azure Storage"
    # Without a version the service answers as that of 2009 did.
    always: ClassVar[tuple[tuple[str, str], ...]] = (("x-ms-version", "2020-12-06"),)
    refusals: ClassVar[frozenset[int]] = frozenset({400, 401, 403, 404, 409})
    fields: ClassVar[dict[str, Field]] = {
        "account": Field(
            Text(_ACCOUNT, t("a storage account's name")), t("the storage account"), required=True
        ),
        "container": Field(
            Text(_CONTAINER, t("a container's name")), t("the container"), required=True
        ),
        "path": PATH_FIELD,
        "revision": version_field(t("version id of one blob")),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`account/container[/blob][?versionid=…]`, `//account.blob.core.windows.net/…`."""
        found = re.fullmatch(
            rf"(?://)?({_ACCOUNT})(?:\.blob\.core\.windows\.net)?/({_CONTAINER})"
            rf"(?:/([^?]*))?(?:\?versionid=({VERSION}))?",
            text,
        )
        if not found:
            raise ValueError(t("expected az:account/container/blob, with ?versionid= if wanted"))
        names = ("account", "container", "path", "revision")
        return {name: value for name, value in zip(names, found.groups(), strict=True) if value}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """A blob's or container's address. ValueError for one that is signed."""
        parts = urlsplit(url)
        found = _HOST.fullmatch((parts.hostname or "").lower())
        if not found or parts.port:
            return None
        query = parse_qs(parts.query)
        if "sig" in query:
            raise ValueError(t("is signed, which is a login: give the address without its query"))
        container, _, key = unquote(parts.path[1:]).partition("/")
        if not re.fullmatch(_CONTAINER, container):
            return None
        version = query.get("versionid", query.get("versionId", [""]))[0]
        given = {"account": found[1], "container": container, "revision": version,
                 "path": key or query.get("prefix", [""])[0]}  # fmt: skip
        return {name: value for name, value in given.items() if value}

    def describe(self) -> str:
        """The short form."""
        version = f"?versionid={self.revision}" if self.revision else ""
        path = f"/{self.path}" if self.path else ""
        return f"az:{self.account}/{self.container}{path}{version}"

    def page(self, network: Network) -> str:
        """The container's address: Azure's portal has no page that a name leads to."""
        return self._home(network)

    def _home(self, network: Network) -> str:
        return f"https://{self.account}.blob.core.windows.net/{self.container}"

    def _object(self, key: str, version: str, network: Network) -> str:
        query = f"?versionid={quote(version, safe='')}" if version else ""
        return f"{self._home(network)}/{quoted(key)}{query}"

    def _has_login(self, network: Network) -> bool:
        return bool(azure_query(self.account, self.container))

    def _signed(self, url: str, method: str, network: Network) -> Place | None:
        query = azure_query(self.account, self.container)
        joint = "&" if "?" in url else "?"
        return Place(f"{url}{joint}{urlencode(query)}") if query else None

    def _login_hint(self) -> str:
        return t(
            "set AZURE_STORAGE_ACCOUNT to {account}, and AZURE_STORAGE_SAS_TOKEN or "
            "AZURE_STORAGE_KEY",
            account=self.account,
        )

    def _of_headers(self, key: str, headers: Mapping[str, str]) -> Found:
        size = whole(headers.get("content-length", ""))
        plain = "content-encoding" not in headers
        md5 = hex_of(headers.get("content-md5", ""), 16) if plain else None
        version = headers.get("x-ms-version-id", "")
        entry = FileEntry(key, size, md5=md5, size_hint=size is not None)
        return Found(entry, version if re.fullmatch(VERSION, version) else "")

    def _page(self, prefix: str, mark: str, network: Network) -> tuple[list[Found], str | None]:
        query = {"restype": "container", "comp": "list", "prefix": prefix}
        if mark:
            query["marker"] = mark
        url = f"{self._home(network)}?{urlencode(query, quote_via=quote)}"
        answer = self._ask(url, network)
        if answer.status != 200:
            raise self._failure(answer, network)
        try:
            listed = rows(answer.body, "Blob")
        except ValueError as error:
            raise self._no_listing(error) from error
        if "NextMarker" not in listed.outside:
            raise self._no_listing(t("it is no list of a container"))
        # A folder of a hierarchical account is listed beside its files.
        files = (row for row in listed.rows if row.get("ResourceType") != "directory")
        return [self._of_row(row) for row in files], listed.outside["NextMarker"] or None

    def _of_row(self, row: Mapping[str, str]) -> Found:
        name, size = row.get("Name", ""), whole(row.get("Content-Length", ""))
        if not name or size is None:
            raise self._wrong(name)
        plain = not row.get("Content-Encoding")
        md5 = hex_of(row.get("Content-MD5", ""), 16) if plain else None
        return Found(FileEntry(name, size, md5=md5))
