"""Keeps a probe's process off the network. Runs in the child, before any library is imported.

Two belts: an audit hook refuses sockets of Python code by name, and where the system allows it a
network namespace without interfaces also holds for C code and for programs that a library starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_LOOKUPS = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}
# So urllib3 finds out, when it is imported, whether there is IPv6.
_IPV6_TRIAL = "::1:0"
_USES = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}


class NetworkRefusedError(OSError):
    """A probe tried to use the network."""

    def __init__(self, target: str) -> None:
        super().__init__(errno.ENETUNREACH, f"a probe has no network; refused: {target}")


def refuse_sockets(on_refused: Callable[[str], None]) -> None:
    """Refuse name look-ups and all sockets but local (AF_UNIX) ones, for the process's life.

    `on_refused` is told what was tried, such as `huggingface.co:443`.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not event.startswith("socket."):
            return
        target = _target(event, arguments)
        if target:
            if target != _IPV6_TRIAL:
                on_refused(target)
            raise NetworkRefusedError(target)

    sys.addaudithook(hook)


def _target(event: str, arguments: tuple[Any, ...]) -> str:
    if event in _LOOKUPS:
        host = arguments[_LOOKUPS[event]]
        port = arguments[1] if event == "socket.getaddrinfo" else None
        return f"{_text(host)}:{_text(port)}" if port else _text(host)
    if event not in _USES:
        return ""
    family = getattr(arguments[0], "family", None)
    if family == getattr(socket, "AF_UNIX", object()):
        return ""
    address = arguments[1]
    if isinstance(address, tuple):
        return ":".join(_text(part) for part in address[:2])
    return _text(address) if address else "a connected socket"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def leave_network() -> bool:
    """Move this process to a network namespace without interfaces; tell whether that worked.

    Call it while there is one thread. Without the right it does nothing.
    """
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWUSER | _CLONE_NEWNET
    if not sys.platform.startswith("linux") or (flags & _CLONE_NEWUSER and _keep_user()):
        return False
    user, group = os.geteuid(), os.getegid()
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
            return False
    except (OSError, AttributeError):
        return False
    if flags & _CLONE_NEWUSER:
        _map_user(user, group)
    return True


def _keep_user() -> bool:
    """Tell whether a user namespace would harm more than it helps.

    Where AppArmor restricts them the process would be left without its user id, and the driver's
    set-uid helper, which creates the GPU's device file on first use, does not work inside one.
    """
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    try:
        if restricted.read_text().strip() == "1":
            return True
    except OSError:
        pass
    return Path("/proc/driver/nvidia").exists() and not Path("/dev/nvidia-uvm").exists()


def _map_user(user: int, group: int) -> None:
    for name, line in (
        ("uid_map", f"{user} {user} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {group} 1"),
    ):
        try:
            Path("/proc/self", name).write_text(line)
        except OSError:
            return
