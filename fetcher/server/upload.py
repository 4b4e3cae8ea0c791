"""Contents that a client puts into the store: proven before they are seen."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator

from fetcher.fs.private_files import remove_quietly
from fetcher.i18n import t
from fetcher.mirror.copying import write_all
from fetcher.server.http import HttpRequest, HttpResponse, json_response, refusal
from fetcher.store.store import Store

_HEX = re.compile(r"[0-9a-f]{64}")
_LENGTH = re.compile(r"\d{1,15}")
# A disk that is full stops more than uploads.
_SPARE = 1 << 30
_SYNC_FROM = 1 << 20


class BlobUpload:
    """`PUT /blobs/sha256/HEX`: 201 for a new content, 200 for one that is there already."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._committing = asyncio.Lock()

    async def take(self, request: HttpRequest) -> HttpResponse:
        """Receive a content. Raises HttpError."""
        if not request.identity.upload:
            status = 403 if request.identity.name else 401
            raise refusal(status, t("uploads take a token with the right `upload`"))
        rest = request.segments[1:]
        if len(rest) != 2 or rest[0] != "sha256" or not _HEX.fullmatch(rest[1]):
            raise refusal(404, t("put contents at /blobs/sha256/<64 hex digits>"))
        sha256 = rest[1]
        length = request.headers("content-length") or ""
        size = int(length) if _LENGTH.fullmatch(length) else None
        try:
            self.store.prepare()
            return await self._receive(request, sha256, size)
        except OSError as error:
            status = 507 if error.errno == 28 else 500
            raise refusal(
                status, t("the store cannot be written: {strerror}", strerror=error.strerror)
            ) from None

    async def _receive(self, request: HttpRequest, sha256: str, size: int | None) -> HttpResponse:
        self._check_room(size)
        temporary = self.store.temporary()
        digest, received = hashlib.sha256(), 0
        try:
            with open(temporary, "xb", buffering=0) as stream:  # noqa: PTH123
                async for chunk in _gathered(request):
                    received += len(chunk)
                    if size is not None and received > size:
                        raise refusal(400, t("more bytes came than Content-Length says"))
                    await asyncio.to_thread(_append, stream.fileno(), digest, chunk)
                if size is not None and received != size:
                    raise refusal(
                        400,
                        t(
                            "{received} bytes came, Content-Length says {size}",
                            received=received,
                            size=size,
                        ),
                    )
                if digest.hexdigest() != sha256:
                    raise refusal(
                        422, t("the content's sha256 is {hexdigest}", hexdigest=digest.hexdigest())
                    )
                await asyncio.to_thread(os.fsync, stream.fileno())
            return await self._publish(temporary, sha256)
        finally:
            remove_quietly(temporary)

    async def _publish(self, temporary: str, sha256: str) -> HttpResponse:
        async with self._committing:  # a Store is one thread's
            there = await asyncio.to_thread(self.store.has, sha256)
            if not there:
                await asyncio.to_thread(self.store.commit, temporary, sha256)
            self.store.flush()
        made = json_response({"sha256": sha256, "new": not there})
        made.status = 200 if there else 201
        return made

    def _check_room(self, size: int | None) -> None:
        free = shutil.disk_usage(self.store.root).free
        if (size or 0) + _SPARE > free:
            raise refusal(507, t("the store's disk has no room for that"))


async def _gathered(request: HttpRequest) -> AsyncIterator[bytes]:
    """The body in pieces that are worth a thread's while."""
    gathered = bytearray()
    if request.chunks is not None:
        async for chunk in request.chunks():
            gathered += chunk
            if len(gathered) >= _SYNC_FROM:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)


def _append(handle: int, digest: hashlib._Hash, chunk: bytes) -> None:
    write_all(handle, chunk)
    digest.update(chunk)
