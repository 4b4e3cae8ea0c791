"""Processes that get many small files at once, as long as everything goes smoothly.

One interpreter cannot receive, hash, write, publish and place tens of thousands of files on
several processors. So these processes are forked, each with a loop of its own: they ask, prove
and write; the shelf publishes and places meanwhile. They know success only. Whatever else comes,
the job goes back to the engine, which has all the patience and all the rules; and when a host
asks for patience or cannot be reached, all that is left goes back.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from fetcher.files import Stat
from fetcher.network import Network
from fetcher.sources.base import UrlCandidate
from fetcher.store import Store
from fetcher.transfer.courier import LENGTH, RECORD, Task, courier
from fetcher.transfer.jobs import Arrived, Job

# Below this, starting processes costs more than it gives.
FEWEST = 256
PROCESSES = 2


def eligible(job: Job) -> bool:
    """Whether a courier may try this job: a small body with a known digest behind a plain URL."""
    file, candidate = job.file, job.candidates[0] if job.candidates else None
    return (
        isinstance(candidate, UrlCandidate)
        and not candidate.cookies
        and candidate.url.startswith("http")
        and job.small
        and bool(file.size)
        and bool(file.key)
        and not job.part
    )


def can_fork() -> bool:
    """Whether this process can be forked safely: Linux, and no other thread runs."""
    return sys.platform == "linux" and threading.active_count() == 1


class Couriers:
    """The processes of one run. `on_arrived` and `on_back` are called in reader threads.

    `jobs` is the couriers' own list: what has arrived or was given back is taken out of it.
    Raises OSError if there is no place for what they write; then none was started.
    """

    def __init__(
        self,
        jobs: list[Job | None],
        network: Network,
        store: Store,
        on_arrived: Callable[[Arrived], None],
        on_back: Callable[[list[Job]], None],
    ) -> None:
        self.jobs = jobs
        self.store = store
        self._on_arrived = on_arrived
        self._on_back = on_back
        # Of their own: in one folder they would wait for each other with each file.
        self._folders = [store.private_folder() for _ in range(PROCESSES)]
        self._lock = threading.Lock()
        self._draining = threading.Lock()
        self._halted = self._closed = False
        self._running = PROCESSES
        self._step = max(1, min(64, len(jobs) // 64))
        self._taken, self._tokens = os.pipe()
        self._pids: list[int] = []
        ends = self._fork([_task(job) for job in jobs if job is not None], network)
        self._giver = threading.Thread(target=self._hand_out, name="giver", daemon=True)
        self._readers = [
            threading.Thread(target=self._read, args=(end,), name="reader", daemon=True)
            for end in ends
        ]
        for thread in (self._giver, *self._readers):
            thread.start()

    def _fork(self, tasks: Sequence[Task], network: Network) -> list[int]:
        """Start the processes; returns the ends of the pipes through which they report."""
        share = max(1, network.settings.jobs // PROCESSES)
        ends: list[int] = []
        gc.freeze()  # what the collector never touches stays shared
        for folder in self._folders:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                for end in (self._tokens, reader, *ends):
                    os.close(end)
                courier(tasks, self._taken, writer, network, folder, share)
            os.close(writer)
            ends.append(reader)
            self._pids.append(pid)
        gc.unfreeze()
        return ends

    def _hand_out(self) -> None:
        """Let the couriers take the jobs in turn; the pipe holds what nobody has taken yet."""
        for start in range(0, len(self.jobs), self._step):
            if self._halted:
                break
            stop = min(start + self._step, len(self.jobs))
            os.write(self._tokens, RECORD.pack(start, stop))
        os.close(self._tokens)

    def _read(self, reader: int) -> None:
        """Pass on what one courier reports, until it has ended."""
        with os.fdopen(reader, "rb") as stream:
            while True:
                head = stream.read(LENGTH.size)
                if len(head) < LENGTH.size:
                    break
                message = stream.read(LENGTH.unpack(head)[0])
                try:
                    done, back, halt = marshal.loads(message)
                except (ValueError, EOFError, TypeError):
                    break
                self._pass_on(done, back)
                if halt:
                    self._halt()
        self._ended()

    def _pass_on(self, done: list[tuple[Any, ...]], back: list[int]) -> None:
        for index, path, sha256, git_blob, size, mtime_ns, inode in done:
            job, self.jobs[index] = self.jobs[index], None
            assert job is not None
            job.received += size
            stat = Stat(size, mtime_ns, inode)
            origin = job.candidates[0].origin
            known = job.file.git_blob  # of two equal strings one is kept
            digests = sha256, known if known == git_blob else git_blob
            self._on_arrived(Arrived(job, origin, path=path, size=size, digests=digests, stat=stat))
        if back:
            self._give_back(back)

    def _give_back(self, indices: Iterable[int]) -> None:
        """Give those jobs to the engine that are still here."""
        found = []
        for index in indices:
            job, self.jobs[index] = self.jobs[index], None
            if job is not None:
                found.append(job)
        if found:
            self._on_back(found)

    def _halt(self) -> None:
        """Take what no courier has begun away from them; it goes back when they have ended."""
        self._halted = True
        with self._draining:
            while os.read(self._taken, RECORD.size):
                pass

    def _ended(self) -> None:
        """After the last courier, whatever has not arrived is the engine's."""
        with self._lock:
            self._running -= 1
            if self._running:
                return
        if not self._closed:
            self._give_back(range(len(self.jobs)))

    def close(self) -> None:
        """End the processes, if they still run; nothing arrives from now on.

        What they have proven and not reported is published by the next run.
        """
        self._closed = self._halted = True
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for thread in self._readers:
            thread.join()
        self._halt()
        self._giver.join()
        os.close(self._taken)
        for pid in self._pids:
            os.waitpid(pid, 0)

    def remove(self) -> None:
        """Remove the couriers' folders, when all that they brought is published."""
        for folder in self._folders:
            with suppress(OSError):  # what is left in one is published by the next run
                os.rmdir(folder)


def _task(job: Job) -> Task:
    candidate, file = job.candidates[0], job.file
    assert isinstance(candidate, UrlCandidate) and file.size is not None
    git_blob = None if file.sha256 else file.git_blob
    return Task(candidate.url, candidate.headers, file.size, file.sha256, git_blob)
