"""Checkpoints that a browser sends in parts, to go on where it was interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import TypedDict

from fetcher.errors import Failure
from fetcher.fs.atomic import write_atomically
from fetcher.fs.boundary import open_own, write_own
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.safe_paths import BadPath, check_relative
from fetcher.i18n import t
from fetcher.mirror.copying import write_all
from fetcher.server.http import HttpRequest, refusal
from fetcher.tree.state import FOLDER
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import read_regular

PLACE = "uploads"
MOST_BYTES = 100 << 30
_UNDER_WAY = f"{FOLDER}/uploads"
_PART = 64 << 20
_SPARE = 1 << 30
_UNFINISHED = 8
_OLD_SECONDS = 7 * 24 * 3600
_ID = re.compile(r"[0-9a-f]{32}")


class UploadJson(TypedDict):
    """An upload as its sender sees it; sizes in bytes."""

    id: str
    name: str
    size: int
    received: int
    path: str


@dataclass
class Upload:
    """One file on its way. `path` is where it stands once it is whole, relative to the root."""

    id: str
    name: str
    size: int
    owner: str
    received: int = 0
    path: str = ""

    def to_json(self) -> UploadJson:
        """What its sender sees."""
        return {
            "id": self.id,
            "name": self.name,
            "size": self.size,
            "received": self.received,
            "path": self.path,
        }


def _make(root: Path, folder: str) -> None:
    """Make a folder of ours in the project. Raises HttpError where a link stands in its place."""
    try:
        open_own(root, folder).close()
    except Failure as failure:
        raise refusal(409, failure.message) from None


class Uploads:
    """Files below `.fetch/uploads` until they are whole, then below `uploads` in the project."""

    def __init__(self, root: Path, most: int = MOST_BYTES) -> None:
        self.root = root
        self.most = most
        self.folder = root / _UNDER_WAY
        self._busy: set[str] = set()

    def begin(self, owner: str, name: object, size: object) -> Upload:
        """A new upload. Raises HttpError."""
        if not isinstance(name, str) or not isinstance(size, int) or isinstance(size, bool):
            raise refusal(422, t("expected a name and a size in bytes"))
        try:
            check_relative(name)
            sound = "/" not in name and not name.startswith(".") and len(name.encode()) <= 200
        except (BadPath, UnicodeEncodeError):
            sound = False
        if not sound:
            raise refusal(422, t("that is no plain file name"))
        if not 0 < size <= self.most:
            raise refusal(413, t("a file has 1 to {most} bytes here", most=self.most))
        _make(self.root, _UNDER_WAY)
        if shutil.disk_usage(self.folder).free < size + _SPARE:
            raise refusal(507, t("the server's disk has no room for that"))
        self._sweep()
        own = [item for item in self._known() if item.owner == owner and not item.path]
        if len(own) >= _UNFINISHED:
            raise refusal(429, t("{count} uploads of yours are not finished yet", count=len(own)))
        made = Upload(token_hex(16), name, size, owner)
        (self.folder / f"{made.id}.part").touch()
        self._save(made)
        return made

    def find(self, owner: str, name: str) -> Upload:
        """An upload of somebody's own. Raises HttpError."""
        found = self._load(name) if _ID.fullmatch(name) else None
        if found is None or found.owner != owner:
            raise refusal(404, t("there is no such upload"))
        return found

    def owns(self, owner: str, path: str) -> bool:
        """Whether a finished upload of somebody stands at a path."""
        return any(item.path == path and item.owner == owner for item in self._known())

    async def take(self, upload: Upload, offset: int, request: HttpRequest) -> Upload:
        """Append a part that begins at `offset`. Raises HttpError, 409 where it does not fit."""
        if upload.path:
            return upload
        if upload.id in self._busy:
            raise refusal(409, t("another part of it is on its way"))
        self._busy.add(upload.id)
        try:
            return await self._append(upload, offset, request)
        finally:
            self._busy.discard(upload.id)

    async def _append(self, upload: Upload, offset: int, request: HttpRequest) -> Upload:
        assert request.chunks is not None
        part = self.folder / f"{upload.id}.part"
        there = part.stat().st_size
        if offset != there:
            raise refusal(409, t("{there} bytes are here: send what follows them", there=there))
        room = min(upload.size - there, _PART)
        received = 0
        try:
            with part.open("ab", buffering=0) as stream:
                async for chunk in request.chunks():
                    received += len(chunk)
                    if received > room:
                        raise refusal(413, t("more bytes came than were announced"))
                    await asyncio.to_thread(write_all, stream.fileno(), chunk)
        except OSError as error:
            raise refusal(
                507, t("the file cannot be written: {strerror}", strerror=error.strerror)
            ) from None
        if part.stat().st_size == upload.size:
            await asyncio.to_thread(self._finish, upload, part)
        upload.received = upload.size if upload.path else part.stat().st_size
        return upload

    def _finish(self, upload: Upload, part: Path) -> None:
        _make(self.root, PLACE)
        if not os.path.lexists(self.root / PLACE / ".gitignore"):
            write_own(self.root, f"{PLACE}/.gitignore", b"*\n")
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        with open_own(self.root, f"{PLACE}/{upload.id[:8]}") as folder:
            os.replace(part, folder.at(upload.name))
        upload.path = f"{PLACE}/{upload.id[:8]}/{upload.name}"
        self._save(upload)

    def _save(self, upload: Upload) -> None:
        write_atomically(self.folder / f"{upload.id}.json", json.dumps(asdict(upload)).encode())

    def _load(self, name: str) -> Upload | None:
        try:
            found = Upload(**json_text.loads(read_regular(self.folder / f"{name}.json")))
            part = self.folder / f"{name}.part"
            found.received = found.size if found.path else part.stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        return found

    def _known(self) -> list[Upload]:
        found = (self._load(path.stem) for path in self.folder.glob("*.json"))
        return [item for item in found if item is not None]

    def _sweep(self) -> None:
        """Remove parts that nobody has added to for a week."""
        for part in self.folder.glob("*.part"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _OLD_SECONDS:
                    remove_quietly(str(part))
                    remove_quietly(str(part.with_suffix(".json")))
