"""Objects of Google Cloud Storage; its listings give sizes, md5 and crc32c."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, unquote, urlencode, urlsplit

from fetcher.i18n import t
from fetcher.network.cloud_logins import google_token, has_google_login
from fetcher.network.session import Network
from fetcher.sources.base import FileEntry
from fetcher.sources.object_stores import (
    PATH_FIELD,
    Found,
    ObjectStore,
    Place,
    hex_of,
    quoted,
    version_field,
    whole,
)
from fetcher.yamldoc.json_fields import JsonFields
from fetcher.yamldoc.schema import Field, Text

_SITE = "https://storage.googleapis.com"
_BUCKET = r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_GENERATION = r"\d{1,19}"
_HOST = re.compile(
    rf"(?:(?P<bucket>{_BUCKET})\.)?storage\.googleapis\.com|storage\.cloud\.google\.com"
)
_API_PATH = re.compile(rf"/(?:download/)?storage/v1/b/({_BUCKET})/o/([^/]+)")
_FIELDS = "nextPageToken,items(name,size,md5Hash,crc32c,contentEncoding)"
_HASH = re.compile(r"(crc32c|md5)=([A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class GoogleStorage(ObjectStore):
    """`gs://bucket/key`, `gs://bucket/prefix`, `gs://bucket/key#generation`."""

    bucket: str
    path: str = ""
    revision: str = ""

    type: ClassVar[str] = "gs"
    product: ClassVar[str] = "Google Cloud Storage"
    fields: ClassVar[dict[str, Field]] = {
        "bucket": Field(Text(_BUCKET, t("a bucket's name")), t("the bucket"), required=True),
        "path": PATH_FIELD,
        "revision": version_field(t("generation of one object")),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`//bucket[/key][#generation]`."""
        found = re.fullmatch(rf"(?://)?({_BUCKET})(?:/([^#]*))?(?:#({_GENERATION}))?", text)
        if not found:
            raise ValueError(t("expected gs://bucket/key, with #generation if wanted"))
        given = {"bucket": found[1], "path": found[2] or "", "revision": found[3] or ""}
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """An object's or bucket's address. ValueError for one that is signed."""
        parts = urlsplit(url)
        found = _HOST.fullmatch((parts.hostname or "").lower())
        if not found or parts.port:
            return None
        if re.search(r"(?i)(?:^|&)(?:x-goog-signature|signature)=", parts.query):
            raise ValueError(t("is signed, which is a login: give the address without its query"))
        if api := _API_PATH.fullmatch(parts.path):
            bucket, key = api[1], unquote(api[2])
        else:
            bucket, key = found["bucket"] or "", unquote(parts.path[1:])
            if not bucket:
                bucket, _, key = key.partition("/")
        generation = re.search(rf"(?:^|&)generation=({_GENERATION})(?:&|$)", parts.query)
        if not re.fullmatch(_BUCKET, bucket) or bucket in {"storage", "download", "upload"}:
            return None
        given = {"bucket": bucket, "path": key, "revision": generation[1] if generation else ""}
        return {name: value for name, value in given.items() if value}

    def describe(self) -> str:
        """The short form."""
        version = f"#{self.revision}" if self.revision else ""
        return f"gs://{self.bucket}/{self.path}{version}"

    def page(self, network: Network) -> str:
        """The bucket in Google's console."""
        return f"https://console.cloud.google.com/storage/browser/{self.bucket}"

    def _home(self, network: Network) -> str:
        return f"{_SITE}/{self.bucket}"

    def _object(self, key: str, version: str, network: Network) -> str:
        query = f"?generation={quote(version, safe='')}" if version else ""
        return f"{_SITE}/{self.bucket}/{quoted(key)}{query}"

    def _has_login(self, network: Network) -> bool:
        return has_google_login()

    def _signed(self, url: str, method: str, network: Network) -> Place | None:
        token = google_token(network)
        return Place(url, (("Authorization", f"Bearer {token}"),)) if token else None

    def _login_hint(self) -> str:
        return t(
            "run `gcloud auth application-default login` with an account that may read the bucket, "
            "or set CLOUDSDK_AUTH_ACCESS_TOKEN"
        )

    def _of_headers(self, key: str, headers: Mapping[str, str]) -> Found:
        # Unpacked on the way, the bytes are others than those that the sums are of.
        as_stored = headers.get("x-goog-stored-content-encoding", "identity") == "identity"
        sums = dict(_HASH.findall(headers.get("x-goog-hash", ""))) if as_stored else {}
        size = whole(headers.get("x-goog-stored-content-length", "")) if as_stored else None
        entry = _entry(key, size, sums.get("md5", ""), sums.get("crc32c", ""))
        generation = headers.get("x-goog-generation", "")
        version = generation if re.fullmatch(_GENERATION, generation) else ""
        return Found(entry._replace(size_hint=size is not None), version)

    def _page(self, prefix: str, mark: str, network: Network) -> tuple[list[Found], str | None]:
        query = {"prefix": prefix, "maxResults": "1000", "fields": _FIELDS}
        if mark:
            query["pageToken"] = mark
        url = f"{_SITE}/storage/v1/b/{self.bucket}/o?{urlencode(query, quote_via=quote)}"
        answer = self._ask(url, network)
        if answer.status != 200:
            raise self._failure(answer, network)
        told = JsonFields.of(answer.json())
        return [self._of_item(item) for item in told.objects("items")], (
            told.text("nextPageToken") or None
        )

    def _of_item(self, item: JsonFields) -> Found:
        name, size = item.text("name"), whole(item.text("size"))
        if not name or size is None:
            raise self._wrong(item.get("name"))
        if item.text("contentEncoding") not in {"", "identity"}:
            return Found(FileEntry(name, size, size_hint=True))
        return Found(_entry(name, size, item.text("md5Hash"), item.text("crc32c")))


def _entry(key: str, size: int | None, md5: str, crc32c: str) -> FileEntry:
    """An object that was put together from parts has no md5."""
    digest, crc = hex_of(md5, 16), hex_of(crc32c, 4)
    stated = f"crc32c:{crc}" if crc and not digest else None
    return FileEntry(key, size, md5=digest, published=stated)
