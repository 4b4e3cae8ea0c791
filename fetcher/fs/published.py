"""Digests as publishers state them, beside sha256: `sha512:…`, `sha1:…`, `crc32:…`, `crc32c:…`,
`prefix:…`.

A prefix is how a sha256 begins, as some files have it in their names. None but sha512 is proof
against malice; all tell a damaged file, or another one.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import BinaryIO

from fetcher.fs.atomic import md5_of

# From the strongest to the weakest; md5 has a field of its own.
_LENGTHS = {"sha512": 128, "sha1": 40, "crc32c": 8, "crc32": 8}
KINDS = (*_LENGTHS, "prefix")
_SOUND = re.compile(
    r"sha512:[0-9a-f]{128}|sha1:[0-9a-f]{40}|crc32c?:[0-9a-f]{8}|prefix:[0-9a-f]{8,63}"
)
_PIECE = 1 << 20
# weights-1a2b3c4d.pth: figures alone would be a date, letters alone a word.
_IN_NAME = re.compile(
    r"-(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])([0-9a-f]{8,63})"
    r"\.(?:pth|pt|ckpt|bin|safetensors|onnx|pkl|npz|h5|th|zip|tgz|tar|tar\.(?:gz|bz2|xz|zst))$"
)


def is_sound(text: str) -> bool:
    """Whether a text is a digest of one of these kinds."""
    return bool(_SOUND.fullmatch(text))


def length_of(kind: str) -> int:
    """How many hex digits a kind has; not of prefixes."""
    return _LENGTHS[kind]


def strongest(found: dict[str, str]) -> str | None:
    """Of digests by their kinds the one that says most, as `kind:hex`."""
    return next((f"{kind}:{found[kind]}" for kind in KINDS if kind in found), None)


def in_name(name: str) -> str | None:
    """The digest that stands in a file's name as torch.hub's have it, None without one."""
    found = _IN_NAME.search(name.rpartition("/")[2])
    return f"prefix:{found[1]}" if found else None


def holds(path: str, sha256: str, md5: str | None, published: str | None) -> bool:
    """Whether a file, whose sha256 this is, has the digests that are stated. Raises OSError."""
    if md5 and md5_of(path) != md5:
        return False
    if not published:
        return True
    with open(path, "rb") as stream:  # noqa: PTH123
        return not complaint(published, stream, sha256)[0]


def complaint(published: str, stream: BinaryIO, sha256: str) -> tuple[str, str, str]:
    """(kind, what the bytes have, what was stated) where they differ, else ("", "", "").

    `sha256` is that of all bytes of `stream`, which may be read to its end.
    """
    kind, _, wanted = published.partition(":")
    if kind == "prefix":
        there = sha256[: len(wanted)]
    elif kind == "crc32":
        crc = 0
        while piece := stream.read(_PIECE):
            crc = zlib.crc32(piece, crc)
        there = f"{crc:08x}"
    elif kind == "crc32c":
        from fetcher.fs import crc32c

        crc = 0
        while piece := stream.read(crc32c.BLOCK):
            crc = crc32c.update(crc, piece)
        there = f"{crc:08x}"
    else:
        running = hashlib.new(kind, usedforsecurity=False)
        while piece := stream.read(_PIECE):
            running.update(piece)
        there = running.hexdigest()
    return (kind, there, wanted) if there != wanted else ("", "", "")
