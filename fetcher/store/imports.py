"""The bundles that were taken into a store, in order, and what each of them claims.

    imported/NAME/import.json   which bundle, from where, when, in what order, by whose key
    imported/NAME/fetch.lock    its documents

Each is one party's claim. The operator named it, so that servers show it; a later one counts more
than an earlier one, by its number and never by a file's time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fetcher.errors import FetchError
from fetcher.fs.atomic import write_atomically
from fetcher.fs.owners import is_foreign
from fetcher.fs.private_files import remove_quietly
from fetcher.fs.safe_paths import printable
from fetcher.i18n import t
from fetcher.mirror.inventory import HeldArtifact, SourceFields
from fetcher.project import lockfile
from fetcher.project.lockfile import Lock
from fetcher.sources.base import FileEntry
from fetcher.store import demands, upstream_records
from fetcher.store.demands import IMPORTED
from fetcher.store.project_records import FOLDER as PROJECTS
from fetcher.store.store import Store
from fetcher.store.upstream_records import UpstreamRecords
from fetcher.verify.contract.regular import read_regular
from fetcher.yamldoc.json_fields import JsonFields

SCHEMA = "fetch.import/1"
_ABOUT = "import.json"
Name = tuple[str, str]


@dataclass(frozen=True)
class ImportRecord:
    """One import. `index` is the sha256 of the bundle's index.json, which stands for all of it.

    `place` is where it came from, without a login; `number` its turn, 0 of one that earlier
    versions took in; `at` the time in seconds since 1970; `key` the sha256 of the public key that
    it was signed with, "" if nobody asked.
    """

    name: str
    index: str = ""
    place: str = ""
    number: int = 0
    at: int = 0
    key: str = ""

    @property
    def label(self) -> str:
        """What to call it."""
        if not self.index:
            return t("imported bundle {name}", name=self.name)
        return t(
            "bundle {place} (index sha256:{index}, imported {day})",
            place=self.place,
            index=self.index[:12],
            day=self.day,
        )

    @property
    def speaker(self) -> str:
        """Who says what is kept of it among the records of what Hubs said."""
        return f"bundle sha256:{self.index}"

    @property
    def day(self) -> str:
        """When it was taken in."""
        return time.strftime("%Y-%m-%d", time.gmtime(self.at))

    def folder(self, store: Path) -> Path:
        """Where its documents are."""
        return store / IMPORTED / self.name


def key_id(key: Path | None) -> str:
    """A public key in an import's record, "" for none. Raises OSError."""
    return hashlib.sha256(key.read_bytes().strip()).hexdigest() if key else ""


def is_import(root: Path, store: Path) -> bool:
    """Whether a folder is that of an import, and no project of a person's."""
    return (store / IMPORTED).absolute() in root.absolute().parents


def records(store: Path, anybodys: bool = False) -> list[ImportRecord]:
    """All imports of this person or root, of others only if `anybodys` count; the earliest first.

    Whoever may write into a store could say that its owner took in a bundle.
    """
    folder = store / IMPORTED
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if (path / lockfile.NAME).is_file() and (anybodys or _is_own(path)):
            found.append(_read(path))
    return sorted(found, key=lambda record: (record.number, record.name))


def _is_own(folder: Path) -> bool:
    """Whether an import was written down by this person, or root."""
    with suppress(OSError):
        files = [folder / lockfile.NAME, folder / _ABOUT]
        return not any(is_foreign(path.stat()) for path in files if path.exists())
    return False


def _read(folder: Path) -> ImportRecord:
    about = JsonFields({})
    with suppress(OSError, ValueError, TypeError):
        about = JsonFields.of(json.loads(read_regular(folder / _ABOUT)))
    number, at = about.get("number"), about.get("at")
    return ImportRecord(
        folder.name,
        about.text("index"),
        printable(about.text("place")),
        number if isinstance(number, int) else 0,
        at if isinstance(at, int) else 0,
        about.text("key"),
    )


def claims(store: Store, record: ImportRecord) -> list[HeldArtifact]:
    """What the lock of an import claims, as far as digests are known; nothing if it is broken."""
    try:
        return claims_of(lockfile.read(record.folder(store.root)), store, record.label)
    except FetchError:
        return []


def claims_of(lock: Lock, store: Store, party: str) -> list[HeldArtifact]:
    """What a lock claims, in the name of `party`, as far as digests are known."""
    return [
        HeldArtifact(
            manifest,
            name,
            locked.source,
            SourceFields.of_text(locked.source),
            locked.revision,
            tuple(_known(locked.files, store)),
            party=party,
        )
        for (manifest, name), locked in sorted(lock.artifacts.items())
    ]


def _known(files: Iterable[FileEntry], store: Store) -> Iterator[FileEntry]:
    """The files with their sha256; without those of which it is not known here."""
    for file in files:
        if sha256 := store.digest_of(file):
            yield file._replace(sha256=sha256)


def projects(store: Store) -> Iterator[Path]:
    """The projects of people that have used the store: neither imports nor a Hub's records."""
    for root in demands.projects(store):
        if not (is_import(root, store.root) or upstream_records.is_record(root, store.root)):
            yield root


def latest(found: Sequence[ImportRecord], store: Path) -> Mapping[str, set[Name]]:
    """By an import's name: the artifacts that no later import brought again."""
    owner: dict[Name, str] = {}
    for record in found:
        with suppress(FetchError):
            owner |= dict.fromkeys(lockfile.read(record.folder(store)).artifacts, record.name)
    made: dict[str, set[Name]] = {record.name: set() for record in found}
    for name, holder in owner.items():
        made[holder].add(name)
    return made


def keep(store: Store, record: ImportRecord, documents: Mapping[str, bytes], again: bool) -> None:
    """Write down an import as the latest one; one that is there already keeps its turn, unless it
    is to replace others `again`. Raises OSError."""
    known = records(store.root)
    before = next((item for item in known if item.name == record.name and item.number), None)
    entry = _entry(store, record)
    if before is not None and not again and (before.key or not record.key) and entry.exists():
        return
    number = max((item.number for item in known), default=0) + 1
    if before is not None and not again:
        number = before.number
    folder = record.folder(store.root)
    made = asdict(replace(record, number=number, at=int(time.time())))
    made.pop("name")
    for document, data in documents.items():
        write_atomically(folder.joinpath(*document.split("/")), data, 0o644)
    write_atomically(folder / _ABOUT, json.dumps({"schema": SCHEMA, **made}).encode(), 0o644)
    write_atomically(entry, json.dumps({"root": str(folder.absolute())}).encode())


def _entry(store: Store, record: ImportRecord) -> Path:
    """What has `fetch gc` count an import among those who need something."""
    return store.root / PROJECTS / f"{record.name}.json"


def forget(store: Store, found: Collection[ImportRecord]) -> None:
    """Let go of what imports claim; their contents stay until `fetch gc`. Raises OSError."""
    UpstreamRecords.of_bundles(store.root).forget({record.speaker for record in found})
    for record in found:
        remove_quietly(os.fspath(_entry(store, record)))
        shutil.rmtree(record.folder(store.root), ignore_errors=True)
