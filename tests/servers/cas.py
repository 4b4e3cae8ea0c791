"""A Xet storage: hf_xet itself puts files into it, and gets them out over HTTP.

What a file's reconstruction looks like follows the protocol's public description: terms (a range
of chunks in a xorb), and for each xorb an address and the range of bytes to ask it for.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from .base import Server
from .wire import Content, Request, Response

TOKEN = "xet-token-of-this-test"
_CHUNK_HEADER = 8


@dataclass(frozen=True)
class Xorb:
    """One file's chunks, as they lie in the storage."""

    name: str
    data: bytes
    chunks: int
    end: int  # of the last chunk; what follows is the xorb's own footer
    size: int  # of the file


class Cas(Server):
    """`add` puts a content in; `token` is what must be shown to get at it."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.hashes: dict[str, str] = {}  # Xet hash by sha256
        self.token = TOKEN
        self.files: dict[str, Xorb] = {}
        self._xorbs: dict[str, Xorb] = {}

    def add(self, sha256: str, content: Content) -> None:
        """Upload it with hf_xet into a folder, and take it over from there."""
        import hf_xet

        data = content if isinstance(content, bytes) else content.read_bytes()
        if sha256 in self.hashes or not data:
            return
        with tempfile.TemporaryDirectory() as folder:
            with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{folder}") as commit:
                upload = commit.start_upload_bytes(data, sha256=hf_xet.COMPUTE_SHA256)
            info = upload.result().xet_info
            (path,) = Path(folder, "xet/xorbs/xorbs").glob("default." + "?" * 64)
            xorb = _read(path.name.removeprefix("default."), path.read_bytes(), len(data))
        assert info.sha256 == sha256
        self.hashes[sha256] = info.hash
        self.files[info.hash] = self._xorbs[xorb.name] = xorb

    def replace(self, sha256: str, by: str) -> None:
        """A storage that lies: under one content's hash it has another."""
        self.files[self.hashes[sha256]] = self.files[self.hashes[by]]

    def respond(self, request: Request) -> Response:
        version, kind, *rest = [*request.segments, "", ""][:4]
        if kind == "xorbs" and rest[0] in self._xorbs:
            return Response(body=self._xorbs[rest[0]].data, ranges=True)
        if request.token != self.token:
            return Response(401)
        if (version, kind) != ("v1", "reconstructions") or rest[0] not in self.files:
            return Response(404)
        return self._reconstruction(request, self.files[rest[0]])

    def _reconstruction(self, request: Request, xorb: Xorb) -> Response:
        start = request.headers.get("range", "bytes=0-").removeprefix("bytes=").split("-")[0]
        if int(start) >= xorb.size:
            return Response(416)
        chunks = {"start": 0, "end": xorb.chunks}
        return Response.json(
            {
                "offset_into_first_range": int(start),
                "terms": [{"hash": xorb.name, "unpacked_length": xorb.size, "range": chunks}],
                "fetch_info": {
                    xorb.name: [
                        {
                            "range": chunks,
                            "url": f"{self.url}/v1/xorbs/{xorb.name}?Signature=secret",
                            "url_range": {"start": 0, "end": xorb.end - 1},
                        }
                    ]
                },
            }
        )


def _read(name: str, data: bytes, size: int) -> Xorb:
    """Walk the chunks: version 0, packed size, scheme, size; then the footer's mark follows."""
    at = chunks = 0
    while data[at] == 0:
        at += _CHUNK_HEADER + int.from_bytes(data[at + 1 : at + 4], "little")
        chunks += 1
    assert data[at : at + 7] == b"XETBLOB", "one xorb a file: keep test files below 64 MB"
    return Xorb(name, data, chunks, at, size)
