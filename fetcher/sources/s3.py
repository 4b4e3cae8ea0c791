"""Objects of S3, Amazon's or that of the endpoint which the person has set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, unquote_plus, urlencode, urlsplit

from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.network.cloud_logins import Aws, aws
from fetcher.network.session import Network, Response
from fetcher.network.sigv4 import presigned
from fetcher.network.urls import origin_of
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
from fetcher.sources.xml_listing import Rows, rows
from fetcher.yamldoc.schema import Field, Text

_BUCKET = r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_REGION = r"[a-z]{2,5}(?:-[a-z0-9]+){1,4}"
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
_DEFAULT_REGION = "us-east-1"
# Long enough for a large object at a slow site: an address is signed right before its use.
_SIGNED_FOR = 6 * 3600
# A HEAD tells checksums only if it is asked to; a signature has to name the header.
_CHECKSUMS = ("x-amz-checksum-mode", "ENABLED")
_HOST = re.compile(
    rf"(?:(?P<bucket>{_BUCKET})\.)?s3(?:[.-](?:dualstack\.)?(?P<region>{_REGION}))?"
    r"\.amazonaws\.com(?:\.cn)?"
)


@dataclass(frozen=True)
class S3(ObjectStore):
    """`s3://bucket/key`, `s3://bucket/prefix`, `s3://bucket/key?versionId=…`."""

    bucket: str
    path: str = ""
    revision: str = ""
    region: str = ""

    type: ClassVar[str] = "s3"
    product: ClassVar[str] = "S3"
    always: ClassVar[tuple[tuple[str, str], ...]] = (_CHECKSUMS,)
    fields: ClassVar[dict[str, Field]] = {
        "bucket": Field(Text(_BUCKET, t("a bucket's name")), t("the bucket"), required=True),
        "path": PATH_FIELD,
        "revision": version_field(t("version id of one object")),
        "region": Field(Text(_REGION, t("a region such as us-east-1")), t("the bucket's region")),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """`//bucket[/key][?versionId=…]`."""
        found = re.fullmatch(rf"(?://)?({_BUCKET})(?:/([^?]*))?(?:\?versionId=({VERSION}))?", text)
        if not found:
            raise ValueError(t("expected s3://bucket/key, with ?versionId= if wanted"))
        given = {"bucket": found[1], "path": found[2] or "", "revision": found[3] or ""}
        return {name: value for name, value in given.items() if value}

    @classmethod
    def from_address(cls, url: str) -> dict[str, str] | None:
        """An object's or bucket's address at Amazon. ValueError for one that is signed."""
        parts = urlsplit(url)
        found = _HOST.fullmatch((parts.hostname or "").lower())
        if not found or parts.port:
            return None
        query = parse_qs(parts.query)
        if any(name.lower() in {"x-amz-signature", "signature"} for name in query):
            raise ValueError(t("is signed, which is a login: give the address without its query"))
        bucket, key = found["bucket"] or "", unquote(parts.path[1:])
        if not bucket:
            bucket, _, key = key.partition("/")
        if not re.fullmatch(_BUCKET, bucket):
            return None
        version = query.get("versionId", [""])[0]
        given = {"bucket": bucket, "path": key or query.get("prefix", [""])[0],
                 "revision": version, "region": found["region"] or ""}  # fmt: skip
        return {name: value for name, value in given.items() if value}

    def describe(self) -> str:
        """The short form."""
        version = f"?versionId={self.revision}" if self.revision else ""
        return f"s3://{self.bucket}/{self.path}{version}"

    def page(self, network: Network) -> str:
        """The bucket in Amazon's console."""
        return f"https://s3.console.aws.amazon.com/s3/buckets/{self.bucket}"

    def _failure(self, answer: Response, network: Network) -> Failure:
        region = answer.headers.get("x-amz-bucket-region", "")
        if answer.status == 301 and re.fullmatch(_REGION, region):
            text = t("{source}: the bucket is in {region}", source=self.describe(), region=region)
            return Failure("not-found", text, t("write region: {region}", region=region))
        return super()._failure(answer, network)

    # Addresses

    def _home(self, network: Network) -> str:
        endpoint = _person(network).endpoint or "https://s3.amazonaws.com"
        return f"{endpoint}/{self.bucket}"

    def _base(self, network: Network, region: str = "") -> str:
        """The bucket's address. A name with dots fits no certificate, so it goes into the path."""
        if endpoint := _person(network).endpoint:
            return f"{endpoint}/{self.bucket}"
        region = region or self.region
        top = f"{region}.amazonaws.com" if region else "amazonaws.com"
        top = f"{top}.cn" if region.startswith("cn-") else top
        if "." not in self.bucket:
            return f"https://{self.bucket}.s3.{top}"
        return f"https://s3.{top}/{self.bucket}"

    def _object(self, key: str, version: str, network: Network) -> str:
        query = f"?versionId={quote(version, safe='')}" if version else ""
        return f"{self._base(network)}/{quoted(key)}{query}"

    def _has_login(self, network: Network) -> bool:
        return _person(network).keys is not None

    def _signed(self, url: str, method: str, network: Network) -> Place | None:
        person = _person(network)
        if person.keys is None:
            return None
        region = self._region(network)
        place = self._base(network, region) + url.removeprefix(self._base(network))
        signed = presigned(place, person.keys, region, method=method, seconds=_SIGNED_FOR,
                           headers=dict(self.always))  # fmt: skip
        return Place(signed)

    def _region(self, network: Network) -> str:
        """Where the bucket is, which a signature has to name. Raises Failure."""
        person = _person(network)
        if self.region or person.endpoint:
            return self.region or person.region or _DEFAULT_REGION

        def told() -> str:
            answer = network.request(
                f"{self._base(network)}/", method="HEAD", follow=False, patience=20.0
            )
            named = answer.headers.get("x-amz-bucket-region", "")
            return named if re.fullmatch(_REGION, named) else person.region or _DEFAULT_REGION

        return network.once(f"{self._home(network)} region", told)

    def _login_hint(self) -> str:
        return t(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of an account that "
            "may read the bucket"
        )

    # Listings

    def _of_headers(self, key: str, headers: Mapping[str, str]) -> Found:
        version = headers.get("x-amz-version-id", "")
        sound = re.fullmatch(VERSION, version) and version != "null"
        composite = headers.get("x-amz-checksum-type", "").upper() == "COMPOSITE"
        sha256 = None if composite else hex_of(headers.get("x-amz-checksum-sha256", ""), 32)
        # Encrypted under other keys than S3's own, an ETag is no md5.
        encryption = headers.get("x-amz-server-side-encryption", "")
        foreign = encryption.startswith("aws:") or any(
            name.startswith("x-amz-server-side-encryption-customer") for name in headers
        )
        md5 = None if foreign else _md5(headers.get("etag", ""))
        crc = None if composite else hex_of(headers.get("x-amz-checksum-crc32", ""), 4)
        plain = "content-encoding" not in headers or headers["content-encoding"] == "aws-chunked"
        size = whole(headers.get("content-length", "")) if plain else None
        entry = FileEntry(key, size, sha256, md5=md5, size_hint=size is not None,
                          published=f"crc32:{crc}" if crc else None)  # fmt: skip
        return Found(entry, version if sound else "")

    def _page(self, prefix: str, mark: str, network: Network) -> tuple[list[Found], str | None]:
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        if mark:
            query["continuation-token"] = mark
        listed, signed = self._listed(
            f"{self._base(network)}/?{urlencode(query, quote_via=quote)}", network
        )
        encoded = listed.outside.get("EncodingType") == "url"
        more = listed.outside.get("IsTruncated") == "true"
        following = listed.outside.get("NextContinuationToken", "") if more else None
        return [self._of_row(row, encoded, signed) for row in listed.rows], following

    def _listed(self, url: str, network: Network) -> tuple[Rows, bool]:
        """One page, and whether it took a login."""
        answer = self._ask(url, network)
        if answer.status != 200:
            raise self._failure(answer, network)
        try:
            listed = rows(answer.body, "Contents")
        except ValueError as error:
            raise self._no_listing(error) from error
        if "IsTruncated" not in listed.outside:
            raise self._no_listing(t("it is no list of a bucket"))
        return listed, "X-Amz-Signature=" in answer.url

    def _of_row(self, row: Mapping[str, str], encoded: bool, signed: bool) -> Found:
        key, size = row.get("Key", ""), whole(row.get("Size", ""))
        key = unquote_plus(key) if encoded else key
        if not key or size is None:
            raise self._wrong(key)
        md5 = _md5(row.get("ETag", ""))
        # What is not open may be encrypted with keys of its own; a list does not tell.
        more = "SHA256" in row.get("ChecksumAlgorithm", "") or (signed and md5 is not None)
        return Found(FileEntry(key, size, md5=md5), more=more)


def _md5(etag: str) -> str | None:
    """An ETag that is the md5 of an object which came in one piece."""
    found = _MD5.fullmatch(etag.strip())
    return found[1] if found else None


def _person(network: Network) -> Aws:
    """What the person has set. Raises UsageError."""
    return network.once("aws", _read, links=True)


def _read() -> Aws:
    found = aws()
    if found.region and not re.fullmatch(_REGION, found.region):
        raise UsageError(t("AWS_REGION: {region!r} is no region", region=found.region))
    if found.endpoint:
        try:
            sound = origin_of(found.endpoint)[0] in {"http", "https"}
        except Failure:
            sound = False
        if not sound or "?" in found.endpoint or "@" in found.endpoint:
            raise UsageError(t("AWS_ENDPOINT_URL: {url!r} is no address", url=found.endpoint))
    return found
