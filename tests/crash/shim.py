"""The preloaded library that makes calls fail, and the memory in which it is told what to do."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")

# Kinds of calls
WRITE, CREATE, MKDIR, RENAME, LINK, UNLINK, TRUNCATE = 1, 2, 4, 8, 16, 32, 64
SYNC, MODE, READ, SYMLINK, RMDIR, SYNC_ALL = 128, 256, 512, 1024, 2048, 4096
CHANGES = WRITE | CREATE | MKDIR | RENAME | LINK | UNLINK | TRUNCATE | SYNC | MODE | SYMLINK | RMDIR
# A full disk takes no new names nor bytes, but lets go of what it has.
GROWS = WRITE | CREATE | MKDIR | LINK | SYMLINK | SYNC
# A failing one answers any of these with an error. (Where nothing can be removed, things stay.)
FAILS = CHANGES & ~(MODE | UNLINK | RMDIR) | READ

# Actions
NOTHING, KILL_ALL, KILL_ONE, FAIL_ONCE, FAIL_ON = range(5)

# Flags
NO_SYNC, LOG, TORN, NO_RENAMEAT2, NO_LINK = 1, 2, 4, 8, 16


class _Control(ctypes.Structure):
    """As in shim.c."""

    _fields_ = [
        ("armed", ctypes.c_uint32),
        ("action", ctypes.c_uint32),
        ("error", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("mask", ctypes.c_uint32),
        ("group", ctypes.c_uint32),
        ("lock", ctypes.c_uint32),
        ("unused", ctypes.c_uint32),
        ("target", ctypes.c_uint64),
        ("counter", ctypes.c_uint64),
        ("root", ctypes.c_char * 1024),
        ("log", ctypes.c_char * 1024),
        ("grave", ctypes.c_char * 1024),
    ]


@dataclass(frozen=True)
class Fault:
    """What is to happen at the call number `target` of the kinds in `mask`."""

    action: int = NOTHING
    target: int = 0
    mask: int = CHANGES
    error: int = errno.ENOSPC
    flags: int = NO_SYNC


class Control:
    """The memory that a run's processes share with us."""

    def __init__(self, path: Path) -> None:
        size = ctypes.sizeof(_Control)
        if not path.exists():
            path.write_bytes(bytes(size))
        self.path = path
        with path.open("r+b") as stream:
            self._memory = mmap.mmap(stream.fileno(), size)
        self._control = _Control.from_buffer(self._memory)

    def set(self, fault: Fault, root: Path, log: Path, grave: Path) -> None:
        """Say what is to happen below `root`, once it is armed."""
        control = self._control
        ctypes.memset(ctypes.addressof(control), 0, ctypes.sizeof(control))
        control.action, control.error, control.flags = fault.action, fault.error, fault.flags
        control.mask, control.target = fault.mask, fault.target
        control.root, control.log, control.grave = map(os.fsencode, (root, log, grave))

    def arm(self) -> None:
        """From now on calls count; to be called by the process that leads the run's group."""
        self._control.group = os.getpgrp()
        self._control.armed = 1

    def disarm(self) -> int:
        """Nothing counts any more; how many calls did."""
        self._control.armed = 0
        return int(self._control.counter)


def missing() -> str:
    """Why there can be no such library here, "" if there can."""
    if sys.platform != "linux":
        return "calls are only caught on Linux"
    if os.uname().machine not in {"x86_64", "aarch64"}:
        return "not for this machine"
    return "" if compiler() else "no C compiler here"


def compiler() -> str | None:
    """The C compiler's path."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path:
    """Compile the library."""
    found = compiler()
    assert found is not None
    target = folder / "shim.so"
    command = [found, "-shared", "-fPIC", "-O2", "-o", str(target), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target
