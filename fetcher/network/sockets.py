"""What our clients do to sockets beyond what their libraries offer."""

from __future__ import annotations

import contextlib
import socket


def end_waiting(sock: object) -> None:
    """End what another thread waits for on a socket; whatever is none is left alone."""
    if isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            # Not SSLSocket's own, which takes away what the other thread is reading with.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
