"""Addresses of an S3 service that carry a signature: AWS Signature Version 4, in the query.

The secret itself is never sent; who sees such an address may ask for that one object, for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


class AwsKeys(NamedTuple):
    """A person's access key; `token` is that of a session, "" without one."""

    key_id: str
    secret: str
    token: str = ""


def presigned(
    url: str,
    keys: AwsKeys,
    region: str,
    *,
    method: str = "GET",
    seconds: int = 3600,
    headers: Mapping[str, str] | None = None,
    now: float | None = None,
) -> str:
    """`url` with a signature that holds for `seconds`.

    `url`'s path is percent-encoded as it is sent; `headers` are signed and have to be sent. `now`
    is in seconds of the epoch.
    """
    parts = urlsplit(url)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    sent = {"host": parts.netloc, **{k.lower(): v for k, v in (headers or {}).items()}}
    names = ";".join(sorted(sent))
    query = [
        *parse_qsl(parts.query, keep_blank_values=True),
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{keys.key_id}/{scope}"),
        ("X-Amz-Date", moment),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", names),
    ]
    if keys.token:
        query.append(("X-Amz-Security-Token", keys.token))
    asked = "&".join(sorted(f"{_quoted(k)}={_quoted(v)}" for k, v in query))
    listed = "".join(f"{name}:{' '.join(sent[name].split())}\n" for name in sorted(sent))
    request = "\n".join((method, parts.path or "/", asked, listed, names, "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    signature = _mac(key, "\n".join((_ALGORITHM, moment, scope, digest))).hex()
    return urlunsplit(parts._replace(query=f"{asked}&X-Amz-Signature={signature}"))


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
