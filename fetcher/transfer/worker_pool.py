"""Processes that get many small files at once, as long as everything goes smoothly.

One interpreter cannot receive, hash, write, publish and place tens of thousands of files on
several processors. So these processes are forked, each with a loop of its own: they ask, prove
and write; the committer publishes and places meanwhile. They know success only. Whatever else
comes, the download goes back to the engine, which has all the patience and all the rules; and when
a host asks for patience or cannot be reached, all that is left goes back.
"""

from __future__ import annotations

import gc
import marshal
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from fetcher.fs.atomic import Stat, load_calls
from fetcher.fs.processes import may_fork
from fetcher.network.session import Network
from fetcher.sources.base import UrlCandidate
from fetcher.store.store import Store
from fetcher.transfer.download import Arrived, Download
from fetcher.transfer.worker import run_worker
from fetcher.transfer.worker_tasks import LENGTH, LONGEST, Asked, Task

# Below this, starting processes costs more than it gives.
FEWEST = 256
PROCESSES = 2
PACKET = 24  # downloads that a worker takes at a time


def eligible(download: Download) -> bool:
    """Whether a worker may try it: a small body with a known digest behind a plain URL."""
    file, candidate = download.file, download.candidates[0] if download.candidates else None
    return (
        isinstance(candidate, UrlCandidate)
        and not candidate.cookies
        and candidate.url.startswith("http")
        and download.small
        and bool(file.size)
        and bool(download.key)
        and not download.part
    )


def can_be_used(network: Network) -> bool:
    """Whether there may be workers: on Linux, while no other thread runs, without a rate."""
    return may_fork() and not network.settings.limit_rate and not network.offline


class WorkerPool:
    """The processes of one run, which wait for downloads. To be started before tables grow large:
    what a process has when it forks, it shares with the others only until it is touched.
    """

    def __init__(self, network: Network, store: Store) -> None:
        # Of their own: in one folder they would wait for each other with each file.
        self._folders = [store.private_folder() for _ in range(PROCESSES)]
        # Whoever is free takes the next packet.
        self._taken, self._given = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._downloads: list[Download | None] = []
        self._ranges: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._draining = threading.Lock()
        self._halted = self._closed = False
        self._running = PROCESSES
        self._threads: list[threading.Thread] = []
        self._pids: list[int] = []
        self._ends: list[int] = []
        share = max(1, network.settings.jobs // PROCESSES)
        load_calls()
        # To look for garbage in what all share would make copies of it.
        self._froze = not gc.get_freeze_count()
        gc.freeze()
        for folder in self._folders:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                self._given.close()
                for end in (reader, *self._ends):
                    os.close(end)
                run_worker(self._taken, writer, network, folder, share)
            os.close(writer)
            self._ends.append(reader)
            self._pids.append(pid)

    def begin(
        self,
        on_arrived: Callable[[list[Arrived]], None],
        on_back: Callable[[list[Download]], None],
        on_asked: Callable[[Asked], None],
    ) -> None:
        """Take downloads from now on. The callbacks run in threads of their own.

        `on_asked`: a host asked for patience; what goes back follows.
        """
        self._on_arrived = on_arrived
        self._on_asked = on_asked
        self._on_back = on_back
        self._threads = [threading.Thread(target=self._hand_out, name="giver", daemon=True)]
        for end in self._ends:
            reader = threading.Thread(target=self._read, args=(end,), name="reader", daemon=True)
            self._threads.append(reader)
        self._ends = []
        for thread in self._threads:
            thread.start()

    def send(self, downloads: list[Download]) -> None:
        """Have these downloads done; those that nobody is left to do come back at once."""
        with self._lock:
            start = len(self._downloads)
            self._downloads.extend(downloads)
            stop = len(self._downloads)
            nobody = not self._running
        for first in range(start, stop, PACKET):
            self._ranges.put((first, min(first + PACKET, stop)))
        if nobody:
            self._give_back(range(start, stop))

    def end(self) -> None:
        """No further downloads will be sent."""
        self._ranges.put(None)

    def _hand_out(self) -> None:
        """Let the workers take downloads in turn; the socket holds what nobody has taken yet."""
        try:
            while (following := self._ranges.get()) is not None:
                self._give(*following)
        finally:
            self._given.close()

    def _give(self, start: int, stop: int) -> None:
        if self._halted:
            return
        downloads = self._downloads[start:stop]
        message = marshal.dumps(
            (start, [_task(download) for download in downloads if download is not None])
        )
        if len(message) <= LONGEST:
            with suppress(OSError):  # nobody is left to take it: see _ended
                self._given.send(message)
        elif stop - start > 1:
            middle = (start + stop) // 2
            self._give(start, middle)
            self._give(middle, stop)
        else:
            self._give_back([start])

    def _read(self, reader: int) -> None:
        """Pass on what one worker reports, until it has ended."""
        with os.fdopen(reader, "rb") as stream:
            while True:
                head = stream.read(LENGTH.size)
                if len(head) < LENGTH.size:
                    break
                message = stream.read(LENGTH.unpack(head)[0])
                try:
                    done, back, halt, asked = marshal.loads(message)
                except (ValueError, EOFError, TypeError):
                    break
                if asked:
                    self._on_asked(asked)
                self._pass_on(done, back)
                if halt:
                    self._halt()
        self._ended()

    def _pass_on(self, done: list[tuple[Any, ...]], back: list[int]) -> None:
        downloads = self._downloads
        arrived = []
        for index, path, sha256, git_blob, size, mtime_ns, inode in done:
            download, downloads[index] = downloads[index], None
            assert download is not None
            download.received += size
            known = download.file.git_blob  # of two equal strings one is kept
            digests = sha256, known if known == git_blob else git_blob
            stat = Stat(size, mtime_ns, inode)
            arrived.append(
                Arrived(download, download.candidates[0].origin, None, path, size, digests, stat)
            )
        if arrived:
            self._on_arrived(arrived)
        if back:
            self._give_back(back)

    def _give_back(self, indices: Iterable[int]) -> None:
        """Give those downloads to the engine that are still here."""
        found = []
        for index in indices:
            download, self._downloads[index] = self._downloads[index], None
            if download is not None:
                found.append(download)
        if found:
            self._on_back(found)

    def _halt(self) -> None:
        """Take what no worker has begun away from them; it goes back when they have ended."""
        self._halted = True
        with self._draining:
            while self._taken.recv(LONGEST):
                pass

    def _ended(self) -> None:
        """After the last worker, whatever has not arrived is the engine's."""
        with self._lock:
            self._running -= 1
            if self._running:
                return
        self._halt()
        if not self._closed:
            self._give_back(range(len(self._downloads)))

    def close(self) -> None:
        """End the processes, if they still run; nothing arrives from now on.

        What they have proven and not reported is published by the next run.
        """
        if self._closed:
            return
        self._closed = self._halted = True
        if self._froze:  # this process may go on for days, in a notebook
            gc.unfreeze()
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.end()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            os.close(end)
        self._given.close()
        self._taken.close()

    def remove(self) -> None:
        """Remove the workers' folders, when all that they brought is published."""
        for folder in self._folders:
            with suppress(OSError):  # what is left in one is published by the next run
                os.rmdir(folder)


def _task(download: Download) -> Task:
    candidate, file = download.candidates[0], download.file
    assert isinstance(candidate, UrlCandidate) and file.size is not None
    return candidate.url, candidate.headers, file.size, file.sha256, file.git_proof or None
