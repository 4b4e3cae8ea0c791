"""Small readers: SHA256SUMS, tokens, holders of locks, credentials, junk in place of files, secrets."""

from __future__ import annotations

import json
from pathlib import Path

from fetcher.errors import Failure, UsageError
from fetcher.fs import sniff
from fetcher.fs.locks import Holder
from fetcher.mirror.volumes import parse_sums
from fetcher.network.session import Response
from fetcher.server import tokens
from fetcher.ui.redact import Redactor
from tests.fuzz.kit import Target, seed, text_of

SECRET = "s3cr3t-Value"


def check(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    text = text_of(rest)
    {b"s": _sums, b"t": _tokens, b"h": _holder, b"j": _json, b"r": _redacted}.get(kind, _head)(text)


def _sums(text: str) -> None:
    try:
        found = parse_sums(text, "SHA256SUMS")
    except Failure as failure:
        assert failure.problem.code == "bundle"
        return
    assert parse_sums("".join(f"{v}  {k}\n" for k, v in found.items()), "again") == found


def _tokens(text: str) -> None:
    tokens.token_of(text)
    try:
        found = tokens._parse(text, Path("tokens"))
    except UsageError as error:
        assert error.message.startswith("tokens:")
        return
    assert all(len(digest) == 32 and identity.name for digest, identity in found)


def _holder(text: str) -> None:
    found = Holder.parse(text)
    if found is not None:
        assert str(found) and Holder.parse(found.dump()) == found
        assert found.near in {True, False}


def _json(text: str) -> None:
    body = text.encode("utf-8", "surrogateescape")
    try:
        found = Response(200, {}, body, "https://h/x").json()
    except Failure as failure:
        assert failure.problem.code == "refused"
        return
    assert found == json.loads(body) or "NaN" in text


def _redacted(text: str) -> None:
    hide = Redactor([SECRET])
    for form in (text, f"{text[:40]}{SECRET}{text[40:]}"):
        assert SECRET not in hide(form)


def _head(text: str) -> None:
    assert isinstance(sniff.page_complaint(text.encode("utf-8", "surrogateescape"), "a.bin"), str)


TARGET = Target(
    check,
    [
        b"s" + seed("ab" * 32 + "  a\n" + "cd" * 32 + " *b c\n"),
        b"t" + seed("ci read,upload sha256:" + "ab" * 32 + "\n# x\nme read=a/* 12345678\n"),
        b"t" + seed("Basic dXNlcjpwYXNz"),
        b"h" + seed(Holder.here("x").dump()),
        b"j" + seed('{"a": [1, 2.5, "x,[:{", null]}'),
        b"r" + seed("https://u:" + SECRET + "@h/?token=x Authorization: Bearer abcdefgh"),
        b"d" + seed("<!-- a --><html><title> Sign in </title>"),
        b"d" + seed("version https://git-lfs.github.com/spec/v1\n"),
    ],
    ["ab" * 32, "  ", " *", "\n", "sha256:", "read=", "Bearer ", "Basic ", "{", "}", "[" * 50, '"pid": 1',
     '"since": 1e300', "NaN", "<!--", "-->", "<html", "<?xml", "<title>", SECRET, "://", "@", "?sig=",
     "Cookie: ", "hf_", "9" * 5000, "-----BEGIN PRIVATE KEY-----"],
    longest=3000,
)  # fmt: skip
