"""Bodies that are made while they are sent: proven on the way, of several pieces, still arriving.

The server underneath takes whatever a handler writes, however slowly the client reads: gigabytes
would pile up in memory. A body therefore goes through a named pipe, which the server reads as a
file and in which the kernel holds no more than a megabyte.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

from fetcher.errors import Failure, FetchError
from fetcher.fs.private_files import make_scratch, remove_quietly
from fetcher.i18n import t

_STREAMS = 256
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20
_OPENING_SECONDS = 60.0


class CutOff(Exception):
    """A body cannot be sent to its end; the text says why. The client sees a cut connection."""


class StreamWriter:
    """Threads that write bodies, one for each. Raises Failure where no pipe can be made."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._numbers = count()
        self._folder = "" if sys.platform == "win32" else _temporary_folder()
        self._threads = ThreadPoolExecutor(_STREAMS, thread_name_prefix="stream")

    def close(self) -> None:
        """Remove the pipes; threads that wait in one end with their client."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def first(self, source: Iterator[bytes]) -> bytes:
        """The first piece of a body, b"" if it is empty."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(next, source, b"")
        )

    async def send(
        self, status: int, headers: dict[str, str], source: Iterator[bytes], proto: Any
    ) -> None:
        """Send a body of which the headers tell the length."""
        if sys.platform == "win32":
            await self._send_freely(status, headers, source, proto)
            return
        path = self._pipe()
        proto.response_file(status, list(headers.items()), path)
        self._threads.submit(self._feed, path, source)

    async def _send_freely(
        self, status: int, headers: dict[str, str], source: Iterator[bytes], proto: Any
    ) -> None:
        transport = proto.response_stream(status, list(headers.items()))
        while piece := await self.first(source):
            await transport.send_bytes(piece)

    def _pipe(self) -> str:
        path = os.path.join(self._folder, str(next(self._numbers)))
        os.mkfifo(path, 0o600)
        return path

    def _feed(self, path: str, source: Iterator[bytes]) -> None:
        try:
            handle = _opened(path)
        finally:
            remove_quietly(path)
        if handle is None:
            return  # the client was gone before its answer began
        try:
            for piece in source:
                view = memoryview(piece)
                while view:
                    view = view[os.write(handle, view) :]
        except BrokenPipeError:
            pass  # the client has left
        except (OSError, EOFError, CutOff, FetchError) as error:
            self.say(t("a download was cut off: {error}", error=error))
        except Exception as error:
            self.say(
                t("a download was cut off: {name}: {error}", name=type(error).__name__, error=error)
            )
        finally:
            os.close(handle)
            close = getattr(source, "close", None)
            if close is not None:
                close()


def _temporary_folder() -> str:
    try:
        return make_scratch()
    except OSError as error:
        raise Failure(
            "permission",
            t("no temporary folder can be made: {strerror}", strerror=error.strerror),
            t("set TMPDIR to a folder that can be written; in a systemd unit, PrivateTmp=yes"),
        ) from error


def _opened(path: str) -> int | None:
    """The pipe's writing end, as soon as somebody reads; None if nobody comes."""
    deadline = time.monotonic() + _OPENING_SECONDS
    pause = 0.0005
    while time.monotonic() < deadline:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return None
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
            continue
        os.set_blocking(handle, True)
        if sys.platform == "linux":
            import fcntl

            with suppress(OSError):
                fcntl.fcntl(handle, _F_SETPIPE_SZ, _PIPE_BYTES)
        return handle
    return None
