"""A process that looks at half of a great many files, while this one looks at the others.

It begins with the last folder, and this one with the first: where they meet, all is known. The
process runs nothing new: it is forked, has everything in its memory, and does nothing but look.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from fetcher.fs.processes import may_fork, processors
from fetcher.project.file_table import Run
from fetcher.tree.recognise import Judged

_log = logging.getLogger(__name__)

# Fewer files are looked at before a process has begun.
FEWEST = 20_000
_HEAD = struct.Struct("<QQQ")  # the folder's number, rows that were met, files that are unlike
_INDEX = "I"
_BLOCK = 1 << 20


class Folder(NamedTuple):
    """Files of one folder: "", or a path from the tree's root on that ends in "/"."""

    path: str
    run: Run


Judge = Callable[[Folder], Judged]


def begin(folders: Sequence[Folder], judge: Callable[[], Judge]) -> LookAhead | None:
    """Have a process look at these, where that is sooner done and one can be had.

    `judge` is called in that process, and gives what judges a folder there.
    """
    files = sum(len(folder.run) for folder in folders)
    if files < FEWEST or not may_fork() or processors() == 1:
        return None
    try:
        found = LookAhead(folders, judge)
    except OSError as error:
        _log.info("no process looks ahead: %s", error)
        return None
    _log.info("a process looks ahead at %d files", files)
    return found


class LookAhead:
    """Judges folders, the last one first; to be closed. Raises OSError."""

    def __init__(self, folders: Sequence[Folder], judge: Callable[[], Judge]) -> None:
        self._folders = folders
        self._at = 0  # the folder that is asked for next
        self._told: dict[int, Judged] = {}
        self._rest = b""  # of what has come: the beginning of an answer
        self._reader, writer = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._reader)
            os.close(writer)
            raise
        if self._pid == 0:
            os.close(self._reader)
            _look(folders, judge, writer)
        os.close(writer)
        os.set_blocking(self._reader, False)

    def judged(self, folder: Folder) -> Judged | None:
        """What is known of a folder, None where nobody has looked so far: then look yourself.

        Folders are to be asked for in the order in which they were given; some may be left out.
        """
        while self._at < len(self._folders):
            at, self._at = self._at, self._at + 1
            known = self._folders[at]
            if known.run is folder.run and known.path == folder.path:
                if self.has_looked_at(at):
                    self.close()  # it looks at nothing that is still to come
                return self._told.pop(at, None)
        return None

    def has_looked_at(self, number: int) -> bool:
        """Whether it has told of the folder with this number, and so of all after it."""
        self._receive()
        return number in self._told

    def _receive(self) -> None:
        """Take what has come."""
        if self._reader < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._reader, _BLOCK):
                self._rest += block
        start = 0
        while len(self._rest) - start >= _HEAD.size:
            number, met, count = _HEAD.unpack_from(self._rest, start)
            unlike = array(_INDEX)
            stop = start + _HEAD.size + count * unlike.itemsize
            if stop > len(self._rest):
                break
            unlike.frombytes(self._rest[start + _HEAD.size : stop])
            self._told[number] = Judged(met, unlike)
            start = stop
        self._rest = self._rest[start:]

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


def _look(folders: Sequence[Folder], judge: Callable[[], Judge], writer: int) -> NoReturn:
    """Be that process, to its end. It ends by itself when nobody reads any more."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()
        look = judge()
        for number in reversed(range(len(folders))):
            met, unlike = look(folders[number])
            indices = array(_INDEX, unlike)
            answer = memoryview(_HEAD.pack(number, met, len(indices)) + indices.tobytes())
            while answer:
                answer = answer[os.write(writer, answer) :]
    except BaseException:  # whoever asked looks for itself
        _log.debug("the process that looks ahead ends early", exc_info=True)
    finally:
        os._exit(0)
