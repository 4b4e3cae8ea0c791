"""The loop of a worker process: ask, prove, write, report; what does not go smoothly goes back.

`fetcher.transfer.worker_pool` starts these processes and reads what they report.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from typing import Any, NoReturn

import pycurl

from fetcher.errors import Failure
from fetcher.fs.atomic import end_with_parent
from fetcher.network.curl import parse_header, redirect_target
from fetcher.network.curl_errors import never_connected
from fetcher.network.retry import REDIRECTS, RETRY_STATUS, retry_after
from fetcher.network.session import Network
from fetcher.network.urls import host_of
from fetcher.transfer.download import SMALL
from fetcher.transfer.handle import aim, set_up
from fetcher.transfer.hosts import FAR_SECONDS
from fetcher.transfer.worker_tasks import Asked, Laggards, Task, Tasks

_log = logging.getLogger(__name__)

_MAX_HOPS = 3
# Connections of a process to a host that is near: with more of them all are slower.
_NEAR_CONNECTIONS = 8
# Requests at a time for each connection, where they can share one: at the least, and at the most.
_STREAMS, _MOST_STREAMS = 4, 64
_ANSWERS = 4  # that are looked at
_SECONDS_EACH = 0.002  # of a connection that is busy: what fills the time to an answer


class _Handle:
    """One request at a time. `origin` is what it is set up for."""

    def __init__(self) -> None:
        self.curl: Any = pycurl.Curl()
        self.index = -1
        self.task: Task = "", (), 0, None, None
        self.hops = 0
        self.began = 0.0
        self.url = ""
        self.origin: object = None
        self.chunks: list[bytes] = []
        self.raw_headers: list[bytes] = []

    def asked(self) -> Asked | None:
        """What its answer says about asking again, if it does."""
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        headers: dict[str, str] = {}
        for line in self.raw_headers:
            parse_header(headers, line)
        seconds = retry_after(headers)
        if seconds is None and status not in {429, 503}:
            return None
        return host_of(self.url), seconds, status


class _Loop:
    """The loop of one process."""

    def __init__(self, tasks: Tasks, network: Network) -> None:
        self.tasks = tasks
        self.network = network
        self.multi = pycurl.CurlMulti()
        self.by_curl: dict[int, _Handle] = {}
        self.laggards = Laggards()
        self.free: list[_Handle] = []
        self.most = 1
        self.answers, self.distance = 0, 60.0  # how many were looked at, seconds that one takes

    def run(self, connections: int) -> None:
        """Work until there is nothing to take."""
        tasks = self.tasks
        if not tasks.has_next():
            return
        tasks.make_folder()
        self.most = connections
        secure = tasks.first()[0].startswith("https")
        self._widen(min(connections, _NEAR_CONNECTIONS), _STREAMS if secure else 1)
        free, busy = self.free, 0
        while True:
            while free and tasks.has_next(wait=not busy):
                handle = free.pop()
                if self._start(handle, *tasks.next()):
                    busy += 1
                else:
                    free.append(handle)
            if not busy:
                break
            self.multi.perform()
            ended = self._reap()
            if not ended:
                self.multi.select(1.0)
                ended = self._end_slow()
            for handle in ended:
                if not self._go_on(handle):
                    busy -= 1
                    free.append(handle)
        tasks.report()

    def _widen(self, connections: int, streams: int) -> None:
        """Have so many connections to a host, and requests at a time on each, where it can."""
        self.multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, connections)
        self.multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, streams)
        while len(self.by_curl) < connections * streams:
            handle = _Handle()
            set_up(handle.curl, self.network, handle.chunks.append)
            handle.curl.setopt(pycurl.HEADERFUNCTION, handle.raw_headers.append)
            handle.curl.setopt(pycurl.MAXFILESIZE, SMALL)
            self.by_curl[id(handle.curl)] = handle
            self.free.append(handle)

    def _learn(self, curl: Any) -> None:
        """See from one of the first answers how far the host is: what waits takes no time here."""
        self.answers += 1
        since = curl.getinfo(pycurl.PRETRANSFER_TIME)
        self.distance = min(self.distance, curl.getinfo(pycurl.STARTTRANSFER_TIME) - since)
        if self.answers == _ANSWERS and self.distance >= FAR_SECONDS:
            shared = curl.getinfo(pycurl.INFO_HTTP_VERSION) >= pycurl.CURL_HTTP_VERSION_2_0
            streams = max(_STREAMS, min(_MOST_STREAMS, round(self.distance / _SECONDS_EACH)))
            self._widen(self.most, streams if shared else 1)

    def _start(self, handle: _Handle, index: int, task: Task) -> bool:
        handle.index, handle.task, handle.hops = index, task, 0
        handle.began = time.monotonic()
        try:
            self._aim(handle, self.network.rewrite(task[0]), task[1])
        except Failure:
            self.tasks.give_back(index)
            return False
        self.multi.add_handle(handle.curl)
        return True

    def _aim(self, handle: _Handle, url: str, headers: tuple[tuple[str, str], ...]) -> None:
        handle.url = url
        handle.raw_headers.clear()
        # Scheme, host and port as they are written: what differs there is set up anew.
        origin = url[: url.find("/", 8)], headers
        if handle.origin == origin and url.isascii():
            handle.curl.setopt(pycurl.URL, url)
        else:
            aim(handle.curl, self.network, url, headers)
            handle.origin = origin

    def _reap(self) -> list[_Handle]:
        """Handles whose request ended; what libcurl itself gave up is given back."""
        ended = []
        while True:
            left, succeeded, failed = self.multi.info_read(64)
            for curl in succeeded:
                if self.answers < _ANSWERS:
                    self._learn(curl)
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

    def _end_slow(self) -> list[_Handle]:
        """Give back what comes far slower than the others came: the engine asks for it anew."""
        now = time.monotonic()
        found: list[_Handle] = []
        if not self.laggards.may_look(now):
            return found
        for handle in self.by_curl.values():
            if handle.index < 0:
                continue
            came = sum(map(len, handle.chunks))
            if self.laggards.is_one(handle.task[2], came, now - handle.began):
                self.multi.remove_handle(handle.curl)
                handle.chunks.clear()
                self._give_back(handle, halt=False)
                found.append(handle)
        return found

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
            halt = status in RETRY_STATUS
            self._give_back(handle, halt, handle.asked() if halt else None)
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
        self.laggards.measured(len(body), handle.began)
        self.tasks.take(handle.index, handle.task, body)
        handle.index = -1

    def _give_back(self, handle: _Handle, halt: bool, asked: Asked | None = None) -> None:
        self.tasks.give_back(handle.index, halt, asked)
        handle.index = -1


def run_worker(
    packets: socket.socket, writer: int, network: Network, folder: str, share: int
) -> NoReturn:
    """Be a worker process, to its end."""
    status = 1
    try:
        # Ctrl-C is for the engine, which ends its workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent()
        gc.disable()
        _Loop(Tasks(packets, writer, folder), network).run(share)
        status = 0
    except BaseException:  # the engine takes back what was not reported
        _log.debug("a worker ends early", exc_info=True)
    finally:
        os._exit(status)
