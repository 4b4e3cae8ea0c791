"""`.fetch/state.db`: what this tool knows of a tree without reading it.

A row maps a path to the stat that was seen (size, mtime, inode) and the digest of the bytes
behind it. All of it is a cache: a lost or damaged database costs reading files again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fetcher.errors import Failure, from_os_error
from fetcher.fs.boundary import refuse_links, write_own
from fetcher.fs.private_files import tidy
from fetcher.i18n import t
from fetcher.verify.contract.regular import open_regular

FOLDER = ".fetch"
_SUFFIXES = ("", "-journal", "-wal", "-shm")
_VERSION = 4
# How a rollback journal ends that names a "super-journal", which SQLite reads and removes.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER,
    sha256 TEXT, want TEXT, edit TEXT, artifact TEXT, placed INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seals (id INTEGER PRIMARY KEY, mark TEXT UNIQUE, found TEXT);
CREATE TABLE IF NOT EXISTS sealed (seal INTEGER, folder TEXT, names TEXT, numbers BLOB);
CREATE INDEX IF NOT EXISTS sealed_by_seal ON sealed (seal);
CREATE TABLE IF NOT EXISTS sealed_files (
    seal INTEGER, artifact INTEGER, paths TEXT, targets TEXT, facts BLOB
);
CREATE INDEX IF NOT EXISTS sealed_files_by_seal ON sealed_files (seal);
CREATE TABLE IF NOT EXISTS manifests (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# With their types: what is kept as text is never found as the number that was written.
_COLUMNS = {
    "files": (
        "path TEXT, size INTEGER, mtime_ns INTEGER, inode INTEGER, "
        "sha256 TEXT, want TEXT, edit TEXT, artifact TEXT, placed INTEGER"
    ),
    "seals": "id INTEGER, mark TEXT, found TEXT",
    "sealed": "seal INTEGER, folder TEXT, names TEXT, numbers BLOB",
    "sealed_files": "seal INTEGER, artifact INTEGER, paths TEXT, targets TEXT, facts BLOB",
    "manifests": "name TEXT",
}
# SQLite keeps whatever type it is given: rows that we cannot have written are passed over.
SOUND = " AND ".join(
    [f"typeof({name}) = 'text'" for name in ("path", "sha256", "want", "edit", "artifact")]
    + [f"typeof({name}) = 'integer'" for name in ("size", "mtime_ns", "inode", "placed")]
)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the database itself is wrong; a disk that fails or a lock says nothing of it."""
    return not isinstance(error, sqlite3.OperationalError) or "no such" in str(error)


_DOUBTED = -1  # a time that no file has: it is read before it is trusted


class StateRow(NamedTuple):
    """What is known of one path.

    `want` is the lock's key of the content that was placed; `edit` the fingerprint of the edits
    made after placing, else ""; `placed` is 0 for a file of the user's that was only read.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str
    want: str
    edit: str
    artifact: str
    placed: int

    def matches(self, stat: os.stat_result) -> bool:
        """Whether the file has not been touched since."""
        return (
            stat.st_size == self.size
            and stat.st_mtime_ns == self.mtime_ns
            and stat.st_ino == self.inode
        )

    def doubted(self, stat: os.stat_result) -> bool:
        """Whether somebody found its bytes wrong, and it looks as it did."""
        known = self.mtime_ns == _DOUBTED and stat.st_size == self.size
        return known and stat.st_ino == self.inode


class StateReader:
    """Asks the database of a tree's state, and never writes. Raises sqlite3.Error.

    For a forked process, which may not use what another has opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)

    def ask(
        self, query: str, values: Sequence[object] = (), most: int = -1
    ) -> list[tuple[Any, ...]]:
        """What a query finds, at most so many rows of it."""
        found = self._db.execute(query, values)
        return found.fetchall() if most < 0 else found.fetchmany(most)


