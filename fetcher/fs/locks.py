"""What two processes must not do at once: locks on files, and who holds them.

flock where it works. Some network file systems (Lustre, GPFS, old NFS) accept it and do nothing:
there a lock is a file that only one process can create. Beside each lock stands who holds it, so
that a run that waits can say for whom, and that the lock of a dead process is broken.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from fetcher.errors import Failure
from fetcher.fs.atomic import new_file_mode
from fetcher.fs.private_files import remove_quietly, tidy, unique_name
from fetcher.fs.processes import alive, host_name, machine, started
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.verify.contract import json_text
from fetcher.verify.contract.regular import open_regular

if TYPE_CHECKING:
    from filelock import BaseFileLock

_log = logging.getLogger(__name__)
# It would write two lines for each of twenty looks in a second; what matters is said here.
logging.getLogger("filelock").setLevel(logging.WARNING)


# So long without a sign of life, and the holder is stopped, or gone with its machine.
SILENT_SECONDS = 60.0
_BEAT_SECONDS = 5.0
_POLL_SECONDS = 0.05
_SAY_AFTER = 2.0
_SAY_AGAIN = 30.0
_LONGEST = 4096
# No lock can be had here, and none is needed to read.
_UNWRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT}


class Holder(NamedTuple):
    """A process: `host` for people, `machine` where its `pid` means something, `since` in s."""

    pid: int
    host: str
    machine: str
    began: str
    command: str
    since: float
    doing: str = ""

    @classmethod
    def here(cls, doing: str = "") -> Holder:
        """This process."""
        word = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].isalpha() else ""
        command = f"fetch {word[:20]}".rstrip()
        pid = os.getpid()
        return cls(pid, host_name()[:100], machine(), _own_start(pid), command, time.time(), doing)

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        """What `dump` wrote, None for anything else."""
        try:
            found = cls(**json_text.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        texts = (found.host, found.machine, found.began, found.command, found.doing)
        sound = type(found.pid) is int and 0 < found.pid < 1 << 31
        sound = sound and isinstance(found.since, float) and abs(found.since) < 1e11
        return found if sound and all(isinstance(item, str) for item in texts) else None

    def dump(self) -> str:
        """One line of JSON."""
        return json.dumps(self._asdict())

    def __str__(self) -> str:
        since = time.strftime("%H:%M", time.localtime(self.since))
        return printable(
            t(
                "PID {pid} on {host} ({command}, since {since})",
                pid=self.pid,
                host=self.host,
                command=self.command,
                since=since,
            )
        )

    @property
    def near(self) -> bool:
        """Whether it is a process of this machine, so that we can see if it runs."""
        return self.machine == machine()

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended."""
        return self.near and not alive(self.pid, self.began)


_own_start = lru_cache(maxsize=1)(started)  # each lock says it


class Busy(Failure):
    """Somebody holds a lock and shows no sign of life."""


class Watch:
    """Sees whether something changes, by our own clock: those of two machines differ."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = time.monotonic()

    def silent(self, sign: object) -> float:
        """For how many seconds the sign has been what it is."""
        if sign != self._seen:
            self._seen, self._since = sign, time.monotonic()
        return time.monotonic() - self._since


class Teller:
    """Says whom we wait for: after two seconds, and again now and then."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = time.monotonic() + _SAY_AFTER

    def tell(self, text: str) -> None:
        """Say it if it is time."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SAY_AGAIN
            _log.info("%s", text)
            self._say(text)


@contextmanager
def held(
    path: Path, doing: str, say: Callable[[str], None], mode: str = "auto", long: bool = False
) -> Iterator[bool]:
    """Hold the lock `path`; False where there can be none (a read-only place).

    `doing` completes "PID 1 on HOST, which is …"; `long`: it may take more than a moment.
    `mode`: one of MODES. Raises Busy if the holder shows no sign of life.
    """
    lock: Releasable | None = _free(path, mode)
    if lock is None:
        waited = _lock(path, mode)
        if waited is None or not _acquire(waited, path, say):
            yield False
            return
        lock = waited
    note = _note(path)
    stop = threading.Event()
    try:
        _write_note(note, Holder.here(doing))
        if long:
            threading.Thread(target=_beat, args=(note, stop), name="lock", daemon=True).start()
        yield True
    finally:
        stop.set()
        remove_quietly(note)
        lock.release()


def _note(path: Path) -> str:
    """Where stands who holds the lock."""
    return f"{path}.holder"


def _write_note(note: str, holder: Holder) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with suppress(OSError):  # it only helps those who wait
        handle = os.open(note, flags, 0o666)
        try:
            os.write(handle, holder.dump().encode())
        finally:
            os.close(handle)


def _beat(note: str, stop: threading.Event) -> None:
    while not stop.wait(_BEAT_SECONDS):
        with suppress(OSError):
            os.utime(note)


class Releasable(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Let the next one have it."""


