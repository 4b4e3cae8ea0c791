"""A process that looks at a great many files while this one reads the lock, and then meets it.

It goes by the state alone, through its rows from the last path on, so that it needs no lock. Of
each piece of a folder it tells which files do not stand as recorded. Whoever makes a plan begins
with the first path: where they meet, all is known. The process runs nothing new: it is forked, and
does nothing but look.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import os
import signal
import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from typing import NamedTuple, NoReturn

from fetcher.errors import Failure
from fetcher.fs.boundary import Boundary
from fetcher.fs.processes import may_fork, processors
from fetcher.project.file_table import SHA256, Run
from fetcher.tree.recognise import Judged, Piece, unlike
from fetcher.tree.state import State, StateReader
from fetcher.tree.state_rows import Facts, StoredRows

_log = logging.getLogger(__name__)

# Fewer files are looked at before a process has begun.
FEWEST = 20_000
PIECE = 1000  # files that are judged together at the most
_HEAD = struct.Struct("<32sI")  # a piece's mark, files that are unlike
_INDEX = "I"
_BLOCK = 1 << 20

# A piece's mark, and which of its files do not stand as recorded.
Answer = tuple[bytes, Sequence[int]]


class Folder(NamedTuple):
    """Files of one folder: "", or a path from the tree's root on that ends in "/"."""

    path: str
    run: Run


def begin(boundary: Boundary, state: State, owners: Collection[str]) -> LookAhead | None:
    """Have a process look at what is recorded of these artifacts, if one can be had and is of use.

    `owners` are their full names. Raises Failure where a file of the database is a link.
    """
    if not may_fork() or processors() == 1 or not StoredRows(state):
        return None
    try:
        found = LookAhead(lambda: look(boundary, StateReader(state.path), owners))
    except OSError as error:
        _log.info("no process looks ahead: %s", error)
        return None
    _log.info("a process looks ahead")
    return found


class LookAhead:
    """What a process tells that judges pieces, the last one first; to be closed. Raises OSError.

    `look` is called in that process, and gives what it finds.
    """

    def __init__(self, look: Callable[[], Iterable[Answer]]) -> None:
        self._told: dict[bytes, array[int]] = {}  # by mark
        self._rest = bytearray()  # of what has come: the beginning of an answer
        self._reader, writer = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._reader)
            os.close(writer)
            raise
        if self._pid == 0:
            os.close(self._reader)
            _tell(look, writer)
        os.close(writer)
        os.set_blocking(self._reader, False)

    def judged(self, piece: Piece) -> Judged | None:
        """What is known of a piece, None where nobody has looked so far: then look yourself.

        Pieces are to be asked for by ascending paths. One is known if the state has exactly its
        files, each with the digest that is wanted.
        """
        self._receive()
        if not self._told:
            return None
        known = self._told.pop(mark(piece), None)
        if known is None:
            return None
        self.close()  # it has told of all that come after this one
        return Judged(len(piece.names), known)

    def told(self) -> int:
        """How many pieces it has told of that nobody has asked for."""
        self._receive()
        return len(self._told)

    def _receive(self) -> None:
        """Take what has come."""
        if self._reader < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._reader, _BLOCK):
                self._rest += block
        start = 0
        while len(self._rest) - start >= _HEAD.size:
            name, count = _HEAD.unpack_from(self._rest, start)
            found = array(_INDEX)
            stop = start + _HEAD.size + count * found.itemsize
            if stop > len(self._rest):
                break
            found.frombytes(self._rest[start + _HEAD.size : stop])
            self._told[name] = found
            start = stop
        del self._rest[:start]

    def close(self) -> None:
        """End the process, and take what it has told."""
        if self._reader < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        self._receive()
        os.close(self._reader)
        self._reader = -1


