"""The record beside a partial file whose body comes in ranges: how far each of them has come."""

from __future__ import annotations

import struct

SUFFIX = ".map"
MAGIC = b"fetchmap"
HEADER = struct.Struct("<8sQQ")  # magic, size of the body, size of a range
GOT = struct.Struct("<Q")  # for each range


def counts(data: bytes) -> list[int]:
    """How many bytes of each range are there. Raises struct.error."""
    return [got for (got,) in GOT.iter_unpack(data[HEADER.size :])]
