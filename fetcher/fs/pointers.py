"""Pointers of Git LFS, Xet and git-annex: what a repository has in place of a large file."""

from __future__ import annotations

import re

POINTER_BYTES = 1024  # no pointer is longer

_POINTER = re.compile(
    rb"\s*version https?://(?:git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/"
    rb"(?:spec/)?v\d[^\n]*\n(?:[^\n]*\n)*?oid ",
)
_XET_POINTER = re.compile(rb"\s*# xet version \d[^\n]*\n\s*filesize\s*=")
_ANNEX_POINTER = re.compile(rb"(?:\.\./)*(?:\.git)?/annex/objects/[^\n]{1,400}\s*")


def is_pointer(head: bytes) -> bool:
    """Whether a body is a pointer of Git LFS, Xet or git-annex, whatever ends its lines."""
    body = head[: 2 * POINTER_BYTES]
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):  # as a shell on Windows writes what it is told
        from fetcher.fs.text import text_of

        body = (text_of(body) or "").encode()
    # Old Macs ended lines with a carriage return alone.
    body = body[:POINTER_BYTES].removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n")
    return any(found.match(body) for found in (_POINTER, _XET_POINTER)) or bool(
        _ANNEX_POINTER.fullmatch(body)
    )
