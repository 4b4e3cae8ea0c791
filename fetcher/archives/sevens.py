"""Members of a 7z archive, read by py7zr, which writes where we read: a thread lies between."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from fetcher.archives.errors import broken, refused
from fetcher.archives.members import Budget, DamageError, Member, open_stream
from fetcher.archives.rules import Selector
from fetcher.errors import Failure
from fetcher.i18n import t

_HELD = 16  # pieces of at most some MiB between the two


class _Chosen(NamedTuple):
    """A wanted file: its name in the archive, and how we have it."""

    name: str
    member: Member


class _Abandoned(Exception):
    """Nobody reads any more."""


def members(archive: str, stream: BinaryIO, select: Selector, budget: Budget) -> Iterator[Member]:
    """The wanted members, in their order. Raises Failure, OSError."""
    try:
        import py7zr
    except ImportError as error:
        from fetcher.installation.commands import install_extra

        raise Failure(
            "archive",
            t("{archive} is a 7z archive: py7zr reads it, and is not installed", archive=archive),
            t("install it: {command}", command=install_extra("7z", "py7zr")),
            file=archive,
        ) from error
    try:
        opened = py7zr.SevenZipFile(stream, "r")
        secret = opened.needs_password()
    except py7zr.PasswordRequired as error:
        raise refused(archive, t("is encrypted")) from error
    except Exception as error:  # of many kinds, for what is damaged
        raise broken(archive, error) from error
    if secret:
        raise refused(archive, t("is encrypted"))
    reading = _Reading(archive, opened)
    chosen = _choose(archive, opened.files, select, budget, reading)
    yield from reading.members(chosen)


def _choose(
    archive: str, files: Any, select: Selector, budget: Budget, reading: _Reading
) -> Sequence[_Chosen]:
    found = []
    total = 0
    for file in files:
        budget.count()
        if file.is_directory:
            continue
        path = select.path_of(file.filename)
        if path is None:
            continue
        if file.is_symlink or file.is_junction:
            raise refused(archive, t("is a symbolic link"), file.filename)
        if file.is_socket:
            raise refused(archive, t("is a device, a pipe or a folder"), file.filename)
        size = int(file.uncompressed)
        total += size
        budget.expect(total)
        program = bool((file.posix_mode or 0) & 0o100)
        found.append(_Chosen(file.filename, Member(path, size, program, open_stream(reading))))
    return found


class _Reading:
    """What py7zr's thread writes of one member after another, as a stream of the one at hand."""

    def __init__(self, archive: str, opened: Any) -> None:
        self._archive = archive
        self._opened = opened
        # The name that py7zr has for a member with its bytes; "" at the end, or with an error.
        self._queue: queue.Queue[tuple[str, bytes, Exception | None]] = queue.Queue(_HELD)
        self._ahead: tuple[str, bytes, Exception | None] | None = None
        self._name = ""
        self._left = False

    def members(self, chosen: Sequence[_Chosen]) -> Iterator[Member]:
        """These members; those without bytes need no thread."""
        thread = threading.Thread(target=self._write, args=(chosen,), daemon=True)
        thread.start()
        try:
            for one in chosen:
                self._name = one.name
                yield one.member
            self._name = ""
            if self._next()[2] is not None:
                self.read(1)
        finally:
            self._left = True
            while thread.is_alive():
                try:
                    self._queue.get(timeout=0.1)
                except queue.Empty:
                    continue

    def read(self, size: int, /) -> bytes:
        """A piece of the member at hand, whatever the size; b"" at its end."""
        name, data, error = self._next()
        if error is not None:
            raise DamageError(f"{type(error).__name__}: {error}")
        if not self._name or not f"/{name}".endswith(f"/{self._name}"):
            return b""
        self._ahead = None
        return data

    def _next(self) -> tuple[str, bytes, Exception | None]:
        if self._ahead is None:
            self._ahead = self._queue.get()
        return self._ahead

    def _put(self, name: str, data: bytes, error: Exception | None = None) -> None:
        while not self._left:
            try:
                self._queue.put((name, data, error), timeout=0.5)
            except queue.Full:
                continue
            return
        raise _Abandoned

    def _write(self, chosen: Sequence[_Chosen]) -> None:
        try:
            targets = [one.name for one in chosen]
            self._opened.extract(targets=targets, factory=_factory(self))
            self._put("", b"")
        except _Abandoned:
            pass
        except Exception as error:
            if not self._left:
                self._put("", b"", error)


def _factory(reading: _Reading) -> Any:
    """What py7zr asks for a place to write a member to."""
    from py7zr.io import Py7zIO, WriterFactory

    class Writer(Py7zIO):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self._name = name
            self._size = 0

        def write(self, s: bytes | bytearray) -> int:
            if s:
                reading._put(self._name, bytes(s))
            self._size += len(s)
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self._size

    class Factory(WriterFactory):  # type: ignore[misc]
        def create(self, filename: str) -> Writer:
            return Writer(filename)

    return Factory()
