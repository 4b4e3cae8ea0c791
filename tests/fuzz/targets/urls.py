"""Addresses: no two parsers may see two hosts in one, and none shows its password."""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from fetcher.errors import Failure, UsageError
from fetcher.mirror.oci_registry import parse_reference, upload_url
from fetcher.network.urls import ascii_url, host_of, origin_of, public_url, without_login
from fetcher.ui.redact import Redactor
from tests.fuzz.kit import Target, seed, text_of


def check(data: bytes) -> None:
    url = text_of(data)
    shown = public_url(url)
    assert shown.isprintable()
    shown.encode("utf-8")
    _registry(url)
    try:
        scheme, host, port = origin_of(url)
    except Failure as failure:
        assert failure.problem.code == "refused"
        assert "\n" not in failure.message
        return
    assert scheme in {"http", "https", "ftp", "ftps"} and host and 0 < port < 65536
    assert math.isfinite(port) and host_of(url)
    _same_elsewhere(url, host, port)
    bare, login = without_login(url)
    assert origin_of(bare) == (scheme, host, port)
    if login and len(login[1]) >= 4:
        password = urlsplit(url).password or ""
        rest = f"{bare} ***@{bare.partition('://')[2]}"  # where it may stand by chance
        assert login[1] not in shown or login[1] in rest, shown
        assert password not in Redactor()(url) or password in rest


def _same_elsewhere(url: str, host: str, port: int) -> None:
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        sent = ascii_url(url).decode("ascii")
        found = parse_url(sent)
    except (LocationParseError, UnicodeError):
        return
    assert found.host is not None
    seen = found.host.strip("[]").partition("%")[0]
    if host.isascii():
        assert seen.lower() == host.partition("%")[0], (url, found.host, host)
    assert found.port in {port, None}


def _registry(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        pass
    else:
        assert str(parse_reference(str(reference))) == str(reference)
        try:
            assert origin_of(reference.url("x"))[1]
        except Failure:  # a port that is none
            pass
    try:
        assert "digest=sha256" in upload_url(
            "https://r.example/v2/x/blobs/uploads/", text, "0" * 64
        )
    except Failure:
        pass


TARGET = Target(
    check,
    [
        seed("https://user:pass@example.org:8443/a/b?c=d#e"),
        seed("http://[::1]:80/x"),
        seed("ftp://ftp.example.org/pub/x"),
        seed("https://example.org\\@evil.example/"),
        seed("https://bücher.example/ü"),
        seed("oci://localhost:5000/a/b:tag"),
        seed("https://a:b@c@d/"),
    ],
    ["https://", "http://", "ftp://", "oci://", "@", ":", "/", "?", "#", "[", "]", "[::1]", "\\",
     "%40", "%2f", ":80", ":0", ":65536", "%00", "\t", " ", "example.org", ";", "\u3002", "\uff0f"],
    longest=200,
)  # fmt: skip
