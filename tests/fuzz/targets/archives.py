"""Archives: what is taken is safe, bounded and what another reader finds, or a named refusal."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from unittest.mock import patch

import zstandard

from fetcher.archives import members as bounds
from fetcher.archives.members import chunks
from fetcher.archives.opening import members
from fetcher.archives.rules import Rules
from fetcher.archives.streams import JoinedFile
from fetcher.errors import Failure
from fetcher.fs.safe_paths import PathClaims, check_relative
from tests.fuzz.kit import Target, file_with

LARGEST = 1 << 20


def check(data: bytes) -> None:
    found: dict[str, bytes] = {}
    claims = PathClaims()
    with (
        patch.object(bounds, "FREE_BYTES", LARGEST),
        file_with(_sums_right(data), "a.zip") as path,
        JoinedFile([str(path)]) as opened,
    ):
        try:
            for member, budget in members("a.zip", opened, Rules()):
                assert check_relative(member.path) == member.path
                assert claims.claim(member.path) is None
                content = b"".join(chunks("a.zip", member, budget))
                assert member.size in {None, len(content)}
                assert budget.used <= LARGEST + bounds.MAX_RATIO * len(data) + bounds.CHUNK
                found[member.path] = content
        except Failure as failure:
            assert failure.problem.code == "archive" and failure.problem.file == "a.zip"
            assert failure.hint
            return
        if data.startswith(b"PK") and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as other:
                theirs = [info for info in other.infolist() if not info.filename.endswith("/")]
                assert len(theirs) == len(found)
                assert sorted(found.values()) == sorted(other.read(info) for info in theirs)


def _sums_right(data: bytes) -> bytes:
    """Checksums of tar headers made right: a mutator never would."""
    framed = bytearray(data)
    for start in range(0, len(framed) - 511, 512):
        block = framed[start : start + 512]
        if block[257:262] == b"ustar":
            total = sum(block[:148]) + 256 + sum(block[156:])
            framed[start + 148 : start + 156] = b"%06o\0 " % total
    return bytes(framed)


def _zip(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        made.writestr(zipfile.ZipInfo("a/x"), b"one" * 30, method)
        made.writestr(zipfile.ZipInfo("b"), b"", method)
    return out.getvalue()


def _tar(style: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as made:
        for name in ("a" * 101, "b/c"):
            info = tarfile.TarInfo(name)
            info.size = 3
            made.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()[: 9 * 512]


TARGET = Target(
    check,
    [
        _zip(zipfile.ZIP_STORED),
        _zip(zipfile.ZIP_DEFLATED),
        _zip(zipfile.ZIP_BZIP2),
        _zip(zipfile.ZIP_LZMA),
        _tar(tarfile.GNU_FORMAT),
        _tar(tarfile.PAX_FORMAT),
        gzip.compress(_tar(tarfile.GNU_FORMAT), mtime=0),
        bz2.compress(b"one"),
        lzma.compress(b"one"),
        zstandard.compress(b"one"),
        gzip.compress(b"one", mtime=0) * 2,
    ],
    [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"ustar\x0000",
     b"ustar  \0", b"././@LongLink", b"12 path=a\n", b"20 size=99\n", b"GNU.sparse.", b"../", b"\x1f\x8b",
     b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\xff" * 8, bytes(64), b"\0\x08"],
    longest=10 * 512,
)  # fmt: skip
