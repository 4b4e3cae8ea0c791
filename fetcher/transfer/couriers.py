"""Processes that get many small files at once, as long as everything goes smoothly.

One interpreter cannot receive, hash, write, publish and place tens of thousands of files on
several processors. So these processes are forked, each with a loop of its own: they ask, prove
and write; the shelf publishes and places meanwhile. They know success only. Whatever else comes,
the job goes back to the engine, which has all the patience and all the rules; and when a host
asks for patience or cannot be reached, all that is left goes back.
"""

from __future__ import annotations

import gc
import hashlib
import marshal
import os
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

import pycurl

from fetcher.errors import Failure
from fetcher.files import Stat, end_with_parent, git_blob_hasher, unique_name, write_new
from fetcher.network import (
    REDIRECTS,
    RETRY_STATUS,
    Network,
    never_connected,
    redirect_target,
)
from fetcher.sniff import is_pointer
from fetcher.sources.base import UrlCandidate
from fetcher.store import Store, private_prefix
from fetcher.transfer.jobs import SMALL, Arrived, Job
from fetcher.transfer.slot import STALL_SECONDS

# Below this, starting processes costs more than it gives.
FEWEST = 256
PROCESSES = 2
_RECORD = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_REPORT = 48  # results in one message
_MAX_HOPS = 3
_STREAMS = 4  # requests at a time for each connection that we may have, where they can share one


