"""What stands beside the hub's API: the CDN, the tokens, the quotas."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from .base import Server
from .wire import Content, Refused, Request, Response, attachment


@dataclass
class User:
    token: str
    name: str = "tester"
    approved: set[str] = field(default_factory=set)  # gated repositories
    private: set[str] = field(default_factory=set)  # private repositories
    pending: set[str] = field(default_factory=set)  # gated ones that it has asked for
    rejected: set[str] = field(default_factory=set)
    reads_gated: bool = True  # what a fine-grained token may lack


@dataclass
class Quota:
    """So many requests per fixed window, as the hub's RateLimit headers tell."""

    bucket: str
    quota: int
    window: float
    used: int = 0
    since: float = field(default_factory=time.time)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self) -> dict[str, str]:
        """Count one request and give the headers; raises the 429 when none is left."""
        now = time.time()
        with self.lock:
            if now >= self.since + self.window:
                self.since, self.used = now, 0
            self.used += 1
            used = self.used
        left = max(0, int(self.since + self.window - now))
        remaining = max(0, self.quota - used)
        headers = {
            "RateLimit": f'"{self.bucket}";r={remaining};t={left}',
            "RateLimit-Policy": f'"fixed window";"{self.bucket}";q={self.quota};w={self.window:g}',
        }
        if used > self.quota:
            raise Refused(Response.json({"error": "You hit the rate limit"}, 429, **headers))
        return headers


class Cdn(Server):
    """Where the hub's LFS files lie: signed addresses, no tokens wanted."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.blobs: dict[str, Content] = {}
        self.lifetime = 3600.0
        self.refuse_tokens = False  # as S3 does: 400 where a signed address also has a token
        self._generation = 0

    @property
    def leaks(self) -> list[Request]:
        """Requests that carried a credential, which is not for this host."""
        return [r for r in list(self.requests) if "authorization" in r.headers]

    def expire(self) -> None:
        """No address handed out so far works any more."""
        self._generation += 1

    def sign(self, sha256: str, name: str) -> str:
        expires = int(time.time() + self.lifetime)
        query = {
            "response-content-disposition": attachment(name),
            "Expires": str(expires),
            "Signature": self._signature(sha256, str(expires)),
        }
        return f"{self.url}/repos/{sha256[:2]}/{sha256[2:4]}/{sha256}?{urlencode(query)}"

    def _signature(self, sha256: str, expires: str) -> str:
        text = f"{sha256} {expires} {self._generation}"
        return hmac.new(b"cdn", text.encode(), hashlib.sha256).hexdigest()

    def respond(self, request: Request) -> Response:
        sha256 = request.segments[-1]
        expires = request.query.get("Expires", "")
        if self.refuse_tokens and "authorization" in request.headers:
            return _xml(400, "InvalidArgument", "Only one auth mechanism allowed")
        if request.query.get("Signature") != self._signature(sha256, expires):
            return _xml(403, "SignatureDoesNotMatch", "The signature does not match")
        if time.time() >= int(expires):
            return _xml(403, "AccessDenied", "Request has expired")
        if sha256 not in self.blobs:
            return _xml(404, "NoSuchKey", "The specified key does not exist.")
        disposition = request.query.get("response-content-disposition", "")
        return Response(
            body=self.blobs[sha256],
            headers={"Content-Disposition": disposition},
            etag=f'"{sha256[:32]}-1"',  # a multipart upload's ETag is no digest of anything
            ranges=True,
        )


def _xml(status: int, code: str, message: str) -> Response:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, body.encode(), content_type="application/xml")


def refusal(status: int, code: str | None, message: str) -> Refused:
    answer = Response.json({"error": message}, status, X_Error_Message=message)
    if code is not None:
        answer.headers["X-Error-Code"] = code
    return Refused(answer)
