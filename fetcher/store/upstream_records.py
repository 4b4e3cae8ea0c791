"""What Hubs have said to a server that fetches from them, kept beside the blobs, by who said it.

    upstream/HOST-HASH/upstream.json        {"schema": "fetch.upstream/1", "url": …}
    upstream/HOST-HASH/REPO-HASH/said.UID.jsonl
        where a ref stands, what a path holds: one a line
    upstream/HOST-HASH/REPO-HASH/COMMIT.UID a whole listing, in the form of a lock
    upstream/HOST-HASH/REPO-HASH/COMMIT.HASH.pages  what a run read: see fetcher.store.listings

One Hub's word is never taken for another's. Each person who shares the store has files of their
own: what somebody else has written, or may write, says nothing; earlier versions wrote `said.jsonl`
and `COMMIT`. Statements are appended, each with one write, so that servers which share a store lose
none of each other's, and a killed one no more than its last.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fetcher.config.settings import PUBLIC_HUB, Settings
from fetcher.errors import FetchError, LockError
from fetcher.fs.atomic import write_atomically
from fetcher.fs.owners import is_word_of_ours, my_name
from fetcher.fs.private_files import remove_quietly
from fetcher.network.urls import host_of, origin_of, without_login
from fetcher.project import lockfile
from fetcher.project.lockfile import Lock, LockedArtifact
from fetcher.sources.base import FileEntry, Listing
from fetcher.sources.git_fields import COMMIT
from fetcher.store import listings
from fetcher.store.store import Store
from fetcher.verify.contract import json_text

_log = logging.getLogger(__name__)

FOLDER = "upstream"
SCHEMA = "fetch.upstream/1"
KINDS = ("model", "dataset", "space")
_ABOUT, _SAID = "upstream.json", "said*.jsonl"
_LISTING = re.compile(r"([0-9a-f]{40})(?:\.[0-9]+)?")
_MANIFEST = "upstream"
_REF = re.compile(r"[^\x00-\x20\x7f]{1,255}")


@dataclass(frozen=True)
class RefStatement:
    """A branch, tag or commit stands at `commit`; said at `at`, in seconds since 1970.

    `closed`: the repository is gated or private there.
    """

    ref: str
    commit: str
    closed: bool
    at: float = field(default_factory=time.time)

    def dump(self) -> dict[str, object]:
        """As it is kept."""
        return {"ref": self.ref, "commit": self.commit, "closed": self.closed, "at": int(self.at)}


class FileStatement(NamedTuple):
    """A path of a commit, with the sha256 of its content, which is in the store."""

    commit: str
    file: FileEntry

    def dump(self) -> dict[str, object]:
        """As it is kept."""
        told = {name: value for name, value in self.file._asdict().items() if value}
        return {"commit": self.commit, "size": self.file.size, **told}


Statement = RefStatement | FileStatement


@dataclass
class UpstreamRepo:
    """All that one Hub has said of one repository.

    `files` are those whose content was fetched, by commit and path; `listings` whole commits;
    `folders` what was listed of one folder of a commit, by commit and folder. `stood` has every
    commit at which a ref ever stood. `logins`: whether each listing that a run read was read with
    a login; nobody said whether others may see those.
    """

    kind: str
    id: str
    refs: dict[str, RefStatement] = field(default_factory=dict)
    files: dict[str, dict[str, FileEntry]] = field(default_factory=dict)
    listings: dict[str, dict[str, FileEntry]] = field(default_factory=dict)
    folders: dict[str, dict[str, dict[str, FileEntry]]] = field(default_factory=dict)
    stood: dict[str, set[str]] = field(default_factory=dict)
    logins: set[bool] = field(default_factory=set)
    told: RefStatement | None = None  # the latest that says whether it is closed

    @property
    def closed(self) -> bool:
        """Whether it is gated or private; what nothing was said of is."""
        return False not in self.logins if self.told is None else self.told.closed

    @property
    def unsure(self) -> bool:
        """Whether nobody said that it is closed: it was read with a login, and that is all."""
        return self.told is None and self.logins == {True}

    def commits(self) -> list[str]:
        """Every commit of which something is known, the one that a ref reached last at the end."""
        reached = {said.commit: said.at for said in self.refs.values()}
        known = self.files.keys() | self.listings.keys() | self.folders.keys()
        return sorted(known, key=lambda c: (reached.get(c, 0.0), c))

    def listed(self, commit: str, path: str) -> dict[str, FileEntry] | None:
        """What says all of a path of a commit, by path: a listing, or what was said of that file;
        None if nothing does."""
        if commit in self.listings:
            return self.listings[commit]
        for folder, files in self.folders.get(commit, {}).items():
            if path.startswith(f"{folder}/"):
                return files
        told = self.files.get(commit, {})
        return told if path in told else None

    def at(self, commit: str) -> dict[str, FileEntry]:
        """The files of a commit by path: the listing's, with the digests that fetching gave."""
        found = dict(self.listings.get(commit, {}))
        for files in self.folders.get(commit, {}).values():
            found |= files
        for path, file in self.files.get(commit, {}).items():
            listed = found.get(path)
            if listed is None or listed.key in {file.key, f"git:{file.git_blob}"}:
                found[path] = file
        return found


