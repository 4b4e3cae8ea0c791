"""What this person's runs know of their partial files of contents without a digest.

In the person's own cache: a partial file lies where others may write, and nothing tells at the
end whether both halves are of one content. So its beginning must be the one that was noted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fetcher.fs.home import cache_folder
from fetcher.fs.owners import is_ours_alone
from fetcher.fs.private_files import private_name, remove_quietly
from fetcher.verify.contract import json_text

FOLDER = "partial"
_FORGOTTEN_AFTER = 30 * 24 * 3600  # seconds; the partial file is long gone
_BLOCK = 1 << 20


class PartNote(NamedTuple):
    """The first `size` bytes of a partial file have this `sha256`; `said_by` the host that sent
    them, with this `etag` (a strong one, quotes and all)."""

    size: int
    sha256: str
    etag: str
    said_by: str

    def is_of(self, path: str) -> bool:
        """Whether a file begins with those bytes. Raises OSError."""
        digest, left = hashlib.sha256(), self.size
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            while left and (block := stream.read(min(left, _BLOCK))):
                digest.update(block)
                left -= len(block)
        return not left and digest.hexdigest() == self.sha256


def _place(part: str) -> Path | None:
    """Where the note of a partial file is; None without a home."""
    cache = cache_folder()
    if cache is None:
        return None
    folder, name = os.path.split(part)
    store = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:24]
    return cache / FOLDER / f"{store}-{name}.json"


def read(part: str) -> PartNote | None:
    """The note of a partial file, if the person's runs made one."""
    place = _place(part)
    try:
        if place is None or not is_ours_alone(os.lstat(place.parent)):
            return None
        found = json_text.loads(place.read_bytes())
        note = PartNote(**found)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    sound = type(note.size) is int and note.size > 0 and isinstance(note.etag, str)
    return note if sound else None


def write(part: str, note: PartNote) -> None:
    """Keep a note; best effort. One that a power cut tears has the download begun anew."""
    place = _place(part)
    if place is None:
        return
    temporary = private_name(str(place))
    try:
        if not place.parent.is_dir():
            place.parent.mkdir(mode=0o700, parents=True)
        with open(temporary, "x", encoding="ascii") as stream:  # noqa: PTH123
            json.dump(note._asdict(), stream)
        os.replace(temporary, place)
    except OSError:
        remove_quietly(temporary)


def forget(part: str) -> None:
    """Remove the note of a partial file, and those that nobody will ask for."""
    place = _place(part)
    if place is None:
        return
    remove_quietly(str(place))
    with suppress(OSError):
        for old in place.parent.iterdir():
            if time.time() - old.stat().st_mtime > _FORGOTTEN_AFTER:
                remove_quietly(str(old))