def mark(piece: Piece) -> bytes:
    """What tells a piece from all others."""
    names = "\0".join((piece.folder, *piece.names)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(names + b"\0" + piece.sha256).digest()


def judge_all(
    folders: Iterable[Folder], ahead: LookAhead, judge: Callable[[Piece], Judged]
) -> Mapping[tuple[str, int], Judged]:
    """Judge all these folders: what `ahead` does not know is judged by `judge`.

    By the folder's path, and the id() of its run.
    """
    found: dict[tuple[str, int], Judged] = {}
    for path, runs in _together(folders):
        whole = _whole(path, runs)
        met, unlike = 0, list[int]()
        for start, stop in _cuts(len(whole.names)):
            piece = _part(whole, start, stop)
            one = ahead.judged(piece) or judge(piece)
            met += one.met
            unlike += [start + index for index in one.unlike]
        start = 0
        for run in runs:
            first, last = (bisect_left(unlike, at) for at in (start, start + len(run)))
            found[path, id(run)] = Judged(met, [index - start for index in unlike[first:last]])
            met, start = 0, start + len(run)  # all that were met are the first one's
    return found


def _together(folders: Iterable[Folder]) -> Iterator[tuple[str, list[Run]]]:
    """The runs of one folder that follow each other, by ascending paths."""
    ordered = sorted(folders, key=lambda folder: folder.path + folder.run.names[0])
    for path, group in groupby(ordered, key=lambda folder: folder.path):
        runs: list[Run] = []
        for _, run in group:
            if runs and runs[-1].names[-1] >= run.names[0]:  # two artifacts' files stand mixed
                yield path, runs
                runs = []
            runs.append(run)
        yield path, runs


def _whole(path: str, runs: Sequence[Run]) -> Piece:
    if len(runs) == 1:
        return Piece(path, runs[0].names, runs[0].sha256)
    names = list(chain.from_iterable(run.names for run in runs))
    return Piece(path, names, b"".join(run.sha256 for run in runs))


def _part(whole: Piece, start: int, stop: int) -> Piece:
    if stop - start == len(whole.names):
        return whole
    digests = whole.sha256[start * SHA256 : stop * SHA256]
    return Piece(whole.folder, whole.names[start:stop], digests)


def _cuts(count: int) -> Iterator[tuple[int, int]]:
    """Where so many files are cut into pieces: from their end, as that process meets them."""
    first = count % PIECE or min(count, PIECE)
    start, stop = 0, first
    while start < count:
        yield start, stop
        start, stop = stop, stop + PIECE


# In that process


def look(boundary: Boundary, state: StateReader, owners: Collection[str]) -> Iterator[Answer]:
    """Look at what is recorded of these artifacts, from the last path on."""
    root = str(boundary.root)
    for folder, found in groupby(StoredRows(state).backwards(owners), key=_folder_of):
        if folder.startswith("/") or ".." in folder.split("/"):
            continue
        try:
            if boundary.locate(folder[:-1]).absent:
                continue
        except Failure:  # it leads out
            continue
        while known := list(islice(found, PIECE)):
            known.reverse()
            try:
                digests = bytes.fromhex("".join([row[4] for row in known]))  # type: ignore[misc]
            except (TypeError, ValueError):  # damaged rows
                continue
            names = [str(row[0])[len(folder) :] for row in known]
            piece = Piece(folder, names, digests)
            yield mark(piece), unlike(os.path.join(root, folder), piece, known)


def _folder_of(row: Facts) -> str:
    folder, slash, _ = str(row[0]).rpartition("/")
    return folder + slash


def _tell(look: Callable[[], Iterable[Answer]], writer: int) -> NoReturn:
    """Be that process, to its end. It ends by itself when nobody reads any more."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()
        _write(look(), writer)
    except BaseException:  # whoever asked looks for itself
        _log.debug("the process that looks ahead ends early", exc_info=True)
    finally:
        os._exit(0)


def _write(answers: Iterable[Answer], writer: int) -> None:
    """Send answers; what a full pipe does not take waits here while the next ones are found."""
    with contextlib.suppress(OSError):
        import fcntl  # Windows has none

        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _BLOCK)
    os.set_blocking(writer, False)
    waiting = bytearray()
    for name, indices in answers:
        waiting += _HEAD.pack(name, len(indices)) + array(_INDEX, indices).tobytes()
        with contextlib.suppress(BlockingIOError):
            del waiting[: os.write(writer, waiting)]
    os.set_blocking(writer, True)
    while waiting:
        del waiting[: os.write(writer, waiting)]