def endpoint(url: str) -> str:
    """An upstream's address as its name: two spellings of one place are one. Raises Failure."""
    bare, _ = without_login(url)
    scheme, _, _ = origin_of(bare)
    path = re.sub(r"^[^/]*//[^/?#]*", "", bare).partition("?")[0].partition("#")[0]
    return f"{scheme}://{host_of(bare)}{path.rstrip('/')}"


class UpstreamRecords:
    """What one Hub has said, below a store's folder. Safe in any thread."""

    def __init__(self, store: Path, url: str) -> None:
        self.store = store
        self.url = endpoint(url)
        name = re.sub(r"[^A-Za-z0-9.-]", "-", host_of(self.url))[:60]
        self.root = store / FOLDER / f"{name}-{listings.short(self.url)}"

    @classmethod
    def of_bundles(cls, store: Path) -> UpstreamRecords:
        """What the bundles say that the person took into this store: not a Hub's word, but theirs.

        A listing's `endpoint` names the bundle.
        """
        found = cls.__new__(cls)
        found.store, found.url, found.root = store, "", store / FOLDER / "bundles"
        return found

    def folder(self, kind: str, name: str) -> Path:
        """Where a repository's statements are."""
        shown = re.sub(r"[^A-Za-z0-9_.-]", "--", name)[:60]
        return self.root / f"{kind}--{shown}-{listings.short(f'{kind}/{name}')}"

    def folders(self) -> list[Path]:
        """The folder of every repository that it has spoken of."""
        if not self.root.is_dir():
            return []
        return sorted(
            path
            for path in self.root.iterdir()
            if next(path.glob(_SAID), None) or next(path.glob(f"*{listings.PAGES}"), None)
        )

    def add(self, kind: str, name: str, said: Iterable[Statement], sync: bool = False) -> None:
        """Keep statements; `sync` also through a power cut. Raises OSError."""
        folder = self.folder(kind, name)
        self._prepare(folder)
        path = folder / (f"said.{mine}.jsonl" if (mine := my_name()) else "said.jsonl")
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            lines = ({"kind": kind, "id": name, **statement.dump()} for statement in said)
            # A line that a killed server left unfinished ends here.
            data = "".join(f"\n{json.dumps(line)}\n" for line in lines).encode()
            if os.write(handle, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)

    def add_listing(self, kind: str, name: str, commit: str, files: Iterable[FileEntry]) -> None:
        """Keep a whole commit's files. Raises OSError."""
        folder = self.folder(kind, name)
        self._prepare(folder)
        locked = LockedArtifact(f"{kind}:{name}", commit, "", tuple(sorted(files)))
        text = lockfile.dumps(Lock({(_MANIFEST, commit): locked}))
        mine = my_name()
        write_atomically(folder / (f"{commit}.{mine}" if mine else commit), text.encode(), 0o644)

    def add_pages(self, listing: Listing) -> None:
        """Keep a listing as it came; one that was read with a login, so that only its reader can
        read it. Costs a write of its bytes. Raises OSError."""
        folder = self.folder(listing.kind, listing.repo)
        self._prepare(folder)
        listings.write(folder, listing, by_bundle=not self.url)

    def forget(self, speakers: Collection[str]) -> None:
        """Remove what these bundles said. Raises OSError."""
        found = self.root.glob(f"*/*{listings.PAGES}") if speakers else ()
        for path in found:
            with suppress(ValueError, AttributeError, IndexError):
                if json_text.loads(listings.own_lines(path)[0]).get("by") in speakers:
                    path.unlink()

    def said_of(self, kind: str, name: str, commit: str) -> listings.SaidCommit:
        """What the listings that the person's own runs read say of a commit.

        Files that somebody else wrote, or may write, do not count.
        """
        found = listings.SaidCommit()
        for path in sorted(self.folder(kind, name).glob(f"{commit}.*{listings.PAGES}")):
            with suppress(OSError, FetchError, ValueError):
                listings.take_pages(listings.own_lines(path), (kind, name, commit), found)
        return found

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not (self.root / _ABOUT).exists():
            text = json.dumps({"schema": SCHEMA, "url": self.url})
            write_atomically(self.root / _ABOUT, text.encode())

    def read(self, kind: str, name: str, runs: bool = False) -> UpstreamRepo:
        """What was said of a repository; nothing if nothing was, or it cannot be read.

        `runs`: also what the person's own runs were told.
        """
        found = read(self.folder(kind, name), runs)
        known = found is not None and (found.kind, found.id) == (kind, name)
        return found if found and known else UpstreamRepo(kind, name)

    def mark(self, kind: str, name: str) -> object:
        """What changes when more is said of a repository; None while nothing is."""
        return _mark(self.folder(kind, name))

    def marks(self) -> object:
        """The same of everything that it has said; costs a look into each repository's folder."""
        return [(folder.name, _mark(folder)) for folder in self.folders()]

    def all(self) -> Iterator[UpstreamRepo]:
        """Every repository that it has spoken of, to servers or to the person's own runs."""
        for folder in self.folders():
            found = read(folder, runs=True)
            if found is not None:
                yield found


