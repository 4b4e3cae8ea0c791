"""Repositories of made-up files, as static files that a Hub-protocol server can be set up from."""

from __future__ import annotations

import hashlib
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20
# As the Hub does it: files of this size and more lie in Git LFS, others in git itself.
_LFS = 10 << 20
_PAGE = 1000  # entries in one page of the Hub's recursive listing


@dataclass(frozen=True)
class Workload:
    """One repository of `count` files of `size` bytes each."""

    name: str
    count: int
    size: int

    @property
    def repo(self) -> str:
        """Its id on the server."""
        return f"bench/{self.name}"

    @property
    def commit(self) -> str:
        """Its only commit."""
        return hashlib.sha1(self.name.encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """All its bytes."""
        return self.count * self.size

    def paths(self) -> list[str]:
        """Its files' names, a thousand in each folder."""
        suffix = "safetensors" if self.size >= _LFS else "jpg"
        return [f"part-{n // 1000:03d}/{n:06d}.{suffix}" for n in range(self.count)]


@dataclass(frozen=True)
class Served:
    """A workload as it lies on disk: `files` its bytes, `pages` its listing."""

    workload: Workload
    files: Path
    pages: list[Path]
    info: Path
    entries: list[dict[str, object]]

    def warm(self) -> None:
        """Have the system hold all files in memory: nobody is to wait for the server's disk."""
        buffer = memoryview(bytearray(_BLOCK))
        for path in self.workload.paths():
            with (self.files / path).open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass


def build(workload: Workload, root: Path) -> Served:
    """Make a workload's files and listing below `root`, unless they are there."""
    files = root / "files" / workload.name
    listing = root / "listing" / f"{workload.name}.json"
    if listing.exists():
        entries = json.loads(listing.read_text("utf-8"))
    else:
        entries = _write_files(workload, files)
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text(json.dumps(entries), "utf-8")
    return Served(
        workload, files, *_write_api(workload, root / "api" / workload.name, entries), entries
    )


def _write_files(workload: Workload, files: Path) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    noise = random.Random(workload.name).randbytes(min(workload.size, _BLOCK) + 4096)
    for number, path in enumerate(workload.paths()):
        target = files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        entries.append({"path": path, **_write_one(target, workload.size, number, noise)})
        # nginx makes its ETag of time and size; the Hub's are different for different files.
        os.utime(target, (1_700_000_000 + number, 1_700_000_000 + number))
    return entries


def _write_one(target: Path, size: int, number: int, noise: bytes) -> dict[str, object]:
    """Write one file that differs from all others; returns what a listing says of it."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
    left, block = size, 0
    with target.open("wb") as stream:
        while left > 0:
            start = (number * 31 + block * 17) % 4096
            piece = b"%012d%012d" % (number, block) + noise[start:]
            piece = piece[: min(left, _BLOCK)]
            stream.write(piece)
            sha256.update(piece)
            git.update(piece)
            left -= len(piece)
            block += 1
    return {"size": size, "sha256": sha256.hexdigest(), "git": git.hexdigest()}


def _tree_entry(entry: dict[str, object]) -> dict[str, object]:
    found = {"type": "file", "path": entry["path"], "size": entry["size"], "oid": entry["git"]}
    if isinstance(entry["size"], int) and entry["size"] >= _LFS:
        found["lfs"] = {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 134}
    return found


def _write_api(
    workload: Workload, folder: Path, entries: list[dict[str, object]]
) -> tuple[list[Path], Path]:
    folder.mkdir(parents=True, exist_ok=True)
    info = folder / "info.json"
    siblings = [{"rfilename": entry["path"]} for entry in entries]
    answer = {"id": workload.repo, "sha": workload.commit, "siblings": siblings}
    info.write_text(json.dumps(answer), "utf-8")
    pages = []
    for start in range(0, len(entries), _PAGE):
        page = folder / f"tree-{start // _PAGE}.json"
        page.write_text(
            json.dumps([_tree_entry(e) for e in entries[start : start + _PAGE]]), "utf-8"
        )
        pages.append(page)
    return pages, info
