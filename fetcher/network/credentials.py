"""What lets us in: tokens, netrc, and the certificate authorities we trust."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fetcher.errors import UsageError

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_TOKEN = re.compile(r"[\x21-\x7e]+")


def ca_bundle() -> str:
    """The file of certificate authorities that TLS is checked with."""
    for variable in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if path := os.environ.get(variable):
            return path
    for path in _BUNDLES:
        if Path(path).is_file():
            return path
    import certifi

    return certifi.where()


def sound_token(name: str, token: str) -> str:
    """The token without spaces around it. Raises UsageError if it cannot be one."""
    token = token.strip()
    if token and not _TOKEN.fullmatch(token):
        raise UsageError(
            f"{name} holds characters that no token has",
            "copy the token again: it is one word of letters, digits and signs",
        )
    return token


def netrc_text() -> str:
    """All of the user's netrc file in lower case, "" if there is none that can be read."""
    chosen = os.environ.get("NETRC")
    home = os.path.expanduser("~")
    found = ""
    for path in [chosen] if chosen else [f"{home}/.netrc", f"{home}/_netrc"]:
        try:
            found += Path(path).read_text("utf-8", "replace").lower()
        except OSError:
            continue
    return found
