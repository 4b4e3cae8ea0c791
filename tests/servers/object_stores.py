"""Stand-ins for S3, Google Cloud Storage and Azure blobs, after their public documentation.

One bucket (container) `bucket` each, listed two to a page. `closed`: nobody gets in without a
login, which each checks as the service does.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from .base import Server
from .wire import Content, Request, Response, digest, read, size_of

PER_PAGE = 2
ACCOUNT = "account"


def md5_of(content: Content) -> bytes:
    return bytes.fromhex(digest(content, "md5"))


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class ObjectServer(Server):
    """What the three share: objects by key, older versions, faults."""

    def __init__(self, objects: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(port)
        self.objects = dict(objects)
        self.versions: dict[tuple[str, str], Content] = {}  # (key, version)
        self.current: dict[str, str] = {}  # the version at which a key is
        self.closed = False
        self.lists = True  # whether anybody may list
        self.no_md5: set[str] = set()  # keys of objects that came in parts
        self.endless = False
        self.unversioned = ""  # the version of what no test gives one

    @property
    def rewrite(self) -> str:
        """What leads from the service's own addresses here."""
        raise NotImplementedError

    def content(self, key: str, version: str) -> Content | None:
        if version and version != self.current.get(key, self.unversioned):
            return self.versions.get((key, version))
        return self.objects.get(key)

    def page(self, prefix: str, start: str) -> tuple[list[str], str]:
        """The keys of one page, and where the next begins."""
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        if self.endless:
            return keys[:PER_PAGE], "again"
        at = int(start or 0)
        more = str(at + PER_PAGE) if at + PER_PAGE < len(keys) else ""
        return keys[at : at + PER_PAGE], more