class _Task(NamedTuple):
    """What a courier needs to know of a job."""

    url: str
    headers: tuple[tuple[str, str], ...]
    size: int
    sha256: str | None
    git_blob: str | None


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

    def _fork(self, tasks: Sequence[_Task], network: Network) -> list[int]:
        """Start the processes; returns the ends of the pipes through which they report."""
        share = max(1, network.settings.jobs // PROCESSES)
        ends: list[int] = []
        gc.freeze()  # what the collector never touches stays shared
        for _ in range(PROCESSES):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                for end in (self._tokens, reader, *ends):
                    os.close(end)
                _courier(tasks, self._taken, writer, network, str(self.store.partial), share)
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
            os.write(self._tokens, _RECORD.pack(start, stop))
        os.close(self._tokens)

    def _read(self, reader: int) -> None:
        """Pass on what one courier reports, until it has ended."""
        with os.fdopen(reader, "rb") as stream:
            while True:
                head = stream.read(_LENGTH.size)
                if len(head) < _LENGTH.size:
                    break
                message = stream.read(_LENGTH.unpack(head)[0])
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
            while os.read(self._taken, _RECORD.size):
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


def _task(job: Job) -> _Task:
    candidate, file = job.candidates[0], job.file
    assert isinstance(candidate, UrlCandidate) and file.size is not None
    git_blob = None if file.sha256 else file.git_blob
    return _Task(candidate.url, candidate.headers, file.size, file.sha256, git_blob)


# In the processes


class _Handle:
    """One request at a time. `origin` is what it is set up for."""

    def __init__(self) -> None:
        self.curl: Any = pycurl.Curl()
        self.index = -1
        self.hops = 0
        self.url = ""
        self.origin: object = None
        self.chunks: list[bytes] = []


class _Courier:
    """The loop of one process."""

    def __init__(
        self, tasks: Sequence[_Task], taken: int, writer: int, network: Network, folder: str
    ) -> None:
        self.tasks = tasks
        self.taken = taken
        self.writer = writer
        self.network = network
        self.folder = folder
        self.multi = pycurl.CurlMulti()
        self.mine: list[int] = []
        self.done: list[tuple[Any, ...]] = []
        self.back: list[int] = []
        self.halted = False
        self.by_curl: dict[int, _Handle] = {}

    def run(self, connections: int) -> None:
        """Work until there is nothing to take."""
        free = []
        secure = any(task.url.startswith("https") for task in self.tasks[:1])
        self.multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, connections)
        for _ in range(connections * (_STREAMS if secure else 1)):
            handle = _Handle()
            self._prepare(handle, secure)
            self.by_curl[id(handle.curl)] = handle
            free.append(handle)
        busy = 0
        while True:
            while free and (index := self._next()) is not None:
                handle = free.pop()
                if self._start(handle, index):
                    busy += 1
                else:
                    free.append(handle)
            if not busy:
                break
            self.multi.perform()
            ended = self._reap()
            if not ended:
                self.multi.select(1.0)
                continue
            for handle in ended:
                if not self._go_on(handle):
                    busy -= 1
                    free.append(handle)
            if len(self.done) + len(self.back) >= _REPORT:
                self._report()
        self._report()

    def _next(self) -> int | None:
        if not self.mine and not self.halted:
            record = os.read(self.taken, _RECORD.size)
            if len(record) == _RECORD.size:
                start, stop = _RECORD.unpack(record)
                self.mine = list(range(stop - 1, start - 1, -1))
            else:
                self.halted = True
        return self.mine.pop() if self.mine else None

    def _prepare(self, handle: _Handle, secure: bool) -> None:
        curl = handle.curl
        if secure:  # where the server speaks HTTP/2, all share one connection
            curl.setopt(pycurl.PIPEWAIT, 1)
        self.network.configure_once(curl)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1024)
        curl.setopt(pycurl.LOW_SPEED_TIME, STALL_SECONDS)
        curl.setopt(pycurl.WRITEFUNCTION, handle.chunks.append)
        curl.setopt(pycurl.BUFFERSIZE, 1 << 16)
        curl.setopt(pycurl.MAXFILESIZE, SMALL)

    def _start(self, handle: _Handle, index: int) -> bool:
        task = self.tasks[index]
        handle.index, handle.hops = index, 0
        try:
            self._aim(handle, self.network.rewrite(task.url), task.headers)
        except Failure:
            self.back.append(index)
            return False
        self.multi.add_handle(handle.curl)
        return True

    def _aim(self, handle: _Handle, url: str, headers: tuple[tuple[str, str], ...]) -> None:
        handle.url = url
        # Scheme, host and port as they are written: what differs there is set up anew.
        origin = url[: url.find("/", 8)], headers
        if handle.origin == origin and url.isascii():
            handle.curl.setopt(pycurl.URL, url)
        else:
            given = [*headers, ("Accept-Encoding", "identity")]
            self.network.configure(handle.curl, url, given)
            handle.origin = origin

    def _reap(self) -> list[_Handle]:
        """Handles whose request ended; those that libcurl itself gave up give their job back."""
        ended = []
        while True:
            left, succeeded, failed = self.multi.info_read(64)
            for curl in succeeded:
                self.multi.remove_handle(curl)
                ended.append(self.by_curl[id(curl)])
            for curl, number, _ in failed:
                handle = self.by_curl[id(curl)]
                silent = number == pycurl.E_OPERATION_TIMEDOUT or never_connected(curl, number)
                self.multi.remove_handle(curl)
                handle.chunks.clear()
                self._give_back(handle, halt=silent)
                ended.append(handle)
            if not left:
                return ended

    def _go_on(self, handle: _Handle) -> bool:
        """Judge an answer; True if the handle is under way again, to where a redirect leads."""
        if handle.index < 0:
            return False
        status = handle.curl.getinfo(pycurl.RESPONSE_CODE)
        chunks = handle.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if status == 200:
            self._take(handle, body)
        elif status in REDIRECTS and handle.hops < _MAX_HOPS:
            return self._follow(handle)
        else:
            self._give_back(handle, halt=status in RETRY_STATUS)
        return False

    def _follow(self, handle: _Handle) -> bool:
        handle.hops += 1
        try:
            url = self.network.redirected(handle.url, redirect_target(handle.curl))
            self._aim(handle, url, ())
        except Failure:
            self._give_back(handle, halt=False)
            return False
        self.multi.add_handle(handle.curl)
        return True

    def _take(self, handle: _Handle, body: bytes) -> None:
        """Prove a body and write it to a private file."""
        task = self.tasks[handle.index]
        sha256, git_blob = hashlib.sha256(body).hexdigest(), ""
        if task.git_blob is not None:
            hasher = git_blob_hasher(len(body))
            hasher.update(body)
            git_blob = hasher.hexdigest()
        right = sha256 == task.sha256 if task.sha256 else git_blob == task.git_blob
        if not right or len(body) != task.size or is_pointer(body):
            self._give_back(handle, halt=False)
            return
        path = f"{self.folder}{os.sep}{private_prefix(sha256)}{unique_name()}"
        try:
            stat = write_new(path, body)
        except OSError:
            self._give_back(handle, halt=True)
            return
        self.done.append((handle.index, path, sha256, git_blob, *stat))
        handle.index = -1

    def _give_back(self, handle: _Handle, halt: bool) -> None:
        self.back.append(handle.index)
        handle.index = -1
        if halt and not self.halted:
            self.halted = True
            self.back += self.mine
            self.mine.clear()
            self._report(halt=True)

    def _report(self, halt: bool = False) -> None:
        message = marshal.dumps((self.done, self.back, halt))
        self.done.clear()
        self.back.clear()
        data = memoryview(_LENGTH.pack(len(message)) + message)
        while data:
            data = data[os.write(self.writer, data) :]


def _courier(
    tasks: Sequence[_Task], taken: int, writer: int, network: Network, folder: str, share: int
) -> NoReturn:
    """Be a courier process, to its end."""
    status = 1
    try:
        # Ctrl-C is for the engine, which ends its couriers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent()
        gc.disable()
        _Courier(tasks, taken, writer, network, folder).run(share)
        status = 0
    except BaseException:  # the engine takes back what was not reported
        if os.environ.get("FETCH_DEBUG"):
            traceback.print_exc()
    finally:
        os._exit(status)
