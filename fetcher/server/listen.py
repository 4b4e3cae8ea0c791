"""The server's life: its socket, its start-up message, its orderly end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetcher.errors import Failure, UsageError
from fetcher.i18n import t
from fetcher.server.rsgi import Service

_BACKLOG = 1024
# Threads that read files, made when needed; those of slow disks and bodies on their way wait.
_READERS = 512
_GRACE_SECONDS = 30.0
_HEAD_SECONDS = 30  # for a request's head; how often HTTP/2 asks whether anybody is there


@dataclass
class ListenOptions:
    """Where to listen, and with which certificate."""

    host: str = "127.0.0.1"
    port: int = 8000
    cert: Path | None = None
    key: Path | None = None


def open_socket(listen: ListenOptions) -> socket.socket:
    """A listening socket. Raises UsageError, Failure with what to do."""
    where = f"{listen.host}:{listen.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(
            t("--host {host}: no such address ({error})", host=listen.host, error=error),
            t("127.0.0.1 for this machine only; 0.0.0.0 for every network that it is in"),
        ) from None
    try:
        made = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        hints = {
            errno.EADDRINUSE: t(
                "another server listens there: choose another --port, or 0 for any"
            ),
            errno.EACCES: t("ports below 1024 are for root: choose a higher --port"),
            errno.EADDRNOTAVAIL: t("this machine has no such address: see `ip address`"),
        }
        hint = hints.get(error.errno or 0, t("choose another --host or --port"))
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Failure(
            "permission", t("cannot listen on {where}: {reason}", where=where, reason=reason), hint
        ) from None
    made.setblocking(False)
    # Connections inherit it: a head and its file are two writes, and must not wait for each other.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def check_certificate(listen: ListenOptions) -> None:
    """Raise UsageError unless certificate and key are there and belong together."""
    if listen.cert is None and listen.key is None:
        return
    if listen.cert is None or listen.key is None:
        raise UsageError(t("--cert and --key go together"), t("name both PEM files"))
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            listen.cert, listen.key, password=lambda: ""
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            t("--cert {cert} --key {key}: {error}", cert=listen.cert, key=listen.key, error=error),
            t(
                "both are PEM files; the key has no password; the certificate is followed by its "
                "chain"
            ),
        ) from None


async def run(
    service: Service, listen: ListenOptions, sock: socket.socket, ready: Callable[[], None]
) -> bool:
    """Serve until SIGINT or SIGTERM; downloads that run then get half a minute to end.

    A second signal ends it at once. False if downloads were still running at the end.
    """
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings, HTTP2Settings
    from granian.server.embed import Server

    class _Server(Server):  # type: ignore[misc]
        """Listens on a socket that is open already."""

        def _init_shared_socket(self) -> None:
            from granian._granian import SocketHolder

            self._ssp = None
            self._shd = SocketHolder(sock.detach(), False, _BACKLOG)  # type: ignore[call-arg]
            self._sfd = self._shd.get_fd()

    logging.getLogger("_granian").setLevel(logging.CRITICAL)
    server = _Server(
        service,
        address=listen.host if _is_address(listen.host) else "127.0.0.1",
        port=listen.port,
        interface=Interfaces.RSGI,
        # Clients ask for HTTP/2 only under TLS; to tell the two apart without it, a connection that
        # says nothing would be waited for.
        http=HTTPModes.auto if listen.cert else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEAD_SECONDS * 1000),
        http2_settings=HTTP2Settings(keep_alive_interval=_HEAD_SECONDS * 1000),
        websockets=False,
        backlog=_BACKLOG,
        runtime_threads=1,
        runtime_blocking_threads=_READERS,
        log_enabled=False,
        ssl_cert=listen.cert,
        ssl_key=listen.key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    stop = _on_signals()
    serving = asyncio.ensure_future(server.serve())
    await asyncio.sleep(0)
    ready()
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
        return True
    stop.clear()
    server.stop()
    again = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, again}, timeout=_GRACE_SECONDS, return_when="FIRST_COMPLETED")
    return bool(serving.done())


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False


def _on_signals() -> asyncio.Event:
    event = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(*_: Any) -> None:
        loop.call_soon_threadsafe(event.set)

    for name in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(name, stop)
        else:
            loop.add_signal_handler(name, event.set)
    return event