class _Flock:
    """A lock that nobody else wanted."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._handle)


def _free(path: Path, mode: str) -> _Flock | None:
    """The lock, if it is free where flock works: what filelock would do, for 12 ms less.

    None where it takes more than one system call; then it is filelock's matter.
    """
    if mode == "soft" or sys.platform == "win32":
        return None
    import fcntl

    handle = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "auto" and not flock_works(str(path.parent)):
            return None
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        here, held_by = os.lstat(path), os.fstat(handle)
        if (here.st_dev, here.st_ino) == (held_by.st_dev, held_by.st_ino):
            return _Flock(handle)
    except OSError:  # somebody has it, or it cannot be had: told by the other way
        pass
    if handle >= 0:
        os.close(handle)
    return None


def _lock(path: Path, mode: str) -> BaseFileLock | None:
    """The lock to acquire; None where there can be none."""
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soft = mode == "soft" or (mode == "auto" and not flock_works(str(path.parent)))
        for name in (path, Path(_marker(path))):
            if name.is_symlink():  # whoever made it wants another file touched
                name.unlink()
    except OSError as error:
        if error.errno in _UNWRITABLE:
            _log.info("no lock in %s: %s", path.parent, error.strerror)
            return None
        raise
    mode_of_lock = new_file_mode()  # else whoever shares the folder by group could not lock it
    if soft:
        return filelock.SoftFileLock(_marker(path), mode=mode_of_lock)
    return filelock.FileLock(path, mode=mode_of_lock)


def _marker(path: Path) -> str:
    """The file whose being there is a soft lock."""
    return f"{path}.soft"


@lru_cache(maxsize=16)
def flock_works(folder: str) -> bool:
    """Whether a second open file is refused a lock that the first has. Raises OSError."""
    if sys.platform == "win32":
        return True
    import fcntl

    tidy(folder)
    path = os.path.join(folder, unique_name())
    flags, exclusive = os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX | fcntl.LOCK_NB
    handles = [os.open(path, flags, 0o600)]
    try:
        handles.append(os.open(path, flags, 0o600))
        fcntl.flock(handles[0], exclusive)
        try:
            fcntl.flock(handles[1], exclusive)
        except BlockingIOError:
            return True
        _log.info("%s: flock does nothing here, so locks are files", folder)
        return False
    except OSError as error:
        _log.info("%s: no flock here (%s), so locks are files", folder, error.strerror)
        return False
    finally:
        for handle in handles:
            os.close(handle)
        remove_quietly(path)


def _acquire(lock: BaseFileLock, path: Path, say: Callable[[str], None]) -> bool:
    """Wait for the lock; False where it cannot be had at all. Raises Busy."""
    import filelock

    watch, teller = Watch(), Teller(say)
    while True:
        try:
            lock.acquire(timeout=0)
            return True
        except filelock.Timeout:
            pass
        except OSError as error:
            if error.errno in _UNWRITABLE:
                _log.info("no lock %s: %s", path, error.strerror)
                return False
            raise
        holder, sign = _look(path)
        silent = watch.silent(sign)
        if isinstance(lock, filelock.SoftFileLock) and _break(path, holder, sign, silent):
            continue
        who = (
            t("{holder}, which is {doing}", holder=holder, doing=printable(holder.doing))
            if holder
            else t("another run ({path})", path=path)
        )
        if silent > SILENT_SECONDS:
            hint = (
                t("is it stopped? let it go on, or end it: kill {pid}", pid=holder.pid)
                if holder
                else ""
            )
            raise Busy(
                "busy",
                t("{who} has shown no sign of life for {silent:.0f} s", who=who, silent=silent),
                hint,
            )
        teller.tell(t("waiting for {who}", who=who))
        time.sleep(_POLL_SECONDS)


_Sign = tuple[tuple[int, int] | None, tuple[int, int] | None]


def _look(path: Path) -> tuple[Holder | None, _Sign]:
    """Who holds a lock, if that is known, and what changes while it lives or gets another."""
    marker, note = _stat(_marker(path)), _stat(_note(path))
    holder = None
    # An older one is of an earlier holder, that died.
    if note and (marker is None or note[0] >= marker[0]):
        with suppress(OSError, UnicodeDecodeError), open_regular(_note(path)) as stream:
            holder = Holder.parse(stream.read(_LONGEST).decode())
    return holder, (marker, note)


def _stat(path: str) -> tuple[int, int] | None:
    try:
        stat = os.lstat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino


def _break(path: Path, holder: Holder | None, sign: _Sign, silent: float) -> bool:
    """Take a soft lock from a holder that is dead, or far and silent; True if that was done."""
    gone = holder.dead if holder else False
    far = holder is None or not holder.near
    if not gone and not (far and silent > SILENT_SECONDS):
        return False
    # One at a time, and only what was looked at: another may have broken it and hold it now.
    guard = f"{path}.breaking"
    try:
        os.close(os.open(guard, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        with suppress(OSError):
            if time.time() - os.lstat(guard).st_mtime > SILENT_SECONDS:
                os.unlink(guard)
        return False
    try:
        if _look(path)[1] != sign:
            return False
        _log.info("%s: the lock of %s is broken: it is gone", path, holder or "an unknown run")
        remove_quietly(_marker(path))
        return True
    finally:
        remove_quietly(guard)