class S3Server(ObjectServer):
    """Path-style at `endpoint`, virtual-hosted at Amazon's names by `rewrite`."""

    KEY_ID, SECRET, SESSION = "AKIDEXAMPLE", "s3cr3t/Key", "session+token"
    region = "us-east-1"

    @property
    def rewrite(self) -> str:
        return (
            f"https://bucket.s3.amazonaws.com/={self.url}/bucket/ "
            f"https://bucket.s3.{self.region}.amazonaws.com/={self.url}/bucket/"
        )

    checksums: tuple[str, ...] = ()  # keys with a sha256 of their own
    encrypted: tuple[str, ...] = ()  # keys whose ETag is no md5
    session = ""

    def respond(self, request: Request) -> Response:
        bucket, _, key = unquote(request.target.partition("?")[0])[1:].partition("/")
        if bucket != "bucket":
            return _xml("<Error><Code>NoSuchBucket</Code></Error>", 404)
        signed = "X-Amz-Signature" in request.query
        if signed and not self.is_signed(request):
            return self._denied("SignatureDoesNotMatch")
        if self.closed and not signed:
            return self._denied("AccessDenied")
        if request.query.get("list-type") == "2":
            return self._list(request) if self.lists or signed else self._denied("AccessDenied")
        content = self.content(key, request.query.get("versionId", ""))
        if content is None:
            code = "NoSuchKey"
            return _xml(f"<Error><Code>{code}</Code></Error>", 404 if self.lists else 403)
        return Response(body=content, headers=self._headers(key, content, request), ranges=True)

    def is_signed(self, request: Request) -> bool:
        """Whether a signature is right, reckoned anew from the request as it came."""
        query = request.target.partition("?")[2].split("&")
        given = request.query["X-Amz-Signature"]
        rest = sorted(part for part in query if not part.startswith("X-Amz-Signature="))
        names = request.query["X-Amz-SignedHeaders"].split(";")
        headers = dict(request.headers)
        path = request.target.partition("?")[0]
        canonical = [request.method, path, "&".join(rest)]
        canonical += [f"{name}:{headers.get(name, '')}" for name in names]
        canonical += ["", ";".join(names), "UNSIGNED-PAYLOAD"]
        key_id, _, scope = request.query["X-Amz-Credential"].partition("/")
        day, region, service, last = scope.split("/")
        text = "\n".join(
            ("AWS4-HMAC-SHA256", request.query["X-Amz-Date"], scope,
             hashlib.sha256("\n".join(canonical).encode()).hexdigest())
        )  # fmt: skip
        key = ("AWS4" + self.SECRET).encode()
        for part in (day, region, service, last):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        session = request.query.get("X-Amz-Security-Token", "")
        return given == right and key_id == self.KEY_ID and region == self.region and (
            session == self.session
        )  # fmt: skip

    def _denied(self, code: str) -> Response:
        answer = _xml(f"<Error><Code>{code}</Code></Error>", 403)
        answer.headers["x-amz-bucket-region"] = self.region
        return answer

    def _etag(self, key: str, content: Content) -> str:
        if key in self.no_md5:
            return f'"{md5_of(content).hex()}-3"'
        if key in self.encrypted:
            return f'"{hashlib.md5(b"cipher" + read(content)).hexdigest()}"'
        return f'"{md5_of(content).hex()}"'

    def _headers(self, key: str, content: Content, request: Request) -> dict[str, str]:
        headers = {"ETag": self._etag(key, content), "x-amz-bucket-region": self.region}
        if key in self.current:
            headers["x-amz-version-id"] = request.query.get("versionId") or self.current[key]
        if key in self.encrypted:
            headers["x-amz-server-side-encryption"] = "aws:kms"
        if key in self.checksums and request.headers.get("x-amz-checksum-mode") == "ENABLED":
            headers["x-amz-checksum-sha256"] = base64_of(bytes.fromhex(digest(content)))
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        return headers

    def _list(self, request: Request) -> Response:
        keys, more = self.page(
            request.query.get("prefix", ""), request.query.get("continuation-token", "")
        )
        rows = "".join(
            f"<Contents><Key>{quote(key, safe='/').replace('%20', '+')}</Key>"
            f"<Size>{size_of(self.objects[key])}</Size>"
            f"<ETag>{escape(self._etag(key, self.objects[key]))}</ETag>"
            + ("<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>" if key in self.checksums else "")
            + "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
        )
        tail = f"<NextContinuationToken>{more}</NextContinuationToken>" if more else ""
        return _xml(
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
            f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}"
            f"</IsTruncated>{rows}{tail}</ListBucketResult>"
        )


class GoogleServer(ObjectServer):
    """The JSON API and the addresses of objects, and Google's address for tokens."""

    TOKEN = "ya29.google-secret"

    def __init__(self, objects: Mapping[str, Content], port: int = 0) -> None:
        super().__init__(objects, port)
        self.unversioned = "17"  # every object of Google's has a generation

    @property
    def rewrite(self) -> str:
        return (
            f"https://storage.googleapis.com/={self.url}/gs/ "
            f"https://oauth2.googleapis.com/={self.url}/oauth/"
        )

    def respond(self, request: Request) -> Response:
        if request.segments[0] == "oauth":
            if b"refresh_token=refresh-secret" in request.body:
                return Response.json({"access_token": self.TOKEN, "expires_in": 3599})
            return Response.json({"error": "invalid_grant"}, 400)
        if request.token not in {None, self.TOKEN} or (self.closed and not request.token):
            return Response.json({"error": {"code": 401, "message": "no access"}}, 401)
        path = unquote(request.target.partition("?")[0]).removeprefix("/gs/")
        if path == "storage/v1/b/bucket/o":
            listing = self.lists or request.token
            return self._list(request) if listing else Response.json({"error": {}}, 403)
        bucket, _, key = path.partition("/")
        content = self.content(key, request.query.get("generation", ""))
        if bucket != "bucket" or content is None:
            return _xml("<Error><Code>NoSuchKey</Code></Error>", 404)
        headers = {
            "x-goog-generation": request.query.get("generation") or self.current.get(key, "17"),
            "x-goog-stored-content-length": str(size_of(content)),
            "x-goog-stored-content-encoding": "identity",
            "x-goog-hash": ", ".join(f"{k}={v}" for k, v in self._sums(key, content).items()),
        }
        return Response(body=content, headers=headers, ranges=True)

    def _sums(self, key: str, content: Content) -> dict[str, str]:
        sums = {"crc32c": base64_of(_crc32c(read(content)).to_bytes(4, "big"))}
        if key not in self.no_md5:
            sums["md5"] = base64_of(md5_of(content))
        return sums

    def _list(self, request: Request) -> Response:
        keys, more = self.page(request.query.get("prefix", ""), request.query.get("pageToken", ""))
        items = []
        for key in keys:
            sums = self._sums(key, self.objects[key])
            named = {"md5": "md5Hash", "crc32c": "crc32c"}
            items.append({"name": key, "size": str(size_of(self.objects[key])),
                          **{named[kind]: text for kind, text in sums.items()}})  # fmt: skip
        found: dict[str, object] = {"items": items} if items else {}
        return Response.json({**found, **({"nextPageToken": more} if more else {})})