class State:
    """The state of one tree. Opens (and makes) its database only when it is used."""

    def __init__(self, tree: Path) -> None:
        self.folder = tree / FOLDER
        self.path = self.folder / "state.db"
        self._db: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self.ensure_folder()
            self._refuse_links()
            if _names_another_file(f"{self.path}-journal"):
                self._set_aside()
            try:
                self._db = self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside()
                self._db = self._connect()
        return self._db

    def _refuse_links(self) -> None:
        """Raise Failure if a file of the database is a link: SQLite would write where it leads."""
        names = (f"{FOLDER}/state.db{suffix}" for suffix in _SUFFIXES)
        refuse_links(self.folder.parent, (FOLDER, *names))

    def _connect(self) -> sqlite3.Connection:
        # SQLite would not let the group write, whatever the umask says; its journal has this mode.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            _refuse_strange(db)
            if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                db.executescript(_TABLES)
                db.execute(f"PRAGMA user_version = {_VERSION}")
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self) -> None:
        self.close()
        for suffix in _SUFFIXES:
            with suppress(OSError):
                os.replace(f"{self.path}{suffix}", f"{self.path}{suffix}.damaged")

    def ensure_folder(self) -> None:
        """Make `.fetch/`, ignored by git by itself. Raises Failure."""
        tree = self.folder.parent
        refuse_links(tree, (FOLDER,))
        if (self.folder / ".gitignore").exists():
            return
        try:
            tree.mkdir(parents=True, exist_ok=True)
            write_own(tree, f"{FOLDER}/.gitignore", b"*\n")
        except OSError as error:
            raise from_os_error(error, t("making {folder}", folder=self.folder)) from error

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def rows(self) -> dict[str, StateRow]:
        """Every row by path, in one read; empty without a database. Raises Failure."""
        found = self.ask(f"SELECT * FROM files WHERE {SOUND}")
        return {str(row[0]): StateRow._make(row) for row in found}

    def ask(
        self, query: str, values: Sequence[object] = (), most: int = -1
    ) -> list[tuple[Any, ...]]:
        """What a query finds, at most so many rows of it; what cannot be read says nothing.

        Raises Failure where a file of the database is a link.
        """
        if self._db is None:
            self._refuse_links()
            if not self.path.exists():
                return []
        try:
            found = self._open().execute(query, values)
            return found.fetchall() if most < 0 else found.fetchmany(most)
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                self._set_aside()
        except (OSError, Failure, UnicodeEncodeError):  # no row has such a name
            pass
        return []

    def record(self, rows: Iterable[StateRow]) -> None:
        """Write rows in one transaction.

        No seal holds any longer: none knows of the files that are new, which the manifests of an
        earlier day may not want.
        """
        kept = list(rows)  # written twice, if the first database is damaged
        if not kept:
            return

        def work(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?,?,?)", kept)
            db.execute("DELETE FROM seals")

        self._write(work)

    def forget(self, paths: Iterable[str]) -> None:
        """Let go of what is known of these paths. Raises Failure."""
        gone = [(path,) for path in paths]
        if gone:
            self._write(lambda db: db.executemany("DELETE FROM files WHERE path = ?", gone))

    def doubt(self, paths: Iterable[str] = (), inodes: Iterable[int] = ()) -> None:
        """Have these files read before they are trusted, and all looked at. Raises Failure."""
        by_path = [(_DOUBTED, path) for path in paths]
        by_inode = [(_DOUBTED, inode) for inode in inodes]
        if not self.path.exists():
            return

        def work(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE files SET mtime_ns = ? WHERE path = ?", by_path)
            db.executemany("UPDATE files SET mtime_ns = ? WHERE inode = ?", by_inode)
            db.execute("DELETE FROM seals")

        self._write(work)

    def manifests(self) -> set[str]:
        """The project's own manifests that have placed something here, as far as is known."""
        self._refuse_links()
        if not self.path.exists():
            return set()
        try:
            found = self._open().execute("SELECT name FROM manifests WHERE typeof(name) = 'text'")
            return {name for (name,) in found}
        except (sqlite3.DatabaseError, OSError, Failure):
            return set()

    def note_manifests(self, names: Iterable[str]) -> None:
        """Remember these and no others. Raises Failure."""
        kept = [(name,) for name in sorted(names)]

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM manifests")
            db.executemany("INSERT INTO manifests VALUES (?)", kept)

        self._write(work)

    # Seals: see fetcher.tree.uptodate

    def seal(self, mark: str) -> tuple[int, str] | None:
        """Number and text of the seal with this mark. Raises sqlite3.DatabaseError."""
        found = self._open().execute("SELECT id, found FROM seals WHERE mark = ?", (mark,))
        row = found.fetchone()
        return None if row is None else (row[0], row[1])

    def sealed(self, number: int) -> Iterator[tuple[str, str, bytes]]:
        """The folders of a seal, one by one. Raises sqlite3.DatabaseError."""
        query = "SELECT folder, names, numbers FROM sealed WHERE seal = ?"
        yield from self._open().execute(query, (number,))

    def sealed_files(self, number: int) -> list[tuple[int, str, str, bytes]]:
        """What a seal's report says of files, packed. Raises sqlite3.DatabaseError."""
        query = (
            "SELECT artifact, paths, targets, facts FROM sealed_files WHERE seal = ? ORDER BY rowid"
        )
        return self._open().execute(query, (number,)).fetchall()

    def stats(self) -> Iterator[tuple[str, int, int, int, str, int]]:
        """(path, size, mtime_ns, inode, artifact, placed) of every file, folder by folder."""
        yield from self._open().execute(
            "SELECT path, size, mtime_ns, inode, artifact, placed FROM files "
            f"WHERE {SOUND} ORDER BY path"
        )

    def save_seal(
        self,
        mark: str,
        found: str,
        rows: Iterable[tuple[str, str, bytes]],
        files: Iterable[tuple[int, str, str, bytes]],
        kept: int,
    ) -> None:
        """Write a seal, and forget all but the last `kept`. Raises Failure."""
        folders, packed = list(rows), list(files)  # written twice, as above

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM seals WHERE mark = ?", (mark,))
            db.execute("DELETE FROM seals WHERE id <= (SELECT max(id) FROM seals) - ?", (kept - 1,))
            for table in ("sealed", "sealed_files"):
                db.execute(f"DELETE FROM {table} WHERE seal NOT IN (SELECT id FROM seals)")
            number = db.execute(
                "INSERT INTO seals (mark, found) VALUES (?, ?)", (mark, found)
            ).lastrowid
            db.executemany(
                "INSERT INTO sealed VALUES (?, ?, ?, ?)", ((number, *row) for row in folders)
            )
            db.executemany(
                "INSERT INTO sealed_files VALUES (?, ?, ?, ?, ?)",
                ((number, *row) for row in packed),
            )

        self._write(work)

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Do `work` in a transaction; a damaged database is set aside, and a new one begun.

        Raises Failure.
        """
        tidy(str(self.folder))
        try:
            self._transaction(work)
        except OSError as error:
            raise from_os_error(error, t("opening {path}", path=self.path)) from error
        except sqlite3.OperationalError as error:  # full, locked, read-only
            raise self._failure(error) from error
        except sqlite3.DatabaseError as damaged:
            self._set_aside()
            try:
                self._transaction(work)
            except sqlite3.Error as error:
                raise self._failure(error) from damaged

    def _transaction(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """One writer of this tree at a time, among processes too."""
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            work(db)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a full disk may have ended the transaction already
                db.execute("ROLLBACK")
            raise

    def _failure(self, error: sqlite3.Error) -> Failure:
        full = "full" in str(error)
        hint = t("free some space, then run again") if full else t("is the folder writable?")
        return Failure(
            "disk-space" if full else "permission",
            t("{path}: {error}", path=self.path, error=error),
            hint,
        )


def _names_another_file(journal: str) -> bool:
    """Whether a journal that a run left says that SQLite shall remove a file of some name.

    Ours never do: they are of one database each. It would be any file that a clone names.
    """
    try:
        with open_regular(journal) as stream:
            if stream.seek(0, os.SEEK_END) < len(_JOURNAL_MAGIC):
                return False
            stream.seek(-len(_JOURNAL_MAGIC), os.SEEK_END)
            return stream.read() == _JOURNAL_MAGIC
    except OSError:  # none, or one that SQLite cannot read either
        return False


def _refuse_strange(db: sqlite3.Connection) -> None:
    """Raise DatabaseError for a database that is not as we make it.

    It may have come with a clone: a view or a trigger in it would run for whoever reads or writes,
    without end if it likes.
    """
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_master"):
        plain = kind in {"table", "index"} and not str(sql).upper().startswith("CREATE VIRTUAL")
        columns = _COLUMNS.get(name)
        query = "SELECT name || ' ' || type FROM pragma_table_xinfo(?)"
        found = db.execute(query, (name,)) if columns else ()
        if not plain or (columns and ", ".join(str(row[0]) for row in found) != columns):
            raise sqlite3.DatabaseError(f"{name} is not as fetch makes it")