def _mark(folder: Path) -> object:
    found = []
    for path in (folder, *sorted(folder.glob(_SAID))):
        with suppress(OSError):
            stat = os.stat(path)
            found.append((stat.st_mtime_ns, stat.st_size))
    return found or None


def read(folder: Path, runs: bool = False, anybodys: bool = False) -> UpstreamRepo | None:
    """A repository's statements; later ones count. None if they do not say of what.

    `runs`: also what the person's own runs were told. `anybodys`: also what others wrote there.
    """
    lines: list[bytes] = []
    for path in _by_time(folder.glob(_SAID)):
        with suppress(OSError):
            lines += listings.lines_of(path, anybodys)
    found: UpstreamRepo | None = None
    for line in lines:
        item = listings.json_line(line)
        kind, name = item.get("kind"), item.get("id")
        if found is None and kind in KINDS and isinstance(name, str):
            found = UpstreamRepo(str(kind), name)
        if found is not None and (kind, name) == (found.kind, found.id):
            _take(item, found)
    if found is not None:
        for path in _by_time(folder.iterdir()):
            if named := _LISTING.fullmatch(path.name):
                with suppress(FetchError, OSError, UnicodeDecodeError):
                    if lines := listings.lines_of(path, anybodys):
                        found.listings[named[1]] = _listing(b"\n".join(lines), path.name)
    return _with_runs(folder, found) if runs else found


def _with_runs(folder: Path, repo: UpstreamRepo | None) -> UpstreamRepo | None:
    """With the listings that the person's own runs read. A whole one outweighs a server's."""
    for path in sorted(folder.glob(f"*{listings.PAGES}")):
        with suppress(OSError, FetchError, ValueError):
            lines = listings.own_lines(path)
            about = listings.json_line(lines[0]) if lines else {}
            kind, name, commit = about.get("kind"), about.get("id"), about.get("commit")
            if not (isinstance(name, str) and isinstance(commit, str) and kind in KINDS):
                continue
            repo = repo or UpstreamRepo(str(kind), name)
            if (kind, name) == (repo.kind, repo.id) and COMMIT.fullmatch(commit):
                _take_run(lines, about, commit, repo)
    return repo


