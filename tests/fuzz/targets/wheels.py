"""Members of wheels: exactly the bytes that zipfile reads, or a refusal."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from fetcher.errors import Failure
from fetcher.sources.base import FileEntry
from fetcher.store.store import Store
from fetcher.transfer.download import Download
from fetcher.transfer.wheels import WheelCache
from tests.fuzz.kit import Target, file_with, scratch

MEMBER = "p/a.bin"
LARGEST = 1 << 20


def check(data: bytes) -> None:
    store = Store(scratch() / "store")
    store.prepare()
    cache = WheelCache(store)
    with file_with(data, "a-1-py3-none-any.whl") as path:
        cache._wheels["a==1"] = path
        download = Download("a", FileEntry(MEMBER, None), [])
        try:
            arrived = cache.take(download, "pypi", "a==1", MEMBER)
        except Failure as failure:
            assert failure.problem.code in {"refused", "missing-upstream", "size-mismatch"}
            assert not list((scratch() / "store/partial").iterdir())
            return
        assert arrived.path is not None
        got = Path(arrived.path).read_bytes()
        Path(arrived.path).unlink()
        with zipfile.ZipFile(path) as archive:
            assert got == archive.read(MEMBER) and len(got) == arrived.size


def _zip(method: int, *members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


TARGET = Target(
    check,
    [
        _zip(zipfile.ZIP_STORED, (MEMBER, b"stored")),
        _zip(zipfile.ZIP_DEFLATED, (MEMBER, b"deflated" * 20), ("b", b"")),
        _zip(zipfile.ZIP_BZIP2, (MEMBER, b"bz" * 9)),
        _zip(zipfile.ZIP_LZMA, (MEMBER, b"xz" * 9)),
        _zip(zipfile.ZIP_STORED, ("p/b.bin", b"other")),
    ],
    [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"p/a.bin", b"\x01\0",
     b"\x08\0", b"\x0c\0", b"\x0e\0", b"\xff\xff\xff\xff", b"\x01\x00\x10\x00", b"\x00\x08"],
    longest=1200,
)  # fmt: skip
