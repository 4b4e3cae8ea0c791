"""Files on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fetcher.config.boundaries import taken_from
from fetcher.errors import Failure, from_os_error
from fetcher.fs.atomic import sha256_of
from fetcher.fs.free_space import free_bytes
from fetcher.fs.patterns import literal_names
from fetcher.fs.reserved import is_private, is_secret
from fetcher.i18n import t
from fetcher.network.session import Network
from fetcher.sources.base import (
    Candidate,
    FileEntry,
    PathCandidate,
    Request,
    Resolved,
    Source,
    choose,
    merge_known,
)
from fetcher.yamldoc.schema import Field, Text


def _refuse(error: OSError) -> None:
    raise error


def _named(base: Path, request: Request) -> dict[str, Path] | None:
    """The files that a request names exactly, without a walk through all that lies beside them.

    None where only the walk can tell: for patterns, and for names that it would not give.
    """
    names = literal_names(request.files)  # with what is excluded: it has to be there as well
    if names is None or any("{" in pattern for pattern in request.files or ()) or not base.is_dir():
        return None
    found = {}
    for name in names:
        path, above = base / name, [*Path(name).parents][:-1]
        if any(is_private(part.name) or (base / part).is_symlink() for part in above):
            return None
        if is_secret(path.name) or not path.is_file():
            return None
        found[name] = path
    return found


@dataclass(frozen=True)
class Local(Source):
    """A file or a folder on this machine, absolute or relative to the project."""

    path: str

    type: ClassVar[str] = "local"
    fields: ClassVar[dict[str, Field]] = {
        "path": Field(Text(), t("a file or folder, relative to the project's root"), required=True),
    }

    @classmethod
    def from_short(cls, text: str) -> dict[str, str]:
        """The path itself."""
        return {"path": text}

    def describe(self) -> str:
        """The short form."""
        return f"local:{self.path}"

    def place(self, root: Path) -> Path:
        """Where it lies, for the project at `root`."""
        return root / os.path.expanduser(self.path)

    def _base(self, network: Network) -> Path:
        """The real path of it. Raises Failure where the project may not take it."""
        return taken_from(network.settings, self.place(network.settings.root))

    def admits(self, revision: str) -> bool:
        """There are no revisions."""
        return not revision

    def resolve(self, request: Request, network: Network) -> Resolved:
        """Walk the folder and read every chosen file once for its digest, if it can be stored."""
        base = self._base(network)
        room = free_bytes(network.settings.store)
        try:
            if not base.exists():
                raise Failure(
                    "not-found", t("{base} is not there", base=base), t("check the source's path")
                )
            found = _named(base, request) or dict(self._list(base))
            entries = {name: FileEntry(name, path.stat().st_size) for name, path in found.items()}
            files = []
            for entry in choose(entries, request, str(base)):
                path = found[entry.path]
                if path.is_symlink():
                    path = taken_from(network.settings, path)
                known = entry
                if (entry.size or 0) <= room:  # else it is told that it does not fit, unread
                    known = entry._replace(sha256=sha256_of(str(path)), computed=True)
                files.append(merge_known(known, request, str(base)))
        except OSError as error:
            raise from_os_error(
                error, t("reading {filename}", filename=error.filename or base)
            ) from error
        return Resolved("", files)

    def names(self, network: Network) -> list[str]:
        """The files' names, sorted; none is read. Raises Failure, OSError."""
        return sorted(name for name, _ in self._list(self._base(network)))

    def check_access(self, network: Network) -> bool:
        """Whether it is there."""
        base = self._base(network)
        if not base.exists():
            raise Failure(
                "not-found", t("{base} is not there", base=base), t("check the source's path")
            )
        return True

    @staticmethod
    def _list(base: Path) -> Iterator[tuple[str, Path]]:
        if base.is_file():
            yield base.name, base
            return
        for folder, folders, names in os.walk(base, onerror=_refuse):
            folders[:] = [name for name in folders if not is_private(name)]
            for name in names:
                path = Path(folder, name)
                if is_secret(name):
                    continue  # nobody means it who names the folder
                if path.is_file():  # no broken link, and nothing that would wait for ever
                    yield path.relative_to(base).as_posix(), path

    def candidates(self, revision: str, file: FileEntry, network: Network) -> list[Candidate]:
        """The file itself. Raises Failure where the project may not take it."""
        base = self._base(network)
        path = taken_from(network.settings, base / file.path) if base.is_dir() else base
        return [PathCandidate(self.type, str(path))]