def _take_run(
    lines: list[bytes], about: Mapping[str, object], commit: str, repo: UpstreamRepo
) -> None:
    said = listings.SaidCommit()
    listings.take_pages(lines, (repo.kind, repo.id, commit), said)
    repo.logins.add(said.closed)
    for ref, at in said.refs.items():
        repo.stood.setdefault(ref, set()).add(commit)
        if ref not in repo.refs or repo.refs[ref].at < at:
            repo.refs[ref] = RefStatement(ref, commit, said.closed, at)
    if about.get("whole") is not True:
        return
    if listed := about.get("path"):
        repo.folders.setdefault(commit, {})[str(listed)] = said.files
    else:
        repo.listings[commit] = said.files


def _take(item: Mapping[str, object], repo: UpstreamRepo) -> None:
    ref, commit, at = item.get("ref"), item.get("commit"), item.get("at")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        return
    if "ref" in item:
        if isinstance(ref, str) and _REF.fullmatch(ref) and isinstance(at, int):
            repo.stood.setdefault(ref, set()).add(commit)
            said = RefStatement(ref, commit, item.get("closed") is not False, float(at))
            repo.refs[ref] = said
            if repo.told is None or repo.told.at <= said.at:
                repo.told = said
        return
    with suppress(LockError):
        file = lockfile.file_entry(item, _SAID)
        if file.sha256 and file.size is not None:
            repo.files.setdefault(commit, {})[file.path] = file


def _by_time(paths: Iterable[Path]) -> list[Path]:
    """The earliest written first."""
    found = []
    for path in paths:
        with suppress(OSError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def _listing(data: bytes, name: str) -> dict[str, FileEntry]:
    lock = lockfile.loads(data.decode(), name)
    return {file.path: file for item in lock.artifacts.values() for file in item.files}


def of_person(settings: Settings) -> UpstreamRecords | None:
    """Where the person's own runs keep what the Hub of their choice says; None without a home.

    Who asks a Hub that a project chose (`Settings.hub_answers_to_person`) keeps nothing there.
    """
    store = settings.own_store
    url = settings.hf_endpoint if settings.hub_login_allowed else PUBLIC_HUB
    return UpstreamRecords(store, url) if store else None


def endpoints(store: Path) -> list[str]:
    """The addresses of all Hubs whose statements a store keeps."""
    found = []
    for path in sorted((store / FOLDER).glob(f"*/{_ABOUT}")):
        with suppress(OSError, UnicodeDecodeError):
            url = listings.json_line(path.read_bytes()).get("url")
            if isinstance(url, str) and _is_of(url, path.parent, store) and _has_word(path.parent):
                found.append(url)
    return found


def believed(store: Path, chosen: str) -> list[str]:
    """The Hubs whose word could count where nobody named one: that of the person's choice if it
    has spoken, else all. Of several nobody knows whose counts."""
    known = endpoints(store)
    return [chosen] if chosen in known else known


def of_choice(settings: Settings) -> str:
    """The address of the Hub that the person chose, or else of the public one."""
    return endpoint(settings.hf_endpoint if settings.hub_answers_to_person else PUBLIC_HUB)


def _has_word(folder: Path) -> bool:
    """Whether something below a Hub's folder was written by this person, or root."""
    for path in folder.glob("*/*"):
        with suppress(OSError):
            if is_word_of_ours(path.stat()):
                return True
    return False


def _is_of(url: str, folder: Path, store: Path) -> bool:
    try:
        return UpstreamRecords(store, url).root == folder
    except FetchError:
        return False


def needed(store: Store) -> Iterator[FileEntry]:
    """Every content that anybody's statements lead to: what `fetch gc` must keep."""
    said = (store.root / FOLDER).glob(f"*/*/{_SAID}")
    for folder in dict.fromkeys(path.parent for path in said):
        repo = read(folder, anybodys=True)
        if repo is not None:
            for commit in repo.commits():
                yield from repo.at(commit).values()


def is_record(root: Path, store: Path) -> bool:
    """Whether a folder is one of these, and no project of a person's."""
    return (store / FOLDER).absolute() in root.absolute().parents


def forget_nameless(store: Path) -> int:
    """Remove what earlier versions kept of repositories without saying which Hub it came from.

    The contents stay. Gives how many repositories there were; raises OSError.
    """
    nameless = [path.parent for path in (store / FOLDER).glob(f"*/{lockfile.NAME}")]
    for folder in nameless:
        shutil.rmtree(folder)
        remove_quietly(str(store / "projects" / f"{folder.name}.json"))
    return len(nameless)
