"""state.db of a clone: a cache, so whatever it is costs reading files again and no more."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

from fetcher.errors import Failure
from fetcher.fs.boundary import Boundary
from fetcher.tree import uptodate
from fetcher.tree.look_ahead import PIECE, look
from fetcher.tree.state import State, StateReader, StateRow
from fetcher.tree.state_rows import StoredRows
from tests.fuzz.kit import Target, parts_of, scratch, seed

MARK = "m" * 64


def check(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    tree = scratch() / "state"
    folder = tree / ".fetch"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    if kind == b"s":
        _built(folder / "state.db", rest)
    else:
        (folder / "state.db").write_bytes(rest)
    state = State(tree)
    try:
        _holds(state)
    finally:
        state.close()


def _built(path: object, script: bytes) -> None:
    """A database as a stranger would make it: by SQL."""
    with closing(sqlite3.connect(str(path), isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        for part in parts_of(script, 6):
            try:
                db.execute(part.decode("utf-8", "replace")).fetchmany(3)
            except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError):
                continue


def _holds(state: State) -> None:
    for path, row in state.rows().items():
        assert isinstance(path, str) and isinstance(row, StateRow) and path == row.path
        types = {name: type(value) for name, value in row._asdict().items()}
        for name in ("size", "mtime_ns", "inode", "placed"):
            assert types[name] is int, types
        for name in ("sha256", "want", "edit", "artifact"):
            assert types[name] is str, types
    if StoredRows(state):
        with suppress(sqlite3.Error):  # then whoever asked looks for itself
            boundary = Boundary(state.folder.parent)
            for mark, unlike in look(boundary, StateReader(state.path), {"m/a"}):
                assert len(mark) == 32 and all(0 <= index < PIECE for index in unlike)
    seal = uptodate.load(state, MARK, with_files=True)
    if seal is not None:
        assert seal.files >= 0
        for index, _ in enumerate(seal.artifacts):
            list(seal.files_of(index))
    row = StateRow("p", 1, 2, 3, "s", "w", "e", "a", 1)
    try:
        state.record([row])
    except Failure as failure:
        assert failure.problem.code in {"permission", "disk-space"}
        return
    assert state.rows()["p"] == row


OURS = ("CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, "
        "sha256 TEXT, want TEXT, edit TEXT, artifact TEXT, placed INTEGER) WITHOUT ROWID")  # fmt: skip
SEALS = "CREATE TABLE seals (id INTEGER PRIMARY KEY, mark TEXT UNIQUE, found TEXT)"
TARGET = Target(
    check,
    [
        b"s" + seed("PRAGMA user_version = 3", OURS, "INSERT INTO files VALUES ('a', 1, 2, 3, 's', "
                    "'w', '', 'm/a', 1)"),
        b"s" + seed("PRAGMA user_version = 3", OURS, "INSERT INTO files VALUES ('a/b', 1, 2, 3, '" +
                    "0" * 64 + "', 'w', '', 'm/a', 1)", "INSERT INTO files VALUES ('a/c', 'x', "
                    "null, 3, '" + "1" * 64 + "', 'w', 'e', 'm/a', 1)"),
        b"s" + seed("PRAGMA user_version = 3", OURS, "INSERT INTO files VALUES (x'ff', 'x', null, "
                    "1.5, 7, null, x'00', '', '')"),
        b"s" + seed("PRAGMA user_version = 3", "CREATE TABLE files (path, size)",
                    "INSERT INTO files VALUES (1, 2)"),
        b"s" + seed("PRAGMA user_version = 3", SEALS, "INSERT INTO seals VALUES (1, '" + MARK +
                    "', '{}')"),
        b"s" + seed("PRAGMA user_version = 2"),
        b"f" + b"SQLite format 3\x00" + bytes(84),
        b"f",
    ],
    ["CREATE TABLE ", "INSERT INTO ", "files", "seals", "sealed", "sealed_files", " VALUES (",
     "PRAGMA user_version = 3", MARK, "null", "x'ff'", "1e308", "CREATE VIEW ", " AS SELECT ",
     '{"files": 1, "bytes": 1, "all_of_it": true, "clean": true, "artifacts": []}'],
    longest=1500,
)  # fmt: skip