class AzureServer(ObjectServer):
    """Blobs of the account ACCOUNT; a login is a shared access signature."""

    KEY = base64_of(b"azure-secret-key")
    SAS = "sv=2020-12-06&sr=c&sp=rl&sig=sas%2Fsecret%3D"

    @property
    def rewrite(self) -> str:
        return f"https://{ACCOUNT}.blob.core.windows.net/={self.url}/az/"

    def respond(self, request: Request) -> Response:
        path = unquote(request.target.partition("?")[0]).removeprefix("/az/")
        container, _, key = path.partition("/")
        signed = "sig" in request.query
        if signed and not self.is_signed(request):
            return _xml("<Error><Code>AuthenticationFailed</Code></Error>", 403)
        if self.closed and not signed:  # as if it were not there
            return _xml("<Error><Code>PublicAccessNotPermitted</Code></Error>", 409)
        if container != "bucket":
            return _xml("<Error><Code>ContainerNotFound</Code></Error>", 404)
        if request.query.get("comp") == "list":
            if not self.lists and not signed:
                return _xml("<Error><Code>ResourceNotFound</Code></Error>", 404)
            return self._list(request)
        content = self.content(key, request.query.get("versionid", ""))
        if content is None:
            return _xml("<Error><Code>BlobNotFound</Code></Error>", 404)
        headers = {"x-ms-blob-type": "BlockBlob"}
        if key not in self.no_md5:
            headers["Content-MD5"] = base64_of(md5_of(content))
        if key in self.current:
            headers["x-ms-version-id"] = request.query.get("versionid") or self.current[key]
        return Response(body=content, headers=headers, ranges=True)

    def is_signed(self, request: Request) -> bool:
        query = request.query
        if query["sig"] == "sas/secret=":
            return True
        text = "\n".join(
            [query["sp"], "", query["se"], f"/blob/{ACCOUNT}/bucket", "", "", query["spr"],
             query["sv"], query["sr"], "", "", "", "", "", "", ""]
        )  # fmt: skip
        right = hmac.new(base64.b64decode(self.KEY), text.encode(), hashlib.sha256).digest()
        return query["sig"] == base64_of(right)

    def _list(self, request: Request) -> Response:
        keys, more = self.page(request.query.get("prefix", ""), request.query.get("marker", ""))
        rows = "".join(
            f"<Blob><Name>{escape(key)}</Name><Properties>"
            f"<Content-Length>{size_of(self.objects[key])}</Content-Length>"
            + ("" if key in self.no_md5 else
               f"<Content-MD5>{base64_of(md5_of(self.objects[key]))}</Content-MD5>")
            + "<Content-Encoding /></Properties></Blob>"
            for key in keys
        )  # fmt: skip
        return _xml(
            '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults>'
            f"<Blobs>{rows}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
        )


def _xml(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), content_type="application/xml")


def _crc32c(data: bytes) -> int:
    """Bit by bit, so that nothing is shared with what is tested."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
