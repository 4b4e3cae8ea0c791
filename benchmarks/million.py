"""Trees of very many files, made without a download: manifest, lock, files and the tree's state.

    python -m benchmarks.million FOLDER [--artifacts 1] [--files 1000000] [--absent]

makes a project of so many artifacts of so many files each, a thousand in a folder, as a run leaves
it, but without a seal. The files are sparse: they take inodes, and no room. Nothing reads them, as
the state knows their times; `--absent` leaves files and state out, as in a fresh clone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fetcher.project.lockfile import NAME
from fetcher.tree.state import State, StateRow

COMMIT = "c0ffee" * 6 + "c0ff"
_FOLDER = 1000  # files in one folder


def make(root: Path, artifacts: int, files: int, absent: bool = False) -> None:
    """Write the project below `root`, a folder that is not there yet."""
    (root / "manifests").mkdir(parents=True)
    (root / "layouts").mkdir()
    names = [f"set-{number:04d}" for number in range(artifacts)]
    manifest = ["manifest: million", "layout: million", "artifacts:"]
    for name in names:
        source = (
            f"{{type: huggingface, repo: bench/{name}, revision: {COMMIT}, repo_type: dataset}}"
        )
        manifest += [
            f"  {name}:",
            f"    name: {name}",
            "    kind: dataset",
            f"    source: {source}",
        ]
    (root / "manifests" / "million.yaml").write_text("\n".join([*manifest, ""]), "utf-8")
    layout = [
        "layout: million",
        "tree:",
        "  data:",
        *(f"    {name}/: {name}" for name in names),
        "",
    ]
    (root / "layouts" / "million.yaml").write_text("\n".join(layout), "utf-8")
    _write_lock(root, names, files)
    if not absent:
        state = State(root)
        state.note_manifests(("million",))  # makes its tables
        state.close()
        _fill(root, names, files)


def _facts(artifact: str, files: int) -> Iterator[tuple[str, int, str]]:
    """(path, size, sha256) of each file."""
    for number in range(files):
        digest = hashlib.sha256(b"%s/%d" % (artifact.encode(), number)).hexdigest()
        yield f"part-{number // _FOLDER:04d}/{number:07d}.jpg", 1000 + number % 50_000, digest


def _write_lock(root: Path, names: list[str], files: int) -> None:
    with (root / NAME).open("w", encoding="utf-8") as lock:
        lock.write('{\n  "schema": "fetch.lock/1",\n  "manifests": {\n    "million": {\n')
        for place, name in enumerate(names):
            lock.write(
                f'      "{name}": {{\n        "source": "hf:datasets/bench/{name}@{COMMIT}",\n'
            )
            lock.write(f'        "revision": "{COMMIT}",\n        "files": [\n')
            lines = (
                f'          {{"path": "{path}", "size": {size}, "sha256": "{sha256}"}}'
                for path, size, sha256 in _facts(name, files)
            )
            lock.write(next(lines))
            lock.writelines(f",\n{line}" for line in lines)
            lock.write("\n        ]\n      }" + ("\n" if place == len(names) - 1 else ",\n"))
        lock.write("    }\n  }\n}\n")


def _fill(root: Path, names: list[str], files: int) -> None:
    db = sqlite3.connect(root / ".fetch" / "state.db", isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    for name in names:
        db.executemany("INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?)", _placed(root, name, files))
    db.execute("INSERT OR REPLACE INTO manifests VALUES ('million')")
    db.execute("COMMIT")
    db.close()


def _placed(root: Path, name: str, files: int) -> Iterator[StateRow]:
    folder = ""
    for path, size, sha256 in _facts(name, files):
        target = f"data/{name}/{path}"
        if os.path.dirname(target) != folder:
            folder = os.path.dirname(target)
            (root / folder).mkdir(parents=True)
        handle = os.open(root / target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.ftruncate(handle, size)
        stat = os.fstat(handle)
        os.close(handle)
        owner = f"million/{name}"
        known = stat.st_size, stat.st_mtime_ns, stat.st_ino
        yield StateRow(target, *known, sha256, f"sha256:{sha256}", "", owner, 1)


def main() -> None:
    """Make one such tree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--artifacts", type=int, default=1)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--absent", action="store_true")
    chosen = parser.parse_args()
    make(chosen.folder, chosen.artifacts, chosen.files, chosen.absent)


if __name__ == "__main__":
    main()
