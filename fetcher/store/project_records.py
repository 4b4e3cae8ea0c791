"""Who uses a store: a record for each project, with what it needs.

    projects/NAME.json    {"root": …, "id": …, "machine": …, "left_out": […]}
        its time is when it was last seen; what is left out are artifacts (MANIFEST/ID) of variants
        that are not chosen
    projects/NAME.needs   a content a line: a sha256, or "git:" and a git blob id; "@MANIFEST/ID"
        begins those of an artifact, "@" those of none

A path alone says little: it is another project in another container, or not mounted here. So a
project has an id of its own, in its `.fetch/`, and what it needs is known without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fetcher.errors import Failure
from fetcher.fs.atomic import write_atomically
from fetcher.fs.boundary import write_own
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.processes import machine
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import MAX_LIST, read_regular

FOLDER = "projects"
ID = ".fetch/id"
_IS_ID = re.compile(r"[0-9a-f]{32}")
_NEED = re.compile(r"[0-9a-f]{64}|git:[0-9a-f]{40}")
_HEADING = re.compile(r"@([\w.-]{1,200}/[\w.-]{1,200})?", re.ASCII)
_SEEN_AGAIN = 24 * 3600  # seconds: often enough


class ProjectRecord(NamedTuple):
    """A project that has used the store, from a place: `id` is "" if an older version wrote it."""

    path: Path
    root: Path
    id: str
    machine: str
    seen: float
    left_out: frozenset[str] = frozenset()

    @property
    def is_here(self) -> bool:
        """Whether that very project stands at its path on this machine."""
        return id_of(self.root) == self.id if self.id else self.root.is_dir()

    def needs(self) -> set[str] | None:
        """What it needed when it last ran, as lines; None if nobody wrote that down."""
        by_artifact = self.needs_by_artifact()
        return None if by_artifact is None else set().union(*by_artifact.values())

    def needs_by_artifact(self) -> dict[str, set[str]] | None:
        """The same by artifact (MANIFEST/ID, "" for those of which nobody said whose they are)."""
        try:
            return _needs_in(read_regular(self._needs_path, MAX_LIST))
        except (OSError, UnicodeDecodeError):
            return None

    @property
    def noted(self) -> float:
        """When what it needs last changed, in seconds since 1970; 0 if nobody wrote it down."""
        try:
            return self._needs_path.stat().st_mtime
        except OSError:
            return 0.0

    @property
    def _needs_path(self) -> Path:
        return self.path.with_suffix(".needs")

    def write(self, needs: Iterable[str]) -> None:
        """Keep the record, and that it was seen now; `needs` are the lines. Raises OSError."""
        text = "\n".join([*needs, ""]).encode("ascii")
        before = _bytes_of(self._needs_path)
        if before != text:
            if before:
                self._note_dropped(before, text)
            write_atomically(self._needs_path, text)  # first: a record counts by what it needs
        told: dict[str, object] = {
            "root": str(self.root),
            "id": self.id,
            "machine": self.machine,
        }
        if self.left_out:
            told["left_out"] = sorted(self.left_out)
        about = json.dumps(told)
        if _bytes_of(self.path) == about.encode():
            os.utime(self.path)
        else:
            write_atomically(self.path, about.encode())

    def _note_dropped(self, before: bytes, after: bytes) -> None:
        with suppress(UnicodeDecodeError):
            still = set().union(*_needs_in(after).values())
            old = _needs_in(before).items()
            dropped = {name: needs - still for name, needs in old if not needs <= still}
            if dropped:
                self.release(dropped, time.time())

    def release(self, dropped: Mapping[str, Collection[str]], at: float) -> None:
        """Note what it needs no more, by artifact; best effort."""
        from fetcher.store import released  # most runs let go of nothing

        released.note(self.path.parent.parent, self.path.stem, self.root, dropped, at)

    def forget(self) -> None:
        """Remove the record."""
        for path in (self.path, self._needs_path):
            remove_quietly(str(path))


def heading(artifact: str) -> str:
    """The line before the needs of an artifact (MANIFEST/ID); "" has those of none."""
    line = f"@{artifact}"
    return line if _HEADING.fullmatch(line) else "@"


def _needs_in(data: bytes) -> dict[str, set[str]]:
    """The needs in a record, by artifact. Raises UnicodeDecodeError."""
    found: dict[str, set[str]] = {}
    needs: set[str] = set()
    artifact = ""
    for line in data.decode("ascii").split("\n"):
        if _NEED.fullmatch(line):
            needs.add(line)
        elif head := _HEADING.fullmatch(line):
            if needs:
                found.setdefault(artifact, set()).update(needs)
            artifact, needs = head[1] or "", set()
    if needs:
        found.setdefault(artifact, set()).update(needs)
    return found


def _bytes_of(path: Path) -> bytes | None:
    try:
        return read_regular(path, MAX_LIST)
    except OSError:
        return None


def id_of(root: Path) -> str:
    """A project's own id, "" if it has none."""
    found = _bytes_of(root / ID)
    text = found.decode("ascii", "replace").strip() if found and len(found) < 64 else ""
    return text if _IS_ID.fullmatch(text) else ""


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def record_of(store: Path, root: Path) -> ProjectRecord:
    """The record of a project that is here, whether or not it is kept yet."""
    known, here = id_of(root), machine()
    path = store / FOLDER / f"{_short(f'{known}{os.sep}{root}{os.sep}{here}')}.json"
    return ProjectRecord(path, root, known, here, time.time())


def remember(store: Path, root: Path, needs: Iterable[str], left_out: Iterable[str] = ()) -> None:
    """Keep what a project (its absolute path) needs, as lines of a record, and which artifacts of
    its lock (MANIFEST/ID) it does not, as others take their turn. Raises OSError."""
    if not id_of(root):
        with suppress(OSError, Failure):  # in a clone that cannot be written its path must do
            write_own(root, ID, f"{os.urandom(16).hex()}\n".encode())
    record_of(store, root)._replace(left_out=frozenset(left_out)).write(needs)
    # What an older version wrote of this path is better known now.
    remove_quietly(str(store / FOLDER / f"{_short(str(root))}.json"))


def see(store: Path, root: Path) -> bool:
    """Note that a project is still in use; False if the store does not know it, but could."""
    record = record_of(store, root)
    try:
        seen = os.stat(record.path).st_mtime
        if not -_SEEN_AGAIN < time.time() - seen < _SEEN_AGAIN:
            os.utime(record.path)
    except FileNotFoundError:
        return not (os.access(record.path.parent, os.W_OK) and os.access(root, os.W_OK))
    except OSError:
        pass
    return True


def records(store: Path) -> Iterator[ProjectRecord]:
    """Every record of a store; what is none is passed over."""
    folder = store / FOLDER
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            found = json_text.loads(read_regular(path))
            root, known, place = found["root"], found.get("id", ""), found.get("machine", "")
            if all(isinstance(text, str) for text in (root, known, place)):
                known = known if _IS_ID.fullmatch(known) else ""
                left_out = found.get("left_out", [])
                names = left_out if isinstance(left_out, list) else []
                yield ProjectRecord(
                    path,
                    Path(root),
                    known,
                    place,
                    path.stat().st_mtime,
                    frozenset(name for name in names if isinstance(name, str)),
                )
